//! One file back to a server that recovers.
//!
//! Invariant: "not found" is said only when every tier was read and none has it. A server takes it for the end of the log and
//! goes on without what is missing.

use super::{archive::WalStore, prefetch, server};
use model::Disposition;
use providers::api::{ProviderError, Result};
use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// The file is at its target.
    Found,
    /// Only the first part of the segment is archived, and at its target; the server replays what it holds.
    FoundBeginning,
    /// Every tier was read, and none has it.
    NotFound,
}

/// Whose log a server that asks for `target` (`%p`) wants: that of the data folder around it, else the one that the tiers hold.
pub async fn cluster_for(store: &WalStore, target: &Path) -> Result<Option<u64>> {
    if let Some(found) = server::system_identifier_beside(target) {
        return Ok(Some(found));
    }
    let tiers: Vec<_> = store.tiers().cloned().collect();
    let (mut found, mut trouble) = (None, None);
    for tier in &tiers {
        match store.clusters(tier).await {
            Ok(Some(clusters)) => {
                found.get_or_insert(clusters.current);
            }
            Ok(None) => {}
            Err(error) => trouble = Some(error),
        }
    }
    match (found, trouble) {
        (None, Some(error)) => Err(error),
        (found, _) => Ok(found),
    }
}

/// Writes an archived file (`%f`) to `target` (`%p`), whole or not at all.
pub async fn fetch(
    store: &Arc<WalStore>,
    system_identifier: Option<u64>,
    name: &str,
    target: &Path,
) -> Result<Fetched> {
    let name = server::file_name(Path::new(name))?;
    let cluster = match system_identifier {
        Some(given) => Some(given),
        None => cluster_for(store, target).await?,
    };
    let Some(cluster) = cluster else {
        return Ok(Fetched::NotFound);
    };
    if let Some(plain) = store.get(cluster, name).await? {
        write(target, &plain)?;
        if name.is_segment() {
            prefetch::want(target, &name);
        }
        return Ok(Fetched::Found);
    }
    if let Some(plain) = store.get_beginning(cluster, name).await? {
        write(target, &plain)?;
        return Ok(Fetched::FoundBeginning);
    }
    prefetch::forget(target);
    Ok(Fetched::NotFound)
}

/// Under a name of its own first: a server must never see a part of a file. Not synced: the server copies what it keeps.
pub(crate) fn write(target: &Path, plain: &[u8]) -> Result<()> {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".mainstay-{}", std::process::id()));
    let temporary = target.with_file_name(name);
    let attempt = || -> io::Result<()> {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(plain)?;
        std::fs::rename(&temporary, target)
    };
    attempt().map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        ProviderError::new(
            "mainstay::wal::unwritable",
            Disposition::NeedsOperator,
            format!("cannot write `{}`", target.display()),
        )
        .help("`%p` of `restore_command` is relative to the server's data folder; look at its rights and at the free space")
        .source(error)
    })
}
