//! A tier that is read and written no faster than a policy allows, over all its streams together, also by time of day.
//!
//! One [`Pace`] per tier: every chunk that passes takes its bytes from it in the order of asking, in pieces of at most
//! [`PIECE`], so that a stream of large chunks does not starve one of small ones. What was not used is saved for one second
//! at most: no burst is longer. The limit is looked up before every piece, so a window of the day begins and ends in the
//! middle of a stream.
//!
//! What is counted is what the caller hands over or gets: data that a tier sends again, its listings and marks, and what two
//! tiers of one store copy without this machine, are not.
//! Control objects pass at once: a lease that waits for its turn would be lost. Not here: what a policy says (`policy-schema`),
//! the clock (an argument).

use super::layered::{Layer, LayeredTier};
use crate::api::{ObjectInfo, ObjectKey, ObjectReader, ObjectWriter, Result, Tier};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::{Timestamp, tz::TimeZone};
use model::{ByteCount, bandwidth::Bandwidth};
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
pub type ThrottledTier = LayeredTier<Throttle>;

/// Makes readers and writers wait.
#[derive(Debug)]
pub struct Throttle(Arc<Pace>);

impl ThrottledTier {
    /// Wraps a tier; `clock` and `zone` say which time of day it is.
    pub fn new(inner: Arc<dyn Tier>, limit: Bandwidth, clock: Clock, zone: TimeZone) -> Self {
        let pace = Pace {
            limit,
            clock,
            zone,
            saved: Mutex::new(Saved::default()),
        };
        Self::over(inner, Throttle(Arc::new(pace)))
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

impl Layer for Throttle {
    fn reader(
        &self,
        _key: &ObjectKey,
        _offset: u64,
        inner: Box<dyn ObjectReader>,
    ) -> Box<dyn ObjectReader> {
        let pace = Arc::clone(&self.0);
        Box::new(ThrottledReader { inner, pace })
    }

    fn writer(&self, _key: &ObjectKey, inner: Box<dyn ObjectWriter>) -> Box<dyn ObjectWriter> {
        let pace = Arc::clone(&self.0);
        Box::new(ThrottledWriter { inner, pace })
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
