//! The checks that set controls of the compliance report: how often, for how long, how young, locked for how long.
//!
//! Invariant: what the report calls met by the same numbers is proved here. Not here: the report (`controls`), the other checks (`checks`).

use super::{
    checks::Outcome,
    proof::Verdict,
    sources::{Known, pairs},
    words::span as words,
};
use crate::controls::{at_least, kept_hours};
use jiff::SignedDuration;
use model::{CopyState, Keep, Period};
use policy_schema::{Policy, policy::Series};

fn judged(yes: bool, why: String) -> Outcome {
    let verdict = if yes {
        Verdict::Proved
    } else {
        Verdict::Violated
    };
    Outcome::new(verdict, why)
}

pub(super) fn frequency(policy: &Policy, known: &Known<'_>, every: Period) -> Outcome {
    if known.database.wal.is_some() {
        return Outcome::new(Verdict::Proved, "its log is archived continuously");
    }
    let gaps = known.database.series.values();
    let gaps = gaps.map(|series| series.schedule.largest_gap(known.now, &policy.timezone));
    let Some(gap) = gaps.min() else {
        return Outcome::new(Verdict::Violated, "nothing makes a recovery point");
    };
    // A day with 25 hours is a day.
    let allowed = every.approximate() + SignedDuration::from_hours(1);
    let why = format!(
        "at most {} apart, {every} is asked for",
        words(gap.as_secs())
    );
    judged(gap <= allowed, why)
}

pub(super) fn retention(policy: &Policy, known: &Known<'_>, keep_for: Period) -> Outcome {
    let kept = |(series, keep): (&Series, &Keep)| {
        kept_hours(keep, &series.schedule, known.now, &policy.timezone)
    };
    let series = known.database.series.values();
    let keeps = series.flat_map(|series| series.keep.iter().map(move |(_, keep)| (series, keep)));
    let kept = keeps.map(kept).max().unwrap_or(0);
    let why = format!(
        "something is kept {}, {keep_for} is asked for",
        for_hours(kept)
    );
    judged(covers(kept, keep_for), why)
}

fn covers(hours: i64, asked: Period) -> bool {
    hours.saturating_mul(3600) >= at_least(asked)
}

fn for_hours(hours: i64) -> String {
    match hours {
        i64::MAX => "for ever".to_owned(),
        hours => format!("for {}", words(hours.saturating_mul(3600))),
    }
}

pub(super) fn newest(known: &Known<'_>, age: Period) -> Outcome {
    if known.points.is_empty() {
        return Outcome::new(Verdict::Unproven, "nothing exists yet");
    }
    let away = &known.inventory.unreachable_tiers;
    let good = known.points.iter().filter(|point| {
        point.copies.iter().any(|copy| {
            copy.state == CopyState::Present
                && copy.verified.is_some()
                && !away.contains(&copy.tier)
        })
    });
    let Some(newest) = good.map(|point| point.captured_at).max() else {
        return Outcome::new(Verdict::Violated, "it has no good recovery point");
    };
    let old = known.now.duration_since(newest);
    let old_words = words(old.as_secs());
    let why = format!("the newest good recovery point is {old_words} old, {age} is allowed");
    judged(old <= age.approximate(), why)
}

pub(super) fn lock(policy: &Policy, known: &Known<'_>, lock_for: Period) -> Outcome {
    let mut best = None;
    for (series, tier) in pairs(known.database) {
        let rule = known.capabilities.get(tier).and_then(|can| can.lock);
        let Some(rule) = rule else { continue };
        let keep = series.keep.iter().find(|(name, _)| name == tier);
        let hours = match rule.length {
            Some(length) => at_least(length) / 3600,
            // As long as retention keeps it.
            None => keep.map_or(0, |(_, keep)| {
                kept_hours(keep, &series.schedule, known.now, &policy.timezone)
            }),
        };
        best = best.max(Some((hours, tier)));
    }
    match best {
        None => Outcome::new(Verdict::Violated, "no tier that it is kept on locks copies"),
        Some((hours, tier)) => {
            let asked = if lock_for.is_zero() {
                "any lock will do".to_owned()
            } else {
                format!("{lock_for} is asked for")
            };
            let why = format!("{tier} locks copies {}, {asked}", for_hours(hours));
            judged(covers(hours, lock_for), why)
        }
    }
}
