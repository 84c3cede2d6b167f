//! Inventories that make no sense.

use crate::place::{Place, SHOP, a_week};
use serde_json::{Value, json};
use std::fs;

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
