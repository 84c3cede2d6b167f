//! Objectives proved, through the real program: what cannot be kept is told with a case, what nobody measured is never called kept, and what is
//! suggested helps when it is pasted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{fs, path::Path};
use support::program::{Ended, Running};
use tempfile::TempDir;

const NOW: &str = "2026-11-21T12:00:00Z";
const SEGMENT: u64 = 16 << 20;

struct Place(TempDir);

impl Place {
    fn new(policy: &str, inventory: &Value) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("policy.toml", policy);
        place.write("inventory.json", &inventory.to_string());
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = Running::start(self.0.path(), arguments, &[]).wait();
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    /// `prove` without network, state or clock.
    #[track_caller]
    fn prove(&self, code: i32, more: &[&str]) -> Ended {
        let offline = [
            "prove",
            "-p",
            "policy.toml",
            "--inventory",
            "inventory.json",
            "--now",
            NOW,
        ];
        self.expect(code, &[&offline[..], more].concat())
    }
}

/// The ready policy of the remittance service.
fn remittance() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/remittance.toml"))
        .unwrap()
}

/// The same database, with nothing but a dump a night.
const ONLY_DUMPS: &str = r#"mainstay = 1

[tier.nas]
kind = "filesystem"
path = "/mnt/nas/remittance"

[database.remittance]
engine = "postgres"
url = { file = "/etc/mainstay/remittance.url" }
objective = { rpo = "5m", rto = "2h" }

[[database.remittance.series]]
name = "daily"
schedule = "0 2 * * *"
keep.nas = { daily = 7, weekly = 4 }
verify = "restore"
"#;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn lsn(segments: u64, offset: u64) -> String {
    let position = segments * SEGMENT + offset;
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}

/// A good point of so many days ago.
fn point(series: &str, hour: i64, days: i64, tiers: &[&str]) -> Value {
    let slot = at("2026-11-21T00:00:00Z") + SignedDuration::from_hours(hour - 24 * days);
    let later = |minutes| (slot + SignedDuration::from_mins(minutes)).to_string();
    let physical = series == "base";
    let bytes = if physical { 40_u64 << 30 } else { 12 << 30 };
    let copies: Vec<Value> = tiers
        .iter()
        .map(|tier| {
            json!({"tier": tier, "state": "present", "bytes": bytes, "stored_at": later(12), "held": false,
                   "verified": {"level": "restore", "at": later(25)}, "locked_until": null})
        })
        .collect();
    let mut point = json!({
        "id": format!("remittance/{series}/{}", slot.strftime("%Y%m%dT%H%M%SZ")), "database": "remittance", "series": series,
        "method": if physical { "physical" } else { "logical" }, "parent": null, "slot": slot.to_string(),
        "captured_at": later(0), "state": "complete", "bytes": bytes, "copies": copies,
    });
    if physical {
        let segment = u64::try_from(100 - days).unwrap() * 50;
        point["wal"] = json!({
            "system_identifier": "7000000000000000001", "timeline": 1, "start": lsn(segment, 40), "end": lsn(segment, 4096),
            "segment_bytes": SEGMENT, "included": false,
        });
    }
    point
}

fn restored(method: &str, tier: &str, minutes: u64, gib: u64, day: &str) -> Value {
    json!({"at": format!("{day}T06:00:00Z"), "bytes": gib << 30, "method": method, "milliseconds": minutes * 60_000, "tier": tier})
}

/// What exists after some weeks: nightly points, an archived log, and drills that were really done.
fn weeks() -> Value {
    let mut points: Vec<Value> = (0..7)
        .map(|days| point("base", 1, days, &["nas"]))
        .collect();
    points.extend((0..7).map(|days| point("daily", 2, days, &["nas", "cloud"])));
    points.extend((7..30).map(|days| point("daily", 2, days, &["cloud"])));
    let run = json!({
        "system_identifier": "7000000000000000001", "timeline": 1, "segment_bytes": SEGMENT, "start": lsn(4000, 0), "end": lsn(5100, 0),
        "bytes": 9_000_000_000_u64, "stored_at": "2026-11-07T01:00:00Z", "last_stored_at": "2026-11-21T11:58:30Z",
    });
    json!({
        "format": "mainstay.inventory.v1", "observed_at": NOW, "unreachable_tiers": [], "recovery_points": points,
        "restores": {"remittance": [
            restored("physical", "nas", 38, 44, "2026-11-01"), restored("physical", "nas", 35, 41, "2026-10-01"),
            restored("physical", "cloud", 95, 40, "2026-10-15"), restored("logical", "cloud", 61, 12, "2026-10-15"),
            restored("logical", "nas", 44, 12, "2026-09-01"),
        ]},
        "drills": [{"at": "2026-11-01T06:00:00Z", "database": "remittance", "name": "monthly", "passed": true,
                    "recovery_point": "remittance/base/20261101T010000Z", "slot": "2026-11-01T05:00:00Z"}],
        "wal": {"remittance": {
            "source": {"at": NOW, "position": lsn(5100, 812), "system_identifier": "7000000000000000001", "timeline": 1},
            "tiers": {"nas": {"runs": [run]}, "cloud": {"runs": [run]}},
        }},
    })
}

