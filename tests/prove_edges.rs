//! Verdicts at the edges: rare schedules, long retention, runs that fail at the wrong time, clocks that were wrong, keys that left the policy.
//! Each of these was once called kept, or broken, and was not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::program::{Ended, Running};
use tempfile::TempDir;

const NOW: &str = "2026-11-21T12:00:00Z";

struct Place(TempDir);

impl Place {
    /// One database with one series on one disk.
    fn new(objective: &str, series: &str, inventory: &Value) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.policy(&format!("objective = {objective}\n"), series);
        fs::write(place.0.path().join("inventory.json"), inventory.to_string()).unwrap();
        place
    }

    fn policy(&self, database: &str, series: &str) {
        let policy = format!(
            "mainstay = 1\n[tier.disk]\nkind = \"filesystem\"\npath = \"disk\"\nmin-free = \"0%\"\n[database.shop]\nengine = \"sqlite\"\npath = \"shop.db\"\n\
             {database}[[database.shop.series]]\nname = \"all\"\n{series}\n"
        );
        fs::write(self.0.path().join("policy.toml"), policy).unwrap();
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> Ended {
        let arguments = [arguments, &["-p", "policy.toml"]].concat();
        let ended = Running::start(self.0.path(), &arguments, &[]).wait();
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    /// What `prove` says of the database, without network, state or clock.
    #[track_caller]
    fn prove(&self, code: i32) -> Value {
        let offline = [
            "prove",
            "--inventory",
            "inventory.json",
            "--now",
            NOW,
            "--json",
        ];
        let proof = self.expect(code, &offline).json();
        proof["databases"][0].clone()
    }
}

fn inventory(points: &[Value], restores: &[Value]) -> Value {
    json!({"format": "mainstay.inventory.v1", "observed_at": NOW, "unreachable_tiers": [], "recovery_points": points,
           "restores": {"shop": restores}})
}

fn point(day: u32) -> Value {
    let slot = format!("2026-11-{day:02}T02:00:00Z");
    json!({"id": format!("shop/all/202611{day:02}T020000Z"), "database": "shop", "series": "all", "method": "snapshot",
           "parent": null, "slot": slot, "captured_at": slot, "state": "complete", "bytes": 1000,
           "copies": [{"tier": "disk", "state": "present", "bytes": 1000, "stored_at": slot, "held": false, "locked_until": null,
                       "verified": {"level": "checksum", "at": slot}}]})
}

fn restored(at: &str) -> Value {
    json!({"at": at, "method": "snapshot", "tier": "disk", "bytes": 1000, "milliseconds": 1000})
}

const NIGHTLY: &str = "schedule = \"0 2 * * *\"\nkeep.disk = { daily = 7 }";

#[test]
fn the_last_gap_of_the_years_ahead_is_seen_whole() {
    // 2028 is a leap year: from its first day to that of 2029 it is 366 days, which ends behind the two years that are looked at.
    let yearly = "schedule = \"@yearly\"\nkeep.disk = { last = 3 }";
    let proof = Place::new("{ rpo = \"8772h\" }", yearly, &inventory(&[], &[])).prove(6);
    assert_eq!(proof["verdict"], "violated");
    assert_eq!(proof["ranges"][0]["rpo"]["least_seconds"], 366 * 86_400);
}

#[test]
fn a_schedule_of_every_fourth_year_is_followed_to_its_next_slot() {
    let leap = "schedule = \"0 0 29 2 *\"\nkeep.disk = { last = 3 }";
    let place = Place::new("{ rpo = \"1095d\" }", leap, &inventory(&[], &[]));
    let proof = place.prove(6);
    assert_eq!(proof["ranges"][0]["rpo"]["least_seconds"], 1461 * 86_400);
    assert_eq!(proof["reach_seconds"], (2 * 1461) * 86_400);
}

#[test]
fn what_is_kept_for_twenty_years_is_there_after_fifteen() {
    let long = "schedule = \"0 2 * * *\"\nkeep.disk = { daily = 7, yearly = 20 }";
    let proof = Place::new(
        "{ at-age = [{ from = \"15y\", rpo = \"366d\" }] }",
        long,
        &inventory(&[], &[]),
    )
    .prove(0);
    assert_eq!(proof["verdict"], "proved");
    let short = Place::new(
        "{ at-age = [{ from = \"20y\", rpo = \"366d\" }] }",
        &long.replace("20", "12"),
        &inventory(&[], &[]),
    )
    .prove(6);
    let last = short["ranges"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["rpo"]["verdict"], "violated");
    assert!(
        last["rpo"]["why"]
            .as_str()
            .unwrap()
            .contains("only 10.9 y old"),
        "{last}"
    );
}

#[test]
fn what_is_kept_for_ever_is_there_at_every_age() {
    let ever = "schedule = \"0 2 * * *\"\nkeep.disk = { daily = 7, yearly = \"all\" }";
    let objective = "{ at-age = [{ from = \"200y\", rpo = \"366d\" }] }";
    Place::new(objective, ever, &inventory(&[], &[])).prove(0);
}

#[test]
fn runs_that_fail_at_the_start_of_a_month_make_its_oldest_state_younger() {
    // Thirteen months reach back 365 days on the first of a month, if the point of the first was made a year ago: with three failures it is that of the fourth.
    let months = "schedule = \"0 2 * * *\"\nkeep.disk = { daily = 7, monthly = 13 }";
    let objective = |failures: u32, days: u32| {
        format!("{{ failures = {failures}, at-age = [{{ from = \"{days}d\", rpo = \"35d\" }}] }}")
    };
    let verdict = |failures, days, code| {
        let place = Place::new(&objective(failures, days), months, &inventory(&[], &[]));
        place.prove(code)["verdict"].clone()
    };
    assert_eq!(verdict(0, 363, 0), "proved");
    assert_eq!(verdict(3, 362, 0), "proved");
    assert_eq!(verdict(3, 363, 6), "unproven");
}

#[test]
fn a_restore_of_the_future_proves_nothing() {
    let points: Vec<Value> = (14..=21).map(point).collect();
    let at = |when: &str| {
        let known = inventory(&points, &[restored(when)]);
        Place::new("{ rpo = \"27h\", rto = \"1h\" }", NIGHTLY, &known)
    };
    assert!(at("2026-11-20T02:00:00Z").prove(0)["statement"].is_object());
    let later = at("2027-11-20T02:00:00Z").prove(6);
    assert_eq!(later["ranges"][0]["rto"]["verdict"], "unproven");
    assert_eq!(
        (&later["statement"], &later["last_tested"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn a_copy_that_only_some_points_get_says_nothing_of_how_fast_the_others_are() {
    // One point a month is on the fast disk within seconds, the others take twenty hours.
    let slow = |day: u32| {
        let mut point = point(day);
        let later = format!("2026-11-{day:02}T22:00:00Z");
        point["copies"][0]["stored_at"] = json!(later);
        point["copies"][0]["verified"]["at"] = json!(later);
        point
    };
    let mut points: Vec<Value> = (14..=20).map(slow).collect();
    let mut copy = point(15)["copies"][0].clone();
    copy["tier"] = json!("fast");
    points[1]["copies"].as_array_mut().unwrap().push(copy);
    let place = Place::new("{ rpo = \"40h\" }", NIGHTLY, &inventory(&points, &[]));
    assert_eq!(place.prove(6)["verdict"], "violated");
}

#[test]
fn a_schedule_that_nobody_followed_lately_is_told_beside_what_it_promises() {
    let late = inventory(&[point(14)], &[]);
    let place = Place::new("{ rpo = \"27h\" }", NIGHTLY, &late);
    let offline = ["prove", "--inventory", "inventory.json", "--now", NOW];
    let text = place.expect(0, &offline).stdout;
    let line = "But today the newest state that can be relied upon is 7 d 10 h old, of 2026-11-14 02:00 UTC: see `mainstay status`.";
    assert!(text.contains(line), "{text}");
    let place = Place::new("{ rpo = \"27h\" }", NIGHTLY, &inventory(&[point(21)], &[]));
    let text = place.expect(0, &offline).stdout;
    assert!(!text.contains("But today"), "{text}");
}

#[test]
fn a_pull_request_reads_how_the_objectives_stand() {
    let place = Place::new("{ rpo = \"2h\" }", NIGHTLY, &inventory(&[point(21)], &[]));
    let offline = [
        "plan",
        "--markdown",
        "--inventory",
        "inventory.json",
        "--now",
        NOW,
    ];
    let text = place.expect(0, &offline).stdout;
    let lines = "**Objectives:** 1 VIOLATED; `mainstay prove` tells more\n- shop: RPO now: up to 24 h would be lost now, at most 2 h is promised\n";
    assert!(text.contains(lines), "{text}");
}

#[test]
fn points_keep_the_keys_that_they_were_made_for() {
    let place = Place::new("{}", NIGHTLY, &inventory(&[], &[]));
    let shop = rusqlite::Connection::open(place.0.path().join("shop.db")).unwrap();
    shop.execute_batch(
        "create table orders (id integer primary key); insert into orders default values",
    )
    .unwrap();
    drop(shop);
    let key = |name: &str| format!("[key.{name}]\nkind = \"local\"\npath = \"{name}.key\"\n");
    let custody = "\n[[check]]\nid = \"key-custody\"\n";
    let with = |one: &str, other: &str| {
        let keys = format!("{custody}{}{}", key(one), key(other));
        let encrypted = format!("encrypt-with = [\"{one}\", \"{other}\"]\n");
        place.policy(&encrypted, &format!("{NIGHTLY}{keys}"));
        place.expect(0, &["key", "generate", one]);
        place.expect(0, &["key", "generate", other]);
    };
    with("a", "b");
    place.expect(0, &["backup", "shop"]);
    place.expect(0, &["prove"]);
    // Both keys leave the policy; nobody has given the stored point the new ones.
    with("c", "d");
    let text = place.expect(6, &["prove"]).stdout;
    let told = "key a: the policy does not declare it any more; key b: the policy does not declare it any more; 1 recovery point is opened by no other key";
    assert!(text.contains(told), "{text}");
    // Nor does encryption that was switched off make it readable.
    place.policy("", &format!("{NIGHTLY}{custody}"));
    let text = place.expect(6, &["prove"]).stdout;
    assert!(
        text.contains("1 recovery point is opened by no other key"),
        "{text}"
    );
}
