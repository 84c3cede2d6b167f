//! The plan as a graph and as a list of steps: order, ids, flags, and what each making step needs.

use super::Report;
use crate::order;
use model::{
    Action, Inventory, Plan, PointState, ReasonCode, RecoveryPointId, Step, StepId, TierName,
    plan::FORMAT,
};
use policy_schema::Policy;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn graph(plan: &Plan, report: &mut Report<'_>) {
    let mut seen: BTreeSet<&StepId> = BTreeSet::new();
    for step in &plan.steps {
        for before in &step.after {
            if !seen.contains(before) {
                report(
                    "a step stands after everything it waits for",
                    step.id.to_string(),
                );
            }
        }
        if !step.after.is_sorted_by(|a, b| a < b) {
            report(
                "what a step waits for is sorted and named once",
                step.id.to_string(),
            );
        }
        if !seen.insert(&step.id) {
            report("a step stands in a plan once", step.id.to_string());
        }
        let said = match &step.drill {
            Some(order) => StepId::of_drill(&step.recovery_point, &step.tier, &order.name),
            None => StepId::new(step.action, &step.recovery_point, &step.tier),
        };
        if step.id != said {
            report("a step's id says what it does", step.id.to_string());
        }
    }
    for cycle in order::cycles(&plan.steps) {
        report("the graph has no cycle", cycle[0].to_string());
    }
    if plan.format != FORMAT {
        report("the format is known", plan.format.clone());
    }
    if plan.applyable == plan.steps.is_empty() {
        report(
            "a plan is applyable if it has steps",
            plan.applyable.to_string(),
        );
    }
    let rules = plan
        .approval
        .iter()
        .any(|reason| reason.code == ReasonCode::ApprovalWeakened);
    if plan.needs_approval != (rules || plan.steps.iter().any(|step| step.needs_approval)) {
        report(
            "a plan needs approval if a step or a change of the rules does",
            plan.needs_approval.to_string(),
        );
    }
    if plan.needs_approval == plan.approval.is_empty() {
        report(
            "approval is asked for with reasons",
            plan.needs_approval.to_string(),
        );
    }
    if plan.id.is_some() && !plan.is_intact().unwrap_or(false) {
        report("the id is the digest of the plan", format!("{:?}", plan.id));
    }
}

pub(super) fn steps(plan: &Plan, policy: &Policy, inventory: &Inventory, report: &mut Report<'_>) {
    let unreachable: BTreeSet<&TierName> = inventory.unreachable_tiers.iter().collect();
    for step in &plan.steps {
        let id = || step.id.to_string();
        for tier in [Some(&step.tier), step.from.as_ref()].into_iter().flatten() {
            if unreachable.contains(tier) {
                report("no step touches an unreachable tier", id());
            }
            if !policy.tiers.contains_key(tier) {
                report("no step touches an undeclared tier", id());
            }
        }
        let deletes = matches!(step.action, Action::Prune | Action::ExpireWal);
        if step.destructive != deletes {
            report("deleting is destructive, and nothing else is", id());
        }
        // Log belongs to a database; the point is the one that it is rolled forward from.
        let of_series = step.action == Action::ExpireWal
            || step.recovery_point.series() == step.series.as_str();
        if step.recovery_point.database() != step.database.as_str() || !of_series {
            report("a step's point belongs to its series", id());
        }
        if step.reason.text.is_empty() {
            report("every step has a reason in words", id());
        }
        if (step.action == Action::Verify) != step.level.is_some() {
            report("verifications, and only they, have a level", id());
        }
    }
}

/// Backups, uploads and repairs: made where they are declared, from something readable, and proved afterwards.
pub(super) fn making(plan: &Plan, policy: &Policy, inventory: &Inventory, report: &mut Report<'_>) {
    let by_id: BTreeMap<&StepId, &Step> = plan.steps.iter().map(|step| (&step.id, step)).collect();
    let mut known: BTreeMap<&RecoveryPointId, BTreeMap<&TierName, bool>> = BTreeMap::new();
    for point in &inventory.recovery_points {
        if point.state == PointState::Complete {
            let copies = known.entry(&point.id).or_default();
            copies.extend(
                point
                    .copies
                    .iter()
                    .map(|copy| (&copy.tier, copy.is_present())),
            );
        }
    }
    let mut backups = BTreeSet::new();
    for step in &plan.steps {
        let id = || step.id.to_string();
        let makes = matches!(
            step.action,
            Action::Backup | Action::Upload | Action::Repair
        );
        if makes || step.action == Action::Adopt {
            let proof = StepId::new(Action::Verify, &step.recovery_point, &step.tier);
            if !by_id
                .get(&proof)
                .is_some_and(|proof| proof.after.contains(&step.id))
            {
                report("every new copy is verified afterwards", id());
            }
        }
        if makes {
            let declared = policy
                .databases
                .get(&step.database)
                .and_then(|database| database.series.get(&step.series))
                .is_some_and(|series| series.keep.iter().any(|(tier, _)| *tier == step.tier));
            if !declared {
                report("copies are made only where the policy names a tier", id());
            }
            let here = known
                .get(&step.recovery_point)
                .and_then(|copies| copies.get(&step.tier));
            if here == Some(&true) {
                report("a readable copy is never made again", id());
            }
        }
        match step.action {
            Action::Backup => {
                if !backups.insert((&step.database, &step.series)) {
                    report("a plan makes at most one point of a series", id());
                }
                if known.contains_key(&step.recovery_point) {
                    report("an id of a complete point is never used again", id());
                }
                let slot = step.slot;
                let right = slot.is_some_and(|slot| {
                    slot <= plan.evaluated_at
                        && RecoveryPointId::new(&step.database, &step.series, slot)
                            == step.recovery_point
                });
                if !right {
                    report("a backup's slot has come and names its point", id());
                }
            }
            Action::Upload | Action::Repair => source(step, &by_id, &known, inventory, report),
            _ => {}
        }
    }
}

/// The copy that is read must be there, and proved before or by this plan.
fn source(
    step: &Step,
    by_id: &BTreeMap<&StepId, &Step>,
    known: &BTreeMap<&RecoveryPointId, BTreeMap<&TierName, bool>>,
    inventory: &Inventory,
    report: &mut Report<'_>,
) {
    let id = || step.id.to_string();
    let Some(from) = step.from.as_ref().filter(|from| **from != step.tier) else {
        return report("an upload has another tier as its source", id());
    };
    let proof = StepId::new(Action::Verify, &step.recovery_point, from);
    let proved_before = step.after.contains(&proof);
    let made_now = by_id.contains_key(&StepId::new(Action::Backup, &step.recovery_point, from));
    let present = known
        .get(&step.recovery_point)
        .and_then(|copies| copies.get(from))
        == Some(&true);
    if !present && !made_now {
        report(
            "the source of an upload exists or is made by the plan",
            id(),
        );
    }
    let good = inventory
        .recovery_points
        .iter()
        .filter(|_| !proved_before)
        .find(|point| point.id == step.recovery_point)
        .and_then(|point| point.copy_on(from))
        .is_some_and(model::Copy::is_good);
    if !good && !proved_before {
        report("the source of an upload is verified before", id());
    }
}
