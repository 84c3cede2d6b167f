//! The tables of a diff, the worst first; the same for a terminal and for Markdown.
//!
//! Not here: how many rows are shown.

use crate::render::{plan_text::local, status::span};
use jiff::{Timestamp, tz::TimeZone};
use model::{LockMode, LockRule, Period};
use planner::{
    Gone, Until,
    diff::{Expiry, LostPoint, PolicyDiff, Promise, Reach, ScheduleChange},
    prove::Verdict,
};
use serde_json::Value;

/// No comment and no screen has room for more.
const MOST_ROWS: usize = 1_500;

/// Characters of a value.
const MOST_OF_A_VALUE: usize = 80;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Something is lost.
    Loss,
    /// Less is protected.
    Weaker,
    /// Something changes.
    Change,
}

/// Rows of one kind.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) weight: Weight,
    pub(super) columns: &'static [&'static str],
    pub(super) total: usize,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    fn new<T>(
        title: &'static str,
        weight: Weight,
        columns: &'static [&'static str],
        items: &[T],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Self {
        Self {
            title,
            weight,
            columns,
            total: items.len(),
            rows: items.iter().take(MOST_ROWS).map(row).collect(),
        }
    }
}

/// Every table that has a row.
pub(super) fn tables(diff: &PolicyDiff, zone: &TimeZone) -> Vec<Table> {
    let mut tables = losses(diff, zone);
    tables.push(weaker(diff));
    tables.extend(changes(diff, zone));
    tables.retain(|table| table.total > 0);
    tables
}

fn losses(diff: &PolicyDiff, zone: &TimeZone) -> Vec<Table> {
    let windows: Vec<_> = diff.log_windows.iter().filter(|one| one.shorter).collect();
    vec![
        Table::new(
            "Recovery points destroyed: no tier would keep them",
            Weight::Loss,
            &[
                "recovery point",
                "size",
                "lost on",
                "the old policy keeps it as",
            ],
            &diff.destroyed,
            lost,
        ),
        Table::new(
            "Recovery points destroyed later: something is in the way now",
            Weight::Loss,
            &[
                "recovery point",
                "size",
                "lost on",
                "the old policy keeps it as",
                "waits",
            ],
            &diff.destroyed_later,
            |point| {
                let mut cells = lost(point);
                let waits = point.copies.iter().filter_map(|copy| copy.waits.as_ref());
                let mut waits: Vec<&str> = waits.map(|reason| &*reason.text).collect();
                waits.dedup();
                cells.push(waits.join("; "));
                cells
            },
        ),
        Table::new(
            "Archived log deleted",
            Weight::Loss,
            &[
                "database",
                "tier",
                "any moment of the last",
                "now",
                "deleted",
            ],
            &windows,
            |window| {
                let size = window.bytes_destroyed.to_string();
                let lengths = [window.from, window.to].map(length);
                let [from, to] = lengths;
                vec![
                    window.database.to_string(),
                    window.tier.to_string(),
                    from,
                    to,
                    size,
                ]
            },
        ),
        Table::new(
            "Not backed up any more",
            Weight::Loss,
            &["what"],
            &diff.removed,
            |named| vec![named.to_string()],
        ),
        Table::new(
            "Copies lost: another tier keeps the recovery point",
            Weight::Loss,
            &[
                "recovery point",
                "size",
                "lost on",
                "the old policy keeps it as",
                "left on",
            ],
            &diff.copies_lost,
            |point| {
                let mut cells = lost(point);
                cells.push(joined(&point.left_on));
                cells
            },
        ),
        expiries(
            "Copies that expire earlier",
            Weight::Loss,
            &diff.expires_earlier,
            zone,
        ),
    ]
}

fn lost(point: &LostPoint) -> Vec<String> {
    let kept: Vec<String> = point
        .copies
        .iter()
        .map(|copy| format!("{} on {}", copy.kept_by.join(", "), copy.tier))
        .collect();
    let tiers: Vec<&str> = point.copies.iter().map(|copy| copy.tier.as_str()).collect();
    vec![
        point.recovery_point.to_string(),
        point.bytes().to_string(),
        tiers.join(", "),
        kept.join("; "),
    ]
}

fn expiries(title: &'static str, weight: Weight, expiries: &[Expiry], zone: &TimeZone) -> Table {
    Table::new(
        title,
        weight,
        &["recovery point", "tier", "would stay until", "now until"],
        expiries,
        |expiry| {
            vec![
                expiry.recovery_point.to_string(),
                expiry.tier.to_string(),
                until(expiry.from, zone),
                until(expiry.to, zone),
            ]
        },
    )
}

/// `2027-03-01 00:00 CET`, as early as it can be.
pub(in crate::render) fn until(until: Until, zone: &TimeZone) -> String {
    match until {
        Until::NotKept => "now".to_owned(),
        Until::AtLeast(at) => local(at, zone),
        Until::NoEnd => "for ever".to_owned(),
    }
}

