//! The `keep` that comes nearest to another tool's retention: the same where it can be said, else one that never keeps less.

use super::found::{Fate, Note, Place};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::retention::Each;
use planner::foreign::{Backup, Count, Kind, Rules, borg, restic};
use policy_schema::Schedule;
use std::collections::BTreeMap;

/// What a rule that keeps everything is written as.
pub(crate) const FOREVER: &str = "{ forever = true }";

fn count(count: Count) -> String {
    match count {
        Count::Of(n) => n.to_string(),
        Count::Unlimited => "\"all\"".to_owned(),
    }
}

/// restic's: the same rules, OR-ed, the newest of each period.
pub(crate) fn of_restic(rules: &restic::Rules) -> String {
    let mut parts = vec!["pick = \"last\"".to_owned()];
    let set = rules.counts.iter().filter(|(_, count)| count.is_set());
    parts.extend(set.map(|(each, n)| format!("{} = {}", each.count_key(), count(*n))));
    let set = rules.windows.iter().filter(|(_, window)| !window.is_zero());
    parts.extend(set.map(|(each, window)| {
        let key = match each {
            Each::Point => "within".to_owned(),
            each => format!("within-{}", each.count_key()),
        };
        format!("{key} = \"{window}\"")
    }));
    format!("{{ {} }}", parts.join(", "))
}

/// The key of a policy for a rule of borg.
pub(crate) fn key(unit: borg::Unit) -> &'static str {
    match unit {
        borg::Unit::Second | borg::Unit::Minute => "last",
        borg::Unit::Hour => "hourly",
        borg::Unit::Day => "daily",
        borg::Unit::Week => "weekly",
        borg::Unit::Month => "monthly",
        borg::Unit::Year => "yearly",
    }
}

/// borg's: finest first, each counting only what no rule before it keeps; with what had to be said otherwise.
pub(crate) fn of_borg(
    rules: &borg::Rules,
    schedule: &str,
    zone: &TimeZone,
    from: Timestamp,
    place: Option<&Place>,
) -> (String, Vec<Note>) {
    let mut notes = Vec::new();
    let mut last: u32 = 0;
    let mut all_last = false;
    let mut parts = vec![
        "model = \"additive\"".to_owned(),
        "pick = \"last\"".to_owned(),
    ];
    let mut periods = Vec::new();
    for (unit, n) in rules.counts.iter().filter(|(_, n)| n.is_set()) {
        if matches!(unit, borg::Unit::Second | borg::Unit::Minute) {
            // Backups are at least a minute apart, so each is one of its second and of its minute.
            match n {
                Count::Of(n) => last = last.saturating_add(*n),
                Count::Unlimited => all_last = true,
            }
            continue;
        }
        periods.push(format!("{} = {}", key(*unit), count(*n)));
    }
    if let Some(hours) = rules.within_hours {
        if last > 0 {
            // borg counts the last ones only behind the window, a policy from the newest on.
            let inside = in_window(
                schedule,
                zone,
                from,
                SignedDuration::from_hours(i64::from(hours)),
            );
            notes.push(Note {
                place: place.cloned(),
                setting: format!("keep-last {last} beside keep-within"),
                fate: Fate::Changed,
                says: format!(
                    "`last = {}`: {last} more than the window holds at most",
                    last.saturating_add(inside)
                ),
            });
            last = last.saturating_add(inside);
        }
        parts.push(format!("within = \"{hours}h\""));
    }
    if all_last {
        return (FOREVER.to_owned(), notes);
    }
    if last > 0 {
        parts.push(format!("last = {last}"));
    }
    parts.extend(periods);
    (format!("{{ {} }}", parts.join(", ")), notes)
}

fn slots(schedule: &str, zone: &TimeZone, from: Timestamp, years: i64) -> Vec<Timestamp> {
    let until = from
        .checked_add(SignedDuration::from_hours(years * 366 * 24))
        .unwrap_or(Timestamp::MAX);
    let mut all = Vec::new();
    if let Ok(schedule) = Schedule::cron(schedule) {
        let mut slot = schedule.next_after(from, zone);
        while let Some(at) = slot.filter(|at| *at <= until) {
            all.push(at);
            slot = schedule.next_after(at, zone);
        }
    }
    all
}

fn in_window(schedule: &str, zone: &TimeZone, from: Timestamp, length: SignedDuration) -> u32 {
    let slots = slots(schedule, zone, from, 2);
    let most = slots.iter().enumerate().map(|(index, at)| {
        let inside = slots[..=index].iter().rev();
        inside
            .take_while(|one| at.duration_since(**one) < length)
            .count()
    });
    u32::try_from(most.max().unwrap_or(0)).unwrap_or(u32::MAX)
}

/// How far back a tool keeps one kind of backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reach {
    /// The oldest that is kept is this many back, the newest being 1.
    pub(crate) backups: u32,
    /// How old the oldest gets.
    pub(crate) age: SignedDuration,
}

/// How far back the rules reach for each kind, at most, when everything runs as scheduled; from three years of it.
pub(crate) fn reaches(
    rules: &Rules,
    streams: &[(Kind, String)],
    zone: &TimeZone,
    from: Timestamp,
) -> BTreeMap<Kind, Reach> {
    let mut runs: Vec<Backup> = Vec::new();
    for (kind, schedule) in streams {
        let slots = slots(schedule, zone, from, 3);
        runs.extend(slots.into_iter().map(|at| Backup { at, kind: *kind }));
    }
    runs.sort_unstable();
    let mut reaches: BTreeMap<Kind, Reach> = BTreeMap::new();
    let mut made: BTreeMap<Kind, Vec<Timestamp>> = BTreeMap::new();
    let mut there: Vec<Backup> = Vec::new();
    for run in runs {
        // What is there until this run is older than it was at the last one.
        for (kind, reach) in &mut reaches {
            let oldest = there.iter().find(|one| one.kind == *kind);
            let age = oldest.map(|one| run.at.duration_since(one.at));
            reach.age = reach.age.max(age.unwrap_or_default());
        }
        made.entry(run.kind).or_default().push(run.at);
        there.push(run);
        let mut verdicts = rules.judge(&there, run.at, zone).into_iter();
        there.retain(|_| verdicts.next().flatten().is_some());
        for (kind, made) in &made {
            let Some(oldest) = there.iter().find(|one| one.kind == *kind) else {
                continue;
            };
            let newer = made.iter().rev().take_while(|at| **at >= oldest.at).count();
            let reach = reaches.entry(*kind).or_default();
            reach.backups = reach.backups.max(u32::try_from(newer).unwrap_or(u32::MAX));
        }
    }
    reaches
}

/// Whole days, rounded up; an hour less is a night in which clocks go.
pub(crate) fn days(length: SignedDuration) -> i64 {
    (length.as_hours() + 22) / 24
}
