//! `mainstay simulate` as people use it: the picture in the terminal, the picture in a file, the numbers, and what it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use serde_json::Value;
use std::fs;
use support::program::{Ended, Running};
use tempfile::TempDir;

/// A shop on a disk and in a deep archive.
const SHOP: &str = "mainstay = 1
timezone = \"Europe/Prague\"

[tier.disk]
kind = \"filesystem\"
path = \"disk\"

[tier.archive]
kind = \"s3\"
bucket = \"example-archive\"
region = \"eu-central-1\"
storage-class = \"deep-archive\"
retrieval = \"bulk\"

[database.shop]
engine = \"sqlite\"
path = \"shop.db\"

[[database.shop.series]]
name = \"daily\"
schedule = \"30 2 * * *\"
keep.disk = { daily = 7, weekly = 4 }
keep.archive = { monthly = 12, yearly = 7 }
";
const NOW: &str = "2026-11-21T12:00:00Z";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.0.path().join("mainstay.toml"), SHOP).unwrap();
        place
    }

    fn simulate(&self, arguments: &[&str]) -> Ended {
        let mut all = vec!["simulate", "--now", NOW];
        all.extend(arguments);
        Running::start(self.0.path(), &all, &[("NO_COLOR", "1")]).wait()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let ended = self.simulate(&all);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

#[test]
fn seven_years_are_a_calendar_a_line_over_time_and_a_bill() {
    let place = Place::new();
    let ended = place.simulate(&[
        "--from-nothing",
        "--size",
        "shop=40GiB",
        "--growth",
        "20%/y",
    ]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    insta::assert_snapshot!("simulation_of_seven_years", ended.stdout);
}

#[test]
fn an_outage_and_a_lost_tier_are_seen_in_the_picture() {
    let place = Place::new();
    let arguments = [
        "--from-nothing",
        "--until",
        "2028-01-15",
        "--outage",
        "2027-10-01..2027-10-20",
        "--lose",
        "disk@2027-12-24",
        "--failed-runs",
        "1",
    ];
    let ended = place.simulate(&arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    insta::assert_snapshot!("simulation_of_a_bad_year", ended.stdout);
    let json = place.json(&arguments);
    let disk = &json["databases"]["shop"]["series"]["daily"]["disk"];
    assert!(disk["lost"].as_u64().unwrap() > 5, "{disk}");
    assert!(json["databases"]["shop"]["missed_slots"].as_u64().unwrap() > 200);
}

#[test]
fn the_numbers_begin_with_the_inventory_and_agree_with_retention() {
    let place = Place::new();
    let inventory = r#"{"format": "mainstay.inventory.v1", "observed_at": "2026-11-21T12:00:00Z", "unreachable_tiers": [], "recovery_points": [
      {"id": "shop/daily/20261121T013000Z", "database": "shop", "series": "daily", "method": "snapshot", "parent": null,
       "slot": "2026-11-21T01:30:00Z", "captured_at": "2026-11-21T01:30:00Z", "state": "complete", "bytes": 1073741824,
       "copies": [{"tier": "disk", "state": "present", "bytes": 1073741824, "stored_at": "2026-11-21T01:31:00Z",
                   "verified": {"level": "checksum", "at": "2026-11-21T01:31:10Z"}, "locked_until": null, "held": true}]}]}"#;
    fs::write(place.0.path().join("inventory.json"), inventory).unwrap();
    let json = place.json(&["--inventory", "inventory.json", "--years", "2"]);
    assert_eq!(json["format"], "mainstay.simulation.v1");
    let tiers = &json["databases"]["shop"]["series"]["daily"];
    let disk = tiers["disk"]["at_end"].as_array().unwrap();
    // Seven days, three more weeks, and the one that is held.
    assert_eq!(disk.len(), 7 + 3 + 1, "{disk:?}");
    assert_eq!(disk[0], "2026-11-21T01:30:00Z");
    let last = json["tiers"]["disk"]["bytes"]
        .as_array()
        .unwrap()
        .last()
        .unwrap();
    assert_eq!(last.as_u64(), Some(11 << 30));
    // Everything in the archive that is pruned was there for longer than the least that is billed.
    let months = json["months"].as_array().unwrap();
    assert!(
        months
            .iter()
            .all(|month| month["tiers"]["archive"]["early_deletion"].as_f64() == Some(0.0))
    );
    assert!(
        months
            .iter()
            .any(|month| month["tiers"]["archive"]["storage"].as_f64().unwrap() > 0.0)
    );
}

#[test]
fn the_picture_is_whole_in_itself() {
    let place = Place::new();
    let ended = place.simulate(&["--from-nothing", "--years", "3", "--svg", "shop.svg"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let svg = fs::read_to_string(place.0.path().join("shop.svg")).unwrap();
    assert!(svg.starts_with("<svg xmlns=") && svg.trim_end().ends_with("</svg>"));
    for word in [
        "shop/daily",
        "Recovery points that are there on 2029-11-21",
        "archive",
        "2028",
        "Jan",
    ] {
        assert!(svg.contains(word), "{word}");
    }
    for foreign in ["<script", "href", "url(", "@import"] {
        assert!(!svg.contains(foreign), "{foreign}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_way_out() {
    let place = Place::new();
    fs::write(place.0.path().join("prices.toml"), "format = \"mainstay.prices.v1\"\nsource = \"me\"\ndate = \"2026-01-01\"\ncurrency = \"EUR\"\n[tier.disk]\nstorage-gib-month = -1.0\n").unwrap();
    for (arguments, code, words) in [
        (
            vec!["--from-nothing", "--until", "2020-01-01"],
            1,
            "mainstay::simulate::past",
        ),
        (
            vec!["--from-nothing", "--prices", "prices.toml"],
            1,
            "prices.toml:6:21: a price is a number",
        ),
        (
            vec!["--from-nothing", "--prices", "nothing.toml"],
            1,
            "mainstay::simulate::prices-unreadable",
        ),
        (
            vec!["--from-nothing", "--lose", "tape@2027-01-01"],
            1,
            "mainstay::arguments::tier",
        ),
        (
            vec!["--from-nothing", "shoes"],
            1,
            "mainstay::arguments::database",
        ),
        (
            vec!["--from-nothing", "--svg", "no/such/folder/a.svg"],
            1,
            "mainstay::simulate::unsaved",
        ),
        (
            vec!["--from-nothing", "--outage", "yesterday"],
            1,
            "write FROM..TO",
        ),
    ] {
        let ended = place.simulate(&arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(words),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn an_outage_of_another_time_is_said_to_change_nothing() {
    let place = Place::new();
    let times = [
        "--outage",
        "2020-01-01..2020-02-01",
        "--lose",
        "disk@2099-01-01",
    ];
    let ended = place.simulate(&[&["--from-nothing", "--years", "1"][..], &times].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let first = ended.stdout.lines().next().unwrap();
    for words in [
        "to 2020-02-01T00:00:00Z (before the simulation begins: it changes nothing)",
        "disk loses everything at 2099-01-01T00:00:00Z (after the simulation ends: it changes nothing)",
    ] {
        assert!(first.contains(words), "{first}");
    }
}

#[test]
fn the_built_in_prices_can_be_printed_and_handed_in_again() {
    let place = Place::new();
    let printed = place.simulate(&["--print-prices"]);
    fs::write(place.0.path().join("prices.toml"), &printed.stdout).unwrap();
    let arguments = ["--from-nothing", "--size", "shop=1GiB", "--years", "1"];
    let with = [&arguments[..], &["--prices", "prices.toml"]].concat();
    assert_eq!(place.json(&arguments), place.json(&with));
}
