//! The way that is always right: the rules of planning decide at every run, and their steps are carried out on data.
//!
//! Invariant: nothing is decided here. What a step does to the inventory is all that this file knows.

use super::{
    End, Life,
    bookkeeping::{Ledger, size},
    drive::Setting,
    expected::{Failures, Sizes},
    log::FutureLog,
};
use crate::{
    Options,
    draft::{Output, Words},
    facts::{self, SeriesFacts},
    log::Log,
    order, rules,
    world::World,
};
use jiff::Timestamp;
use model::{
    Action, Copy, CopyState, Inventory, PointState, ReasonCode, RecoveryPoint, RecoveryPointId,
    SeriesName, Step, StepId, TierName, Verified, VerifyLevel,
};
use policy_schema::policy::Series;
use std::collections::BTreeSet;

/// More plans than this at one instant mean that they undo each other, which the rules never do.
const MOST_PLANS: u32 = 12;

/// One series of a group that is planned together.
pub(super) struct Member<'a> {
    pub(super) series: &'a Series,
    pub(super) ledger: Ledger,
    pub(super) failures: Failures,
    pub(super) sizes: Sizes,
    /// Whether log can be replayed over its points.
    pub(super) rolls_forward: bool,
}

/// What a run found.
pub(super) struct Ran {
    /// Nothing is damaged, missing, unverified or waiting for anything but a lock or a count.
    pub(super) all_is_well: bool,
    /// Something waits for a lock to end.
    pub(super) waits_for_lock: bool,
}

