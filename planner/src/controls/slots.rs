//! Slots that the policies in force demanded: made, missed with a reason, or still open.

use super::standing::Standing;
use jiff::{SignedDuration, Timestamp};
use model::{
    DatabaseName, SeriesName,
    evidence::{FailedStep, MissedSlots, RunFact, SeriesSlots},
};
use policy_schema::{Schedule, SeriesDemands};
use std::collections::{BTreeMap, BTreeSet};

/// Every series that a policy of the period demanded.
pub(super) fn slots(standing: &Standing<'_>) -> Vec<SeriesSlots> {
    let made = points_ever(standing);
    let mut by_series: BTreeMap<(DatabaseName, SeriesName), SeriesSlots> = BTreeMap::new();
    for policy in &standing.policies {
        let Some(demands) = &policy.demands else {
            continue;
        };
        let from = policy.fact.since.max(standing.facts.from);
        let until = policy
            .fact
            .until
            .map_or(standing.facts.until, |end| end.min(standing.facts.until));
        if from >= until {
            continue;
        }
        for (database, declared) in &demands.databases {
            for (series, asked) in &declared.series {
                let entry = by_series
                    .entry((database.clone(), series.clone()))
                    .or_insert_with(|| SeriesSlots {
                        database: database.clone(),
                        demanded: 0,
                        made: 0,
                        missed: Vec::new(),
                        open: 0,
                        series: series.clone(),
                    });
                let none = BTreeSet::new();
                let made = made
                    .get(&(database.as_str(), series.as_str()))
                    .unwrap_or(&none);
                Walk {
                    standing,
                    zone: &demands.zone,
                    asked,
                    made,
                }
                .walk(from, until, entry);
            }
        }
    }
    by_series.into_values().collect()
}

/// Seconds of the slots of all points that ever were, as far as anything remembers them.
fn points_ever<'a>(standing: &Standing<'a>) -> BTreeMap<(&'a str, &'a str), BTreeSet<i64>> {
    let facts = standing.facts;
    let points = facts
        .copies
        .iter()
        .map(|copy| &copy.recovery_point)
        .chain(
            facts
                .verifications
                .iter()
                .map(|check| &check.recovery_point),
        )
        .chain(facts.recoveries.iter().map(|record| &record.recovery_point));
    let mut ever: BTreeMap<(&str, &str), BTreeSet<i64>> = BTreeMap::new();
    for point in points {
        if let Some(slot) = slot_of(point.stamp()) {
            ever.entry((point.database(), point.series()))
                .or_default()
                .insert(slot.as_second());
        }
    }
    ever
}

/// `20261121T020000Z`, with or without what follows in the id of a point that was made again.
pub(super) fn slot_of(stamp: &str) -> Option<Timestamp> {
    let digits = |range| stamp.get(range);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        digits(0..4)?,
        digits(4..6)?,
        digits(6..8)?,
        digits(9..11)?,
        digits(11..13)?,
        digits(13..15)?
    );
    text.parse().ok()
}

/// The slots of one series under one policy.
struct Walk<'s, 'a> {
    standing: &'s Standing<'a>,
    zone: &'s jiff::tz::TimeZone,
    asked: &'s SeriesDemands,
    made: &'s BTreeSet<i64>,
}

impl Walk<'_, '_> {
    fn walk(&self, from: Timestamp, until: Timestamp, entry: &mut SeriesSlots) {
        let schedule = &self.asked.schedule;
        // A slot in the first instant is part of the span.
        let mut next = from
            .checked_sub(SignedDuration::from_nanos(1))
            .ok()
            .and_then(|before| schedule.next_after(before, self.zone));
        while let Some(slot) = next.filter(|slot| *slot < until) {
            next = schedule.next_after(slot, self.zone);
            entry.demanded += 1;
            if self.made.contains(&slot.as_second()) {
                entry.made += 1;
            } else if self.is_open(slot, next) {
                entry.open += 1;
            } else {
                let (code, why) = self.reason(entry, slot, next);
                miss(entry, slot, code, why, schedule, self.zone);
            }
        }
    }

    /// Whether the next run would still make it: it is the newest, and its window has not passed.
    fn is_open(&self, slot: Timestamp, next: Option<Timestamp>) -> bool {
        let end = self.standing.facts.until;
        next.is_none_or(|next| next > end)
            && self
                .asked
                .start_within
                .is_none_or(|within| slot.checked_add(within).is_ok_and(|closes| closes > end))
    }

    fn reason(
        &self,
        entry: &SeriesSlots,
        slot: Timestamp,
        next: Option<Timestamp>,
    ) -> (String, String) {
        let facts = self.standing.facts;
        let failed = |step: &&FailedStep| {
            step.recovery_point.database() == entry.database.as_str()
                && step.recovery_point.series() == entry.series.as_str()
                && slot_of(step.recovery_point.stamp()) == Some(slot)
        };
        if let Some(step) = facts.failed_steps.iter().rev().find(failed) {
            return (step.code.clone(), step.text.clone());
        }
        let end = next.unwrap_or(facts.until).min(facts.until);
        let ran = |run: &RunFact| run.started_at >= slot && run.started_at < end;
        // Runs stand in the order of their begin.
        let first = facts.runs.partition_point(|run| run.started_at < slot);
        if facts.runs.get(first).is_some_and(ran) {
            let why = "runs took place, but none of them made it: it was not theirs to make, or its window had passed";
            return ("not-made".to_owned(), why.to_owned());
        }
        let why = "no run took place before the next slot";
        ("no-run".to_owned(), why.to_owned())
    }
}

/// Adds a missed slot to the ones before it, if they have the same reason and nothing was made between.
fn miss(
    entry: &mut SeriesSlots,
    slot: Timestamp,
    code: String,
    why: String,
    schedule: &Schedule,
    zone: &jiff::tz::TimeZone,
) {
    let follows = |last: &MissedSlots| {
        last.code == code && last.why == why && schedule.next_after(last.last, zone) == Some(slot)
    };
    match entry.missed.last_mut().filter(|last| follows(last)) {
        Some(last) => {
            last.last = slot;
            last.count += 1;
        }
        None => entry.missed.push(MissedSlots {
            code,
            count: 1,
            first: slot,
            last: slot,
            why,
        }),
    }
}
