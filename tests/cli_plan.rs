//! Planning without any database, through the real program: the same bytes each time, ids that anyone can check, retention
//! that agrees with restic's, and what people see of a plan.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use support::program::{Ended, Running};
use tempfile::TempDir;

/// A shop on two tiers.
const SHOP: &str = "mainstay = 1
timezone = \"Europe/Prague\"

[tier.disk]
kind = \"filesystem\"
path = \"disk\"

[tier.nas]
kind = \"filesystem\"
path = \"nas\"

[database.shop]
engine = \"sqlite\"
path = \"shop.db\"

[[database.shop.series]]
name = \"daily\"
schedule = \"0 2 * * *\"
keep.disk = { daily = 3 }
keep.nas = { daily = 3, monthly = 2 }
verify = \"full-read\"
";
const NOW: &str = "2026-11-21T12:00:00Z";

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

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Running::start(self.path(), arguments, &[]).wait()
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    /// `plan` without network, state or clock.
    #[track_caller]
    fn plan(&self, code: i32, more: &[&str]) -> Ended {
        let offline = [
            "plan",
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

/// A point `days` before the newest slot of [`SHOP`], with a verified copy on each tier.
fn point(days: i64, tiers: &[&str]) -> Value {
    let slot: Timestamp = "2026-11-21T01:00:00Z".parse().unwrap();
    at(slot - SignedDuration::from_hours(24 * days), 0, tiers)
}

fn at(time: Timestamp, slot_shift: i64, tiers: &[&str]) -> Value {
    // Slots are whole seconds.
    let slot = Timestamp::from_second(time.as_second() + slot_shift).unwrap();
    let stamp = slot.strftime("%Y%m%dT%H%M%SZ").to_string();
    let copies: Vec<Value> = tiers
        .iter()
        .map(|tier| {
            json!({"tier": tier, "state": "present", "bytes": 1_234_567, "stored_at": slot.to_string(), "held": false,
                   "verified": {"level": "full-read", "at": slot.to_string()}, "locked_until": null})
        })
        .collect();
    json!({"id": format!("shop/daily/{stamp}"), "database": "shop", "series": "daily", "method": "snapshot", "parent": null,
           "slot": slot.to_string(), "captured_at": time.to_string(), "state": "complete", "bytes": 1_234_567, "copies": copies})
}

fn inventory(points: &[Value]) -> Value {
    json!({"format": "mainstay.inventory.v1", "observed_at": NOW, "unreachable_tiers": [], "recovery_points": points})
}

/// Seven days of points; today's is missing.
fn a_week() -> Value {
    inventory(
        &(1..8)
            .map(|days| point(days, &["disk", "nas"]))
            .collect::<Vec<_>>(),
    )
}

#[test]
fn the_same_policy_inventory_and_time_give_the_same_bytes() {
    let place = Place::new(SHOP, &a_week());
    let once = place.plan(0, &["--json"]);
    let twice = place.plan(0, &["--json"]);
    assert_eq!(once.stdout, twice.stdout);
    assert_eq!((once.stderr.as_str(), twice.stderr.as_str()), ("", ""));

    // The order of the inventory is nobody's decision.
    let mut turned = a_week();
    turned["recovery_points"].as_array_mut().unwrap().reverse();
    place.write("inventory.json", &turned.to_string());
    let steps = |ended: &Ended| ended.json()["steps"].clone();
    assert_eq!(steps(&place.plan(0, &["--json"])), steps(&once));

    // No state was made and no tier was looked for.
    let left: BTreeSet<_> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        left,
        BTreeSet::from(["inventory.json".to_owned(), "policy.toml".to_owned()])
    );
}

/// Canonical JSON (docs/decisions/0002): keys sorted by bytes, no white space. Written here again, on its own.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(key).unwrap());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(value, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[test]
fn the_id_of_a_plan_is_the_digest_of_its_canonical_json_without_the_id() {
    let place = Place::new(SHOP, &a_week());
    let plan = place.plan(0, &["--json"]).json();
    let mut bare: Map<String, Value> = plan.as_object().unwrap().clone();
    let id = bare.remove("id").unwrap();
    let mut text = String::new();
    canonical(&Value::Object(bare), &mut text);
    assert_eq!(
        id.as_str().unwrap(),
        model::Digest::sha256_of(text.as_bytes()).as_str()
    );
}

#[test]
fn a_plan_as_people_see_it() {
    let place = Place::new(SHOP, &a_week());
    insta::assert_snapshot!("plan_human", place.plan(0, &[]).stdout);
    insta::assert_snapshot!("plan_markdown", place.plan(0, &["--markdown"]).stdout);
    insta::assert_snapshot!("plan_graph", place.plan(0, &["--graph"]).stdout);
}

#[test]
fn a_plan_in_which_deletions_and_uploads_wait() {
    let mut inventory = a_week();
    let points = inventory["recovery_points"].as_array_mut().unwrap();
    points[6]["copies"][0]["held"] = json!(true);
    points[5]["copies"][0]["locked_until"] = json!("2027-01-01T00:00:00Z");
    points[4]["copies"][0]["state"] = json!("damaged");
    inventory["unreachable_tiers"] = json!(["nas"]);
    inventory["retention_in_force"] =
        json!({"shop": {"daily": {"disk": {"rules": [{"each": "day", "count": 30}]}}}});
    // The form of a rule is checked by the program: take what it wrote itself.
    let place = Place::new(&SHOP.replace("daily = 3", "daily = 30"), &a_week());
    let retention = place.plan(0, &["--json"]).json()["retention"].clone();
    inventory["retention_in_force"] = retention;
    place.write("policy.toml", SHOP);
    place.write("inventory.json", &inventory.to_string());
    let plan = place.plan(0, &["--json"]).json();
    let text = place.plan(0, &[]).stdout;
    let id = plan["id"].as_str().unwrap();
    insta::assert_snapshot!("plan_human_waiting", text.replace(id, "sha256:ID"));
    let markdown = place.plan(0, &["--markdown"]).stdout;
    insta::assert_snapshot!("plan_markdown_waiting", markdown.replace(id, "sha256:ID"));
}

#[test]
fn nothing_to_do_says_what_is_protected_and_what_comes_next() {
    let points: Vec<Value> = (0..3).map(|days| point(days, &["disk", "nas"])).collect();
    let place = Place::new(SHOP, &inventory(&points));
    let ended = place.plan(0, &["--detailed-exitcode"]);
    insta::assert_snapshot!(ended.stdout, @r"
    No changes. Everything that the policy wants exists.

    Protected:
      shop/daily: recovery points kept: 3 on disk, 3 on nas

    Next:
      shop/daily at 2026-11-22 02:00 CET
    ");
}

#[test]
fn exit_2_means_changes_and_only_when_asked_for() {
    let place = Place::new(SHOP, &a_week());
    place.plan(0, &[]);
    place.plan(2, &["--detailed-exitcode"]);
    place.plan(2, &["--detailed-exitcode", "--json"]);
    place.plan(2, &["--detailed-exitcode", "--markdown"]);
}

#[test]
fn markdown_of_thousands_of_steps_stays_under_the_limit_and_is_cut_alike() {
    let points: Vec<Value> = (0..6000)
        .map(|days| point(days, &["disk", "nas"]))
        .collect();
    let place = Place::new(SHOP, &inventory(&points));
    let plan = place.plan(0, &["--json"]).json();
    assert!(plan["steps"].as_array().unwrap().len() > 5000);
    let once = place.plan(0, &["--markdown"]).stdout;
    let twice = place.plan(0, &["--markdown"]).stdout;
    assert_eq!(once, twice);
    assert!(once.len() < 60_000, "{} bytes", once.len());
    assert!(once.contains("more: see"), "what is cut must be counted");
    assert!(
        once.contains("needs approval"),
        "the warning must not be cut"
    );

    // The saved plan looks the same.
    place.plan(0, &["--out", "plan.json"]);
    let shown = place.expect(0, &["show", "-p", "policy.toml", "plan.json", "--markdown"]);
    assert_eq!(shown.stdout, once);
}

#[test]
fn an_inventory_that_makes_no_sense_is_refused_with_the_reason() {
    let good = a_week();
    let change = |at: &str, to: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(at).unwrap() = to;
        changed.to_string()
    };
    let mut twice = good.clone();
    let copy = twice["recovery_points"][0].clone();
    twice["recovery_points"].as_array_mut().unwrap().push(copy);
    let mut no_format = good.clone();
    no_format.as_object_mut().unwrap().remove("format");
    let two_copies = {
        let mut changed = good.clone();
        let copy = changed["recovery_points"][0]["copies"][0].clone();
        changed["recovery_points"][0]["copies"]
            .as_array_mut()
            .unwrap()
            .push(copy);
        changed.to_string()
    };
    let cases = [
        ("empty file", String::new()),
        ("no json", "hello".to_owned()),
        ("cut short", good.to_string()[..400].to_owned()),
        ("a list", "[]".to_owned()),
        ("no format", no_format.to_string()),
        (
            "another format",
            change("/format", json!("mainstay.inventory.v2")),
        ),
        ("the same point twice", twice.to_string()),
        ("two copies on one tier", two_copies),
        (
            "a point of another database",
            change("/recovery_points/0/database", json!("orders")),
        ),
        (
            "a time without zone",
            change("/recovery_points/0/captured_at", json!("2026-11-20 02:00")),
        ),
        (
            "negative bytes",
            change("/recovery_points/0/bytes", json!(-1)),
        ),
        (
            "an unknown state",
            change("/recovery_points/0/copies/0/state", json!("fine")),
        ),
        (
            "an id that is none",
            change("/recovery_points/0/id", json!("../../etc/passwd")),
        ),
    ];
    let place = Place::new(SHOP, &good);
    let mut all = String::new();
    for (what, text) in cases {
        place.write("inventory.json", &text);
        let ended = place.plan(1, &["--json"]);
        assert_eq!(ended.stdout, "", "{what}");
        assert!(
            ended.stderr.contains("[mainstay::inventory::invalid]"),
            "{what}\n{ended}"
        );
        let first = ended.stderr.lines().next().unwrap();
        for line in [&format!("# {what}"), first] {
            all.push_str(line);
            all.push('\n');
        }
    }
    insta::assert_snapshot!("inventories_refused", all);
    fs::remove_file(place.path().join("inventory.json")).unwrap();
    let ended = place.plan(1, &[]);
    assert!(ended.stderr.contains("[mainstay::inventory::unreadable]"));
}

#[test]
fn a_saved_plan_is_never_written_over_a_file() {
    let place = Place::new(SHOP, &a_week());
    place.write("plan.json", "precious");
    let ended = place.plan(1, &["--out", "plan.json"]);
    assert!(
        ended.stderr.contains("[mainstay::plan::unsaved]"),
        "{ended}"
    );
    assert_eq!(ended.stdout, "", "a plan that was not saved is not shown");
    assert_eq!(
        fs::read_to_string(place.path().join("plan.json")).unwrap(),
        "precious"
    );
    let ended = place.plan(1, &["--out", "no/such/folder/plan.json"]);
    assert!(
        ended.stderr.contains("[mainstay::plan::unsaved]"),
        "{ended}"
    );
}

#[test]
fn a_saved_plan_can_be_shown_also_when_the_policy_has_changed() {
    let place = Place::new(SHOP, &a_week());
    let made = place.plan(0, &["--out", "plan.json"]);
    assert!(made.stderr.contains("mainstay apply plan.json"), "{made}");
    let show = ["show", "-p", "policy.toml", "plan.json"];
    let shown = place.expect(0, &show);
    assert_eq!(
        (shown.stdout.as_str(), shown.stderr.as_str()),
        (made.stdout.as_str(), "")
    );
    let json = place.expect(0, &["show", "plan.json", "--json"]).json();
    assert_eq!(json, place.plan(0, &["--json"]).json());

    place.write("policy.toml", &SHOP.replace("daily = 3", "daily = 2"));
    let stale = place.expect(0, &show);
    assert_eq!(stale.stdout, made.stdout, "it still shows what was planned");
    assert!(stale.stderr.contains("Stale"), "{stale}");
    let refused = place.expect(7, &["apply", "-p", "policy.toml", "plan.json"]);
    assert!(
        refused.stderr.contains("[mainstay::plan::stale]"),
        "{refused}"
    );

    // Without its policy it can be looked at too.
    fs::remove_file(place.path().join("policy.toml")).unwrap();
    place.expect(0, &["show", "plan.json"]);
}

#[test]
fn a_saved_plan_that_somebody_edited_is_refused() {
    let place = Place::new(SHOP, &a_week());
    place.plan(0, &["--out", "plan.json"]);
    let file = place.path().join("plan.json");
    let text = fs::read_to_string(&file).unwrap();
    place.write(
        "plan.json",
        &text.replacen("\"tier\":\"disk\"", "\"tier\":\"nas\"", 1),
    );
    for command in ["show", "apply"] {
        let ended = place.expect(1, &[command, "-p", "policy.toml", "plan.json"]);
        assert!(ended.stderr.contains("somebody changed it"), "{ended}");
    }
}

// -- retention against restic's -----------------------------------------------------------------------------------------

fn civil(text: &str) -> Timestamp {
    let time: DateTime = text.replace(' ', "T").parse().unwrap();
    time.to_zoned(TimeZone::UTC).unwrap().timestamp()
}

/// restic's policy in ours: `m` is `mo` here, and -1 is "all".
fn keep_of(policy: &Value) -> String {
    let mut rules = vec!["pick = \"last\"".to_owned()];
    for (key, value) in policy.as_object().unwrap() {
        let key = key.replace('_', "-");
        match value {
            Value::Number(number) if number.as_i64() == Some(-1) => {
                rules.push(format!("{key} = \"all\""));
            }
            Value::Number(number) => rules.push(format!("{key} = {number}")),
            Value::String(window) => {
                rules.push(format!("{key} = \"{}\"", in_our_order(window)));
            }
            // Tags are holds; they are set on the copies.
            _ => {}
        }
    }
    format!("{{ {} }}", rules.join(", "))
}

/// `1y1d1m` → `1y1mo1d`.
fn in_our_order(window: &str) -> String {
    let mut parts = BTreeMap::new();
    let mut number = String::new();
    for letter in window.chars() {
        if letter.is_ascii_digit() {
            number.push(letter);
        } else {
            let (rank, unit) = match letter {
                'y' => (0, "y"),
                'm' => (1, "mo"),
                'd' => (2, "d"),
                _ => (3, "h"),
            };
            parts.insert(rank, format!("{}{unit}", std::mem::take(&mut number)));
        }
    }
    parts.into_values().collect()
}

struct Case<'a> {
    name: String,
    policy: &'a Value,
    points: Vec<(Timestamp, Vec<String>)>,
    keep: Vec<Timestamp>,
}

