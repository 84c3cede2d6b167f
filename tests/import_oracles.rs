//! The models of other tools' retention against the tools themselves: real repositories with back-dated backups, many sets of options.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

#[path = "support/program.rs"]
mod program;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{Period, retention::Each};
use planner::foreign::{Backup, Count, Kind, Rules, borg, restic};
use program::command;
use std::{collections::BTreeSet, fs, path::Path, process::Command};

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

fn each(name: &str) -> Each {
    Each::ALL
        .into_iter()
        .find(|each| each.count_key() == name)
        .unwrap()
}

#[test]
fn the_model_of_restic_keeps_what_restic_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let restic = |folder: &Path, arguments: &[&str]| {
        let mut restic = command("restic");
        restic
            .env("TZ", ZONE)
            .env("RESTIC_PASSWORD", "for a test")
            .env("RESTIC_CACHE_DIR", folder.join("cache"))
            .current_dir(folder)
            .args(["--repo", "repository"])
            .args(arguments);
        output(&mut restic)
    };
    fs::write(folder.path().join("file"), "content").unwrap();
    restic(folder.path(), &["init", "--quiet"]);
    let zone = TimeZone::get(ZONE).unwrap();
    let now = now();
    for at in times(now) {
        let text = zone.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S");
        let text = text.to_string();
        restic(
            folder.path(),
            &["backup", "--quiet", "--force", "--time", &text, "file"],
        );
    }
    // Of an hour that comes twice restic can be told only one; it says which it took.
    let listed = restic(folder.path(), &["snapshots", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let all: BTreeSet<Timestamp> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|snapshot| snapshot["time"].as_str().unwrap().parse().unwrap())
        .collect();
    for options in [
        "last=5",
        "hourly=7",
        "daily=7 weekly=4 monthly=12",
        "daily=14 weekly=9 monthly=18 yearly=7",
        "yearly=75",
        "weekly=53",
        "monthly=100 last=1",
        "within=7d",
        "within=1mo",
        "within-daily=45d within-weekly=1y within-monthly=3y",
        "within-hourly=36h last=3",
        "within=1y2mo3d5h daily=3",
        "within-yearly=9y hourly=400",
    ] {
        let mut arguments = vec!["forget", "--dry-run", "--json"];
        let mut rules = restic::Rules {
            drops_oldest: true,
            ..restic::Rules::default()
        };
        let mut given = Vec::new();
        for (name, value) in words(options) {
            given.push(format!("--keep-{name}={}", value.replace("mo", "m")));
            match name.strip_prefix("within") {
                Some(unit) => {
                    let unit = unit.strip_prefix('-').map_or(Each::Point, each);
                    rules.windows.push((unit, Period::parse(value).unwrap()));
                }
                None => {
                    let count = Count::Of(value.parse().unwrap());
                    rules.counts.push((each(name), count));
                }
            }
        }
        arguments.extend(given.iter().map(String::as_str));
        let text = restic(folder.path(), &arguments);
        let groups: serde_json::Value =
            serde_json::from_str(text.lines().find(|line| line.starts_with('[')).unwrap()).unwrap();
        let theirs: BTreeSet<Timestamp> = groups[0]["keep"]
            .as_array()
            .unwrap()
            .iter()
            .map(|snapshot| snapshot["time"].as_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(
            kept(&Rules::Restic(rules), &all, now),
            theirs,
            "{options}, at {now}"
        );
    }
}

/// Makes all archives in one process: most of what borg does is to start.
const MAKE: &str = "
import sys
from borg.archiver import Archiver
for at in sys.argv[1:]:
    borg = Archiver(prog='borg')
    args = borg.parse_args(['create', '--timestamp', at, 'repository::' + at, 'file'])
    if borg.run(args) != 0:
        sys.exit(1)
";

#[test]
fn the_model_of_borg_keeps_what_borg_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let borg = |program: &str, arguments: &[&str]| {
        let mut borg = command(program);
        borg.env("TZ", ZONE)
            .env("BORG_BASE_DIR", folder.path().join("base"))
            .env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")
            .current_dir(folder.path())
            .args(arguments);
        output(&mut borg)
    };
    fs::write(folder.path().join("file"), "content").unwrap();
    borg("borg", &["init", "--encryption", "none", "repository"]);
    let now = now();
    let all = times(now);
    let names: Vec<String> = all
        .iter()
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%S").to_string())
        .collect();
    let mut make = vec!["-c", MAKE];
    make.extend(names.iter().map(String::as_str));
    // Debian's program runs under Debian's Python, whatever else is in front of it.
    borg("/usr/bin/python3", &make);
    for options in [
        "last=5",
        "secondly=3 minutely=4 hourly=5",
        "hourly=100",
        "daily=7 weekly=4 monthly=12",
        "daily=7 weekly=4 monthly=-1",
        "within=10d daily=7 weekly=4",
        "within=48H last=3 hourly=2 yearly=10",
        "within=2m monthly=6 yearly=-1",
        "hourly=24 daily=14 weekly=52 monthly=18 yearly=75",
        "weekly=200",
        "within=1y",
        "within=3w daily=0 weekly=2",
    ] {
        let mut rules = borg::Rules::default();
        let mut given = Vec::new();
        for (name, value) in words(options) {
            given.push(format!("--keep-{name}={value}"));
            let unit = match name {
                "within" => {
                    let hours = match value.split_at(value.len() - 1) {
                        (number, "H") => number.parse::<u32>().unwrap(),
                        (number, "d") => 24 * number.parse::<u32>().unwrap(),
                        (number, "w") => 24 * 7 * number.parse::<u32>().unwrap(),
                        (number, "m") => 24 * 31 * number.parse::<u32>().unwrap(),
                        (number, _) => 24 * 365 * number.parse::<u32>().unwrap(),
                    };
                    rules.within_hours = Some(hours);
                    continue;
                }
                "minutely" => borg::Unit::Minute,
                "hourly" => borg::Unit::Hour,
                "daily" => borg::Unit::Day,
                "weekly" => borg::Unit::Week,
                "monthly" => borg::Unit::Month,
                "yearly" => borg::Unit::Year,
                _ => borg::Unit::Second,
            };
            let count = value.parse().map_or(Count::Unlimited, Count::Of);
            rules.counts.push((unit, count));
        }
        let mut arguments = vec!["prune", "--dry-run", "--list"];
        arguments.extend(given.iter().map(String::as_str));
        arguments.push("repository");
        let text = borg("borg", &arguments);
        let theirs: BTreeSet<Timestamp> = text
            .lines()
            .filter_map(|line| line.strip_prefix("Keeping archive (rule: "))
            .map(|line| {
                let name = line.split_once("): ").unwrap().1.trim();
                let name = name.split_whitespace().next().unwrap();
                format!("{name}Z").parse().unwrap()
            })
            .collect();
        assert_eq!(
            kept(&Rules::Borg(rules), &all, now),
            theirs,
            "{options}, at {now}"
        );
    }
}
