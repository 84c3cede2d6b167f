//! Segments are fetched before a recovering server asks for them, into a folder beside its `pg_wal`'s files.
//!
//! `wal fetch` leaves the name of the last segment in `wanted`; one process per server (by a lock file) keeps the next ones
//! there and ends when nobody has asked for a while. A prefetched file is whole and checked before it has its name, and its
//! first page is looked at once more before it is handed over. Only whole segments: what ends the log is asked for each time.
//!
//! Nothing is synced, so a file counts only as long as the process that fetched it lives: after a power loss it may have its size and
//! zeros inside, which a server takes for the end of its log. Whatever else lies there is removed, and all of it in the end.

use super::{archive::WalStore, fetch::write, server};
use model::{
    WalFileName,
    wal::{HEADER_BYTES, SegmentHeader},
};
use providers::api::Result;
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

const FOLDER: &str = ".mainstay-prefetch";
const WANTED: &str = "wanted";
const LOCK: &str = "lock";
/// Ending of the name of a file that is being fetched.
const COMING: &str = ".coming";
/// Nobody asks any more.
const IDLE: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long somebody waits for a file that is on its way.
const PATIENCE: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(3);

/// What a look into the folder gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefetched {
    /// The file is at its target.
    Taken {
        /// Whether somebody fetches the next ones.
        coming: bool,
    },
    /// It was not there.
    Not,
}

fn folder(target: &Path) -> PathBuf {
    target.with_file_name(FOLDER)
}

/// Hands over a prefetched file, without a runtime and without the policy.
pub fn take_prefetched(name: &str, target: &Path) -> Prefetched {
    let folder = folder(target);
    let Ok(name) = WalFileName::parse(name) else {
        return Prefetched::Not;
    };
    if !name.is_segment() || !folder.is_dir() {
        return Prefetched::Not;
    }
    let ready = folder.join(name.to_string());
    let coming = folder.join(format!("{name}{COMING}"));
    // Counted in pauses: nobody needs to know the time for that.
    let mut patience = PATIENCE.as_millis() / SHORT.as_millis();
    while !ready.exists() && coming.exists() && somebody_fetches(&folder) && patience > 0 {
        std::thread::sleep(SHORT);
        patience -= 1;
    }
    if !somebody_fetches(&folder)
        || !is_whole(&ready, &name, target)
        || fs::rename(&ready, target).is_err()
    {
        return Prefetched::Not;
    }
    want(target, &name);
    Prefetched::Taken {
        coming: somebody_fetches(&folder),
    }
}

/// Remembers which segment was asked for last.
pub(crate) fn want(target: &Path, name: &WalFileName) {
    let folder = folder(target);
    // Prefetching is a favour: without the folder everything works, only slower.
    let _ = fs::create_dir_all(&folder);
    let _ = write(&folder.join(WANTED), name.to_string().as_bytes());
}

/// Removes what was fetched in vain.
pub(crate) fn forget(target: &Path) {
    let folder = folder(target);
    if somebody_fetches(&folder) {
        return;
    }
    remove(&folder);
}

fn remove(folder: &Path) {
    empty(folder, &[]);
    let _ = fs::remove_dir(folder);
}

fn empty(folder: &Path, but: &[&str]) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !but.iter().any(|kept| entry.file_name() == *kept) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_whole(ready: &Path, name: &WalFileName, target: &Path) -> bool {
    let look = || -> io::Result<bool> {
        let mut file = File::open(ready)?;
        let size = file.metadata()?.len();
        let mut head = [0; HEADER_BYTES];
        file.read_exact(&mut head)?;
        let server = server::system_identifier_beside(target);
        Ok(SegmentHeader::parse(&head).is_ok_and(|header| {
            header.check(name, size).is_ok()
                && server.is_none_or(|server| server == header.system_identifier)
        }))
    };
    look().unwrap_or(false)
}

fn somebody_fetches(folder: &Path) -> bool {
    File::open(folder.join(LOCK))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

/// Keeps the next `ahead` segments beside `target`, until nobody asks any more, the log ends or something fails: whoever asks
/// then finds out himself. Returns at once when another process does it already.
pub async fn prefetch(
    store: &Arc<WalStore>,
    system_identifier: u64,
    target: &Path,
    ahead: usize,
) -> Result<()> {
    let folder = folder(target);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(LOCK));
    let Ok(lock) = lock else {
        return Ok(());
    };
    if lock.try_lock().is_err() {
        return Ok(());
    }
    // What a dead one has left: nobody knows how much of it reached the disk.
    empty(&folder, &[LOCK, WANTED]);
    let result = keep_ahead(store, system_identifier, &folder, ahead).await;
    remove(&folder);
    drop(lock);
    result
}

async fn keep_ahead(
    store: &Arc<WalStore>,
    system_identifier: u64,
    folder: &Path,
    ahead: usize,
) -> Result<()> {
    let (mut last, mut since) = (None, Instant::now());
    let (mut ended, mut size) = (false, None);
    let mut names: Vec<WalFileName> = Vec::new();
    while since.elapsed() < IDLE {
        let wanted = fs::read_to_string(folder.join(WANTED)).ok();
        let wanted = wanted.and_then(|text| WalFileName::parse(text.trim()).ok());
        if wanted == last {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        (last, since) = (wanted, Instant::now());
        let Some(wanted) = wanted else {
            continue;
        };
        if size.is_none() {
            size = segment_bytes(store, system_identifier).await?;
        }
        let Some(size) = size else {
            return Ok(());
        };
        let mut next = wanted;
        names.clear();
        for _ in 0..ahead {
            let Some(name) = next.next(size) else {
                break;
            };
            names.push(name);
            next = name;
        }
        tidy(folder, &names);
        if ended {
            // What is there is still waited for.
            if !names
                .iter()
                .any(|name| folder.join(name.to_string()).exists())
            {
                break;
            }
            continue;
        }
        let mut fetching = JoinSet::new();
        for name in &names {
            let name = *name;
            let ready = folder.join(name.to_string());
            if ready.exists() {
                continue;
            }
            let coming = folder.join(format!("{name}{COMING}"));
            let _ = File::create(&coming);
            let store = Arc::clone(store);
            fetching.spawn(async move {
                let found = store.get(system_identifier, name).await;
                let result = match found {
                    Ok(Some(plain)) => write(&ready, &plain).is_ok(),
                    Ok(None) | Err(_) => false,
                };
                let _ = fs::remove_file(&coming);
                result
            });
        }
        while let Some(joined) = fetching.join_next().await {
            ended |= !joined.unwrap_or(false);
        }
    }
    Ok(())
}

async fn segment_bytes(store: &WalStore, system_identifier: u64) -> Result<Option<u64>> {
    let tiers: Vec<_> = store.tiers().cloned().collect();
    for tier in &tiers {
        if let Ok(Some(clusters)) = store.clusters(tier).await
            && let Some(known) = clusters.get(system_identifier)
            && known.segment_bytes.is_some()
        {
            return Ok(known.segment_bytes);
        }
    }
    Ok(None)
}

/// Removes what nobody will ask for.
fn tidy(folder: &Path, names: &[WalFileName]) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            continue;
        };
        let stem = name.strip_suffix(COMING).unwrap_or(name);
        if let Ok(found) = WalFileName::parse(stem)
            && (!names.contains(&found) || name.ends_with(COMING))
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}
