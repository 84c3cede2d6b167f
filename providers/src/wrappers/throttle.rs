//! A tier that is read and written no faster than a policy allows, over all its streams together, also by time of day.
//!
//! One [`Pace`] per tier: every chunk that passes takes its bytes from it in the order of asking, in pieces of at most
//! [`PIECE`], so that a stream of large chunks does not starve one of small ones. What was not used is saved for one second
//! at most: no burst is longer. The limit is looked up before every piece, so a window of the day begins and ends in the
//! middle of a stream.
//!
//! What is counted is what the caller hands over or gets: data that a tier sends again, and its listings and marks, are not.
//! Control objects pass at once: a lease that waits for its turn would be lost. Not here: what a policy says (`policy-schema`),
//! the clock (an argument).

use crate::api::{
    Attestation, ControlTag, Expected, NewObject, ObjectInfo, ObjectKey, ObjectReader,
    ObjectWriter, PlaceInStore, ProbeResult, Protection, Readiness, Result, Tier, TierState,
};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::{Timestamp, tz::TimeZone};
use model::{
    ByteCount, Capabilities, LockOrder, StoredObject, ThawOrder, TierName, bandwidth::Bandwidth,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// Most bytes that one stream takes before it is another's turn.
const PIECE: u64 = 64 << 10;
/// Nanoseconds in a second.
const NANOS: u128 = 1_000_000_000;
/// How long a wait lasts before the limit is looked up again: a window of the day may have begun.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Tells the time; an argument, as everywhere.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A tier behind a limit.
#[derive(Debug)]
pub struct ThrottledTier {
    inner: Arc<dyn Tier>,
    pace: Arc<Pace>,
}

impl ThrottledTier {
    /// Wraps a tier; `clock` and `zone` say which time of day it is.
    pub fn new(inner: Arc<dyn Tier>, limit: Bandwidth, clock: Clock, zone: TimeZone) -> Self {
        Self {
            inner,
            pace: Arc::new(Pace {
                limit,
                clock,
                zone,
                saved: Mutex::new(Saved::default()),
            }),
        }
    }
}

/// The turnstile that all streams of a tier pass.
struct Pace {
    limit: Bandwidth,
    clock: Clock,
    zone: TimeZone,
    /// Held while waiting: tokio's lock is fair, so who asked first goes first.
    saved: Mutex<Saved>,
}

/// Bytes that may pass at once, and when that was worked out.
#[derive(Debug, Default)]
struct Saved {
    bytes: u64,
    /// A part of a byte, in billionths.
    rest: u64,
    at: Option<Instant>,
}

impl Pace {
    fn limit_now(&self) -> Option<ByteCount> {
        let now = (self.clock)().to_zoned(self.zone.clone());
        self.limit.limit_at(now.time())
    }

    /// Waits until so many bytes may pass. Given up while waiting, what has been taken by then stays taken: an unfair
    /// stream gains nothing by asking again.
    async fn pass(&self, bytes: usize) {
        let mut rest = bytes as u64;
        while rest > 0 {
            let piece = rest.min(PIECE);
            self.pass_piece(piece).await;
            rest -= piece;
        }
    }

    async fn pass_piece(&self, piece: u64) {
        let mut saved = self.saved.lock().await;
        let mut missing = piece;
        while let Some(limit) = self.limit_now() {
            // A limit of nothing is no limit that a policy can have; a byte a second keeps the arithmetic going.
            let limit = limit.0.max(1);
            saved.earn(limit, Instant::now());
            let taken = missing.min(saved.bytes);
            saved.bytes -= taken;
            missing -= taken;
            if missing == 0 {
                return;
            }
            let wait = Duration::from_nanos(
                u64::try_from(u128::from(missing) * NANOS / u128::from(limit))
                    .unwrap_or(u64::MAX)
                    .saturating_add(1),
            );
            tokio::time::sleep(wait.min(LOOK_AGAIN)).await;
        }
        // No limit at this time of the day: what was saved before counts no more.
        *saved = Saved::default();
    }
}

impl Saved {
    /// Adds what the time since the last look is worth, one second's at most. The first look finds nothing saved.
    fn earn(&mut self, limit: u64, now: Instant) {
        let Some(at) = self.at else {
            self.at = Some(now);
            return;
        };
        let nanos = now.saturating_duration_since(at).as_nanos();
        let earned = nanos * u128::from(limit) + u128::from(self.rest);
        // Small steps lose nothing: what is no whole byte stays for the next look.
        let whole = u64::try_from(earned / NANOS).unwrap_or(u64::MAX);
        self.rest = u64::try_from(earned % NANOS).unwrap_or(0);
        self.bytes = self.bytes.saturating_add(whole).min(limit);
        self.at = Some(now);
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pace({})", self.limit)
    }
}

#[async_trait]
impl Tier for ThrottledTier {
    fn name(&self) -> &TierName {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn observe(&self) -> Result<TierState> {
        self.inner.observe().await
    }

    async fn initialise(&self, identity: &str) -> Result<String> {
        self.inner.initialise(identity).await
    }

    async fn create(&self, key: &ObjectKey, new: NewObject) -> Result<Box<dyn ObjectWriter>> {
        let inner = self.inner.create(key, new).await?;
        Ok(Box::new(ThrottledWriter {
            inner,
            pace: Arc::clone(&self.pace),
        }))
    }

    async fn open_at(&self, key: &ObjectKey, offset: u64) -> Result<Box<dyn ObjectReader>> {
        let inner = self.inner.open_at(key, offset).await?;
        Ok(Box::new(ThrottledReader {
            inner,
            pace: Arc::clone(&self.pace),
        }))
    }

    async fn open(&self, key: &ObjectKey) -> Result<Box<dyn ObjectReader>> {
        let inner = self.inner.open(key).await?;
        Ok(Box::new(ThrottledReader {
            inner,
            pace: Arc::clone(&self.pace),
        }))
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>> {
        self.inner.stat(key).await
    }

    async fn ensure_durable(&self, key: &ObjectKey) -> Result<()> {
        self.inner.ensure_durable(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<bool> {
        self.inner.delete(key).await
    }

    async fn clean_leftovers(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.clean_leftovers(prefix).await
    }

    async fn read_control(&self, key: &ObjectKey) -> Result<Option<(Bytes, ControlTag)>> {
        self.inner.read_control(key).await
    }

    async fn write_control(
        &self,
        key: &ObjectKey,
        content: Bytes,
        expected: Expected,
        lock: Option<LockOrder>,
    ) -> Result<ControlTag> {
        self.inner.write_control(key, content, expected, lock).await
    }

    async fn readiness(&self, key: &ObjectKey) -> Result<Readiness> {
        self.inner.readiness(key).await
    }

    async fn thaw(&self, key: &ObjectKey, order: &ThawOrder) -> Result<Readiness> {
        self.inner.thaw(key, order).await
    }

    async fn attest(&self, key: &ObjectKey, object: &StoredObject) -> Result<Attestation> {
        self.inner.attest(key, object).await
    }

    async fn protection(&self, key: &ObjectKey) -> Result<Protection> {
        self.inner.protection(key).await
    }

    async fn extend_lock(&self, key: &ObjectKey, order: &LockOrder) -> Result<Timestamp> {
        self.inner.extend_lock(key, order).await
    }

    async fn set_legal_hold(&self, key: &ObjectKey, held: bool) -> Result<()> {
        self.inner.set_legal_hold(key, held).await
    }

    /// Bytes that never pass this machine are not held up.
    async fn copy_from(
        &self,
        source: &dyn Tier,
        key: &ObjectKey,
        object: &StoredObject,
        new: NewObject,
    ) -> Result<Option<ObjectInfo>> {
        self.inner.copy_from(source, key, object, new).await
    }

    fn place_in_store(&self) -> Option<PlaceInStore> {
        self.inner.place_in_store()
    }

    async fn probe(&self) -> Result<Vec<ProbeResult>> {
        self.inner.probe().await
    }
}

struct ThrottledWriter {
    inner: Box<dyn ObjectWriter>,
    pace: Arc<Pace>,
}

#[async_trait]
impl ObjectWriter for ThrottledWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.pace.pass(chunk.len()).await;
        self.inner.write(chunk).await
    }

    async fn finish(self: Box<Self>) -> Result<ObjectInfo> {
        self.inner.finish().await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}

struct ThrottledReader {
    inner: Box<dyn ObjectReader>,
    pace: Arc<Pace>,
}

#[async_trait]
impl ObjectReader for ThrottledReader {
    /// A chunk is paid for after it has come, as its size is not known before: the next one waits.
    async fn read(&mut self) -> Result<Option<Bytes>> {
        let chunk = self.inner.read().await?;
        if let Some(chunk) = &chunk {
            self.pace.pass(chunk.len()).await;
        }
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests;
