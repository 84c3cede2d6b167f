//! The promises about encrypted, locked and archived places: what may be read, what may be locked and for whom data is sealed.

use super::Report;
use model::{
    Action, Copy, Inventory, Plan, RecoveryPointId, Step, StepId, TierName, VerifyLevel,
    tier_facts::{Capabilities, TierCapabilities},
};
use policy_schema::Policy;
use std::collections::BTreeMap;

/// Encryption is the policy's, and only what makes data has any.
pub(super) fn encryption(plan: &Plan, policy: &Policy, report: &mut Report<'_>) {
    for step in &plan.steps {
        let declared = policy.databases.get(&step.database);
        let right = if step.action == Action::Backup {
            declared.is_some_and(|declared| declared.encrypt_with == step.encrypt_for)
        } else {
            step.encrypt_for.is_empty()
        };
        if !right {
            report(
                "data is encrypted for the keys of the policy",
                step.id.to_string(),
            );
        }
    }
}

/// Archived data is read only after a thaw.
pub(super) fn archives(plan: &Plan, capabilities: &TierCapabilities, report: &mut Report<'_>) {
    let archived = |tier: &TierName| capabilities.get(tier).is_some_and(Capabilities::needs_thaw);
    for step in &plan.steps {
        let id = || step.id.to_string();
        if (step.action == Action::Thaw) != step.thaw.is_some() {
            report("thaws, and only they, have an order", id());
        }
        if step.action == Action::Thaw && !archived(&step.tier) {
            report("only what is archived is thawed", id());
        }
        let reads = match step.action {
            Action::Verify if step.level != Some(VerifyLevel::Attested) => Some(&step.tier),
            Action::Drill => Some(&step.tier),
            Action::Upload | Action::Repair => step.from.as_ref(),
            _ => None,
        };
        let Some(tier) = reads.filter(|tier| archived(tier)) else {
            continue;
        };
        let thaw = StepId::new(Action::Thaw, &step.recovery_point, tier);
        if !step.after.contains(&thaw) {
            report("archived data is read only after a thaw", id());
        }
    }
}

/// Locks only grow, where the place can lock, and never in what is deleted.
pub(super) fn locks(
    plan: &Plan,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    report: &mut Report<'_>,
) {
    let locking = plan.steps.iter().filter(|step| step.lock.is_some());
    let changed: Vec<&Step> = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Lock)
        .collect();
    for step in locking {
        let id = || step.id.to_string();
        let stores = matches!(
            step.action,
            Action::Backup | Action::Upload | Action::Repair | Action::Lock
        );
        if !stores {
            report("only what stores a copy, and a lock, locks", id());
        }
        let rule = capabilities.get(&step.tier).and_then(rule);
        if step.lock.map(|lock| lock.mode) != rule {
            report("a lock is of the mode that its tier declares", id());
        }
        let until = step.lock.map(|lock| lock.until);
        if until <= Some(plan.evaluated_at) {
            report("a lock ends in the future", id());
        }
        if until.is_some_and(|until| until.subsec_nanosecond() != 0) {
            report("a lock ends on a whole second", id());
        }
    }
    if changed.is_empty() {
        return;
    }
    let copies: BTreeMap<(&RecoveryPointId, &TierName), &Copy> = inventory
        .recovery_points
        .iter()
        .flat_map(|point| {
            point
                .copies
                .iter()
                .map(move |copy| ((&point.id, &copy.tier), copy))
        })
        .collect();
    for step in changed {
        let id = || step.id.to_string();
        if step.lock.is_none() {
            report("a lock step has a lock", id());
        }
        let copy = copies.get(&(&step.recovery_point, &step.tier));
        if !copy.is_some_and(|copy| copy.is_present()) {
            report("only a present copy is locked", id());
        }
        let until = step.lock.map(|lock| lock.until);
        if copy.is_some_and(|copy| copy.locked_until >= until) {
            report("a lock is never shortened", id());
        }
        let prune = StepId::new(Action::Prune, &step.recovery_point, &step.tier);
        if plan.steps.iter().any(|other| other.id == prune) {
            report("what is pruned is not locked", id());
        }
    }
}

fn rule(can: &Capabilities) -> Option<model::LockMode> {
    can.lock.map(|lock| lock.mode)
}
