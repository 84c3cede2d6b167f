//! What a diff of two policies promises, for random rules and points: it destroys exactly what the new plan lets go and the old one
//! keeps; and the ends that it tells are never later than what happens.

use super::{
    properties::{keeps, points},
    support::{at, inventory, policy},
};
use jiff::Timestamp;
use mainstay_planner::{
    Options, Until,
    diff::{Declared, PolicyDiff, diff},
    explain, plan,
    retention::Point,
};
use model::{Action, Inventory, Keep, Plan, Step, tier_facts::TierCapabilities};
use policy_schema::Policy;
use proptest::prelude::*;
use std::collections::BTreeSet;

const NOW: &str = "2028-02-01T12:00:00Z";

fn keeping(keep: &Keep) -> Policy {
    let mut policy = policy("shop/daily \"0 2 * * *\" nas{daily=1}\nmax-prune-percent 100");
    policy.digest = model::Digest::sha256_of(format!("{keep:?}").as_bytes());
    let database = policy.databases.values_mut().next().unwrap();
    let series = database.series.values_mut().next().unwrap();
    series.keep[0].1 = keep.clone();
    policy
}

/// One copy of each point on the one tier.
fn stored(points: &[Point]) -> Inventory {
    let lines: Vec<String> = points
        .iter()
        .map(|point| {
            let stamp = point.at.strftime("%Y%m%dT%H%M%SZ");
            let verified = if point.verified { "nas:v" } else { "nas:p" };
            format!("shop/daily/{stamp} {verified}")
        })
        .collect();
    let mut inventory = inventory(NOW, &lines.join("\n"));
    // The clock is right, however old the points are.
    inventory.last_activity = Some(at("2028-02-01T02:00:00Z"));
    inventory
}

fn between(old: &Policy, new: &Policy, inventory: &Inventory) -> PolicyDiff {
    let capabilities = TierCapabilities::new();
    let side = |policy| Declared {
        policy,
        capabilities: &capabilities,
    };
    diff(side(old), side(new), inventory.clone(), at(NOW))
}

fn planned(policy: &Policy, inventory: &Inventory) -> Plan {
    let capabilities = TierCapabilities::new();
    plan(
        policy,
        inventory,
        &capabilities,
        at(NOW),
        &Options::default(),
    )
}

fn pruned(plan: &Plan) -> BTreeSet<String> {
    let prunes = |step: &&Step| step.action == Action::Prune;
    let steps = plan.steps.iter().filter(prunes);
    steps.map(|step| step.recovery_point.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_destroyed_is_what_the_old_plan_keeps_and_the_new_one_prunes(
        old in keeps(true), new in keeps(true), points in points(true),
    ) {
        prop_assume!(old != new);
        let (old, new) = (keeping(&old), keeping(&new));
        let inventory = stored(&points);
        let found = between(&old, &new, &inventory);
        let kept: BTreeSet<String> = planned(&old, &inventory).kept.iter().map(|kept| kept.recovery_point.to_string()).collect();
        let wanted: BTreeSet<String> = pruned(&planned(&new, &inventory)).intersection(&kept).cloned().collect();
        let destroyed: BTreeSet<String> = found.destroyed.iter().map(|lost| lost.recovery_point.to_string()).collect();
        prop_assert_eq!(&destroyed, &wanted);
        prop_assert!(destroyed.is_empty() || found.needs_approval());
        for expiry in &found.expires_earlier {
            prop_assert!(expiry.to < expiry.from && !destroyed.contains(expiry.recovery_point.as_str()));
        }
    }

}

proptest! {
    // Four diffs each, and rules without an end are forecast over many years.
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_policy_does_not_differ_from_itself_and_the_order_of_points_says_nothing(
        old in keeps(true), new in keeps(true), points in points(false),
    ) {
        let (old, new) = (keeping(&old), keeping(&new));
        let inventory = stored(&points);
        let same = between(&old, &old, &inventory);
        prop_assert!(same.is_empty() && !same.needs_approval() && same.expires_later.is_empty());
        let mut reversed = inventory.clone();
        reversed.recovery_points.reverse();
        prop_assert_eq!(between(&old, &new, &inventory), between(&old, &new, &reversed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_point_never_goes_before_the_end_that_is_told(
        keep in keeps(true), missing in prop::collection::btree_set(0_i64..40, 0..10), which: prop::sample::Index,
    ) {
        let policy = keeping(&keep);
        let newest: Timestamp = "2028-02-01T02:00:00Z".parse().unwrap();
        let days = (0..40).filter(|day| !missing.contains(day));
        let points: Vec<Point> = days
            .map(|day| Point { at: newest - jiff::SignedDuration::from_hours(24 * day), held: false, verified: true })
            .collect();
        let inventory = stored(&points);
        let point = which.get(&inventory.recovery_points);
        let told = explain(&policy, &inventory, &TierCapabilities::new(), at(NOW), &point.id).unwrap();
        let on = &told.tiers[0];
        if let (Until::AtLeast(least), Some(end)) = (on.until, on.expected_end) {
            prop_assert!(least <= end, "{}: {keep}: told {least}, goes {end}", point.id);
        }
        prop_assert!(on.until != Until::NoEnd || on.expected_end.is_none());
    }
}
