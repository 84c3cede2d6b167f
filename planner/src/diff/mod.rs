//! What a change of the policy does: to the recovery points that exist, to schedules, promises and protection.
//!
//! Pure, like `plan`, and made of it: both policies are planned over the same inventory, and what one keeps and the other
//! deletes is compared copy by copy (`points`); ends that move come from retention itself (`lives`). Invariants: what ages out under
//! both policies is never called destroyed; equal policies give an empty diff; the order of the inventory does not matter; every
//! key that differs is mentioned somewhere.
//!
//! Not here: reading policies and revisions (root package), deleting anything (`apply`, which asks again).

mod checks;
mod document;
mod lives;
mod places;
mod points;
mod promises;
mod settings;
mod verdicts;

pub use document::{
    Approval, ApprovalCode, EncryptionChange, Expiry, FORMAT, Judged, LockChange, LostCopy,
    LostPoint, Named, ObjectiveChange, Orphaned, PolicyDiff, Promise, Reach, RetentionChange,
    ScheduleChange, Setting, Side, VerdictChange, WindowChange,
};

use crate::{Options, draft_plan, fingerprint::inventory_digest, world::World};
use jiff::Timestamp;
use model::{DatabaseName, Digest, Inventory, Plan, PointState, tier_facts::TierCapabilities};
use policy_schema::{Change, Policy};
use std::collections::BTreeSet;

/// A policy and what its tiers can do.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// What its tiers promise.
    pub capabilities: &'a TierCapabilities,
}

/// One side, planned.
struct Planned<'a> {
    world: World<'a>,
    plan: Plan,
}

/// Tells what happens when `new` takes the place of `old`, over what `inventory` says exists.
pub fn diff(
    old: Declared<'_>,
    new: Declared<'_>,
    mut inventory: Inventory,
    now: Timestamp,
) -> PolicyDiff {
    let judged = Judged {
        digest: inventory_digest(&inventory),
        observed_at: inventory.observed_at,
        recovery_points: complete(&inventory),
    };
    let mut diff = empty(old.policy, new.policy, judged, now);
    if diff.is_empty() {
        return diff;
    }
    let changes = policy_schema::changes(old.policy, new.policy);
    let concerned = concerned(&changes);
    only(&mut inventory, concerned.as_ref());
    let policies = [old.policy, new.policy].map(|policy| {
        let mut policy = policy.clone();
        if let Some(concerned) = &concerned {
            policy.databases.retain(|name, _| concerned.contains(name));
        }
        policy
    });
    put_in_force(&mut inventory, &policies[0]);
    let options = Options::default();
    let planned = |policy, capabilities| Planned {
        world: World::new(policy, &inventory, capabilities, now, &options),
        plan: draft_plan(policy, &inventory, capabilities, now, &options),
    };
    let old_side = planned(&policies[0], old.capabilities);
    let new_side = planned(&policies[1], new.capabilities);
    points::compare(&old_side, &new_side, &mut diff);
    lives::compare(&old_side, &new_side, &mut diff);
    promises::compare(&old_side, &new_side, &mut diff);
    settings::compare(changes, &policies, &mut diff);
    verdicts::compare(&old_side, &new_side, &mut diff);
    approve(&policies, &mut diff);
    diff
}

fn complete(inventory: &Inventory) -> usize {
    let points = inventory.recovery_points.iter();
    points
        .filter(|point| point.state == PointState::Complete)
        .count()
}

/// The databases that a change concerns; `None`: what all share has changed, or nobody can say what has, so every one.
fn concerned(changes: &[Change]) -> Option<BTreeSet<DatabaseName>> {
    if changes.is_empty() {
        return None;
    }
    let name = |change: &Change| {
        let rest = change.path.strip_prefix("database.")?;
        DatabaseName::new(rest.split('.').next()?).ok()
    };
    changes.iter().map(name).collect()
}

/// Leaves out what no change concerns; what was known of the clock stays known.
fn only(inventory: &mut Inventory, concerned: Option<&BTreeSet<DatabaseName>>) {
    let Some(concerned) = concerned else { return };
    let captured = inventory.recovery_points.iter();
    let newest = captured.map(|point| point.captured_at).max();
    inventory.last_activity = inventory.last_activity.max(newest);
    let points = &mut inventory.recovery_points;
    points.retain(|point| concerned.contains(&point.database));
}

/// Where nothing was applied yet, the old policy is what protects.
fn put_in_force(inventory: &mut Inventory, old: &Policy) {
    for database in old.databases.values() {
        let series = inventory
            .retention_in_force
            .entry(database.name.clone())
            .or_default();
        for declared in database.series.values() {
            let tiers = series.entry(declared.name.clone()).or_default();
            for (tier, keep) in &declared.keep {
                tiers.entry(tier.clone()).or_insert_with(|| keep.clone());
            }
        }
        if let Some((name, windows)) = database.wal.as_ref().and_then(crate::log::retention_of) {
            let tiers = series.entry(name).or_default();
            for (tier, keep) in windows {
                tiers.entry(tier).or_insert(keep);
            }
        }
    }
}

fn empty(old: &Policy, new: &Policy, inventory: Judged, now: Timestamp) -> PolicyDiff {
    let side = |policy: &Policy| Side {
        digest: policy.digest.clone(),
        revision: None,
        source: None,
    };
    PolicyDiff {
        approval: Vec::new(),
        copies_lost: Vec::new(),
        destroyed: Vec::new(),
        destroyed_later: Vec::new(),
        encryption: Vec::new(),
        evaluated_at: now,
        expires_earlier: Vec::new(),
        expires_later: Vec::new(),
        format: FORMAT.to_owned(),
        id: None,
        inventory,
        locks: Vec::new(),
        log_windows: Vec::new(),
        new: Vec::new(),
        new_policy: side(new),
        objectives: Vec::new(),
        old_policy: side(old),
        orphaned: Vec::new(),
        removed: Vec::new(),
        retention: Vec::new(),
        schedules: Vec::new(),
        settings: Vec::new(),
        verdicts: Vec::new(),
    }
}

/// Collects what a person must agree to, and names it.
fn approve([old, new]: &[Policy; 2], diff: &mut PolicyDiff) {
    let mut approval = places::approval(old, new, diff);
    approval.extend(diff.retention.iter().filter_map(lives::approval));
    approval.extend(diff.log_windows.iter().filter_map(promises::approval));
    for removed in &diff.removed {
        approval.push(Approval {
            code: ApprovalCode::NoLongerBackedUp,
            database: removed.database.clone(),
            series: removed.series.clone(),
            text: format!("{removed} is not backed up any more; nothing of it is deleted"),
            tier: None,
        });
    }
    approval.sort_by(|a, b| {
        let key = |one: &Approval| {
            (
                one.code,
                one.database.clone(),
                one.series.clone(),
                one.tier.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    diff.approval = approval;
    if diff.needs_approval() {
        diff.id = identity(diff);
    }
}

/// The same on any day: whoever agreed to a change of the rules agreed to what it does tomorrow as well, and each deletion is
/// asked for again by `apply`.
fn identity(diff: &PolicyDiff) -> Option<Digest> {
    let approval: Vec<_> = diff
        .approval
        .iter()
        .map(|one| (&one.database, &one.series, &one.tier))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let whole = serde_json::json!({
        "approval": approval,
        "format": FORMAT,
        "new": diff.new_policy.digest,
        "old": diff.old_policy.digest,
    });
    model::canonical::digest(&whole).ok()
}