/// Plans one case and compares what is kept, time by time.
fn compare(place: &Place, case: &Case<'_>) {
    let tags: Vec<BTreeSet<&str>> = case.policy["tags"]
        .as_array()
        .map_or_else(Vec::new, |lists| {
            lists
                .iter()
                .map(|list| {
                    list.as_array()
                        .unwrap()
                        .iter()
                        .map(|tag| tag.as_str().unwrap())
                        .collect()
                })
                .collect()
        });
    let rules = case
        .policy
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| *key != "tags")
        .count();
    let mut keep = keep_of(case.policy);
    if rules == 0 && !tags.is_empty() {
        // A keep without a rule is a mistake here; holds are told apart by their reason.
        "{ pick = \"last\", last = 1 }".clone_into(&mut keep);
    }
    place.write(
        "policy.toml",
        &format!(
            "mainstay = 1\n[tier.disk]\nkind = \"filesystem\"\npath = \"disk\"\n[database.shop]\nengine = \"sqlite\"\n\
             path = \"shop.db\"\n[[database.shop.series]]\nname = \"daily\"\nevery = \"1m\"\nkeep.disk = {keep}\n"
        ),
    );
    let mut used = BTreeSet::new();
    let points: Vec<Value> = case
        .points
        .iter()
        .map(|(time, has)| {
            // Several points of one second differ in their slot.
            let mut shift = 0;
            while !used.insert(time.as_second() + shift) {
                shift += 1;
            }
            let mut point = at(*time, shift, &["disk"]);
            let held = tags
                .iter()
                .any(|list| list.iter().all(|tag| has.iter().any(|it| it == tag)));
            point["copies"][0]["held"] = json!(held);
            point
        })
        .collect();
    place.write("inventory.json", &inventory(&points).to_string());
    let newest = case.points.iter().map(|(time, _)| *time).max().unwrap();
    let now = (newest + SignedDuration::from_secs(30)).to_string();
    let arguments = [
        "plan",
        "-p",
        "policy.toml",
        "--inventory",
        "inventory.json",
        "--now",
        &now,
        "--json",
    ];
    if rules == 0 && tags.is_empty() {
        let ended = place.expect(4, &arguments);
        assert!(ended.stderr.contains("policy::empty-keep"), "{ended}");
        assert!(case.keep.is_empty());
        return;
    }
    let plan = place.expect(0, &arguments).json();
    let captured: BTreeMap<&str, Timestamp> = points
        .iter()
        .map(|point| {
            (
                point["id"].as_str().unwrap(),
                point["captured_at"].as_str().unwrap().parse().unwrap(),
            )
        })
        .collect();
    let mut kept: Vec<Timestamp> = plan["kept"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|kept| {
            rules > 0
                || kept["reasons"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|why| why.as_str().unwrap().contains("held"))
        })
        .map(|kept| captured[kept["recovery_point"].as_str().unwrap()])
        .collect();
    kept.sort();
    let mut theirs = case.keep.clone();
    theirs.sort();
    assert_eq!(kept, theirs, "{}: keep = {keep}", case.name);

    // Kept and pruned together are all there is.
    let pruned = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["action"] == "prune")
        .count();
    let all_kept = plan["kept"].as_array().unwrap().len();
    assert_eq!(pruned + all_kept, points.len(), "{}", case.name);
}

