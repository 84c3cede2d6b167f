//! What pgBackRest lets go of: its counts and times as the `keep` of each series, and how long the log reaches back.

use super::repositories::Repository;
use crate::commands::import::{
    found::{Fate, Reading},
    ini::Entry,
    keeps::{self, Reach},
    schedule::When,
};
use planner::foreign::{Kind, Rules, pgbackrest};
use std::collections::BTreeMap;

/// What stays in one repository.
pub(super) struct Retention {
    pub(super) rules: pgbackrest::Rules,
    /// For how long any moment can be recovered.
    pub(super) log: String,
    /// How far back each kind of backup is kept; empty where nothing expires.
    reaches: BTreeMap<Kind, Reach>,
}

impl Retention {
    /// The rule of a series.
    pub(super) fn keep(&self, kind: Kind) -> String {
        self.reaches.get(&kind).map_or_else(
            || keeps::FOREVER.to_owned(),
            |reach| format!("{{ pick = \"last\", last = {} }}", reach.backups.max(1)),
        )
    }
}

/// Reads the settings, and follows them through the schedules to see how far they reach.
pub(super) fn read(
    repository: &Repository<'_>,
    streams: &[(Kind, String)],
    when: &When,
    reading: &mut Reading,
) -> Retention {
    let rules = rules(repository, reading);
    let reaches = match rules.full {
        Some(_) => keeps::reaches(&Rules::PgBackRest(rules), streams, &when.zone, when.from),
        None => BTreeMap::new(),
    };
    say(repository, rules, &reaches, reading);
    let entry = repository.get("retention-archive");
    let count = number(repository, "retention-archive", reading);
    let days = match entry.zip(count) {
        Some(newest) => Some(days_of_newest(repository, newest, streams, when, reading)),
        None => reaches
            .get(&Kind::Full)
            .map(|reach| keeps::days(reach.age).max(1)),
    };
    if let Some(days) = days
        && entry.is_none()
        && rules.full.is_some()
    {
        let tier = repository.name();
        let says = format!(
            "`keep.{tier} = \"{days}d\"` of the log: as old as the oldest full backup gets, so that no moment is lost"
        );
        let setting = format!("{tier}-retention-archive");
        reading.note(None, Fate::Assumed, setting, says);
    }
    Retention {
        rules,
        // Without end: longer than anything is asked back for.
        log: days.map_or_else(|| "100y".to_owned(), |days| format!("{days}d")),
        reaches,
    }
}

fn rules(repository: &Repository<'_>, reading: &mut Reading) -> pgbackrest::Rules {
    let full = number(repository, "retention-full", reading);
    let kind = repository.get("retention-full-type");
    let is_time = kind.is_some_and(|entry| entry.value == "time");
    if let Some(entry) = kind.filter(|entry| !matches!(entry.value.as_str(), "count" | "time")) {
        let setting = format!("{}-retention-full-type={}", repository.name(), entry.value);
        let says = format!("`{setting}`: `count` and `time` are its values");
        reading.problem(repository.at(entry), says);
    }
    pgbackrest::Rules {
        full: full.map(|n| {
            if is_time {
                pgbackrest::Full::Days(n)
            } else {
                pgbackrest::Full::Count(n)
            }
        }),
        differential: number(repository, "retention-diff", reading),
    }
}

fn number(repository: &Repository<'_>, key: &str, reading: &mut Reading) -> Option<u32> {
    let entry = repository.get(key)?;
    match entry.value.parse::<u32>() {
        Ok(number) if (1..=9_999_999).contains(&number) => Some(number),
        _ => {
            reading.problem(
                repository.at(entry),
                format!(
                    "`{}={}`: pgBackRest takes whole numbers from 1 to 9999999",
                    entry.key, entry.value
                ),
            );
            None
        }
    }
}

/// Says what became of the counts, now that it is known how far they reach.
fn say(
    repository: &Repository<'_>,
    rules: pgbackrest::Rules,
    reaches: &BTreeMap<Kind, Reach>,
    reading: &mut Reading,
) {
    let last = |kind: Kind| reaches.get(&kind).map_or(0, |reach| reach.backups);
    match (repository.get("retention-full"), rules.full) {
        (Some(entry), Some(pgbackrest::Full::Count(n))) => {
            let says = format!("`last = {n}` in the series `full`; the others reach as far back");
            let setting = format!("{}={n}", entry.key);
            reading.note(Some(repository.at(entry)), Fate::Taken, setting, says);
        }
        (Some(entry), Some(pgbackrest::Full::Days(n))) => {
            let n_last = last(Kind::Full);
            let says = format!(
                "`last = {n_last}` in the series `full`: as many as there are at most until another one is older than {n} days"
            );
            let setting = format!("{}={n} (time)", entry.key);
            reading.note(Some(repository.at(entry)), Fate::Changed, setting, says);
        }
        _ => reading.note(
            None,
            Fate::Assumed,
            format!("{}-retention-full", repository.name()),
            "it is not set: no full backup expires, and `forever = true`",
        ),
    }
    if let (Some(entry), Some(n)) = (repository.get("retention-diff"), rules.differential) {
        let says = format!(
            "`last = {}` in the series `diff`: full ones count among the {n}",
            last(Kind::Differential)
        );
        let setting = format!("{}={n}", entry.key);
        reading.note(Some(repository.at(entry)), Fate::Changed, setting, says);
    }
}

/// The days that the newest backups of `repoN-retention-archive` reach back: so long the log stays.
fn days_of_newest(
    repository: &Repository<'_>,
    (entry, count): (&Entry, u32),
    streams: &[(Kind, String)],
    when: &When,
    reading: &mut Reading,
) -> i64 {
    let kind = repository
        .get("retention-archive-type")
        .map_or("full", |entry| entry.value.as_str());
    let is_counted = |one: Kind| match one {
        Kind::Full => true,
        Kind::Differential => matches!(kind, "diff" | "incr"),
        Kind::Incremental => kind == "incr",
    };
    let counted: Vec<(Kind, String)> = streams
        .iter()
        .filter(|(one, _)| is_counted(*one))
        .map(|(_, schedule)| (Kind::Full, schedule.clone()))
        .collect();
    let newest = Rules::PgBackRest(pgbackrest::Rules {
        full: Some(pgbackrest::Full::Count(count)),
        differential: None,
    });
    let reach = keeps::reaches(&newest, &counted, &when.zone, when.from);
    let age = reach.get(&Kind::Full).map(|reach| reach.age);
    let days = age.map_or(1, keeps::days).max(1);
    let says = format!(
        "`keep.{} = \"{days}d\"` of the log: the age that the {count} newest reach",
        repository.name()
    );
    let setting = format!("{}={count} ({kind})", entry.key);
    reading.note(Some(repository.at(entry)), Fate::Changed, setting, says);
    days
}
