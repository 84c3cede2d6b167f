//! restic: a repository of its own with back-dated snapshots, and `restic forget --dry-run` with many sets of options.

use super::{ZONE, kept, now, output, support::program::command, times, words};
use jiff::{Timestamp, tz::TimeZone};
use model::{Period, retention::Each};
use planner::foreign::{Count, Rules, restic};
use std::{collections::BTreeSet, fs, path::Path};

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
            if let Some(unit) = name.strip_prefix("within") {
                let unit = unit.strip_prefix('-').map_or(Each::Point, each);
                rules.windows.push((unit, Period::parse(value).unwrap()));
            } else {
                let count = Count::Of(value.parse().unwrap());
                rules.counts.push((each(name), count));
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