#[test]
fn retention_is_as_worked_out_by_hand() {
    let times = [
        "2026-01-01 02:00:00",
        "2026-01-31 02:00:00",
        "2026-02-01 02:00:00",
        "2026-02-27 02:00:00",
        "2026-02-28 02:00:00",
        "2026-03-01 02:00:00",
        "2026-03-01 14:00:00",
        "2026-03-02 02:00:00",
        "2026-03-02 14:00:00",
    ];
    let none = Vec::new;
    let points: Vec<_> = times.iter().map(|time| (civil(time), none())).collect();
    let cases: [(Value, &[usize]); 8] = [
        (json!({"last": 2}), &[7, 8]),
        (json!({"hourly": 3}), &[6, 7, 8]),
        // The newest of each of the three newest days.
        (json!({"daily": 3}), &[4, 6, 8]),
        // 2026-03-02 is a Monday: its ISO week, the one before, and that of 2026-02-01, a Sunday.
        (json!({"weekly": 3}), &[2, 6, 8]),
        (json!({"monthly": 2}), &[4, 8]),
        // A count that is not used up keeps the oldest point as well, as in restic.
        (json!({"monthly": -1, "last": 2}), &[0, 1, 4, 7, 8]),
        // Measured back from the newest point, 2026-03-02 14:00, its end excluded.
        (json!({"within": "1d"}), &[7, 8]),
        (json!({"within": "1m"}), &[3, 4, 5, 6, 7, 8]),
    ];
    let place = Place::new("", &inventory(&[]));
    for (policy, kept) in &cases {
        let case = Case {
            name: policy.to_string(),
            policy,
            points: points.clone(),
            keep: kept.iter().map(|index| points[*index].0).collect(),
        };
        compare(&place, &case);
    }
}

/// restic's own forty cases, where the file with them lies beside the project.
#[test]
fn retention_equals_restic_in_all_forty_cases() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracles/restic-forget.json");
    let Ok(text) = fs::read_to_string(path) else {
        return;
    };
    let oracle: Value = serde_json::from_str(&text).unwrap();
    let time = |value: &Value| civil(value["time"].as_str().unwrap());
    let points: Vec<(Timestamp, Vec<String>)> = oracle["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|snapshot| {
            let tags = snapshot["tags"].as_array().unwrap();
            (
                time(snapshot),
                tags.iter()
                    .map(|tag| tag.as_str().unwrap().to_owned())
                    .collect(),
            )
        })
        .collect();
    let cases = oracle["cases"].as_array().unwrap();
    assert_eq!((points.len(), cases.len()), (103, 40));
    let place = Place::new("", &inventory(&[]));
    for case in cases {
        let case = Case {
            name: format!("case {}", case["id"]),
            policy: &case["policy"],
            points: points.clone(),
            keep: case["keep"].as_array().unwrap().iter().map(time).collect(),
        };
        compare(&place, &case);
    }
}
