//! What is promised and protected otherwise: schedules, objectives, recipients, locks of tiers, windows of archived log.
//!
//! Not here: verdicts on promises (`prove`), keep rules (`lives`).

use super::{
    Approval, ApprovalCode, EncryptionChange, LockChange, ObjectiveChange, Planned, PolicyDiff,
    Promise, ScheduleChange, WindowChange,
};
use jiff::{Timestamp, tz::TimeZone};
use model::{Action, ByteCount, LockMode, LockRule, Period, Plan, SeriesName, TierName};
use policy_schema::{
    Schedule,
    policy::{DatabaseDeclaration, Target},
};
use std::collections::BTreeMap;

/// Slots that show how a schedule goes on.
const NEXT_SLOTS: usize = 3;

pub(super) fn compare(old: &Planned<'_>, new: &Planned<'_>, diff: &mut PolicyDiff) {
    for before in old.world.policy.databases.values() {
        let Some(after) = new.world.policy.databases.get(&before.name) else {
            continue;
        };
        schedules(old, new, (before, after), diff);
        objective(before, after, diff);
        encryption(before, after, diff);
        windows(&new.plan, before, after, diff);
    }
    locks(old, new, diff);
}

type Databases<'a> = (&'a DatabaseDeclaration, &'a DatabaseDeclaration);

fn schedules(
    old: &Planned<'_>,
    new: &Planned<'_>,
    (before, after): Databases<'_>,
    diff: &mut PolicyDiff,
) {
    let zones = [old, new].map(|side| &side.world.policy.timezone);
    let mut add = |series: Option<&SeriesName>, drill: Option<&str>, both: [&Schedule; 2]| {
        let next = [0, 1].map(|side| next_slots(both[side], old.world.now, zones[side]));
        if both[0] == both[1] && next[0] == next[1] {
            return;
        }
        let gap = [0, 1].map(|side| {
            let gap = both[side].largest_gap(old.world.now, zones[side]);
            gap.as_secs()
        });
        let [next_from, next_to] = next;
        diff.schedules.push(ScheduleChange {
            database: before.name.clone(),
            drill: drill.map(str::to_owned),
            from: both[0].to_string(),
            largest_gap_from: gap[0],
            largest_gap_to: gap[1],
            next_from,
            next_to,
            series: series.cloned(),
            to: both[1].to_string(),
        });
    };
    for series in before.series.values() {
        if let Some(other) = after.series.get(&series.name) {
            add(
                Some(&series.name),
                None,
                [&series.schedule, &other.schedule],
            );
        }
    }
    for drill in &before.drills {
        let mut others = after.drills.iter();
        if let Some(other) = others.find(|other| other.name == drill.name) {
            add(None, Some(&drill.name), [&drill.schedule, &other.schedule]);
        }
    }
}

fn next_slots(schedule: &Schedule, now: Timestamp, zone: &TimeZone) -> Vec<Timestamp> {
    std::iter::successors(schedule.next_after(now, zone), |slot| {
        schedule.next_after(*slot, zone)
    })
    .take(NEXT_SLOTS)
    .collect()
}

fn objective(before: &DatabaseDeclaration, after: &DatabaseDeclaration, diff: &mut PolicyDiff) {
    let promise = |target: Target| Promise {
        maximum_seconds: target.maximum.as_secs(),
        target_seconds: target.target.as_secs(),
    };
    let both = [
        ("rpo", before.objective.rpo, after.objective.rpo),
        ("rto", before.objective.rto, after.objective.rto),
    ];
    for (objective, from, to) in both {
        if from == to {
            continue;
        }
        let looser = match (from, to) {
            (Some(from), Some(to)) => to.maximum > from.maximum || to.target > from.target,
            (from, _) => from.is_some(),
        };
        diff.objectives.push(ObjectiveChange {
            database: before.name.clone(),
            from: from.map(promise),
            looser,
            objective,
            to: to.map(promise),
        });
    }
}

