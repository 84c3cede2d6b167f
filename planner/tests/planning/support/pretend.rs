//! A pretend apply.

use super::{
    SEGMENT,
    inventories::{copy, log_tier, point, span},
};
use jiff::Timestamp;
use model::{
    Action, Copy, CopyState, Inventory, Plan, RecoveryPoint, RecoveryPointId, Step, Verified,
    inventory::DrillFact, wal::WalRun,
};

/// Carries a plan out on the inventory, as far as data goes, every step succeeding in the plan's order.
pub(crate) fn apply_to(inventory: &mut Inventory, plan: &Plan) {
    let now = plan.evaluated_at;
    for step in &plan.steps {
        match step.action {
            Action::Backup => {
                let mut made = point(step.recovery_point.as_str(), "");
                made.captured_at = now;
                made.parent.clone_from(&step.parent);
                // A server that was asked makes physical points: they need the segment that it writes now.
                let archive = inventory.wal.get(&step.database);
                if let Some(source) = archive.and_then(|archive| archive.source.as_ref()) {
                    let number = source.position.segment(SEGMENT);
                    let place = format!("{}:{}", source.system_identifier, source.timeline);
                    made.wal = Some(Box::new(span(&format!("{place}:{number}-{number}"))));
                }
                made.copies.push(new_copy(step, now));
                inventory.recovery_points.push(made);
            }
            Action::Upload | Action::Repair => {
                let point = find(inventory, &step.recovery_point);
                point.copies.retain(|copy| copy.tier != step.tier);
                point.copies.push(new_copy(step, now));
            }
            Action::Adopt => {
                copy_of(inventory, step).state = CopyState::Present;
            }
            Action::Verify => {
                copy_of(inventory, step).verified = Some(Verified {
                    at: now,
                    level: step.level.unwrap(),
                });
            }
            Action::Prune => {
                let point = find(inventory, &step.recovery_point);
                point.copies.retain(|copy| copy.tier != step.tier);
                inventory
                    .recovery_points
                    .retain(|point| !point.copies.is_empty());
            }
            Action::Lock => {
                copy_of(inventory, step).locked_until = step.lock.map(|lock| lock.until);
            }
            Action::Drill => {
                let order = step.drill.as_ref().unwrap();
                inventory.drills.push(DrillFact {
                    at: now,
                    database: step.database.clone(),
                    name: order.name.clone(),
                    passed: true,
                    recovery_point: step.recovery_point.clone(),
                    slot: order.slot,
                });
            }
            Action::ExpireWal => expire(inventory, step),
            Action::Thaw => {}
        }
    }
    inventory.observed_at = now;
    if plan.applyable {
        inventory.last_activity = Some(now);
    }
    inventory.retention_in_force.clone_from(&plan.retention);
}

/// Takes the step's ranges out of the runs.
fn expire(inventory: &mut Inventory, step: &Step) {
    let there = log_tier(inventory, step.database.as_str(), step.tier.as_str());
    for range in &step.wal {
        let mut left = Vec::new();
        for run in there.runs.drain(..) {
            let same = run.system_identifier == range.system_identifier
                && run.timeline == range.timeline
                && run.start <= range.start
                && range.end <= run.end;
            if !same {
                left.push(run);
                continue;
            }
            for (start, end) in [(run.start, range.start), (range.end, run.end)] {
                if start < end {
                    left.push(WalRun {
                        start,
                        end,
                        ..run.clone()
                    });
                }
            }
        }
        there.runs = left;
    }
}

fn new_copy(step: &Step, now: Timestamp) -> Copy {
    Copy {
        locked_until: step.lock.map(|lock| lock.until),
        stored_at: now,
        ..copy(step.tier.as_str(), "u", now)
    }
}

fn find<'i>(inventory: &'i mut Inventory, id: &RecoveryPointId) -> &'i mut RecoveryPoint {
    inventory
        .recovery_points
        .iter_mut()
        .find(|point| &point.id == id)
        .unwrap()
}

fn copy_of<'i>(inventory: &'i mut Inventory, step: &Step) -> &'i mut Copy {
    find(inventory, &step.recovery_point)
        .copies
        .iter_mut()
        .find(|copy| copy.tier == step.tier)
        .unwrap()
}
