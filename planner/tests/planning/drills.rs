//! Drills: when they are due, what they restore, and that chance can be repeated.

use super::support::{at, capable, daily, inventory, plan, plan_on, plan_with, policy, show};
use mainstay_planner::Options;
use model::{Action, DatabaseName, Plan, Step, wal::RecoveryTarget};
use std::collections::BTreeSet;

const NOW: &str = "2026-11-21T06:00:00Z";

fn with(drill: &str) -> String {
    format!("orders/daily \"0 2 * * *\" nas{{daily=60}}\ndrill orders {drill}")
}

fn drills(plan: &Plan) -> Vec<&Step> {
    plan.steps
        .iter()
        .filter(|step| step.action == Action::Drill)
        .collect()
}

fn points() -> String {
    daily("orders/daily", "2026-11-12", 10, "nas:v")
}

fn one(policy_text: &str, inventory_text: &str, now: &str) -> String {
    let plan = plan(&policy(policy_text), &inventory(now, inventory_text), now);
    let all = drills(&plan);
    assert!(all.len() <= 1);
    all.first()
        .map_or_else(|| show(&plan), |step| step.id.to_string())
}

#[test]
fn each_pick_restores_what_it_says() {
    let newest = one(&with("often \"0 5 * * *\" newest"), &points(), NOW);
    assert_eq!(newest, "drill:orders/daily/20261121T020000Z@nas#often");
    let oldest = one(&with("often \"0 5 * * *\" oldest-kept"), &points(), NOW);
    assert_eq!(oldest, "drill:orders/daily/20261112T020000Z@nas#often");
    let mut seen = BTreeSet::new();
    for day in 1..=28 {
        let now = format!("2026-12-{day:02}T05:30:00Z");
        let slot = daily("orders/daily", "2026-11-20", 11 + i64::from(day), "nas:v");
        let id = one(&with("often \"0 5 * * *\" within=3d"), &slot, &now);
        let stamp = id.split('/').nth(2).unwrap()[6..8].parse::<i32>().unwrap();
        seen.insert((day - stamp).rem_euclid(30));
    }
    assert!(seen.len() >= 3, "{seen:?}");
    assert!(seen.iter().all(|age| *age <= 3), "{seen:?}");
}

#[test]
fn a_slot_is_carried_out_once_even_if_it_failed() {
    let policy = with("weekly \"0 5 * * 1\" newest");
    let due = one(&policy, &points(), NOW);
    assert!(due.starts_with("drill:"), "{due}");
    for (how, said) in [
        ("", "nothing"),
        (" failed", "rto-not-met: drill weekly failed at"),
    ] {
        let done = format!(
            "{}drilled orders weekly 2026-11-16T05:00:00Z{how}",
            points()
        );
        let planned = one(&policy, &done, NOW);
        assert!(planned.contains(said), "{planned}");
        assert!(!planned.contains("drill:"), "{planned}");
    }
    let long_ago = format!("{}drilled orders weekly 2026-10-05T05:00:00Z", points());
    assert!(one(&policy, &long_ago, NOW).starts_with("drill:"));
    // Another drill's record says nothing of this one.
    let other = format!("{}drilled orders monthly 2026-11-16T05:00:00Z", points());
    assert!(one(&policy, &other, NOW).starts_with("drill:"));
}

#[test]
fn of_missed_slots_only_the_newest_is_made_up() {
    let policy = policy(&with("weekly \"0 5 * * 1\" newest"));
    let long_ago = format!("{}drilled orders weekly 2026-10-05T05:00:00Z", points());
    let plan = plan(&policy, &inventory(NOW, &long_ago), NOW);
    let all = drills(&plan);
    assert_eq!(
        all[0].drill.as_ref().unwrap().slot,
        at("2026-11-16T05:00:00Z")
    );
    assert!(all[0].reason.text.contains("newest of several missed"));
    assert!(!all[0].destructive);
}

#[test]
fn a_drill_that_was_asked_for_runs_whatever_the_schedule_says() {
    let policy = policy(&with("weekly \"0 5 * * 1\" newest"));
    let done = format!("{}drilled orders weekly 2026-11-16T05:00:00Z", points());
    let options = Options {
        drills: vec![(
            DatabaseName::new("orders").unwrap(),
            Some("weekly".to_owned()),
        )],
        ..Options::default()
    };
    let plan = plan_with(&policy, &inventory(NOW, &done), NOW, &options);
    assert_eq!(drills(&plan)[0].drill.as_ref().unwrap().slot, at(NOW));
}

#[test]
fn the_same_slot_draws_the_same_and_the_order_of_the_inventory_does_not_matter() {
    let policy = policy(&with("often \"0 5 * * *\" within=9d"));
    let one = inventory(NOW, &points());
    let mut other = one.clone();
    other.recovery_points.reverse();
    let (a, b) = (plan(&policy, &one, NOW), plan(&policy, &other, NOW));
    assert_eq!(a.id, b.id);
    let later = plan(&policy, &one, "2026-11-21T07:00:00Z");
    let seed = |plan: &Plan| drills(plan)[0].drill.as_ref().unwrap().seed.unwrap();
    assert_eq!(seed(&a), seed(&later));
    assert!(seed(&a) < 1 << 53);
}

