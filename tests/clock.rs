//! The fear: the clock is wrong, and a machine that believes to live in another year deletes everything as too old.
//!
//! The real clock is not touched: `plan --now` plans for another time, and a catalog in which something has happened in the
//! future is what a clock that was set back looks like.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use serde_json::Value;
use std::fs;
use support::{SHOP_EVERY_SECOND, Site, laws, shop_once};

/// A policy under which age alone makes points superfluous.
fn by_age() -> String {
    SHOP_EVERY_SECOND.replace("last = 4", "within = \"1h\"")
}

/// Five points on each tier.
fn saturated(policy: &str) -> Site {
    let site = Site::new(policy);
    for n in 0..5 {
        let plan = format!("plan{n}.json");
        site.expect(0, &["plan", "--out", &plan]);
        site.expect(0, &["apply", &plan]);
        site.next_second();
    }
    site
}

fn actions<'a>(plan: &'a Value, action: &str) -> Vec<&'a Value> {
    let steps = plan["steps"].as_array().unwrap();
    steps
        .iter()
        .filter(|step| step["action"] == action)
        .collect()
}

fn waits(plan: &Value, code: &str) -> bool {
    let waiting = plan["not_planned"].as_array().unwrap();
    waiting.iter().any(|item| item["reason"]["code"] == code)
}

fn at(site: &Site, hours: i64) -> String {
    let newest = site.known().last_activity.unwrap();
    (newest + SignedDuration::from_hours(hours)).to_string()
}

#[test]
fn with_a_clock_set_back_or_far_ahead_backups_go_on_and_nothing_is_deleted() {
    let site = saturated(SHOP_EVERY_SECOND);
    fs::write(
        site.path().join("inventory.json"),
        site.expect(0, &["inventory", "--json"]).stdout,
    )
    .unwrap();
    for (hours, suspect) in [
        (-24 * 365, true),
        (-1, true),
        (0, false),
        (1, false),
        (24 * 20, false),
        (24 * 365, true),
        (24 * 365 * 20, true),
    ] {
        let now = at(&site, hours);
        let plan = site.plan(&["--inventory", "inventory.json", "--now", &now]);
        assert_eq!(
            actions(&plan, "prune").is_empty(),
            suspect,
            "{hours} hours: {plan:#}"
        );
        assert_eq!(waits(&plan, "clock-suspect"), suspect, "{hours} hours");
        if hours > 0 {
            assert_eq!(actions(&plan, "backup").len(), 1, "{hours} hours");
        }
    }
}

#[test]
fn ages_are_measured_from_the_newest_point_and_not_from_the_clock() {
    let site = saturated(&by_age());
    // Twenty days without a backup make no point older than it was beside its neighbours.
    let plan = site.plan(&["--now", &at(&site, 24 * 20)]);
    assert!(actions(&plan, "prune").is_empty(), "{plan:#}");
}

#[test]
fn a_saved_plan_is_not_believed_by_a_machine_whose_clock_was_set_back() {
    let site = saturated(SHOP_EVERY_SECOND);
    // A plan made by a clock that was an hour ahead, carried out after it was set right.
    site.expect(0, &["plan", "--now", &at(&site, 1), "--out", "plan.json"]);
    let plan: Value =
        serde_json::from_str(&fs::read_to_string(site.path().join("plan.json")).unwrap()).unwrap();
    assert!(!actions(&plan, "prune").is_empty(), "{plan:#}");
    let before = laws::whole(&site);
    let ended = site.run(&["apply", "plan.json"]);
    assert_eq!(ended.code, Some(7), "{ended}");
    ended.says("is yet to come");
    for (tier, points) in &before {
        assert!(laws::whole(&site)[tier].is_superset(points), "{ended}");
    }
}

#[test]
fn what_happened_in_the_future_stops_every_deletion_until_then() {
    let site = saturated(SHOP_EVERY_SECOND);
    let before = laws::whole(&site);
    let pruning = site.plan(&[]);
    assert!(!actions(&pruning, "prune").is_empty());
    site.expect(0, &["plan", "--out", "plan.json"]);
    // A run of tomorrow, as the journal of a machine whose clock was a day ahead would have it.
    let tomorrow = jiff_now(&site) + SignedDuration::from_hours(24);
    let catalog = Connection::open(site.catalog()).unwrap();
    let changed = catalog
        .execute(
            "UPDATE runs SET started_at = ?1, finished_at = ?1 WHERE id = (SELECT max(id) FROM runs)",
            [tomorrow.as_microsecond()],
        )
        .unwrap();
    assert_eq!(changed, 1);
    drop(catalog);

    let plan = site.plan(&[]);
    assert!(actions(&plan, "prune").is_empty(), "{plan:#}");
    assert!(waits(&plan, "clock-suspect"), "{plan:#}");
    // The plan from before is stopped by the guard that asks once more before each deletion.
    site.expect(10, &["apply", "plan.json"])
        .says("the clock says");
    site.next_second();
    let ended = site.run(&["apply", "--auto-approve"]);
    assert_eq!(ended.code, Some(0), "backups go on\n{ended}");
    let after = laws::whole(&site);
    for (tier, points) in &before {
        assert!(after[tier].is_superset(points), "{tier}");
        assert!(after[tier].len() > points.len(), "{tier}");
    }
}

#[test]
fn a_point_from_the_future_does_not_silence_the_schedule() {
    let site = saturated(SHOP_EVERY_SECOND);
    let inventory = site.expect(0, &["inventory", "--json"]).json();
    let now = at(&site, 0);
    let future = at(&site, 24 * 365);
    let stamp = future.get(..4).unwrap().to_owned() + "1121T000000Z";
    let mut edited = inventory.clone();
    let points = edited["recovery_points"].as_array_mut().unwrap();
    let mut ahead = points[4].clone();
    ahead["id"] = format!("shop/often/{stamp}").into();
    ahead["slot"] = future.clone().into();
    ahead["captured_at"] = future.into();
    points.push(ahead);
    fs::write(site.path().join("inventory.json"), edited.to_string()).unwrap();
    let later = now.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(90);
    let plan = site.plan(&["--inventory", "inventory.json", "--now", &later.to_string()]);
    assert_eq!(actions(&plan, "backup").len(), 1, "{plan:#}");
    assert!(actions(&plan, "prune").is_empty(), "{plan:#}");
    assert!(waits(&plan, "clock-suspect"), "{plan:#}");
}

/// The present, as the program tells it.
fn jiff_now(site: &Site) -> Timestamp {
    site.known().observed_at
}

/// The fear: somebody asks for the moment that a list shows, and gets one hours away.
#[test]
fn times_for_people_are_in_the_zone_of_the_policy_and_say_so() {
    let tokyo = "mainstay = 1\ntimezone = \"Asia/Tokyo\"\n";
    let site = Site::new(&shop_once().replacen("mainstay = 1\n", tokyo, 1));
    site.apply();
    let commands = [
        ["list"].as_slice(),
        &["info", "shop"],
        &["catalog", "runs"],
        &["audit", "show"],
    ];
    for command in commands {
        site.expect(0, command).says(" JST").never_says(" UTC");
    }
    site.expect(0, &["list", "--json"]).never_says("JST");
    // Without a usable policy the list is there all the same, in a zone that it names.
    site.write_policy("nonsense");
    site.expect(0, &["list"]).says(" UTC");
}
