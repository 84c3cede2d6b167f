//! The promises about deleting: what may go, on what grounds, and what must remain.

use super::Report;
use model::{
    Action, Copy, DatabaseName, Inventory, Plan, PointState, ReasonCode, RecoveryPoint,
    RecoveryPointId, SeriesName, Step, StepId, TierName,
};
use policy_schema::Policy;
use std::collections::{BTreeMap, BTreeSet};

fn prunes(plan: &Plan) -> impl Iterator<Item = &Step> {
    plan.steps
        .iter()
        .filter(|step| step.action == Action::Prune)
}

fn is_purge(step: &Step) -> bool {
    step.reason.code == ReasonCode::Purged
}

fn declared(policy: &Policy, point: &RecoveryPoint, tier: &TierName) -> bool {
    policy
        .databases
        .get(&point.database)
        .and_then(|database| database.series.get(&point.series))
        .is_some_and(|series| series.keep.iter().any(|(named, _)| named == tier))
}

pub(super) fn each(plan: &Plan, policy: &Policy, inventory: &Inventory, report: &mut Report<'_>) {
    let ids: BTreeSet<&RecoveryPointId> = prunes(plan).map(|step| &step.recovery_point).collect();
    if ids.is_empty() {
        return;
    }
    let points: BTreeMap<&RecoveryPointId, &RecoveryPoint> = inventory
        .recovery_points
        .iter()
        .map(|point| (&point.id, point))
        .collect();
    let newest = inventory
        .recovery_points
        .iter()
        .map(|point| point.captured_at)
        .chain(inventory.last_activity)
        .max();
    let clock_is_behind =
        newest.is_some_and(|newest| plan.evaluated_at < newest - crate::world::TOLERANCE);
    let gone: BTreeSet<(&RecoveryPointId, &TierName)> = prunes(plan)
        .map(|step| (&step.recovery_point, &step.tier))
        .collect();
    for step in prunes(plan) {
        let id = || step.id.to_string();
        if clock_is_behind {
            report("nothing is pruned while the clock is behind", id());
        }
        let Some((point, copy)) = points
            .get(&step.recovery_point)
            .and_then(|point| Some((*point, point.copy_on(&step.tier)?)))
        else {
            report("only what is known is pruned", id());
            continue;
        };
        if point.state != PointState::Complete || !copy.is_present() {
            report("only a present copy of a complete point is pruned", id());
        }
        if point.copies.iter().any(|copy| copy.held) {
            report("what is held is never pruned", id());
        }
        if copy
            .locked_until
            .is_some_and(|until| until > plan.evaluated_at)
        {
            report("what is locked is never pruned", id());
        }
        if is_purge(step) == declared(policy, point, &step.tier) {
            report(
                "what is declared is never purged, and nothing else is pruned",
                id(),
            );
        }
        if is_purge(step) {
            if !step.needs_approval {
                report("a purge needs approval", id());
            }
            continue;
        }
        if step.justified_by.is_empty() {
            report("every prune names the points that justify it", id());
        }
        for justification in &step.justified_by {
            let proof = StepId::new(Action::Verify, justification, &step.tier);
            let existing = points.get(justification);
            let good = existing
                .and_then(|point| point.copy_on(&step.tier))
                .is_some_and(Copy::is_good);
            if !good && !step.after.contains(&proof) {
                report("what justifies a prune is verified first", id());
            }
            let newer = existing.map_or_else(
                || slot_made(plan, justification) > Some(point.slot),
                |newer| newer.slot > point.slot,
            );
            let same_series = justification.database() == step.database.as_str()
                && justification.series() == step.series.as_str();
            if !newer || !same_series {
                report("a newer point of the same series justifies a prune", id());
            }
            if gone.contains(&(justification, &step.tier)) {
                report("what justifies a prune is not pruned itself", id());
            }
        }
        let series = &policy.databases[&step.database].series[&step.series];
        if series
            .keep
            .iter()
            .any(|(tier, _)| inventory.unreachable_tiers.contains(tier))
        {
            report("prunes wait for every tier of their series", id());
        }
    }
}

fn slot_made(plan: &Plan, point: &RecoveryPointId) -> Option<jiff::Timestamp> {
    plan.steps
        .iter()
        .filter(|step| step.action == Action::Backup && &step.recovery_point == point)
        .find_map(|step| step.slot)
}

type Place<'a> = (&'a DatabaseName, &'a SeriesName, &'a TierName);

