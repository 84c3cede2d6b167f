//! What programs and people see of a plan: the same bytes each time, an id that anyone can check, words, exit codes.

use crate::{
    place::{Place, SHOP, a_week, inventory, point},
    support::program::Ended,
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

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
