//! How long each stage of a stream was busy: what a recovery log says of a pipeline whose stages overlap.
//!
//! A stage counts the time in which it works, not the time in which it waits for its neighbours; of a stage with several lanes
//! the times of all lanes are added. So the numbers tell which stage is the slow one, and never add up to a wall time.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Counters that the streams of one piece of work share.
#[derive(Debug, Default)]
pub struct Busy {
    decompress: AtomicU64,
    decrypt: AtomicU64,
    fetch: AtomicU64,
}

impl Busy {
    /// Each stage in the order in which bytes pass it, with its time.
    pub fn stages(&self) -> [(&'static str, Duration); 3] {
        let time = |counter: &AtomicU64| Duration::from_nanos(counter.load(Ordering::Relaxed));
        [
            ("fetch", time(&self.fetch)),
            ("decrypt", time(&self.decrypt)),
            ("decompress", time(&self.decompress)),
        ]
    }

    pub(super) fn fetched(&self, since: Instant) {
        add(&self.fetch, since.elapsed());
    }

    pub(super) fn decrypted(&self, since: Instant) {
        add(&self.decrypt, since.elapsed());
    }

    pub(super) fn decompressed(&self, time: Duration) {
        add(&self.decompress, time);
    }
}

fn add(counter: &AtomicU64, time: Duration) {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    counter.fetch_add(nanoseconds, Ordering::Relaxed);
}
