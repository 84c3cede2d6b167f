//! Copies that retention wants and that are not there are uploaded; damaged and lost ones are repaired.
//!
//! The source is the best readable copy: instantly readable before archived, verified before unverified, earlier tier
//! before later. An unverified source is verified first; an archived one is thawed.
//! A link of a live chain is not uploaded to an archive: restoring its chain would wait for a thaw of every link.

use crate::{
    draft::{Draft, Subject, verified},
    facts::{PointFacts, SeriesFacts},
    retention::{Dated, Occupy, evaluate_dated},
    rules::{
        locks, thaw,
        verify::{level_on, new_copy},
    },
    world::World,
};
use model::{Action, ByteCount, CopyState, Reason, ReasonCode, Step, StepId, TierName};
use std::collections::BTreeSet;

pub(super) fn wanted_copies_are_made_and_repaired(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    report_lost_points(world, facts, draft);
    let links = chain_links(facts);
    for tier in 0..facts.tiers.len() {
        let mut waiting = 0_usize;
        let mut linked = 0_usize;
        // Oldest first, so that parents come before their children.
        for index in (0..facts.points.len()).rev() {
            let state = facts.tiers[tier].copies[index].map(|copy| copy.state);
            if !draft.tiers[tier].wanted[index]
                || matches!(state, Some(CopyState::Present | CopyState::Foreign))
            {
                continue;
            }
            if state.is_none() && facts.tiers[tier].thaw.is_some() && links.contains(&index) {
                linked += 1;
            } else if facts.tiers[tier].reachable {
                make(world, facts, draft, tier, index);
            } else {
                waiting += 1;
            }
        }
        if linked > 0 {
            draft.output.wait(
                format!(
                    "upload {linked} of {}@{}",
                    facts.name(),
                    facts.tiers[tier].name
                ),
                ReasonCode::ChainNeeded,
                "links of a live chain stay where they can be read at once; nothing is archived before its chain has ended",
            );
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
    let kind = if facts.tiers[source].thaw.is_some() {
        "an archived"
    } else {
        "a readable"
    };
    let reason = match lost {
        Some(CopyState::Damaged) => Reason::new(
            ReasonCode::CopyDamaged,
            format!(
                "the copy on {} is damaged; {from} has {kind} one",
                here.name
            ),
        ),
        Some(_) => Reason::new(
            ReasonCode::CopyMissing,
            format!("the copy on {} is gone; {from} has {kind} one", here.name),
        ),
        None => Reason::new(
            ReasonCode::CopyWanted,
            format!("`{}` on {} wants it", here.keep, here.name),
        ),
    };
    let mut after = Vec::new();
    match parent_here(facts, draft, tier, index) {
        Ok(proof) => after.extend(proof),
        Err(text) => {
            let what = format!("{action} {id}@{}", here.name);
            return draft.output.wait(what, ReasonCode::ChainNeeded, text);
        }
    }
    let thawed = thaw::source(facts, draft, source, index);
    if !facts.tiers[source].good(index) {
        after.push(prove_source(facts, draft, source, index, thawed.clone()));
    }
    after.extend(thawed);
    after.sort();
    let subject = Subject::new(facts, here.name, id);
    // Absent comes first: a copy that is whole already means "already done", whatever became of the source.
    let requires = vec![subject.absent(), verified(id, from)];
    draft.tiers[tier].made.insert(index);
    let step = Step {
        after,
        bytes,
        from: Some(from.clone()),
        lock: locks::of_new_copy(world, facts, &draft.tiers[tier], tier, index),
        requires,
        ..subject.step(action, reason)
    };
    let level = level_on(facts, draft, index, tier);
    let proof = subject.verify(level, bytes, new_copy(level), Some(step.id.clone()));
    draft.output.steps.extend([step, proof]);
}

/// What proves the parent's copy here, if this plan makes it; an error says that there will be none, so that the point would be of
/// no use here.
fn parent_here(
    facts: &SeriesFacts<'_>,
    draft: &Draft<'_>,
    tier: usize,
    index: usize,
) -> Result<Option<StepId>, String> {
    let Some(parent) = &facts.points[index].point.parent else {
        return Ok(None);
    };
    let here = &facts.tiers[tier];
    let known = facts.parent(index);
    if known.is_some_and(|known| draft.tiers[tier].made.contains(&known)) {
        return Ok(Some(StepId::new(Action::Verify, parent, here.name)));
    }
    if known.is_some_and(|known| here.present(known)) {
        return Ok(None);
    }
    Err(format!(
        "it is incremental to {parent}, of which {} has no copy and gets none",
        here.name
    ))
}

/// Verifies an unverified copy before it is spread, once; an archived one when it can be read.
fn prove_source(
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
    source: usize,
    index: usize,
    thawed: Option<StepId>,
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
        thawed,
    );
    let proved = proof.id.clone();
    if draft.tiers[source].verified_now.insert(index) {
        draft.output.steps.push(proof);
    }
    proved
}

/// Points that are incremental to another, or that another with copies is incremental to.
fn chain_links(facts: &SeriesFacts<'_>) -> BTreeSet<usize> {
    let mut links = BTreeSet::new();
    if facts.tiers.iter().all(|tier| tier.thaw.is_none()) {
        return links;
    }
    for (index, point) in facts.points.iter().enumerate() {
        if point.point.parent.is_some() {
            links.insert(index);
            if !point.point.copies.is_empty() {
                links.extend(facts.parent(index));
            }
        }
    }
    links
}

fn best_source(facts: &SeriesFacts<'_>, except: usize, index: usize) -> Option<usize> {
    facts
        .tiers
        .iter()
        .enumerate()
        .filter(|(at, tier)| *at != except && tier.reachable && tier.present(index))
        .min_by_key(|(at, tier)| (tier.thaw.is_some(), !tier.good(index), *at))
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
