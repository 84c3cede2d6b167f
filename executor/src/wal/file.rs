//! One file of a log as a server hands it over: looked at before anything is done with it.

use bytes::Bytes;
use model::{Disposition, WalFileName, wal::SegmentHeader};
use providers::api::{ProviderError, Result};

/// A file that may be archived: its name, size and first page agree.
#[derive(Debug, Clone)]
pub struct WalFile {
    pub(crate) name: WalFileName,
    pub(crate) system_identifier: u64,
    /// Of its cluster; `None` for files that do not say.
    pub(crate) segment_bytes: Option<u64>,
    pub(crate) plain: Bytes,
}

impl WalFile {
    /// Takes a file's bytes. `system_identifier` is that of the server that hands it over; a segment says itself whose it is and
    /// needs none, but must not contradict.
    ///
    /// Errors: `mainstay::wal::not-this-segment`, `mainstay::wal::other-cluster`.
    pub fn new(
        name: WalFileName,
        plain: impl Into<Bytes>,
        system_identifier: Option<u64>,
    ) -> Result<Self> {
        let plain = plain.into();
        if plain.is_empty() {
            return Err(not_this_segment(name, "it is empty"));
        }
        let header = match name {
            WalFileName::Segment { .. }
            | WalFileName::Partial { .. }
            | WalFileName::Beginning { .. } => {
                let header = SegmentHeader::parse(&plain).and_then(|header| {
                    header.check(&name, plain.len() as u64)?;
                    Ok(header)
                });
                Some(header.map_err(|error| not_this_segment(name, &error.to_string()))?)
            }
            WalFileName::History { .. } | WalFileName::Backup { .. } => None,
        };
        let system_identifier = match (header, system_identifier) {
            (Some(header), Some(server)) if header.system_identifier != server => {
                return Err(ProviderError::new(
                    "mainstay::wal::other-cluster",
                    Disposition::NeedsOperator,
                    format!(
                        "`{name}` was written by the cluster {}, and the server that archives it is {server}",
                        header.system_identifier
                    ),
                )
                .help("nothing was archived; look how a segment of another cluster came into this server's `pg_wal`"));
            }
            (Some(header), _) => header.system_identifier,
            (None, Some(server)) => server,
            (None, None) => {
                return Err(ProviderError::new(
                    "mainstay::wal::cluster-file",
                    Disposition::NeedsOperator,
                    format!("`{name}` does not say which cluster it belongs to, and `global/pg_control` beside its `pg_wal` could not be read"),
                )
                .help("let `archive_command` run in the server's data folder, as PostgreSQL does it, or give `--system-identifier`"));
            }
        };
        Ok(Self {
            name,
            system_identifier,
            segment_bytes: header.map(|header| header.segment_bytes),
            plain,
        })
    }

    /// Its name.
    pub fn name(&self) -> WalFileName {
        self.name
    }

    /// Its cluster.
    pub fn system_identifier(&self) -> u64 {
        self.system_identifier
    }
}

fn not_this_segment(name: WalFileName, how: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::wal::not-this-segment",
        Disposition::NeedsOperator,
        format!("`{name}` is not archived: {how}"),
    )
    .help("nothing was archived; PostgreSQL keeps the file, and `mainstay wal status` shows what waits. Look who wrote into `pg_wal`")
}