fn nothing() -> Value {
    json!({"format": "mainstay.inventory.v1", "observed_at": NOW, "recovery_points": []})
}

#[test]
fn five_minutes_cannot_be_promised_with_a_dump_a_night() {
    let mut inventory = weeks();
    inventory["wal"] = json!({});
    let place = Place::new(ONLY_DUMPS, &inventory);
    let text = place.prove(6, &[]).stdout;
    insta::assert_snapshot!("only_dumps", text);
    let proof = place.prove(6, &["--json"]).json();
    let now = &proof["databases"][0]["ranges"][0]["rpo"];
    assert_eq!(now["verdict"], "violated");
    // A day, and until the next dump is verified.
    assert_eq!(now["least_seconds"], 86_400 + 25 * 60);
    let case = &now["counter_example"];
    let (needed, wanted) = (
        case["at"].as_str().unwrap(),
        case["wanted"].as_str().unwrap(),
    );
    assert!(at(needed) > at(NOW) && at(wanted) <= at(needed), "{case}");
    // The dump of that night is not verified yet: there is that of the night before.
    let point = case["recovery_point"].as_str().unwrap();
    let night = at(needed) - SignedDuration::from_hours(24);
    assert!(
        point.contains(&night.strftime("%Y%m%dT").to_string()),
        "{case}"
    );
    // With a log the loss would be its lag, which nobody has measured yet: that is no proof.
    let suggestion = &proof["databases"][0]["suggestions"][0];
    assert_eq!(suggestion["then"], "unproven");
    assert!(
        suggestion["toml"]
            .as_str()
            .unwrap()
            .contains("[database.remittance.wal]")
    );
}

#[test]
fn with_the_log_and_drills_it_is_proved_and_said_in_one_sentence() {
    // Old states may take a day: they come from the archive.
    let policy = remittance().replace(
        "rto = { target = \"2h\", maximum = \"4h\" } }",
        "rto = { target = \"2h\", maximum = \"4h\" }, at-age = [{ from = \"300d\", rto = \"24h\" }] }",
    );
    let archive = restored("logical", "archive", 13 * 60, 12, "2026-06-01");
    let mut inventory = weeks();
    inventory["restores"]["remittance"]
        .as_array_mut()
        .unwrap()
        .push(archive);
    let place = Place::new(&policy, &inventory);
    let text = place.prove(0, &[]).stdout;
    insta::assert_snapshot!("log_and_drills", text);
    let sentence = text.lines().nth(1).unwrap();
    assert!(
        sentence.contains("can be restored to any time")
            && sentence.contains("last proven on 2026-11-01"),
        "{sentence}"
    );
}

#[test]
fn a_state_of_last_year_in_the_deep_archive_comes_too_late_and_what_is_suggested_mends_it() {
    let place = Place::new(&remittance(), &weeks());
    let text = place.prove(6, &[]).stdout;
    insta::assert_snapshot!("deep_archive", text);
    let proof = place.prove(6, &["--json"]).json();
    let database = &proof["databases"][0];
    let old = 400 * 86_400;
    let range = database["ranges"].as_array().unwrap().iter().find(|range| {
        range["from_seconds"].as_i64().unwrap() <= old
            && range["to_seconds"].as_i64().is_none_or(|to| old < to)
    });
    let rto = &range.unwrap()["rto"];
    assert_eq!(
        (&rto["verdict"], &rto["way"]["tier"]),
        (&json!("violated"), &json!("archive"))
    );
    assert_eq!(rto["parts"][0]["seconds"], 12 * 3600);
    assert_eq!(rto["parts"][0]["source"]["kind"], "vendor-typical");
    let case = &rto["counter_example"];
    assert_eq!(case["tier"], "archive");
    // The cheapest is pasted where it says.
    let suggestion = &database["suggestions"][0];
    let toml = suggestion["toml"].as_str().unwrap();
    assert_eq!(
        (&suggestion["then"], &suggestion["mends"]),
        (&json!("proved"), &json!("rto"))
    );
    let key = toml.split(" = ").next().unwrap();
    let (before, daily) = text_around(&remittance(), "name = \"daily\"");
    let line = daily.lines().find(|line| line.starts_with(key)).unwrap();
    let mended = format!("{before}{}", daily.replacen(line, toml, 1));
    let place = Place::new(&mended, &weeks());
    let proof = place.prove(0, &["--json"]).json();
    assert_eq!(proof["databases"][0]["verdict"], "proved");
}

