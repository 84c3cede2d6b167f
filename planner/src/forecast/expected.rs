//! What is expected of the slots of one series: which fail, which are missed, and how large a point is.

use super::Scenario;
use jiff::Timestamp;
use model::{ByteCount, DatabaseName, PointState, RecoveryPoint, SeriesName, plan::Missed};
use std::collections::BTreeSet;

const SECONDS_OF_A_YEAR: f64 = 31_556_952.0;

/// Which slots fail.
pub(super) struct Failures {
    named: BTreeSet<Timestamp>,
    in_a_row: u32,
    so_far: u32,
    judged: Option<(Timestamp, bool)>,
}

impl Failures {
    pub(super) fn new(scenario: &Scenario, database: &DatabaseName, series: &SeriesName) -> Self {
        let key = (database.clone(), series.clone());
        Self {
            named: scenario.failed_slots.get(&key).cloned().unwrap_or_default(),
            in_a_row: scenario.failed_runs,
            so_far: 0,
            judged: None,
        }
    }

    /// Whether the point of a slot cannot be made; the same however often it is tried.
    pub(super) fn fails(&mut self, slot: Timestamp) -> bool {
        if let Some((judged, fails)) = self.judged
            && judged == slot
        {
            return fails;
        }
        let turn = self.so_far < self.in_a_row;
        let fails = turn || self.named.contains(&slot);
        self.so_far = if turn { self.so_far + 1 } else { 0 };
        self.judged = Some((slot, fails));
        fails
    }
}

/// Slots that got no point.
#[derive(Default)]
pub(super) struct Misses {
    /// Slots since the newest point.
    open: Vec<Timestamp>,
    runs: Vec<(Timestamp, Timestamp, u32)>,
}

impl Misses {
    /// A slot has started.
    pub(super) fn slot(&mut self, slot: Timestamp) {
        self.open.push(slot);
    }

    /// After a run: `newest` is the slot of the newest point.
    pub(super) fn settle(&mut self, newest: Option<Timestamp>) {
        if newest.is_some_and(|newest| self.open.last().is_some_and(|last| newest >= *last)) {
            self.open.pop();
            self.close();
        }
    }

    fn close(&mut self) {
        if let (Some(first), Some(last)) = (self.open.first(), self.open.last()) {
            let count = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
            self.runs.push((*first, *last, count));
        }
        self.open.clear();
    }

    /// Everything that was missed.
    pub(super) fn finish(mut self, database: &DatabaseName, series: &SeriesName) -> Vec<Missed> {
        self.close();
        let runs = self.runs.into_iter().map(|(first, last, count)| Missed {
            count,
            database: database.clone(),
            first,
            last,
            series: series.clone(),
        });
        runs.collect()
    }
}

/// How large points will be.
pub(super) struct Sizes {
    full: (Timestamp, ByteCount),
    incremental: (Timestamp, ByteCount),
    growth: f64,
}

impl Sizes {
    pub(super) fn new(
        scenario: &Scenario,
        database: &DatabaseName,
        points: &[&RecoveryPoint],
    ) -> Self {
        let newest = |incremental: bool| {
            let complete = points.iter().filter(|point| {
                point.state == PointState::Complete && point.parent.is_some() == incremental
            });
            let sizes = complete.map(|point| {
                let stored = point
                    .copies
                    .iter()
                    .map(|copy| copy.bytes)
                    .max()
                    .unwrap_or_default();
                (point.slot, point.bytes.max(stored))
            });
            sizes.filter(|(_, bytes)| bytes.0 > 0).max()
        };
        let declared = scenario.sizes.get(database).copied().unwrap_or_default();
        let full = newest(false).unwrap_or((scenario.from, declared));
        Self {
            full,
            incremental: newest(true).unwrap_or(full),
            growth: 1.0 + scenario.growth_percent / 100.0,
        }
    }

    /// Stored size of a point that is made for a slot.
    pub(super) fn at(&self, slot: Timestamp, incremental: bool) -> ByteCount {
        let (since, bytes) = if incremental {
            self.incremental
        } else {
            self.full
        };
        if (self.growth - 1.0).abs() < f64::EPSILON || bytes.0 == 0 {
            return bytes;
        }
        #[expect(clippy::cast_precision_loss, reason = "an assumed size")]
        let (years, bytes) = (
            slot.duration_since(since).as_secs() as f64 / SECONDS_OF_A_YEAR,
            bytes.0 as f64,
        );
        let grown = bytes * self.growth.max(0.0).powf(years);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "never negative, and a float beyond the largest number becomes the largest"
        )]
        ByteCount(grown as u64)
    }
}