#[test]
fn what_this_plan_makes_is_drilled_after_its_proof() {
    let policy = policy(&with("often \"0 5 * * *\" newest"));
    let made = plan(&policy, &inventory(NOW, ""), NOW);
    let all = drills(&made);
    assert_eq!(
        all[0].id.as_str(),
        "drill:orders/daily/20261121T020000Z@nas#often"
    );
    assert_eq!(
        all[0].after[0].as_str(),
        "verify:orders/daily/20261121T020000Z@nas"
    );
}

#[test]
fn nothing_to_restore_is_said_and_never_a_success() {
    let unproved = daily("orders/daily", "2026-11-12", 10, "nas:u");
    let text = one(&with("often \"0 5 * * *\" oldest-kept"), &unproved, NOW);
    assert!(
        text.contains("~ drill often of orders: nothing-to-restore"),
        "{text}"
    );
    let text = one(
        &with("often \"0 5 * * *\" newest from=tape"),
        &points(),
        NOW,
    );
    assert!(
        text.contains("no verified recovery point on tape yet"),
        "{text}"
    );
    let away = format!("{}unreachable tape", points());
    let text = one(&with("often \"0 5 * * *\" newest from=tape"), &away, NOW);
    assert!(
        text.contains("~ drill often of orders: tier-unreachable"),
        "{text}"
    );
}

#[test]
fn an_archived_point_is_thawed_for_a_drill_and_two_drills_share_the_thaw() {
    let text = "orders/daily \"0 2 * * *\" nas{daily=2} tape{daily=30}\n\
        drill orders a \"0 5 * * *\" newest from=tape\n\
        drill orders b \"0 5 * * *\" newest from=tape";
    let points = daily("orders/daily", "2026-11-21", 1, "nas:v tape:a");
    let plan = plan_on(
        &policy(text),
        &inventory(NOW, &points),
        &capable("tape thaw=bulk,12h"),
        NOW,
        &Options::default(),
    );
    let all = drills(&plan);
    assert_eq!(all.len(), 2);
    let thaw = "thaw:orders/daily/20261121T020000Z@tape";
    assert!(
        all.iter()
            .all(|step| step.after.iter().any(|id| id.as_str() == thaw))
    );
    assert_eq!(
        plan.steps
            .iter()
            .filter(|step| step.action == Action::Thaw)
            .count(),
        1
    );
}

#[test]
fn what_this_plan_prunes_is_not_drilled() {
    let text =
        "orders/daily \"0 2 * * *\" nas{last=3}\ndrill orders often \"0 5 * * *\" oldest-kept";
    let id = one(text, &points(), NOW);
    assert_eq!(id, "drill:orders/daily/20261119T020000Z@nas#often");
}

const LOGGED: &str = "orders/base \"0 2 * * *\" nas{last=30}\nwal orders nas=14d\n\
    drill orders often \"0 * * * *\" moment=2d";

#[test]
fn a_random_moment_lies_behind_a_base_inside_the_window_and_before_the_end_of_the_log() {
    let points = "\
        orders/base/20261115T020000Z nas:v wal=7:1:10-10\n\
        orders/base/20261120T020000Z nas:v wal=7:1:50-50\n\
        orders/base/20261121T020000Z nas:u wal=7:1:60-60\n\
        log orders nas 7:1 10-70 2026-11-15T01:00:00Z 2026-11-21T05:00:00Z\n";
    let policy = policy(LOGGED);
    let mut bases = BTreeSet::new();
    for hour in 6..=23 {
        let now = format!("2026-11-21T{hour:02}:10:00Z");
        let plan = plan(&policy, &inventory(&now, points), &now);
        let all = drills(&plan);
        let order = all[0].drill.as_ref().unwrap();
        let Some(RecoveryTarget::Time(moment)) = order.target else {
            panic!("{}", show(&plan));
        };
        assert!(moment > at(&now) - jiff::SignedDuration::from_hours(48));
        assert!(moment < at("2026-11-21T05:00:00Z"));
        let base = all[0].recovery_point.clone();
        let captured = super::support::stamp_to_time(base.stamp());
        assert!(captured < moment, "{base} {moment}");
        bases.insert(base.to_string());
    }
    assert_eq!(bases.len(), 2, "{bases:?}");
}

#[test]
fn moments_in_a_hole_are_never_drawn() {
    let points = "\
        orders/base/20261119T080000Z nas:v wal=7:1:10-10\n\
        orders/base/20261121T020000Z nas:v wal=7:1:60-60\n\
        log orders nas 7:1 10-20 2026-11-19T07:00:00Z 2026-11-19T12:00:00Z\n\
        log orders nas 7:1 55-70 2026-11-21T01:00:00Z 2026-11-21T05:00:00Z\n";
    let policy = policy(LOGGED);
    for hour in 6..=23 {
        let now = format!("2026-11-21T{hour:02}:10:00Z");
        let plan = plan(&policy, &inventory(&now, points), &now);
        let order = drills(&plan)[0].drill.clone().unwrap();
        let Some(RecoveryTarget::Time(moment)) = order.target else {
            panic!("{}", show(&plan));
        };
        let hole = at("2026-11-19T12:00:00Z")..at("2026-11-21T02:00:00Z");
        assert!(!hole.contains(&moment), "{moment}");
    }
}

#[test]
fn without_log_no_moment_is_drawn() {
    let points = "orders/base/20261121T020000Z nas:v wal=7:1:60-60\n";
    let text = one(LOGGED, points, NOW);
    assert!(text.contains("nothing-to-restore"), "{text}");
}
