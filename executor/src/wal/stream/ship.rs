//! From the folder to the archive: whole segments, histories, and the beginning of the segment under way; then the folder is tidied.

use super::{Folder, Tell, WalStream};
use crate::wal::{
    archive::blocking,
    file::WalFile,
    push::{Placed, push_file},
};
use model::WalFileName;
use providers::api::Result;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};
use tokio::{task::JoinSet, time::Instant};

/// A file that has the same time of change is read so often: what is written within one tick of the clock does not show in it.
const READS: u32 = 8;

/// What was done with the files of the folder.
#[derive(Debug, Default)]
pub(super) struct Shipped {
    whole: BTreeSet<WalFileName>,
    histories: BTreeSet<WalFileName>,
    /// The longest beginning of each segment that is archived.
    beginnings: BTreeMap<WalFileName, u32>,
    /// When the last was sent.
    sent_at: Option<Instant>,
    /// Files under way: when they were changed last, and how often they were read since.
    seen: BTreeMap<WalFileName, (SystemTime, u32)>,
    /// The last trouble that was told.
    trouble: Option<String>,
}

impl WalStream {
    /// Archives what is new, and removes what is archived.
    pub(super) async fn ship(&self, shipped: &mut Shipped, tell: &Tell, last: bool) {
        let result = self.ship_files(shipped, last).await;
        let trouble = result.err().map(|error| error.to_string());
        if trouble != shipped.trouble {
            match &trouble {
                Some(words) => tell(&format!("not archived: {words}; it is tried again")),
                None => tell("the archive takes the log again"),
            }
            shipped.trouble = trouble;
        }
    }

    async fn ship_files(&self, shipped: &mut Shipped, last: bool) -> Result<()> {
        let found = self.look().map_err(|error| self.unreadable(error))?;
        // A timeline's history first: without it nobody could follow to its segments.
        for name in found.histories.difference(&shipped.histories.clone()) {
            let cluster = self.cluster(&found).await?;
            let file = self.read(*name, cluster).await?;
            push_file(&self.store, &file).await?;
            shipped.histories.insert(*name);
        }
        self.ship_whole(&found, shipped).await?;
        self.remove(&found, shipped)
            .map_err(|error| self.unreadable(error))?;
        // What comes after a quiet time is sent at once: nobody could tell otherwise for how long it has been missing.
        let due = shipped.sent_at.is_none_or(|at| at.elapsed() >= self.every);
        if due || last {
            let now = Instant::now();
            for segment in &found.under_way {
                if self.ship_beginning(*segment, shipped).await? {
                    shipped.sent_at = Some(now);
                }
            }
        }
        shipped
            .seen
            .retain(|name, _| found.under_way.contains(name));
        Ok(())
    }

    async fn ship_whole(&self, found: &Folder, shipped: &mut Shipped) -> Result<()> {
        let waiting: Vec<_> = found.whole.difference(&shipped.whole).copied().collect();
        for some in waiting.chunks(self.store.parallel().max(1)) {
            let mut sending = JoinSet::new();
            for name in some {
                let file = self.read(*name, None).await?;
                let (store, name) = (Arc::clone(&self.store), *name);
                sending.spawn(async move {
                    let cluster = file.system_identifier();
                    (name, cluster, push_file(&store, &file).await)
                });
            }
            let mut failed = None;
            while let Some(joined) = sending.join_next().await {
                let (name, cluster, result) =
                    match joined.map_err(tokio::task::JoinError::try_into_panic) {
                        Ok(one) => one,
                        Err(Ok(panic)) => std::panic::resume_unwind(panic),
                        Err(Err(_)) => continue,
                    };
                match result {
                    Ok(pushed) => {
                        shipped.whole.insert(name);
                        if shipped.beginnings.remove(&name).is_some() {
                            for (tier, placed) in &pushed.tiers {
                                if matches!(placed, Placed::There(_)) {
                                    let store = &self.store;
                                    store.delete_beginnings(tier, cluster, name, None).await?;
                                }
                            }
                        }
                    }
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Removes archived files that the receiver does not need to know where to go on.
    fn remove(&self, found: &Folder, shipped: &mut Shipped) -> std::io::Result<()> {
        let newest = found.whole.iter().chain(&found.under_way).max().copied();
        for name in &found.whole {
            if shipped.whole.contains(name) && Some(*name) < newest {
                std::fs::remove_file(self.folder.join(name.to_string()))?;
            }
        }
        let newest_whole = found.whole.last().copied();
        for name in &found.under_way {
            // The end of a timeline that was left; the next timeline's first segment begins with it.
            let later = newest_whole.is_some_and(|whole| shipped.whole.contains(&whole));
            if later && Some(*name) < newest_whole {
                std::fs::remove_file(self.folder.join(format!("{name}.partial")))?;
            }
        }
        shipped.whole.retain(|name| found.whole.contains(name));
        Ok(())
    }

    /// Whether there was anything to send.
    async fn ship_beginning(&self, segment: WalFileName, shipped: &mut Shipped) -> Result<bool> {
        let path = self.folder.join(format!("{segment}.partial"));
        let Ok(modified) = std::fs::metadata(&path).and_then(|found| found.modified()) else {
            // It has become whole meanwhile.
            return Ok(false);
        };
        let seen = shipped.seen.entry(segment).or_insert((modified, 0));
        if seen.0 != modified {
            *seen = (modified, 0);
        }
        if seen.1 >= READS {
            return Ok(false);
        }
        seen.1 += 1;
        let bytes = match blocking(move || Ok(std::fs::read(path))).await? {
            Ok(bytes) => bytes,
            // It has become whole meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.unreadable(error)),
        };
        // What follows is empty, and is filled up with zeros again when it is fetched.
        let length = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        let length = u32::try_from(length).unwrap_or(0);
        let known = shipped.beginnings.get(&segment).copied().unwrap_or(0);
        let Some(name) = segment.beginning(length).filter(|_| length > known) else {
            return Ok(false);
        };
        let mut bytes = bytes;
        bytes.truncate(length as usize);
        let file = WalFile::new(name, bytes, None)?;
        let cluster = file.system_identifier();
        let pushed = push_file(&self.store, &file).await?;
        shipped.beginnings.insert(segment, length);
        for (tier, placed) in pushed.tiers {
            if matches!(placed, Placed::There(_)) {
                let keep = Some(length);
                let store = &self.store;
                store
                    .delete_beginnings(&tier, cluster, segment, keep)
                    .await?;
            }
        }
        Ok(true)
    }

    /// Removes beginnings that a killed stream left beside their whole segments. A tier that cannot be read is cleaned next time.
    pub(super) async fn clean(&self, tell: &Tell) {
        for tier in self.store.tiers() {
            let Ok(listing) = self.store.list(tier).await else {
                continue;
            };
            let whole: BTreeSet<_> = listing
                .files
                .iter()
                .filter(|file| file.name.is_segment())
                .map(|file| (file.system_identifier, file.name))
                .collect();
            for file in &listing.files {
                let covered = matches!(file.name, WalFileName::Beginning { .. })
                    && file
                        .name
                        .segment()
                        .is_some_and(|segment| whole.contains(&(file.system_identifier, segment)));
                if covered && let Err(error) = self.store.delete(tier, file).await {
                    tell(&format!(
                        "a superseded beginning stays on `{tier}`: {error}"
                    ));
                    break;
                }
            }
        }
    }
}
