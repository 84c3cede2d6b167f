//! The slots of the years ahead, walked once for all series with the same schedule.
//!
//! Ten thousand databases are backed up by a handful of schedules; walking years of a cron expression costs more than everything that follows.

use super::Scenario;
use crate::retention::calendar::Moment;
use jiff::{Timestamp, tz::TimeZone};
use policy_schema::Schedule;
use std::{collections::HashMap, sync::Arc};

/// Schedules that are remembered at once.
const REMEMBERED: usize = 64;

/// Walks schedules, and remembers what it walked.
pub(super) struct Calendar<'a> {
    zone: &'a TimeZone,
    from: Timestamp,
    until: Timestamp,
    walked: HashMap<(String, i64), Arc<[Moment]>>,
}

impl<'a> Calendar<'a> {
    pub(super) fn new(zone: &'a TimeZone, scenario: &Scenario) -> Self {
        Self {
            zone,
            from: scenario.from,
            until: scenario.until,
            walked: HashMap::new(),
        }
    }

    /// The slots that start after the beginning and not after the end, in order.
    pub(super) fn slots(&mut self, schedule: &Schedule) -> Arc<[Moment]> {
        let delay = schedule.start_delay();
        let key = (schedule.to_string(), delay.as_secs());
        if let Some(known) = self.walked.get(&key) {
            return Arc::clone(known);
        }
        if self.walked.len() >= REMEMBERED {
            self.walked.clear();
        }
        let mut slots = Vec::new();
        let mut after = self.from.checked_sub(delay).unwrap_or(Timestamp::MIN);
        let last = self.until.checked_sub(delay).unwrap_or(Timestamp::MIN);
        while let Some(slot) = schedule
            .next_after(after, self.zone)
            .filter(|slot| *slot <= last)
        {
            slots.push(Moment::new(slot, self.zone));
            after = slot;
        }
        let slots: Arc<[Moment]> = slots.into();
        self.walked.insert(key, Arc::clone(&slots));
        slots
    }
}
