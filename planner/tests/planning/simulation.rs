//! Plans carried out on data: what a month of nightly applies leads to.

use super::support::{apply_to, at, daily, ids, inventory, plan, policy, show};
use jiff::SignedDuration;
use model::{Action, Inventory, Plan};
use policy_schema::Policy;

const POLICY: &str = r#"
    zone Europe/Prague
    orders/daily "0 2 * * *" nas{daily=7 weekly=4} archive{monthly=12 yearly=7}
    orders/hourly "0 * * * *" nas{last=6}
    erp/nightly "30 1 * * *" nas{daily=3 weekly=2 pick=last} archive{within=10d}
    ledger/monthly "0 5 1 * *" archive{forever} verify=restore
"#;

fn apply_until_quiet(policy: &Policy, inventory: &mut Inventory, now: &str) -> Vec<Plan> {
    let mut plans = Vec::new();
    loop {
        let plan = plan(policy, inventory, now);
        if !plan.applyable {
            return plans;
        }
        assert!(plans.len() < 4, "{}", show(&plan));
        apply_to(inventory, &plan);
        plans.push(plan);
    }
}

#[test]
fn every_night_one_apply_makes_and_one_more_prunes_and_then_the_plan_is_empty() {
    let policy = policy(POLICY);
    let mut now = at("2025-11-20T12:10:00Z");
    let mut inventory = inventory(&now.to_string(), "");
    for day in 0..500 {
        let plans = apply_until_quiet(&policy, &mut inventory, &now.to_string());
        assert!(plans.len() <= 2, "day {day}");
        // The second plan only deletes what the first one's points took the place of.
        let follow_up = plans.iter().skip(1).flat_map(|plan| &plan.steps);
        assert!(
            follow_up
                .into_iter()
                .all(|step| step.action == Action::Prune),
            "day {day}"
        );
        assert!(
            plans[0].approval.is_empty(),
            "day {day}: {}",
            show(&plans[0])
        );
        now += SignedDuration::from_hours(24);
    }
    let count = |database: &str, series: &str, tier: &str| {
        inventory
            .recovery_points
            .iter()
            .filter(|point| point.database.as_str() == database && point.series.as_str() == series)
            .filter(|point| point.copies.iter().any(|copy| copy.tier.as_str() == tier))
            .count()
    };
    assert_eq!(count("orders", "daily", "nas"), 10);
    assert_eq!(count("orders", "daily", "archive"), 12 + 2);
    assert_eq!(count("orders", "hourly", "nas"), 6);
    assert_eq!(count("erp", "nightly", "archive"), 10);
    assert_eq!(count("ledger", "monthly", "archive"), 18);
}

#[test]
fn plans_made_hour_by_hour_keep_what_plans_made_once_a_day_keep() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=5 weekly=3} archive{monthly=3}"#);
    let run = |hours: usize| {
        let mut now = at("2026-01-05T02:00:00Z");
        let mut inventory = inventory(&now.to_string(), "");
        for _ in (0..24 * 90).step_by(hours) {
            apply_until_quiet(&policy, &mut inventory, &now.to_string());
            now += SignedDuration::from_hours(i64::try_from(hours).unwrap());
        }
        let mut points: Vec<String> = inventory
            .recovery_points
            .iter()
            .flat_map(|point| {
                point
                    .copies
                    .iter()
                    .map(|copy| format!("{}@{}", point.id, copy.tier))
            })
            .collect();
        points.sort();
        points
    };
    assert_eq!(run(1), run(24));
}

