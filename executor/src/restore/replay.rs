//! What the engine needs to roll a physical point forward: how far, along which timeline, and the archive.
//!
//! Invariant: a physical point is always recovered up to a stated target; without a wish it is the first consistent moment.
//! Not here: whether the target can be reached (`reach.rs`).

use super::{
    order::{RecoveryWish, RestoreOrder},
    reach::everywhere,
};
use crate::{
    clock::Clock, crash_point::CrashPoints, steps::error::StepError, wal::WalStore, wiring::Wiring,
};
use async_trait::async_trait;
use model::{ByteCount, Manifest, RecoveryTarget, TimelineChoice, WalFileName};
use providers::api::{Recovery, Result as Fetched, WalFetch};
use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a recovery works with, and what it counts.
pub(super) struct Replay {
    pub(super) recovery: Option<Recovery>,
    pub(super) read: LogRead,
}

/// Bytes of the log that were read, as the server gets them.
#[derive(Debug, Clone, Default)]
pub(super) struct LogRead(Arc<AtomicU64>);

impl LogRead {
    pub(super) fn total(&self) -> ByteCount {
        ByteCount(self.0.load(Ordering::Relaxed))
    }
}

/// Prepares it; a point that is not physical has none.
pub(super) fn prepare(
    order: &RestoreOrder,
    manifest: &Manifest,
    wiring: &Wiring,
    clock: &Arc<dyn Clock>,
) -> Result<Replay, StepError> {
    let wish = order.recovery.clone();
    let wish = wish.unwrap_or_else(|| RecoveryWish::to(RecoveryTarget::Immediate));
    let read = LogRead::default();
    let recovery = with_wish(wish, manifest, wiring, clock, &read)?;
    Ok(Replay { recovery, read })
}

/// A physical point as it is, for a server that is only looked at.
pub(crate) fn until_consistent(
    manifest: &Manifest,
    wiring: &Wiring,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Recovery>, StepError> {
    let wish = RecoveryWish::to(RecoveryTarget::Immediate);
    with_wish(wish, manifest, wiring, clock, &LogRead::default())
}

fn with_wish(
    wish: RecoveryWish,
    manifest: &Manifest,
    wiring: &Wiring,
    clock: &Arc<dyn Clock>,
    read: &LogRead,
) -> Result<Option<Recovery>, StepError> {
    let Some(span) = &manifest.wal else {
        return Ok(over_its_own_log(wish, manifest, wiring));
    };
    // What the point carries is enough then, also when a tier with the archive is away.
    let carries_all = span.included && wish.target == RecoveryTarget::Immediate;
    let wal = if carries_all {
        None
    } else {
        let mut wiring = everywhere(wiring, &manifest.database);
        if let Some(way) = &wish.way
            && let Some(declared) = wiring.databases.get_mut(&manifest.database)
            && let Some(wal) = &mut declared.wal
        {
            // A tier that is away would make every file that is nowhere else a failure, also the one behind the last.
            wal.tiers.retain(|tier| way.tiers.contains(tier));
        }
        let crash = CrashPoints::new(None);
        let store = WalStore::open(&wiring, &manifest.database, Arc::clone(clock), crash)?;
        let inner = Arc::new(store).fetcher(span.system_identifier);
        Some(Arc::new(Counted {
            inner,
            read: read.clone(),
        }) as Arc<dyn WalFetch>)
    };
    let timeline = match &wish.way {
        // The one that was proved, whatever is archived meanwhile.
        Some(way) if way.timeline == span.timeline => TimelineChoice::Current,
        Some(way) => TimelineChoice::Number(way.timeline),
        None => wish.timeline,
    };
    Ok(Some(Recovery {
        target: wish.target,
        timeline,
        wal,
        restore_command: wish.restore_command,
        tablespaces: wish.tablespaces,
        after: wish.after,
        amcheck: wish.amcheck,
        observer: wish.observer,
    }))
}

/// For an engine whose own software archives the log: it fetches by itself, and says by itself what cannot be reached.
fn over_its_own_log(wish: RecoveryWish, manifest: &Manifest, wiring: &Wiring) -> Option<Recovery> {
    let database = wiring.databases.get(&manifest.database)?;
    database.engine.keeps_its_log().then(|| Recovery {
        target: wish.target,
        timeline: wish.timeline,
        wal: None,
        restore_command: Vec::new(),
        tablespaces: wish.tablespaces,
        after: wish.after,
        amcheck: wish.amcheck,
        observer: wish.observer,
    })
}

/// Counts what is fetched.
#[derive(Debug)]
struct Counted {
    inner: Arc<dyn WalFetch>,
    read: LogRead,
}

#[async_trait]
impl WalFetch for Counted {
    async fn fetch(&self, file: &WalFileName) -> Fetched<Option<Box<dyn Read + Send>>> {
        let found = self.inner.fetch(file).await?;
        Ok(found.map(|inner| {
            Box::new(CountedRead {
                inner,
                read: self.read.clone(),
            }) as Box<dyn Read + Send>
        }))
    }
}

struct CountedRead {
    inner: Box<dyn Read + Send>,
    read: LogRead,
}

impl Read for CountedRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.0.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
