//! What nothing keeps is deleted, if and only if that is safe now.
//!
//! A copy is pruned when: every tier of the series could be observed; the clock can be believed; the storage does not
//! lock it; a newer, verified, kept point on the same tier justifies it; enough verified points remain; and every copy of
//! it that retention wants elsewhere exists or is made first. Otherwise the plan says what it waits for.
//!
//! Holds and chains never come here: they are reasons to keep (`verdicts.rs`).
//! Not here: whether a person must agree (`approval.rs`); the executor's own guard, which asks again.

use crate::{
    approval,
    draft::{Draft, Subject, verified},
    facts::SeriesFacts,
    world::World,
};
use model::{Action, Copy, Reason, ReasonCode, RecoveryPointId, Step, StepId, step::Precondition};
use std::collections::BTreeSet;

/// Naming more points would make a plan longer, not a deletion safer.
const MOST_JUSTIFICATIONS: usize = 3;

pub(super) fn what_nothing_keeps_goes_when_it_is_safe(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    let blind: Vec<&str> = facts
        .tiers
        .iter()
        .filter(|tier| !tier.reachable)
        .map(|tier| tier.name.as_str())
        .collect();
    for tier in 0..facts.tiers.len() {
        let here = &facts.tiers[tier];
        // Oldest first: if something must stay for safety, it is the newest.
        let unkept: Vec<usize> = (0..facts.points.len())
            .rev()
            .filter(|index| here.present(*index) && !draft.tiers[tier].keeps(*index))
            .collect();
        if unkept.is_empty() {
            continue;
        }
        if !here.reachable {
            approval::judge(world, facts, draft, tier, &unkept, &mut Vec::new());
            continue;
        }
        let mut pruned = Vec::new();
        let all = || format!("prune {} of {}@{}", unkept.len(), facts.name(), here.name);
        if let Some(reason) = &world.clock {
            draft.output.wait(all(), reason.code, reason.text.clone());
        } else if blind.is_empty() {
            let (spared, going): (Vec<usize>, Vec<usize>) = unkept
                .iter()
                .partition(|index| draft.tiers[tier].cautious[**index].is_kept());
            if !spared.is_empty() {
                draft.output.wait(
                    format!("prune {} of {}@{}", spared.len(), facts.name(), here.name),
                    ReasonCode::PruneWaitsForVerified,
                    "the newer points that take their place are not verified yet",
                );
            }
            pruned = prune_on(world, facts, draft, tier, &going);
        } else {
            draft.output.wait(
                all(),
                ReasonCode::PruneWaitsForTier,
                format!(
                    "nothing of the series is deleted while {} cannot be observed",
                    blind.join(" and ")
                ),
            );
        }
        approval::judge(world, facts, draft, tier, &unkept, &mut pruned);
        let steps = pruned.into_iter().map(|(_, step)| step);
        draft.output.steps.extend(steps);
    }
}

fn prune_on(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
    tier: usize,
    unkept: &[usize],
) -> Vec<(usize, Step)> {
    let here = &facts.tiers[tier];
    let min_verified = world.limits.min_verified.max(1);
    let good = (0..facts.points.len()).filter(|index| here.good(*index));
    let mut remaining = u32::try_from(good.count()).unwrap_or(u32::MAX);
    let new_proofs = new_proofs(facts, draft, tier);
    let mut pruned: Vec<(usize, Step)> = Vec::new();
    for index in unkept.iter().copied() {
        let id = &facts.points[index].point.id;
        let what = format!("prune {id}@{}", here.name);
        let copy = here.copies[index];
        if let Some(until) = copy
            .and_then(|copy| copy.locked_until)
            .filter(|until| *until > world.now)
        {
            let text = format!("blocked until {until}: {} locks it", here.name);
            draft.output.wait(what, ReasonCode::Locked, text);
            continue;
        }
        let justified_by = justification(facts, draft, tier, index);
        if justified_by.is_empty() {
            let text = format!("no newer verified point is kept on {}", here.name);
            draft
                .output
                .wait(what, ReasonCode::PruneWaitsForVerified, text);
            continue;
        }
        let mut after = new_proofs.clone();
        let good = u32::from(here.good(index));
        if remaining.saturating_sub(good) < min_verified {
            let text = format!(
                "{} must keep at least {min_verified} verified points of the series",
                here.name
            );
            draft.output.wait(what, ReasonCode::MinVerified, text);
            continue;
        }
        let subject = Subject::new(facts, here.name, id);
        // Present comes first: a copy that is gone already means "already done", whatever became of the rest.
        let mut requires = vec![
            subject.present(),
            Precondition::NotHeld {
                recovery_point: id.clone(),
            },
        ];
        requires.extend(justified_by.iter().map(|newer| verified(newer, here.name)));
        if let Err(text) = copies_elsewhere(facts, draft, tier, index, &mut after, &mut requires) {
            draft.output.wait(what, ReasonCode::PruneWaitsForCopy, text);
            continue;
        }
        if draft.tiers[tier].verified_now.contains(&index) {
            after.insert(StepId::new(Action::Verify, id, here.name));
        }
        remaining -= good;
        let step = Step {
            after: after.into_iter().collect(),
            bytes: copy.map(|copy| copy.bytes),
            destructive: true,
            justified_by,
            min_verified: Some(min_verified),
            requires,
            retention: Some(here.keep.clone()),
            ..subject.step(
                Action::Prune,
                Reason::new(
                    ReasonCode::NotKept,
                    format!("`{}` on {} no longer keeps it", here.keep, here.name),
                ),
            )
        };
        pruned.push((index, step));
    }
    spare_parents(facts, draft, tier, &mut pruned);
    children_go_first(facts, &mut pruned);
    pruned
}

