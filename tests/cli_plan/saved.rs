//! Saved plans: written once, shown later, refused when somebody changed them.

use crate::place::{Place, SHOP, a_week};
use std::fs;

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
