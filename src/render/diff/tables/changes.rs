//! What a diff changes without losing anything by itself: rules, schedules, orphans, and what is new.

use super::{Table, Weight, expiries, length, nothing, settings};
use crate::render::{plan_text::local, status::span};
use jiff::{Timestamp, tz::TimeZone};
use planner::{
    Gone,
    diff::{PolicyDiff, Reach, RetentionChange, ScheduleChange},
};

/// Rules first: they are what everything above comes from.
pub(super) fn tables(diff: &PolicyDiff, zone: &TimeZone) -> Vec<Table> {
    vec![
        Table::new(
            "Retention",
            Weight::Change,
            &["series", "tier", "old", "new", "longest kept", "copies"],
            &diff.retention,
            retention,
        ),
        Table::new(
            "Schedules",
            Weight::Change,
            &[
                "what",
                "old",
                "new",
                "largest gap",
                "next, old",
                "next, new",
            ],
            &diff.schedules,
            |change| schedule(change, zone),
        ),
        orphaned(diff, zone),
        expiries(
            "Copies that stay longer",
            Weight::Change,
            &diff.expires_later,
            zone,
        ),
        log(diff),
        Table::new("New", Weight::Change, &["what"], &diff.new, |named| {
            vec![named.to_string()]
        }),
        settings::others(diff),
    ]
}

fn retention(change: &RetentionChange) -> Vec<String> {
    let rules = [&change.from, &change.to].map(|rule| rule.clone().unwrap_or_else(nothing));
    let [from, to] = rules;
    let effect: Vec<String> = [
        (change.copies_destroyed, "deleted"),
        (change.earlier, "expire earlier"),
        (change.later, "stay longer"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, words)| format!("{count} {words}"))
    .collect();
    let reach = if change.longest_from == change.longest_to {
        reach(change.longest_to)
    } else {
        format!(
            "{} → {}",
            reach(change.longest_from),
            reach(change.longest_to)
        )
    };
    vec![
        format!("{}/{}", change.database, change.series),
        change.tier.to_string(),
        from,
        to,
        reach,
        effect.join(", "),
    ]
}

fn orphaned(diff: &PolicyDiff, zone: &TimeZone) -> Table {
    Table::new(
        "Orphaned: stored, but no longer named; nothing of it is deleted",
        Weight::Change,
        &[
            "series", "tier", "copies", "size", "oldest", "newest", "gone is",
        ],
        &diff.orphaned,
        |orphaned| {
            vec![
                format!("{}/{}", orphaned.database, orphaned.series),
                orphaned.tier.to_string(),
                orphaned.copies.to_string(),
                orphaned.bytes.to_string(),
                local(orphaned.oldest, zone),
                local(orphaned.newest, zone),
                gone(orphaned.why).to_owned(),
            ]
        },
    )
}

fn log(diff: &PolicyDiff) -> Table {
    let windows: Vec<_> = diff.log_windows.iter().filter(|one| !one.shorter).collect();
    Table::new(
        "Windows of archived log",
        Weight::Change,
        &["database", "tier", "any moment of the last", "now"],
        &windows,
        |window| {
            let [from, to] = [window.from, window.to].map(length);
            vec![
                window.database.to_string(),
                window.tier.to_string(),
                from,
                to,
            ]
        },
    )
}

fn schedule(change: &ScheduleChange, zone: &TimeZone) -> Vec<String> {
    let what = match (&change.series, &change.drill) {
        (Some(series), _) => format!("{}/{series}", change.database),
        (None, Some(drill)) => format!("{} {drill}", change.database),
        (None, None) => change.database.to_string(),
    };
    let gap = if change.largest_gap_from == change.largest_gap_to {
        span(change.largest_gap_to)
    } else {
        format!(
            "{} → {}",
            span(change.largest_gap_from),
            span(change.largest_gap_to)
        )
    };
    let next = |slots: &[Timestamp]| {
        slots
            .first()
            .map_or_else(nothing, |slot| local(*slot, zone))
    };
    vec![
        what,
        change.from.clone(),
        change.to.clone(),
        gap,
        next(&change.next_from),
        next(&change.next_to),
    ]
}

fn gone(why: Gone) -> &'static str {
    match why {
        Gone::Database => "the database",
        Gone::Series => "the series",
        Gone::Tier => "the tier",
        Gone::Keep => "its rule for the tier",
        Gone::Place => "the place of the tier",
    }
}

fn reach(reach: Reach) -> String {
    match reach {
        Reach::Seconds(0) => nothing(),
        Reach::Seconds(length) => span(length),
        Reach::NoEnd => "for ever".to_owned(),
    }
}
