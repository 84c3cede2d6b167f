//! Retention as worked out by hand, and against restic's own cases.

use crate::place::{Place, at, inventory};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

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