pub(super) fn what_remains(
    plan: &Plan,
    policy: &Policy,
    inventory: &Inventory,
    report: &mut Report<'_>,
) {
    let gone: BTreeSet<(&RecoveryPointId, &TierName)> = prunes(plan)
        .filter(|step| !is_purge(step))
        .map(|step| (&step.recovery_point, &step.tier))
        .collect();
    if gone.is_empty() {
        return;
    }
    // What every prune of a place waits for may be counted there.
    let mut proved_first: BTreeMap<Place<'_>, BTreeSet<&StepId>> = BTreeMap::new();
    for step in prunes(plan).filter(|step| !is_purge(step)) {
        let place = (&step.database, &step.series, &step.tier);
        let after: BTreeSet<&StepId> = step.after.iter().collect();
        proved_first
            .entry(place)
            .and_modify(|all| all.retain(|id| after.contains(id)))
            .or_insert(after);
    }
    let mut good_left: BTreeMap<Place<'_>, u32> = BTreeMap::new();
    let mut needed: BTreeMap<(&RecoveryPointId, &TierName), &RecoveryPointId> = BTreeMap::new();
    let mut newest_good: BTreeMap<Place<'_>, &RecoveryPoint> = BTreeMap::new();
    for point in &inventory.recovery_points {
        for copy in point.copies.iter().filter(|copy| copy.is_present()) {
            let place = (&point.database, &point.series, &copy.tier);
            let stays = !gone.contains(&(&point.id, &copy.tier));
            if stays && let Some(parent) = &point.parent {
                needed.insert((parent, &copy.tier), &point.id);
            }
            if copy.is_good() && point.state == PointState::Complete {
                *good_left.entry(place).or_default() += u32::from(stays);
                let newest = newest_good.entry(place).or_insert(point);
                if newest.slot < point.slot {
                    *newest = point;
                }
            }
        }
    }
    for (parent, child) in &needed {
        if gone.contains(parent) {
            report(
                "what a remaining point needs is never pruned",
                child.to_string(),
            );
        }
    }
    for (place, proofs) in &proved_first {
        let new = plan
            .steps
            .iter()
            .filter(|step| {
                proofs.contains(&step.id) && step.action == Action::Verify && &step.tier == place.2
            })
            .filter(|step| {
                step.after.iter().any(|made| {
                    made.as_str().starts_with("backup:")
                        || made.as_str().starts_with("upload:")
                        || made.as_str().starts_with("repair:")
                })
            })
            .count();
        let left = good_left.get(place).copied().unwrap_or(0) + u32::try_from(new).unwrap_or(0);
        if left < policy.safety.min_verified {
            report(
                "min-verified verified points remain",
                format!("{}/{}@{}", place.0, place.1, place.2),
            );
        }
        if let Some(newest) = newest_good.get(place)
            && new == 0
            && gone.contains(&(&newest.id, place.2))
        {
            report(
                "the newest verified point is never pruned",
                newest.id.to_string(),
            );
        }
    }
}

/// Every present copy that the policy names is kept, pruned, or said to wait.
pub(super) fn nothing_is_forgotten(
    plan: &Plan,
    policy: &Policy,
    inventory: &Inventory,
    report: &mut Report<'_>,
) {
    let kept: BTreeSet<(&RecoveryPointId, &TierName)> = plan
        .kept
        .iter()
        .map(|kept| (&kept.recovery_point, &kept.tier))
        .collect();
    let gone: BTreeSet<(&RecoveryPointId, &TierName)> = prunes(plan)
        .map(|step| (&step.recovery_point, &step.tier))
        .collect();
    for both in kept.intersection(&gone) {
        report(
            "nothing is both kept and pruned",
            format!("{}@{}", both.0, both.1),
        );
    }
    for entry in &plan.kept {
        if entry.reasons.is_empty() {
            report("what is kept has reasons", entry.recovery_point.to_string());
        }
    }
    let waiting: BTreeSet<&str> = plan
        .not_planned
        .iter()
        .map(|wait| wait.what.as_str())
        .collect();
    let together: BTreeSet<String> = waiting
        .iter()
        .filter_map(|what| {
            let mut words = what.split(' ');
            let prune = words.next() == Some("prune") && words.next()?.parse::<usize>().is_ok();
            (prune && words.next() == Some("of"))
                .then(|| words.next().unwrap_or_default().to_owned())
        })
        .collect();
    for point in &inventory.recovery_points {
        if point.state != PointState::Complete {
            continue;
        }
        for copy in point.copies.iter().filter(|copy| copy.is_present()) {
            let this = (&point.id, &copy.tier);
            if !declared(policy, point, &copy.tier) || kept.contains(&this) || gone.contains(&this)
            {
                continue;
            }
            let alone = format!("prune {}@{}", point.id, copy.tier);
            let place = format!("{}/{}@{}", point.database, point.series, copy.tier);
            let unseen = inventory.unreachable_tiers.contains(&copy.tier);
            if !unseen && !waiting.contains(alone.as_str()) && !together.contains(&place) {
                report("every copy is kept, pruned or waiting", alone);
            }
        }
    }
}
