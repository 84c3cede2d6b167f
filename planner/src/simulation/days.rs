//! The days of a simulation: midnights of the policy's zone, and counting over ranges of them.

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use std::ops::Range;

/// The days from the beginning to the end; each stands for the midnight that ends it.
#[derive(Debug, Clone)]
pub struct Days {
    first: Date,
    /// The midnight that ends each day; the last one is the end.
    ends: Vec<Timestamp>,
}

impl Days {
    pub(super) fn new(from: Timestamp, until: Timestamp, zone: &TimeZone) -> Self {
        let first = zone.to_datetime(from).date();
        let mut ends = Vec::new();
        let mut date = first;
        while let Ok(next) = date.checked_add(1.day()) {
            let Ok(end) = next.to_zoned(zone.clone()) else {
                break;
            };
            if end.timestamp() >= until {
                break;
            }
            ends.push(end.timestamp());
            date = next;
        }
        ends.push(until);
        Self { first, ends }
    }

    /// The first day.
    pub fn first(&self) -> Date {
        self.first
    }

    /// How many.
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one")]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The day with a number.
    pub fn date(&self, number: usize) -> Date {
        let days = i64::try_from(number).unwrap_or(0);
        self.first.checked_add(days.days()).unwrap_or(self.first)
    }

    /// Number of the day that an instant falls into; the first and the last take what lies outside.
    pub(super) fn number(&self, at: Timestamp) -> usize {
        self.ends
            .partition_point(|end| *end <= at)
            .min(self.ends.len() - 1)
    }

    /// The midnights at which something is there.
    pub(super) fn range(&self, from: Timestamp, until: Option<Timestamp>) -> Range<usize> {
        let start = self.ends.partition_point(|end| *end < from);
        let end = until.map_or(self.ends.len(), |until| {
            self.ends.partition_point(|end| *end < until)
        });
        start..end.max(start)
    }

    pub(super) fn counter(&self) -> Counter {
        Counter(vec![0; self.ends.len() + 1])
    }
}

/// Adds over ranges in constant time: the differences from day to day.
pub(super) struct Counter(Vec<i64>);

impl Counter {
    pub(super) fn add(&mut self, range: &Range<usize>, amount: i64) {
        self.0[range.start] += amount;
        self.0[range.end] -= amount;
    }

    /// The sum of each day.
    pub(super) fn totals(mut self) -> Vec<i64> {
        self.0.pop();
        let mut sum = 0;
        for day in &mut self.0 {
            sum += *day;
            *day = sum;
        }
        self.0
    }
}