/// Plans until nothing is left to do, and does it.
pub(super) fn run(
    setting: &Setting<'_>,
    inventory: &mut Inventory,
    members: &mut [Member<'_>],
    log: Option<&FutureLog>,
    now: Timestamp,
) -> Ran {
    let options = Options::default();
    let mut ran = Ran {
        all_is_well: false,
        waits_for_lock: false,
    };
    let mut made: BTreeSet<(SeriesName, TierName)> = BTreeSet::new();
    for _ in 0..MOST_PLANS {
        let output = plan(setting, inventory, members, now, &options);
        ran.waits_for_lock = output
            .not_planned
            .iter()
            .any(|wait| wait.reason.code == ReasonCode::Locked);
        let harmless = |code| {
            matches!(
                code,
                ReasonCode::Locked
                    | ReasonCode::MinVerified
                    | ReasonCode::WindowPassed
                    | ReasonCode::NoGoodCopy
            )
        };
        ran.all_is_well = output
            .not_planned
            .iter()
            .all(|wait| harmless(wait.reason.code));
        let done = carry_out_all(inventory, members, log, output.steps, now, &mut made);
        inventory.last_activity = Some(now);
        if !done {
            break;
        }
    }
    ran
}

/// Carries out what does not fail and waits for nothing that does; whether there was anything.
fn carry_out_all(
    inventory: &mut Inventory,
    members: &mut [Member<'_>],
    log: Option<&FutureLog>,
    steps: Vec<Step>,
    now: Timestamp,
    made: &mut BTreeSet<(SeriesName, TierName)>,
) -> bool {
    let mut failed: BTreeSet<StepId> = BTreeSet::new();
    let mut done = false;
    for step in order::topological(steps) {
        let mut members = members.iter_mut();
        let Some(member) = members.find(|one| one.series.name == step.series) else {
            continue;
        };
        let fails = step.after.iter().any(|before| failed.contains(before))
            || step.slot.is_some_and(|slot| member.failures.fails(slot));
        if fails {
            failed.insert(step.id);
            continue;
        }
        done = true;
        let place = (step.series.clone(), step.tier.clone());
        if matches!(
            step.action,
            Action::Backup | Action::Upload | Action::Repair
        ) {
            made.insert(place.clone());
        }
        carry_out(inventory, member, log, &step, now, made.contains(&place));
    }
    done
}

fn plan(
    setting: &Setting<'_>,
    inventory: &Inventory,
    members: &[Member<'_>],
    now: Timestamp,
    options: &Options,
) -> Output {
    let world = World::new(
        setting.policy,
        inventory,
        setting.capabilities,
        now,
        options,
    );
    let groups = facts::by_series(&inventory.recovery_points);
    let log = Log::new(&world, setting.database);
    let mut words = Words::default();
    let mut output = Output::default();
    for member in members {
        let key = (&setting.database.name, &member.series.name);
        let points = groups.get(&key).cloned().unwrap_or_default();
        let mut facts = SeriesFacts::new(&world, setting.database, member.series, points);
        facts.log = log.needs_of(&facts);
        output.append(rules::plan_series(&world, &facts, &mut words));
    }
    output
}

fn carry_out(
    inventory: &mut Inventory,
    member: &mut Member<'_>,
    log: Option<&FutureLog>,
    step: &Step,
    now: Timestamp,
    displaced: bool,
) {
    let tier = member.ledger.tier(&step.tier);
    match step.action {
        Action::Backup => {
            let point = new_point(member, log, step, now);
            inventory.recovery_points.push(point);
            store(inventory, member, step, tier, now);
        }
        Action::Upload | Action::Repair => store(inventory, member, step, tier, now),
        Action::Adopt => {
            if let Some(copy) = copy_of(inventory, step) {
                copy.state = CopyState::Present;
            }
        }
        Action::Verify => {
            if let Some(copy) = copy_of(inventory, step) {
                let level = step.level.unwrap_or(VerifyLevel::Checksum);
                copy.verified = Some(Verified { at: now, level });
            }
            if let (Some(tier), Some(slot)) = (tier, slot_of(inventory, &step.recovery_point)) {
                member.ledger.verified(tier, slot, now);
            }
        }
        Action::Lock => {
            let until = step.lock.map(|lock| lock.until);
            if let Some(copy) = copy_of(inventory, step) {
                copy.locked_until = until;
            }
            let slot = slot_of(inventory, &step.recovery_point);
            if let (Some(tier), Some(slot), Some(until)) = (tier, slot, until) {
                member.ledger.locked(tier, slot, until);
            }
        }
        Action::Prune => {
            if let (Some(tier), Some(slot)) = (tier, slot_of(inventory, &step.recovery_point)) {
                let at = if displaced {
                    member.ledger.displaced_at(tier, now)
                } else {
                    now
                };
                member.ledger.close(tier, slot, at, End::Pruned);
            }
            if let Some(point) = find(inventory, &step.recovery_point) {
                point.copies.retain(|copy| copy.tier != step.tier);
            }
            inventory
                .recovery_points
                .retain(|point| !point.copies.is_empty());
        }
        // A thaw takes time that is not modelled; drills and log have no points.
        Action::Thaw | Action::Drill | Action::ExpireWal => {}
    }
}

fn new_point(
    member: &Member<'_>,
    log: Option<&FutureLog>,
    step: &Step,
    now: Timestamp,
) -> RecoveryPoint {
    let slot = step.slot.unwrap_or(now);
    let parent = step.parent.clone();
    let own_log = log
        .filter(|_| member.rolls_forward)
        .map(|log| Box::new(log.span(now)));
    RecoveryPoint {
        adopted: false,
        bytes: member.sizes.at(slot, parent.is_some()),
        captured_at: now,
        copies: Vec::new(),
        database: step.database.clone(),
        id: step.recovery_point.clone(),
        method: member.series.method.clone(),
        parent,
        series: step.series.clone(),
        slot,
        state: PointState::Complete,
        wal: own_log,
    }
}

/// A copy is there, and its life begins.
fn store(
    inventory: &mut Inventory,
    member: &mut Member<'_>,
    step: &Step,
    tier: Option<usize>,
    now: Timestamp,
) {
    let parent = find(inventory, &step.recovery_point)
        .and_then(|point| point.parent.clone())
        .and_then(|parent| slot_of(inventory, &parent));
    let Some(point) = find(inventory, &step.recovery_point) else {
        return;
    };
    let locked_until = step.lock.map(|lock| lock.until);
    let held = point.copies.iter().any(|copy| copy.held);
    let bytes = point
        .copies
        .first()
        .map_or(point.bytes, |copy| size(point, copy));
    point.copies.retain(|copy| copy.tier != step.tier);
    point.copies.push(Copy {
        bytes,
        held: false,
        locked_until,
        state: CopyState::Present,
        stored_at: now,
        tier: step.tier.clone(),
        verified: None,
    });
    let Some(tier) = tier else { return };
    let life = Life {
        captured_at: point.captured_at,
        parent,
        held,
        ..Life::new(point.slot, now, bytes, locked_until)
    };
    member.ledger.made(tier, now, life);
}

fn find<'i>(inventory: &'i mut Inventory, id: &RecoveryPointId) -> Option<&'i mut RecoveryPoint> {
    inventory
        .recovery_points
        .iter_mut()
        .find(|point| &point.id == id)
}

fn slot_of(inventory: &Inventory, id: &RecoveryPointId) -> Option<Timestamp> {
    let mut points = inventory.recovery_points.iter();
    points.find(|point| &point.id == id).map(|point| point.slot)
}

fn copy_of<'i>(inventory: &'i mut Inventory, step: &Step) -> Option<&'i mut Copy> {
    let point = find(inventory, &step.recovery_point)?;
    point.copies.iter_mut().find(|copy| copy.tier == step.tier)
}
