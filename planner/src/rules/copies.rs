//! Copies that retention wants and that are not there are uploaded; damaged and lost ones are repaired.
//!
//! The source is the best readable copy: verified before unverified, instantly readable before archived, earlier tier
//! before later. An unverified source is verified first.

use crate::{
    draft::{Draft, Subject, verified},
    facts::{PointFacts, SeriesFacts},
    retention::{Dated, Occupy, evaluate_dated},
    rules::verify::level_on,
    world::World,
};
use model::{Action, ByteCount, CopyState, Reason, ReasonCode, Step, StepId, TierName};

pub(super) fn wanted_copies_are_made_and_repaired(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    report_lost_points(world, facts, draft);
    for tier in 0..facts.tiers.len() {
        let mut waiting = 0_usize;
        // Oldest first, so that parents come before their children.
        for index in (0..facts.points.len()).rev() {
            let state = facts.tiers[tier].copies[index].map(|copy| copy.state);
            if !draft.tiers[tier].wanted[index]
                || matches!(state, Some(CopyState::Present | CopyState::Foreign))
            {
                continue;
            }
            if facts.tiers[tier].reachable {
                make(world, facts, draft, tier, index);
            } else {
                waiting += 1;
            }
        }
        if !facts.tiers[tier].reachable {
            let candidate = draft.candidate.is_some() && draft.tiers[tier].wants_candidate;
            waiting += usize::from(candidate);
            if waiting > 0 {
                draft.output.wait(
                    format!(
                        "upload {waiting} of {}@{}",
                        facts.name(),
                        facts.tiers[tier].name
                    ),
                    ReasonCode::TierUnreachable,
                    format!(
                        "{} could not be observed; wanted copies are made when it is back",
                        facts.tiers[tier].name
                    ),
                );
            }
        }
    }
}

fn make(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
    tier: usize,
    index: usize,
) {
    let here = &facts.tiers[tier];
    let id = &facts.points[index].point.id;
    let lost = here.copies[index].map(|copy| copy.state);
    let action = if lost.is_some() {
        Action::Repair
    } else {
        Action::Upload
    };
    let Some(source) = best_source(facts, tier, index) else {
        draft.output.wait(
            format!("{action} {id}@{}", here.name),
            ReasonCode::TierUnreachable,
            "its only readable copies are on tiers that could not be observed or are not adopted yet",
        );
        return;
    };
    let from = facts.tiers[source].name;
    let bytes = facts.tiers[source].copies[index].map(|copy| copy.bytes);
    if let Some(text) = is_full(world, here.name, bytes) {
        draft.output.wait(
            format!("{action} {id}@{}", here.name),
            ReasonCode::TierFull,
            text,
        );
        return;
    }
    let reason = match lost {
        Some(CopyState::Damaged) => Reason::new(
            ReasonCode::CopyDamaged,
            format!(
                "the copy on {} is damaged; {from} has a readable one",
                here.name
            ),
        ),
        Some(_) => Reason::new(
            ReasonCode::CopyMissing,
            format!(
                "the copy on {} is gone; {from} has a readable one",
                here.name
            ),
        ),
        None => Reason::new(
            ReasonCode::CopyWanted,
            format!("`{}` on {} wants it", here.keep, here.name),
        ),
    };
    let mut after = Vec::new();
    if !facts.tiers[source].good(index) {
        after.push(prove_source(facts, draft, source, index));
    }
    let subject = Subject::new(facts, here.name, id);
    // Absent comes first: a copy that is whole already means "already done", whatever became of the source.
    let requires = vec![subject.absent(), verified(id, from)];
    draft.tiers[tier].made.insert(index);
    let step = Step {
        after,
        bytes,
        from: Some(from.clone()),
        requires,
        ..subject.step(action, reason)
    };
    let proof = subject.verify(
        level_on(facts, draft, index, tier),
        bytes,
        Reason::new(
            ReasonCode::NeverVerified,
            "a new copy is proved by reading it back",
        ),
        Some(step.id.clone()),
    );
    draft.output.steps.extend([step, proof]);
}

/// Verifies an unverified copy before it is spread, once.
fn prove_source(
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
    source: usize,
    index: usize,
) -> StepId {
    let tier = &facts.tiers[source];
    let id = &facts.points[index].point.id;
    let proof = Subject::new(facts, tier.name, id).verify(
        level_on(facts, draft, index, source),
        tier.copies[index].map(|copy| copy.bytes),
        Reason::new(
            ReasonCode::NeverVerified,
            "never verified, and another tier is to be filled from it",
        ),
        None,
    );
    let proved = proof.id.clone();
    if draft.tiers[source].verified_now.insert(index) {
        draft.output.steps.push(proof);
    }
    proved
}

fn best_source(facts: &SeriesFacts<'_>, except: usize, index: usize) -> Option<usize> {
    facts
        .tiers
        .iter()
        .enumerate()
        .filter(|(at, tier)| *at != except && tier.reachable && tier.present(index))
        .min_by_key(|(at, tier)| (!tier.good(index), tier.needs_thaw, *at))
        .map(|(at, _)| at)
}

/// Points of which every copy is damaged or gone, for as long as retention would keep them if they were whole.
fn report_lost_points(world: &World<'_>, facts: &SeriesFacts<'_>, draft: &mut Draft<'_>) {
    let lost = |point: &&PointFacts<'_>| !point.available && !point.point.copies.is_empty();
    if !facts.points.iter().any(|point| lost(&point)) {
        return;
    }
    let whole: Vec<Dated> = facts
        .points
        .iter()
        .map(|point| Dated {
            moment: point.moment,
            held: point.held,
            verified: true,
        })
        .collect();
    let mut wanted = vec![false; whole.len()];
    for tier in &facts.tiers {
        let verdicts = evaluate_dated(tier.keep, &whole, &world.policy.timezone, Occupy::Complete);
        for (wanted, verdict) in wanted.iter_mut().zip(verdicts) {
            *wanted |= verdict.is_kept();
        }
    }
    for (point, wanted) in facts.points.iter().zip(wanted).rev() {
        if !wanted || !lost(&point) {
            continue;
        }
        let mut states: Vec<String> = point
            .point
            .copies
            .iter()
            .map(|copy| {
                let state = if copy.state == CopyState::Damaged {
                    "damaged"
                } else {
                    "gone"
                };
                format!("{state} on {}", copy.tier)
            })
            .collect();
        states.sort();
        draft.output.wait(
            format!("repair {}", point.point.id),
            ReasonCode::NoGoodCopy,
            format!("no copy of it can be read any more ({})", states.join(", ")),
        );
    }
}

/// Why `bytes` more do not fit on `tier`, if that is known.
pub(super) fn is_full(
    world: &World<'_>,
    tier: &TierName,
    bytes: Option<ByteCount>,
) -> Option<String> {
    let free = world.inventory.space.get(tier)?.free;
    let needed = bytes?;
    (needed > free)
        .then(|| format!("about {needed} are needed, but only {free} are free on {tier}"))
}
