//! borg: a repository of its own with back-dated archives, and `borg prune --dry-run` with many sets of options.

use super::{ZONE, kept, now, output, support::program::command, times, words};
use jiff::Timestamp;
use planner::foreign::{Count, Rules, borg};
use std::{collections::BTreeSet, fs};

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