fn text_around(text: &str, mark: &str) -> (String, String) {
    let at = text.find(mark).unwrap();
    (text[..at].to_owned(), text[at..].to_owned())
}

#[test]
fn what_nobody_ever_measured_is_never_called_kept() {
    let policy = ONLY_DUMPS.replace("rpo = \"5m\"", "rpo = \"25h\"");
    let place = Place::new(&policy, &nothing());
    let proof = place.prove(6, &["--json"]).json();
    let now = &proof["databases"][0]["ranges"][0];
    assert_eq!(
        (&now["rpo"]["verdict"], &now["rto"]["verdict"]),
        (&json!("unproven"), &json!("unproven"))
    );
    assert!(proof["databases"][0]["statement"].is_null());
    // Somebody says how long it takes, and that a run is short.
    let said = policy.replace("objective = {", "declared-restore = \"90m\"\nobjective = {");
    let said = said.replace("verify =", "window = { timeout = \"30m\" }\nverify =");
    let proof = Place::new(&said, &nothing()).prove(0, &["--json"]).json();
    assert_eq!(proof["databases"][0]["verdict"], "proved");
    assert!(
        proof["databases"][0]["statement"].is_null(),
        "nothing exists yet"
    );
    // What failed once more than allowed breaks it.
    let failing = said.replace("rto = \"2h\"", "rto = \"2h\", failures = 1");
    let proof = Place::new(&failing, &nothing())
        .prove(6, &["--json"])
        .json();
    assert_eq!(
        proof["databases"][0]["ranges"][0]["rpo"]["verdict"],
        "violated"
    );
}

#[test]
fn old_states_that_are_promised_must_be_kept_and_near_each_other() {
    let objective = "rto = \"2h\", at-age = [{ from = \"14d\", rpo = \"25h\" }, { from = \"1y\", rpo = \"31d\" }]";
    let policy = ONLY_DUMPS
        .replace("rpo = \"5m\", ", "")
        .replace("rto = \"2h\"", objective)
        .replace("objective = {", "declared-restore = \"90m\"\nobjective = {");
    let place = Place::new(&policy, &nothing());
    let text = place.prove(6, &[]).stdout;
    insta::assert_snapshot!("old_states", text);
    let proof = place.prove(6, &["--json"]).json();
    let suggestion = &proof["databases"][0]["suggestions"][0];
    assert_eq!(suggestion["then"], "proved", "{text}");
    let mended = policy.replace(
        "keep.nas = { daily = 7, weekly = 4 }",
        suggestion["toml"].as_str().unwrap(),
    );
    Place::new(&mended, &nothing()).prove(0, &[]);
}

#[test]
fn an_exception_fails_nothing_until_it_ends() {
    let excepted = format!(
        "{ONLY_DUMPS}\n[[exception]]\ncheck = \"rpo\"\ndatabase = \"remittance\"\nowner = \"jana\"\nwhy = \"the log comes in spring\"\nuntil = 2027-03-31\n"
    );
    let place = Place::new(&excepted, &weeks());
    let proof = place.prove(0, &["--json"]).json();
    let rpo = &proof["checks"][0];
    assert_eq!(
        (&rpo["verdict"], &rpo["exception"]["owner"]),
        (&json!("violated"), &json!("jana"))
    );
    let later = [
        "prove",
        "-p",
        "policy.toml",
        "--inventory",
        "inventory.json",
        "--now",
        "2027-04-01T00:00:00Z",
    ];
    place.expect(6, &later);
}

