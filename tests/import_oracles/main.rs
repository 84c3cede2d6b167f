//! The models of other tools' retention against the tools themselves: real repositories with back-dated backups, many sets of options.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

#[path = "../support/mod.rs"]
mod support;

mod barman;
mod borg;
mod pgbackrest;
mod restic;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use planner::foreign::{Backup, Kind, Rules};
use std::{collections::BTreeSet, process::Command};

const ZONE: &str = "Europe/Prague";

/// Dense and recent, then ever sparser, over four years; and every hour of a night in which clocks went back.
fn times(now: Timestamp) -> BTreeSet<Timestamp> {
    let newest = Timestamp::from_second(now.as_second() / 3600 * 3600 - 1800).unwrap();
    let ago = |hours: i64| newest - SignedDuration::from_hours(hours);
    let mut all: BTreeSet<Timestamp> = (0..12).map(|n| ago(n * 5)).collect();
    all.extend((3..30).map(|n| ago(n * 24 + n % 3)));
    all.extend((5..40).map(|n| ago(n * 24 * 7 + n * 5 % 70)));
    all.extend((8..36).map(|n| ago(n * 24 * 39 + n)));
    let autumn: Timestamp = "2025-10-25T22:30:00Z".parse().unwrap();
    all.extend((0..5).map(|n| autumn + SignedDuration::from_hours(n)));
    all
}

fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "borg measures back from the present, and cannot be told another"
    )]
    Timestamp::now()
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{words}");
    format!("{text}{words}")
}

fn kept(rules: &Rules, times: &BTreeSet<Timestamp>, now: Timestamp) -> BTreeSet<Timestamp> {
    let zone = TimeZone::get(ZONE).unwrap();
    let backups: Vec<Backup> = times
        .iter()
        .map(|at| Backup {
            at: *at,
            kind: Kind::Full,
        })
        .collect();
    let verdicts = rules.judge(&backups, now, &zone);
    let kept = times.iter().zip(verdicts);
    kept.filter(|(_, why)| why.is_some())
        .map(|(at, _)| *at)
        .collect()
}

fn words(options: &str) -> impl Iterator<Item = (&str, &str)> {
    options
        .split_whitespace()
        .map(|option| option.split_once('=').unwrap())
}
