//! Drills with the real program: one that passes says everything, one that must fail fails, every planted failure is found, and
//! nothing is left behind. On SQLite, and on a real PostgreSQL server.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

mod support;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
};
use support::{Site, bank::Bank, program::Ended, shop_once, stored};

/// The shop, two copies of one point, and a drill that is due.
fn shop(drill: &str) -> String {
    shop_once().replace(
        "path = \"shop.db\"",
        "path = \"shop.db\"\nobjective = { rpo = \"800d\", rto = \"1h\" }\nassert = [{ sql = \"select count(*) from entries\", at-least = 400 }]",
    ) + &format!("\n[[database.shop.drill]]\nname = \"monthly\"\nschedule = \"0 5 1 * *\"\n{drill}\n")
}

/// A shop with a point on both tiers and no drill yet.
fn site(drill: &str) -> Site {
    let site = Site::new(&shop_once());
    site.apply();
    site.write_policy(&shop(drill));
    site
}

fn id(ended: &Ended) -> String {
    ended.json()["id"].as_str().unwrap().to_owned()
}

/// Every key that a record may have; a passed drill of a logical point has all but those of a log or a failure.
fn keys(record: &Value) -> BTreeSet<String> {
    record.as_object().unwrap().keys().cloned().collect()
}

fn flip(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let at = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

#[test]
fn a_drill_that_passes_is_recorded_with_everything_that_an_auditor_asks() {
    let site = site("assert = [{ sql = \"select min(n) from entries\", equals = \"1\" }]");
    let drilled = site.expect(0, &["drill", "shop", "--json", "--reason", "audit of 2026"]);
    let record = drilled.json();
    for key in [
        "checks",
        "database",
        "drill",
        "engine",
        "finished_at",
        "format",
        "id",
        "mainstay_version",
        "method",
        "passed",
        "phases",
        "plain_bytes",
        "policy_digest",
        "recovery_point",
        "rpo_measured_seconds",
        "rpo_promised",
        "rto_measured_milliseconds",
        "rto_promised",
        "started_at",
        "stored_bytes",
        "target_place",
        "tier",
        "verified_before",
        "who",
        "why",
    ] {
        assert!(keys(&record).contains(key), "{key} is missing: {record}");
    }
    assert_eq!(record["passed"], true);
    assert_eq!(record["drill"]["name"], "monthly");
    assert_eq!(record["why"], "audit of 2026");
    // The phases that follow each other are the whole; those within another are not added.
    let phases = record["phases"].as_array().unwrap();
    let sum: u64 = phases
        .iter()
        .filter(|phase| phase.get("within").is_none())
        .map(|phase| phase["milliseconds"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, record["rto_measured_milliseconds"].as_u64().unwrap());
    let names: BTreeSet<&str> = phases
        .iter()
        .map(|phase| phase["name"].as_str().unwrap())
        .collect();
    for phase in ["choose", "load", "fetch", "decompress", "checks"] {
        assert!(names.contains(phase), "{phase} is missing: {names:?}");
    }
    let checked: Vec<&str> = record["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["what"].as_str().unwrap())
        .collect();
    for what in [
        "rows of entries",
        "assert `select count(*) from entries`",
        "assert `select min(n) from entries`",
    ] {
        assert!(checked.contains(&what), "{what} is missing: {checked:?}");
    }
    // The log says so too, as a file and from the catalog.
    let id = id(&drilled);
    let page =
        fs::read_to_string(site.path().join(format!(".mainstay/recoveries/{id}.html"))).unwrap();
    let again = site.expect(0, &["drill", "show", &id, "--format", "html"]);
    assert_eq!(page, again.stdout);
    for words in ["PASSED", "audit of 2026", "rows of entries", "checksum at"] {
        assert!(page.contains(words), "{words} is missing");
    }
    site.expect(0, &["drill", "show", &id])
        .says("passed")
        .says("RTO of 1 h met");
    site.expect(0, &["drill", "show", &id, "--format", "markdown"])
        .says("## Promises");
    site.expect(0, &["drill", "list"]).says(&id);
    site.expect(0, &["report", "recoveries"])
        .says("last proved")
        .says("audit of 2026");
    site.expect(0, &["audit", "show"]).says("audit of 2026");
    site.expect(1, &["drill", "show", "no-such"])
        .says("mainstay drill list");
    let known = site.known();
    assert_eq!((known.drills.len(), known.drills[0].passed), (1, true));
    assert_eq!(known.restores.values().flatten().count(), 1);
    let scratch = site.path().join(".mainstay/scratch");
    assert_eq!(fs::read_dir(scratch).map_or(0, Iterator::count), 0);
}

#[test]
fn a_wrong_assertion_fails_the_drill_by_hand_and_on_schedule() {
    let site = site("assert = [{ sql = \"select count(*) from entries\", at-least = 1000000 }]");
    let drilled = site.expect(1, &["drill", "shop", "--json"]);
    let record = drilled.json();
    assert_eq!(record["passed"], false);
    assert!(
        record.get("failure").is_none(),
        "the restore itself was fine"
    );
    site.expect(0, &["drill", "show", &id(&drilled), "--format", "markdown"])
        .says("FAILED")
        .says("NOT MET");
    // The drill by hand was today; a schedule with a later slot is due again.
    site.write_policy(
        &shop("assert = [{ sql = \"select count(*) from entries\", at-least = 1000000 }]")
            .replace("monthly", "other"),
    );
    let applied = site.run(&["apply", "--auto-approve"]);
    assert!(matches!(applied.code, Some(1 | 9)), "{applied}");
    applied
        .says("mainstay::drill::failed")
        .says("mainstay drill show");
    let known = site.known();
    let other = known
        .drills
        .iter()
        .find(|fact| fact.name == "other")
        .unwrap();
    assert!(!other.passed);
    assert!(known.restores.is_empty(), "a failed drill measures nothing");
    site.expect(0, &["report", "recoveries"]).says("NOT PROVED");
}

#[test]
fn a_scheduled_drill_is_a_step_of_the_plan_and_is_done_once() {
    let site = site("");
    let plan = site.plan(&[]);
    let drills = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["action"] == "drill");
    assert_eq!(drills.count(), 1, "{plan}");
    site.expect(0, &["apply", "--auto-approve"]);
    assert!(site.known().drills[0].passed);
    let plan = site.plan(&[]);
    assert!(plan["steps"].as_array().unwrap().is_empty(), "{plan}");
    site.expect(0, &["drill", "list"]).says("drill monthly");
}

#[test]
fn a_damaged_copy_is_given_up_for_the_next_and_remembered() {
    let site = site("");
    let point = site.points()[0].clone();
    flip(&stored::data(&site.tier("disk"), &point));
    site.expect(0, &["apply", "--auto-approve"]);
    let listed = site.expect(0, &["drill", "list", "--json"]).json();
    let record = &listed["recoveries"][0];
    assert_eq!(record["tier"], "nas");
    assert_eq!(record["given_up"][0][0], "disk");
    assert_eq!(record["given_up"][0][1]["code"], "mainstay::copy::damaged");
    let id = record["id"].as_str().unwrap();
    site.expect(0, &["drill", "show", id, "--format", "markdown"])
        .says("given up");
    let copy = site.copy(&point, "disk").unwrap();
    assert_eq!(copy.state, model::CopyState::Damaged);
    // And the next plan repairs it.
    site.apply();
    let copy = site.copy(&point, "disk").unwrap();
    assert!(copy.is_good());
    // Only that tier was allowed, and its copy is bad: it fails, and is recorded as failed.
    flip(&stored::data(&site.tier("disk"), &point));
    let failed = site.expect(1, &["drill", "shop", "--from", "disk", "--json"]);
    assert_eq!(failed.json()["failure"]["code"], "mainstay::copy::damaged");
}

#[test]
fn every_planted_failure_is_found() {
    let bank = Bank::start();
    let site = Site::new(
        &bank
            .policy()
            .replace("every = \"1s\"", "schedule = \"0 0 1 1 *\""),
    );
    site.apply();
    let before = support::laws::whole(&site);
    let ended = site.expect(0, &["drill", "--prove-it-can-fail"]);
    for words in [
        "shop",
        "bank",
        "wrong-row-count",
        "damaged-copy",
        "is read inverted",
        "control    nothing planted: passed",
    ] {
        ended.says(words);
    }
    ended.never_says("NOT FOUND");
    for database in ["shop", "bank"] {
        let proof = site
            .expect(0, &["drill", database, "--prove-it-can-fail", "--json"])
            .json();
        assert_eq!(proof["holds"], true);
        let planted = proof["planted"].as_array().unwrap();
        let noticed: Vec<_> = planted
            .iter()
            .map(|plant| {
                (
                    plant["kind"].as_str().unwrap(),
                    plant["noticed"].as_bool().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            noticed,
            [("wrong-row-count", true), ("damaged-copy", true)],
            "{proof}"
        );
    }
    // Nothing that is stored was touched, and nothing was proved of the points.
    assert_eq!(support::laws::whole(&site), before);
    site.expect(0, &["verify", "--level", "checksum"]);
    assert!(site.known().drills.is_empty() && site.known().restores.is_empty());
    bank.assert_nothing_left(&site);
    site.expect(0, &["audit", "show"])
        .says("proof that a drill can fail: wrong-row-count found, damaged-copy found");
}

#[test]
fn a_proof_does_not_hold_when_the_drill_fails_by_itself() {
    let site = site("assert = [{ sql = \"select 1\", equals = \"2\" }]");
    site.expect(1, &["drill", "shop", "--prove-it-can-fail"])
        .says("NOT PROVED")
        .says("and yet it FAILED");
}

#[test]
fn a_drill_of_postgres_that_is_killed_leaves_no_scratch_database_to_the_next() {
    let bank = Bank::start();
    let policy = bank
        .policy()
        .replace("every = \"1s\"", "schedule = \"0 0 1 1 *\"");
    let site = Site::new(&policy);
    site.apply();
    site.write_policy(&policy.replace(
        "[[database.bank.series]]",
        "assert = [{ sql = \"select pg_sleep(60)::text\", equals = \"\" }]\n[[database.bank.series]]",
    ));
    let mut drill = site.start(&["drill", "bank"], &[]);
    drill.until("its assertion runs", |_| {
        bank.psql("postgres", "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and datname like 'mainstay_scratch%'").trim() == "1"
    });
    drill.kill();
    drill.wait();
    bank.psql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where datname like 'mainstay_scratch%'");
    assert!(
        bank.databases()
            .iter()
            .any(|name| name.starts_with("mainstay_scratch"))
    );
    site.write_policy(&policy);
    let record = site.expect(0, &["drill", "bank", "--json"]).json();
    assert_eq!(record["passed"], true);
    assert!(record["checks"].as_array().unwrap().len() >= 2, "{record}");
    bank.assert_nothing_left(&site);
}

#[test]
fn what_cannot_even_begin_is_recorded_too() {
    let site = site("");
    fs::rename(site.tier("disk"), site.path().join("away")).unwrap();
    fs::rename(site.tier("nas"), site.path().join("away-too")).unwrap();
    let failed = site.expect(1, &["drill", "shop", "--json"]);
    let record = failed.json();
    assert_eq!(record["passed"], false);
    assert!(
        record["failure"]["code"]
            .as_str()
            .unwrap()
            .starts_with("mainstay::")
    );
    site.expect(0, &["drill", "show", &id(&failed)])
        .says("FAILED");
}

#[test]
fn a_restore_that_takes_longer_than_promised_is_exit_6_and_in_the_plan() {
    let site = site("");
    // Not proved yet is said, and is no violation.
    site.expect(0, &["status"])
        .says("RTO not proved yet")
        .says("never; `mainstay drill`");
    site.expect(0, &["drill", "shop"]);
    site.expect(0, &["status"])
        .says("RTO met")
        .says("by drill monthly from");
    let status = site.expect(0, &["status", "--json"]).json();
    let rto = &status["databases"][0]["rto"];
    assert_eq!(rto["verdict"], "met");
    assert_eq!(rto["estimate"]["measured"], 1);
    // Nothing takes no time at all.
    let promised = shop("").replace(
        "rto = \"1h\"",
        "rto = { target = \"1s\", maximum = \"1s\" }",
    );
    site.write_policy(&promised);
    let catalog = rusqlite::Connection::open(site.catalog()).unwrap();
    catalog
        .execute_batch(
            "update recoveries set record = json_set(record, '$.rto_measured_milliseconds', 90000)",
        )
        .unwrap();
    site.expect(6, &["status"])
        .says("RTO VIOLATED")
        .says("promised 1 s");
    let plan = site.plan(&[]);
    let waits = plan["not_planned"].as_array().unwrap();
    assert!(
        waits
            .iter()
            .any(|one| one["reason"]["code"] == "rto-not-met"),
        "{plan}"
    );
    // A drill whose newest run failed proves nothing any more.
    site.write_policy(&shop("assert = [{ sql = \"select 1\", equals = \"2\" }]"));
    site.next_second();
    site.expect(1, &["drill", "shop"]);
    site.expect(6, &["status"]).says("DRILL FAILED");
}
