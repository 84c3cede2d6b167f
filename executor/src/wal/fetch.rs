//! One file back to a server that recovers.
//!
//! Invariant: "not found" is said only when every tier was read, none has it, and the archive knows the cluster at all. A server takes
//! it for the end of the log and goes on without what is missing; one that asks an archive of others is set up wrongly.

use super::{archive::WalStore, prefetch, server};
use model::{DatabaseName, Disposition};
use providers::api::{ProviderError, Result};
use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// Nobody writes one file for so long.
const STALE: Duration = Duration::from_hours(1);

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// The file is at its target.
    Found,
    /// Only the first part of the segment is archived, and at its target; the server replays what it holds.
    FoundBeginning,
    /// Every tier was read, none has it, and the archive knows the cluster.
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
        return Err(unknown(store.database(), None, &BTreeSet::new()));
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
    check_known(store, cluster).await?;
    Ok(Fetched::NotFound)
}

/// Refuses to say "not found" to a cluster of which nothing was ever archived.
async fn check_known(store: &WalStore, cluster: u64) -> Result<()> {
    let tiers: Vec<_> = store.tiers().cloned().collect();
    let mut others = BTreeSet::new();
    for tier in &tiers {
        let Some(listed) = store.clusters(tier).await? else {
            continue;
        };
        if listed.get(cluster).is_some() {
            return Ok(());
        }
        others.extend(listed.clusters.iter().map(|known| known.system_identifier));
    }
    Err(unknown(store.database(), Some(cluster), &others))
}

fn unknown(database: &DatabaseName, cluster: Option<u64>, others: &BTreeSet<u64>) -> ProviderError {
    let others: Vec<String> = others.iter().map(u64::to_string).collect();
    let message = match (others.is_empty(), cluster) {
        (true, _) => format!("nothing was ever archived of the log of `{database}`"),
        (false, cluster) => format!(
            "the archive of `{database}` holds the log of the cluster {}, and none of {}",
            others.join(", "),
            cluster.map_or_else(|| "this one".to_owned(), |cluster| cluster.to_string())
        ),
    };
    ProviderError::new(
        "mainstay::wal::unknown-cluster",
        Disposition::NeedsOperator,
        message,
    )
    .help("look whether `--database` and the policy in `restore_command` are those of this server; a server that has no archive of its log needs no `restore_command`")
}

/// Under a name of its own first: a server must never see a part of a file. Not synced: the server copies what it keeps.
pub(crate) fn write(target: &Path, plain: &[u8]) -> Result<()> {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".mainstay-{}", std::process::id()));
    let temporary = target.with_file_name(name);
    let attempt = || -> io::Result<()> {
        let mut file = std::fs::File::create(&temporary)?;
        let own = target.file_name().unwrap_or_default().to_string_lossy();
        remove_stale(target, &file, &format!("{own}.mainstay-"));
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

/// Removes what killed processes have left beside `target` under names that begin so. Told by age, against a file just made: another
/// container's processes cannot be seen.
pub(super) fn remove_stale(target: &Path, just_made: &std::fs::File, beginning: &str) {
    let now = just_made.metadata().and_then(|about| about.modified());
    let (Ok(now), Some(folder)) = (now, target.parent()) else {
        return;
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(beginning) {
            continue;
        }
        let made = entry.metadata().and_then(|about| about.modified());
        let age = made.ok().and_then(|made| now.duration_since(made).ok());
        if age.is_some_and(|age| age > STALE) {
            // Only tidiness.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