fn encryption(before: &DatabaseDeclaration, after: &DatabaseDeclaration, diff: &mut PolicyDiff) {
    let only = |these: &DatabaseDeclaration, others: &DatabaseDeclaration| {
        let mut keys = these.encrypt_with.clone();
        keys.retain(|key| !others.encrypt_with.contains(key));
        keys.sort();
        keys
    };
    let (removed, added) = (only(before, after), only(after, before));
    if removed.is_empty() && added.is_empty() {
        return;
    }
    diff.encryption.push(EncryptionChange {
        added,
        database: before.name.clone(),
        plain: after.encrypt_with.is_empty(),
        removed,
    });
}

fn windows(
    plan: &Plan,
    before: &DatabaseDeclaration,
    after: &DatabaseDeclaration,
    diff: &mut PolicyDiff,
) {
    let of = |database: &DatabaseDeclaration| -> BTreeMap<TierName, Period> {
        let wal = database.wal.iter();
        wal.flat_map(|wal| wal.keep.iter().cloned()).collect()
    };
    let (from, to) = (of(before), of(after));
    let mut tiers: Vec<&TierName> = from.keys().chain(to.keys()).collect();
    tiers.sort_unstable();
    tiers.dedup();
    for tier in tiers {
        let (old, new) = (from.get(tier).copied(), to.get(tier).copied());
        if old == new {
            continue;
        }
        let going = plan.steps.iter().filter(|step| {
            step.action == Action::ExpireWal
                && step.needs_approval
                && step.database == before.name
                && step.tier == *tier
        });
        diff.log_windows.push(WindowChange {
            bytes_destroyed: going
                .filter_map(|step| step.bytes)
                .fold(ByteCount(0), ByteCount::saturating_add),
            database: before.name.clone(),
            from: old,
            shorter: match (old, new) {
                (Some(old), Some(new)) => new.approximate() < old.approximate(),
                (old, _) => old.is_some(),
            },
            tier: tier.clone(),
            to: new,
        });
    }
}

/// Whether a person must agree to it, and the words.
pub(super) fn approval(change: &WindowChange) -> Option<Approval> {
    if !change.shorter {
        return None;
    }
    let words = |window: Option<Period>| window.map_or("nothing".to_owned(), |it| it.to_string());
    Some(Approval {
        code: ApprovalCode::LogWindowShortened,
        database: change.database.clone(),
        series: None,
        text: format!(
            "the log of {} on {}: any moment of `{}`, now `{}`; {} would be deleted",
            change.database,
            change.tier,
            words(change.from),
            words(change.to),
            change.bytes_destroyed
        ),
        tier: Some(change.tier.clone()),
    })
}

fn locks(old: &Planned<'_>, new: &Planned<'_>, diff: &mut PolicyDiff) {
    for (tier, after) in new.world.capabilities {
        let Some(before) = old.world.capabilities.get(tier) else {
            continue;
        };
        if before.lock == after.lock {
            continue;
        }
        let points = old.world.inventory.recovery_points.iter();
        let steps = new.plan.steps.iter();
        diff.locks.push(LockChange {
            copies: points.filter(|point| point.copy_on(tier).is_some()).count(),
            from: before.lock,
            locked_next: steps
                .filter(|step| step.action == Action::Lock && step.tier == *tier)
                .count(),
            tier: tier.clone(),
            to: after.lock,
            weaker: is_weaker(before.lock, after.lock),
        });
    }
}

fn is_weaker(from: Option<LockRule>, to: Option<LockRule>) -> bool {
    let (Some(from), Some(to)) = (from, to) else {
        return from.is_some();
    };
    let mode = from.mode == LockMode::Compliance && to.mode == LockMode::Governance;
    // Without a length a lock follows retention; which is longer depends on the rules.
    let length = match (from.length, to.length) {
        (Some(from), Some(to)) => to.approximate() < from.approximate(),
        _ => false,
    };
    mode || length
}