#[test]
fn whatever_was_lost_or_damaged_is_whole_again_after_one_apply() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7} vault{daily=7}"#);
    let now = "2026-11-21T03:00:00Z";
    let points = daily("orders/daily", "2026-11-15", 7, "nas:v vault:v")
        .replace("20261117T020000Z nas:v", "20261117T020000Z nas:d")
        .replace(
            "20261118T020000Z nas:v vault:v",
            "20261118T020000Z nas:v vault:m",
        )
        .replace(
            "20261119T020000Z nas:v vault:v",
            "20261119T020000Z nas:v vault:x",
        )
        .replace("20261120T020000Z nas:v vault:v", "20261120T020000Z nas:v");
    let mut inventory = inventory(now, &points);
    let plans = apply_until_quiet(&policy, &mut inventory, now);
    assert_eq!(plans.len(), 1);
    assert_eq!(ids(&plans[0], Action::Repair).len(), 2);
    assert_eq!(ids(&plans[0], Action::Adopt).len(), 1);
    assert_eq!(ids(&plans[0], Action::Upload).len(), 1);
    assert!(
        inventory.recovery_points.iter().all(|point| point
            .copies
            .iter()
            .filter(|copy| copy.is_good())
            .count()
            == 2)
    );
}

#[test]
fn a_catalog_rebuilt_from_manifests_proves_its_points_before_it_deletes_any() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7}"#);
    let now = "2026-11-21T03:00:00Z";
    let mut inventory = inventory(now, &daily("orders/daily", "2026-11-12", 10, "nas:u"));
    let first = plan(&policy, &inventory, now);
    assert_eq!(ids(&first, Action::Verify).len(), 7);
    assert!(ids(&first, Action::Prune).is_empty(), "{}", show(&first));
    apply_to(&mut inventory, &first);
    let second = plan(&policy, &inventory, now);
    assert_eq!(ids(&second, Action::Prune).len(), 3);
}

/// A plan carried out badly: each step fails with one chance in `odds`, and whatever waits for a failed step is skipped.
fn apply_badly(inventory: &mut Inventory, plan: &Plan, seed: &mut u64, odds: u64) {
    let mut failed = std::collections::BTreeSet::new();
    let mut done = plan.clone();
    done.steps.retain(|step| {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let fails =
            (*seed >> 33).is_multiple_of(odds) || step.after.iter().any(|id| failed.contains(id));
        if fails {
            failed.insert(step.id.clone());
        }
        !fails
    });
    apply_to(inventory, &done);
}

#[test]
fn applies_that_fail_half_way_lose_nothing_and_the_next_good_one_mends_all() {
    let policy = policy(
        r#"
        orders/daily "0 2 * * *" nas{daily=5 weekly=2} vault{daily=3 pick=last} archive{monthly=6}
        erp/daily "0 3 * * *" vault{last=1} nas{within=4d}"#,
    );
    for mut seed in 0..12_u64 {
        let mut now = at("2026-01-05T04:00:00Z");
        let mut inventory = inventory(&now.to_string(), "");
        for day in 0..60 {
            let before = newest_good(&inventory);
            for _ in 0..2 {
                let plan = plan(&policy, &inventory, &now.to_string());
                apply_badly(&mut inventory, &plan, &mut seed, 4);
            }
            for (series, newest) in before {
                let after = newest_good(&inventory).get(&series).copied();
                assert!(
                    after >= Some(newest),
                    "day {day}: {series} fell back from {newest} to {after:?}"
                );
            }
            now += SignedDuration::from_hours(24);
        }
        let plans = apply_until_quiet(&policy, &mut inventory, &now.to_string());
        assert!(plans.len() <= 3, "{} plans", plans.len());
        let good = newest_good(&inventory);
        assert_eq!(good.len(), 2);
        assert!(
            good.values()
                .all(|slot| now.duration_since(*slot) < SignedDuration::from_hours(3))
        );
    }
}

fn newest_good(inventory: &Inventory) -> std::collections::BTreeMap<String, jiff::Timestamp> {
    let mut newest = std::collections::BTreeMap::new();
    for point in &inventory.recovery_points {
        if point.copies.iter().any(model::Copy::is_good) {
            let slot = newest
                .entry(format!("{}/{}", point.database, point.series))
                .or_insert(point.slot);
            *slot = (*slot).max(point.slot);
        }
    }
    newest
}
