//! When a series runs. (Contract for the planner; the implementation is being written.)

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// A schedule: cron on the wall clock, or a fixed interval in UTC; with the stable jitter of its series.
#[derive(Debug, Clone)]
pub struct Schedule {
    placeholder: SignedDuration,
}

impl Schedule {
    /// First slot strictly after `after`; `None` if there is none before the year 9999.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let _ = zone;
        after.checked_add(self.placeholder).ok()
    }

    /// Newest slot at or before `at`; `None` if there is none within the last twelve years.
    pub fn last_at_or_before(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let _ = zone;
        at.checked_sub(self.placeholder).ok()
    }

    /// How long after its nominal slot the series starts (jitter); slots themselves stay nominal.
    pub fn start_delay(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    /// The largest gap between neighbouring slots over the coming year, for comparing with an RPO.
    pub fn largest_gap(&self, from: Timestamp, zone: &TimeZone) -> SignedDuration {
        let _ = (from, zone);
        self.placeholder
    }
}