/// What cannot go yet (a locked copy) may be incremental to what could: then neither goes.
fn spare_parents(
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
    tier: usize,
    pruned: &mut Vec<(usize, Step)>,
) {
    let here = &facts.tiers[tier];
    // Newest first: a parent that is spared here spares its own parent when its turn comes.
    for index in 0..facts.points.len() {
        let Some(parent) = facts.parent(index).filter(|_| here.present(index)) else {
            continue;
        };
        if pruned.iter().any(|(gone, _)| *gone == index) {
            continue;
        }
        if let Some(at) = pruned.iter().position(|(gone, _)| *gone == parent) {
            pruned.remove(at);
            draft.output.wait(
                format!("prune {}@{}", facts.points[parent].point.id, here.name),
                ReasonCode::ChainNeeded,
                format!(
                    "needed by {}, which cannot be deleted yet",
                    facts.points[index].point.id
                ),
            );
        }
    }
}

/// The steps that prove what this plan puts on the tier. Deletions wait for them: a failed backup deletes nothing.
fn new_proofs(facts: &SeriesFacts<'_>, draft: &Draft<'_>, tier: usize) -> BTreeSet<StepId> {
    let mine = &draft.tiers[tier];
    let candidate = draft.candidate.iter().filter(|_| mine.makes_candidate);
    let made = mine.made.iter().map(|index| &facts.points[*index].point.id);
    candidate
        .map(|candidate| &candidate.id)
        .chain(made)
        .map(|id| StepId::new(Action::Verify, id, facts.tiers[tier].name))
        .collect()
}

/// Newer verified points that are there and stay.
fn justification(
    facts: &SeriesFacts<'_>,
    draft: &Draft<'_>,
    tier: usize,
    index: usize,
) -> Vec<RecoveryPointId> {
    (0..index)
        .filter(|newer| facts.tiers[tier].good(*newer) && draft.tiers[tier].keeps(*newer))
        .take(MOST_JUSTIFICATIONS)
        .map(|newer| facts.points[newer].point.id.clone())
        .collect()
}

/// Makes the prune wait for, and require, the copies that other tiers want; an error says which one cannot be had.
fn copies_elsewhere(
    facts: &SeriesFacts<'_>,
    draft: &Draft<'_>,
    tier: usize,
    index: usize,
    after: &mut BTreeSet<StepId>,
    requires: &mut Vec<Precondition>,
) -> Result<(), String> {
    let id = &facts.points[index].point.id;
    for (other, there) in facts.tiers.iter().enumerate() {
        let theirs = &draft.tiers[other];
        if other == tier || !theirs.wanted[index] {
            continue;
        }
        let proved_now = theirs.made.contains(&index) || theirs.verified_now.contains(&index);
        if !proved_now && !there.copies[index].is_some_and(Copy::is_good) {
            return Err(format!(
                "{} wants a copy of it that does not exist yet and cannot be made now",
                there.name
            ));
        }
        if proved_now {
            after.insert(StepId::new(Action::Verify, id, there.name));
        }
        requires.push(verified(id, there.name));
    }
    Ok(())
}

/// A parent is deleted only after all its children: an abort in between leaves no child without its parent.
fn children_go_first(facts: &SeriesFacts<'_>, pruned: &mut [(usize, Step)]) {
    let children: Vec<(RecoveryPointId, StepId)> = pruned
        .iter()
        .filter_map(|(index, step)| {
            let parent = facts.points[*index].point.parent.clone()?;
            Some((parent, step.id.clone()))
        })
        .collect();
    for (parent, child) in children {
        if let Some((_, step)) = pruned
            .iter_mut()
            .find(|(_, step)| step.recovery_point == parent)
        {
            step.after.push(child);
            step.after.sort();
        }
    }
}
