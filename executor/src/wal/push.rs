//! One file of a server's log into the archive: success only when it is where the policy wants it.
//!
//! Durable on every tier; or durable on one at least, with the others away, a spool declared, and the RPO allowing that they
//! lag: then the file waits in the spool, synced, and that is said. Anything else is a failure, and the server keeps the file.
//! Not here: how a file lies on a tier (`archive`), what waits (`spool`).

use super::{
    archive::{Put, WalStore, blocking},
    file::WalFile,
    server,
};
use model::{TierName, WalFileName};
use providers::api::{ProviderError, Result};
use std::{path::Path, sync::Arc};

/// Waiting files that a single `wal push` sends on, so that a tier that has come back is served without an agent.
const SENT_ALONG: usize = 4;

/// What became of a file on one tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It is there, durably.
    There(Put),
    /// It waits in the spool.
    Waiting,
}

/// What became of a file that a server wanted archived.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// Its name.
    pub name: WalFileName,
    /// By tier, the primary first.
    pub tiers: Vec<(TierName, Placed)>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Archives the file at `path` (`%p`) on every tier.
///
/// Errors: that of the first tier on which it is not durable and for which it may not wait; the server keeps the file.
pub async fn push(
    store: &Arc<WalStore>,
    path: &Path,
    system_identifier: Option<u64>,
) -> Result<Pushed> {
    let own = path.to_owned();
    let file = blocking(move || server::read_file(&own, system_identifier)).await?;
    push_file(store, &file).await
}

/// The same with a file that was read.
pub async fn push_file(store: &Arc<WalStore>, file: &WalFile) -> Result<Pushed> {
    let mut pushed = Pushed {
        name: file.name(),
        tiers: Vec::new(),
        warnings: Vec::new(),
    };
    let mut failed = Vec::new();
    for (tier, result) in store.put(file).await {
        match result {
            Ok(put) => pushed.tiers.push((tier, Placed::There(put))),
            Err(error) => failed.push((tier, error)),
        }
    }
    let durable = !pushed.tiers.is_empty();
    for (tier, error) in failed {
        let refused = match store.spool() {
            Some(spool) if durable && is_away(&error) => {
                let (level, now) = (store.level(), store.now());
                spool.keep(&tier, file, level, now).await?.err()
            }
            Some(_) if is_away(&error) => Some("it is on no other tier yet".to_owned()),
            Some(_) | None => Some(String::new()),
        };
        let Some(refused) = refused else {
            pushed.warnings.push(format!(
                "tier `{tier}` is away, `{}` waits in the spool: {error}",
                file.name()
            ));
            pushed.tiers.push((tier, Placed::Waiting));
            continue;
        };
        let why = if refused.is_empty() {
            String::new()
        } else {
            format!(" ({refused})")
        };
        return Err(ProviderError {
            message: format!(
                "`{}` is not archived on tier `{tier}`{why}: {error}",
                file.name()
            ),
            ..error
        });
    }
    Ok(pushed)
}

/// Sends on a few files that wait, to the tiers on which this one is.
pub async fn send_along(store: &Arc<WalStore>, pushed: &Pushed) {
    if let Some(spool) = store.spool() {
        let is_there = |tier: &TierName| {
            pushed
                .tiers
                .iter()
                .any(|(name, placed)| name == tier && matches!(placed, Placed::There(_)))
        };
        // What is not sent waits for the next time; `wal status` shows it.
        let _ = spool.send(store, SENT_ALONG, is_there).await;
    }
}

/// Whether the tier is to blame, and not the file: only then may it wait.
fn is_away(error: &ProviderError) -> bool {
    let of_the_tier = error.code.starts_with("mainstay::tier::")
        || error.code.starts_with("mainstay::s3::")
        || error.code.starts_with("mainstay::aws::");
    of_the_tier && error.code != "mainstay::tier::key"
}