/// Promises, recipients, locks and settings that protect less.
fn weaker(diff: &PolicyDiff) -> Table {
    let rows = others(diff, true);
    Table {
        title: "Weaker protection",
        weight: Weight::Weaker,
        columns: &["what", "old", "new"],
        total: rows.len(),
        rows,
    }
}

fn changes(diff: &PolicyDiff, zone: &TimeZone) -> Vec<Table> {
    let windows: Vec<_> = diff.log_windows.iter().filter(|one| !one.shorter).collect();
    let rest = others(diff, false);
    vec![
        Table::new(
            "Retention",
            Weight::Change,
            &["series", "tier", "old", "new", "longest kept", "copies"],
            &diff.retention,
            |change| {
                let rules =
                    [&change.from, &change.to].map(|rule| rule.clone().unwrap_or_else(nothing));
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
            },
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
        ),
        expiries(
            "Copies that stay longer",
            Weight::Change,
            &diff.expires_later,
            zone,
        ),
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
        ),
        Table::new("New", Weight::Change, &["what"], &diff.new, |named| {
            vec![named.to_string()]
        }),
        Table {
            title: "Other changes",
            weight: Weight::Change,
            columns: &["what", "old", "new"],
            total: rest.len(),
            rows: rest,
        },
    ]
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

/// What has three columns: weaker things, or all others.
fn others(diff: &PolicyDiff, weaker: bool) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for change in diff.verdicts.iter().filter(|one| one.worse == weaker) {
        let why = change.why.as_ref();
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        rows.push(vec![
            format!("verdict on {} of {}", change.check, change.database),
            verdict(change.from).to_owned(),
            format!("{}{why}", verdict(change.to)),
        ]);
    }
    for change in diff.objectives.iter().filter(|one| one.looser == weaker) {
        rows.push(vec![
            format!("{} of {}", change.objective, change.database),
            promise(change.from),
            promise(change.to),
        ]);
    }
    for change in &diff.encryption {
        let less = !change.removed.is_empty();
        if less == weaker {
            rows.push(vec![
                format!("recipients of {}", change.database),
                match change.removed.as_slice() {
                    [] => String::new(),
                    keys => format!("without {}", joined(keys)),
                },
                match change.added.as_slice() {
                    [] if change.plain => "not encrypted".to_owned(),
                    [] => String::new(),
                    keys => format!("with {}", joined(keys)),
                },
            ]);
        }
    }
    for change in diff.locks.iter().filter(|one| one.weaker == weaker) {
        let locked = match change.locked_next {
            0 => String::new(),
            count => format!("; the next apply locks {count} of {} copies", change.copies),
        };
        rows.push(vec![
            format!("lock of {}", change.tier),
            lock(change.from),
            format!("{}{locked}", lock(change.to)),
        ]);
    }
    for setting in diff.settings.iter().filter(|one| one.weaker == weaker) {
        rows.push(vec![
            setting.path.clone(),
            value(setting.from.as_ref()),
            value(setting.to.as_ref()),
        ]);
    }
    rows
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotAsked => "not asked",
        Verdict::Proved => "proved",
        Verdict::Unproven => "unproven",
        Verdict::Violated => "violated",
    }
}

fn nothing() -> String {
    "–".to_owned()
}

fn joined<T: ToString>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn gone(why: Gone) -> &'static str {
    match why {
        Gone::Database => "the database",
        Gone::Series => "the series",
        Gone::Tier => "the tier",
        Gone::Keep => "its rule for the tier",
    }
}

fn length(window: Option<Period>) -> String {
    window.map_or_else(nothing, |window| window.to_string())
}

fn reach(reach: Reach) -> String {
    match reach {
        Reach::Seconds(0) => nothing(),
        Reach::Seconds(length) => span(length),
        Reach::NoEnd => "for ever".to_owned(),
    }
}

fn promise(promise: Option<Promise>) -> String {
    promise.map_or_else(nothing, |promise| {
        let target = span(promise.target_seconds);
        if promise.target_seconds == promise.maximum_seconds {
            target
        } else {
            format!("{target}, at most {}", span(promise.maximum_seconds))
        }
    })
}

fn lock(rule: Option<LockRule>) -> String {
    let Some(rule) = rule else {
        return "none".to_owned();
    };
    let mode = match rule.mode {
        LockMode::Governance => "governance",
        LockMode::Compliance => "compliance",
    };
    match rule.length {
        Some(length) => format!("{mode}, {length}"),
        None => format!("{mode}, as long as kept"),
    }
}

fn value(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return nothing(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if text.chars().count() <= MOST_OF_A_VALUE {
        return text;
    }
    let short: String = text.chars().take(MOST_OF_A_VALUE).collect();
    format!("{short}…")
}
