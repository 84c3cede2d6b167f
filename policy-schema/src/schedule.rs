//! When a series runs: cron on the wall clock, or a fixed interval in UTC, with the stable jitter of its series.
//!
//! Invariants: slots are whole seconds and strictly increasing; a schedule that loaded fires at least once in 400 years;
//! a local time that does not exist runs at the first instant after the gap, one that exists twice runs once, at the
//! first; a schedule that names every hour follows real hours. All questions are answered without walking slot by slot.
//!
//! Not here: which slots are due or missed (`planner`), where the text stands in a policy (`load`).

mod crontab;
mod fields;
mod gap;
mod interval;
mod wall_clock;

pub use crontab::{ScheduleError, ScheduleProblem};

use crontab::Crontab;
use interval::Interval;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use std::{fmt, sync::Arc};

/// A schedule: cron on the wall clock, or a fixed interval in UTC; with the stable jitter of its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    rhythm: Rhythm,
    start_delay: SignedDuration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rhythm {
    Cron(Arc<Crontab>),
    Every(Interval),
}

impl Schedule {
    /// Reads five fields (minute, hour, day of month, month, day of week) or `@daily` and the like.
    pub fn cron(text: &str) -> Result<Self, ScheduleError> {
        Ok(Self {
            rhythm: Rhythm::Cron(Arc::new(Crontab::parse(text)?)),
            start_delay: SignedDuration::ZERO,
        })
    }

    /// Every `interval` of real time, counted from `anchor` in both directions; `None` for less than a second.
    pub fn every(interval: SignedDuration, anchor: Timestamp) -> Option<Self> {
        Some(Self {
            rhythm: Rhythm::Every(Interval::new(interval, anchor)?),
            start_delay: SignedDuration::ZERO,
        })
    }

    /// Spreads starts over `jitter`: the delay comes from a hash of `seed` (`database/series`) and never changes.
    #[must_use]
    pub fn with_jitter(mut self, jitter: SignedDuration, seed: &str) -> Self {
        let seconds = jitter.as_secs().max(0).unsigned_abs();
        // SHA-256 rather than the standard library's hasher: the delay must be the same in every release.
        let digest = model::Digest::sha256_of(seed.as_bytes());
        let hash = digest
            .hex()
            .get(..16)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .unwrap_or(0);
        let delay = if seconds == 0 { 0 } else { hash % seconds };
        self.start_delay = SignedDuration::from_secs(delay.cast_signed());
        self
    }

    /// First slot strictly after `after`; `None` if there is none before the year 9999.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.rhythm {
            Rhythm::Cron(cron) => cron.next_after(after, zone),
            Rhythm::Every(interval) => interval.next_after(after),
        }
    }

    /// Newest slot at or before `at`; `None` if there is none within the last twelve years.
    pub fn last_at_or_before(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.rhythm {
            Rhythm::Cron(cron) => cron.last_at_or_before(at, zone),
            Rhythm::Every(interval) => interval.last_at_or_before(at),
        }
    }

    /// How long after its nominal slot the series starts (jitter); slots themselves stay nominal.
    pub fn start_delay(&self) -> SignedDuration {
        self.start_delay
    }

    /// The largest gap between neighbouring slots over the coming year, for comparing with an RPO.
    pub fn largest_gap(&self, from: Timestamp, zone: &TimeZone) -> SignedDuration {
        match &self.rhythm {
            Rhythm::Cron(cron) => gap::largest(cron, from, zone),
            Rhythm::Every(interval) => interval.length(),
        }
    }

    /// Whether it is computed in UTC from an anchor (`every = …`) rather than on the wall clock.
    pub fn is_interval(&self) -> bool {
        matches!(self.rhythm, Rhythm::Every(_))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rhythm {
            Rhythm::Cron(cron) => f.write_str(cron.text()),
            Rhythm::Every(interval) => interval.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
