//! How copies are locked against deletion, and which locks are too short by now.
//!
//! A lock cannot be taken back, so it is never longer than is certain: the declared length, or what `retention::kept_until`
//! vouches for. Nothing is locked while the clock looks wrong: a wrong year in a compliance lock stays for ever; what is made
//! meanwhile is locked by a later plan. A lock is extended only when much is gained, not a little of every copy in every plan.

use crate::{
    draft::{Draft, Subject, TierDraft},
    facts::SeriesFacts,
    world::World,
};
use jiff::{SignedDuration, Timestamp};
use model::{
    Action, Copy, Reason, ReasonCode, Step, StepId,
    tier_facts::{LockOrder, LockRule},
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The lock of the candidate's copy on a tier.
pub(super) fn of_candidate(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &TierDraft,
    tier: usize,
) -> Option<LockOrder> {
    let lock = facts.tiers[tier].lock?;
    believed(world, lock, world.now, draft.candidate_kept_until)
}

/// The lock of a copy that this plan makes of a point that exists.
pub(super) fn of_new_copy(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &TierDraft,
    tier: usize,
    index: usize,
) -> Option<LockOrder> {
    let lock = facts.tiers[tier].lock?;
    believed(world, lock, world.now, kept_until(draft, index))
}

pub(super) fn what_is_kept_stays_locked(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    for tier in 0..facts.tiers.len() {
        let here = &facts.tiers[tier];
        let Some(lock) = here.lock.filter(|_| here.reachable) else {
            continue;
        };
        let mut waiting = 0_usize;
        for index in (0..facts.points.len()).rev() {
            let Some(copy) = here.copies[index].filter(|copy| copy.is_present()) else {
                continue;
            };
            let mine = &draft.tiers[tier];
            let order = order(world, lock, copy.stored_at, kept_until(mine, index));
            let Some(order) = order
                .filter(|order| mine.keeps(index) && gains_enough(copy, order.until, world.now))
            else {
                continue;
            };
            if world.clock.is_some() {
                waiting += 1;
                continue;
            }
            let id = &facts.points[index].point.id;
            let subject = Subject::new(facts, here.name, id);
            let after = if mine.verified_now.contains(&index) {
                vec![StepId::new(Action::Verify, id, here.name)]
            } else {
                Vec::new()
            };
            let reason = Reason::new(ReasonCode::LockTooShort, words(copy, order, world.now));
            draft.output.steps.push(Step {
                after,
                lock: Some(order),
                requires: vec![subject.present()],
                ..subject.step(Action::Lock, reason)
            });
        }
        if let Some(clock) = world.clock.as_ref().filter(|_| waiting > 0) {
            draft.output.wait(
                format!("lock {waiting} of {}@{}", facts.name(), here.name),
                clock.code,
                "the clock looks wrong, and a lock that is too long cannot be taken back",
            );
        }
    }
}

fn kept_until(draft: &TierDraft, index: usize) -> Option<Timestamp> {
    draft.kept_until.get(index).copied().flatten()
}

fn believed(
    world: &World<'_>,
    lock: LockRule,
    stored: Timestamp,
    kept_until: Option<Timestamp>,
) -> Option<LockOrder> {
    if world.clock.is_some() {
        return None;
    }
    order(world, lock, stored, kept_until)
}

/// The lock of a copy that was stored then; `None` when it would be over already.
fn order(
    world: &World<'_>,
    lock: LockRule,
    stored: Timestamp,
    kept_until: Option<Timestamp>,
) -> Option<LockOrder> {
    let until = match lock.length {
        Some(period) => period.after(stored, &world.policy.timezone),
        None => kept_until?,
    };
    let until = Timestamp::from_second(until.as_second()).unwrap_or(until);
    (until > world.now).then_some(LockOrder {
        mode: lock.mode,
        until,
    })
}

/// Whether a longer lock is worth a step: a day or a twentieth of what is ahead, whichever is more; of short ones, half.
fn gains_enough(copy: &Copy, until: Timestamp, now: Timestamp) -> bool {
    let locked = copy.locked_until.map_or(now, |locked| locked.max(now));
    let whole = until.duration_since(copy.stored_at);
    let ahead = until.duration_since(now);
    until.duration_since(locked) >= (ahead / 20).max(DAY.min(whole / 2))
}

fn words(copy: &Copy, order: LockOrder, now: Timestamp) -> String {
    let until = order.until;
    match copy.locked_until.filter(|locked| *locked > now) {
        Some(locked) => format!("locked until {locked}, to be locked until {until}"),
        None => format!("not locked, to be locked until {until}"),
    }
}