#[test]
fn checks_are_asked_of_those_that_they_are_for() {
    let checks = "\n[[check]]\nid = \"3-2-1-1-0\"\n[[check]]\nid = \"encryption\"\nseverity = \"warning\"\n[[check]]\nid = \"rpo\"\nenabled = false\n";
    let place = Place::new(&format!("{ONLY_DUMPS}{checks}"), &weeks());
    let text = place.prove(6, &[]).stdout;
    insta::assert_snapshot!("checks", text);
    let elsewhere = checks.replace(
        "\"3-2-1-1-0\"",
        "\"3-2-1-1-0\"\nscope = { environment = \"production\" }",
    );
    Place::new(&format!("{ONLY_DUMPS}{elsewhere}"), &weeks()).prove(0, &[]);
}

#[test]
fn checks_that_set_controls_are_proved_where_somebody_asks_for_them() {
    let checks = "\n[[check]]\nid = \"minimum-frequency\"\nparameters = { every = \"24h\" }\n[[check]]\nid = \"minimum-retention\"\nparameters = { keep-for = \"35d\" }\n\
                  [[check]]\nid = \"newest-within\"\nseverity = \"warning\"\n[[check]]\nid = \"minimum-lock\"\nseverity = \"info\"\n[[check]]\nid = \"rpo\"\nenabled = false\n";
    let place = Place::new(&format!("{ONLY_DUMPS}{checks}"), &weeks());
    let text = place.prove(6, &[]).stdout;
    insta::assert_snapshot!("minimums", text);
    let asks_less = checks.replace("35d", "28d");
    Place::new(&format!("{ONLY_DUMPS}{asks_less}"), &weeks()).prove(0, &[]);
}

#[test]
fn an_inventory_tells_at_most_how_far_a_log_is_behind() {
    // The server went on by a few records after the last piece was stored, eighty minutes ago: they may be nothing that anybody would miss.
    let mut inventory = weeks();
    for tier in ["nas", "cloud"] {
        let run = &mut inventory["wal"]["remittance"]["tiers"][tier]["runs"][0];
        run["last_stored_at"] = json!("2026-11-21T10:40:00Z");
    }
    let place = Place::new(&remittance(), &inventory);
    let proof = place.prove(6, &["--json"]).json();
    let rpo = &proof["databases"][0]["ranges"][0]["rpo"];
    assert_eq!(rpo["verdict"], "unproven", "{rpo}");
    assert_eq!(
        (&rpo["least_seconds"], &rpo["most_seconds"]),
        (&json!(0), &json!(80 * 60))
    );
}

#[test]
fn keys_that_cannot_be_relied_upon_are_told_with_what_dies_with_them() {
    let policy = "mainstay = 1\n[tier.disk]\nkind = \"filesystem\"\npath = \"disk\"\n[key.a]\nkind = \"local\"\npath = \"a.key\"\n\
                  [key.b]\nkind = \"local\"\npath = \"b.key\"\n[database.shop]\nengine = \"sqlite\"\npath = \"shop.db\"\nencrypt-with = [\"a\", \"b\"]\n\
                  [[database.shop.series]]\nname = \"daily\"\nschedule = \"0 2 * * *\"\nkeep.disk = { daily = 3 }\n[[check]]\nid = \"key-custody\"\n";
    let place = Place::new(policy, &nothing());
    place.expect(0, &["key", "generate", "a", "-p", "policy.toml"]);
    place.expect(0, &["key", "generate", "b", "-p", "policy.toml"]);
    place.expect(0, &["prove", "-p", "policy.toml"]);
    fs::remove_file(place.0.path().join("b.key")).unwrap();
    let text = place.expect(6, &["prove", "-p", "policy.toml"]).stdout;
    assert!(
        text.contains("1 of 2 keys can be relied upon: key b"),
        "{text}"
    );
}

#[test]
fn plan_and_validate_say_shortly_what_cannot_be_kept() {
    let place = Place::new(ONLY_DUMPS, &weeks());
    let validate = place.expect(0, &["validate", "-p", "policy.toml"]).stdout;
    let plan = place.expect(0, &support::offline::PLAN).stdout;
    let short = |text: &str| text[text.find("Objectives:").unwrap()..].to_owned();
    insta::assert_snapshot!("briefly", format!("{}\n{}", short(&validate), short(&plan)));
    let json = place
        .expect(0, &["validate", "-p", "policy.toml", "--json"])
        .json();
    assert_eq!(json["objectives"][0]["verdict"], "violated");
}
