//! Waits until the log that a base backup needs is in the archive: without it the backup restores nothing.
//!
//! Asks only the primary tier, never the server: that one archives by itself when a backup ends, or it does not.

use super::archive::WalStore;
use model::{Disposition, WalFileName, WalSpan};
use providers::api::{ProviderError, Result};
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);

impl WalStore {
    /// Returns when every segment of `span` is on the primary tier. `mainstay::wal::not-archived` when none has come for
    /// `patience`.
    pub async fn ensure_archived(&self, span: &WalSpan, patience: Duration) -> Result<()> {
        let Some(primary) = self.tiers().next().cloned() else {
            return Ok(());
        };
        let mut since = Instant::now();
        for number in span.first_segment()..=span.last_segment() {
            let name = WalFileName::of_segment(span.timeline, number, span.segment_bytes);
            while !self.has(&primary, span.system_identifier, name).await? {
                if since.elapsed() >= patience {
                    return Err(not_archived(self, name, patience));
                }
                tokio::time::sleep(PAUSE).await;
            }
            since = Instant::now();
        }
        Ok(())
    }
}

fn not_archived(store: &WalStore, name: WalFileName, patience: Duration) -> ProviderError {
    let database = store.database();
    ProviderError::new(
        "mainstay::wal::not-archived",
        Disposition::NeedsOperator,
        format!(
            "the base backup of `{database}` needs the segment `{name}` of the log, and nobody has archived it within {} s",
            patience.as_secs()
        ),
    )
    .help(
        "`archive_command` of the server does not work, or `archive_mode` is off: `mainstay wal status` says what waits, and the server's own log says why",
    )
}
