//! The candidate becomes a backup step on the first tier, in the policy's order, that wants it and can be written.
//!
//! A due slot is never dropped because no rule wants it (a second manual backup on one day): then the first tier that
//! can be written takes it, where it stays until a newer one is verified. From there the other tiers that want it
//! are filled, each only after the source was verified, so that a bad dump is not spread. An archive takes it only where no
//! tier that can be read at once does: nothing could be copied on from there.

use crate::{
    draft::{Draft, Subject, verified},
    facts::SeriesFacts,
    rules::{
        copies::is_full,
        locks,
        verify::{level_of_new, new_copy},
    },
    world::World,
};
use model::{Action, Reason, ReasonCode, Step, StepId};
use std::collections::BTreeSet;

pub(crate) fn the_candidate_is_made_on_the_first_tier_that_wants_it(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    let Some(candidate) = draft.candidate.as_ref() else {
        return;
    };
    let what = format!("backup {}", candidate.id);
    for (index, tier) in facts.tiers.iter().enumerate() {
        let asked = draft.tiers[index].wants_candidate || index == 0;
        if !tier.reachable || !asked {
            continue;
        }
        if let Some(text) = is_full(world, tier.name, candidate.bytes) {
            let what = format!("{what}@{}", tier.name);
            draft.output.wait(what, ReasonCode::TierFull, text);
        }
    }
    let usable = usable(world, facts, draft);
    let Some(primary) = primary_of(facts, draft, &usable) else {
        if facts.tiers.iter().all(|tier| !tier.reachable) {
            let text =
                "none of the tiers of the series could be observed, so there is nowhere to put it";
            draft.output.wait(what, ReasonCode::TierUnreachable, text);
        }
        return;
    };
    let Some(candidate) = draft.candidate.as_mut() else {
        return;
    };
    candidate.primary = Some(primary);
    let mut reason = candidate.reason.clone();
    if let Some(lost) = facts.tiers[..primary].iter().find(|tier| !tier.reachable) {
        let place = facts.tiers[primary].name;
        reason.text = format!(
            "{}; made on {place}, because {} is unreachable",
            reason.text, lost.name
        )
        .into();
    }

    let here = Subject::new(facts, facts.tiers[primary].name, &candidate.id);
    let parent = candidate
        .chain
        .first()
        .map(|parent| &facts.points[*parent].point.id);
    let mut requires = vec![here.absent()];
    requires.extend(parent.map(|parent| verified(parent, facts.tiers[primary].name)));
    let backup = Step {
        bytes: candidate.bytes,
        encrypt_for: facts.database.encrypt_with.clone(),
        lock: locks::of_candidate(world, facts, &draft.tiers[primary], primary),
        method: Some(facts.series.method.clone()),
        parent: parent.cloned(),
        requires,
        slot: Some(candidate.slot),
        ..here.step(Action::Backup, reason)
    };
    let level = level_of_new(facts, primary, true);
    let proof = here.verify(
        level,
        candidate.bytes,
        new_copy(level),
        Some(backup.id.clone()),
    );
    draft.output.steps.extend([backup, proof]);
    draft.tiers[primary].makes_candidate = true;
    if draft
        .candidate
        .as_ref()
        .is_some_and(|candidate| candidate.chain.is_empty())
    {
        fill_others(world, facts, draft, primary);
    }
}

/// The other tiers get a candidate that is incremental only with its whole chain, which is copied first.
pub(super) fn an_incremental_candidate_follows_its_chain(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    let candidate = draft.candidate.as_ref();
    let follows = candidate.filter(|candidate| !candidate.chain.is_empty());
    if let Some(primary) = follows.and_then(|candidate| candidate.primary) {
        fill_others(world, facts, draft, primary);
    }
}

/// Tiers that can take the candidate.
pub(super) fn usable(world: &World<'_>, facts: &SeriesFacts<'_>, draft: &Draft<'_>) -> Vec<usize> {
    let bytes = draft
        .candidate
        .as_ref()
        .and_then(|candidate| candidate.bytes);
    let can = |index: &usize| {
        let tier = &facts.tiers[*index];
        tier.reachable && is_full(world, tier.name, bytes).is_none()
    };
    (0..facts.tiers.len()).filter(can).collect()
}

/// The tier that the candidate is made on.
pub(super) fn primary_of(
    facts: &SeriesFacts<'_>,
    draft: &Draft<'_>,
    usable: &[usize],
) -> Option<usize> {
    usable.iter().copied().min_by_key(|index| {
        let wants = draft.tiers[*index].wants_candidate;
        (!wants, facts.tiers[*index].thaw.is_some(), *index)
    })
}

/// Copies the candidate from where it is made to the other tiers that want it.
fn fill_others(world: &World<'_>, facts: &SeriesFacts<'_>, draft: &mut Draft<'_>, primary: usize) {
    let usable = usable(world, facts, draft);
    let Some(candidate) = draft.candidate.as_ref() else {
        return;
    };
    let (id, bytes) = (candidate.id.clone(), candidate.bytes);
    let proved = StepId::new(Action::Verify, &id, facts.tiers[primary].name);
    for (index, tier) in facts.tiers.iter().enumerate() {
        if index == primary || !tier.reachable || !draft.tiers[index].wants_candidate {
            continue;
        }
        if !usable.contains(&index) {
            continue;
        }
        let there = Subject::new(facts, tier.name, &id);
        if facts.tiers[primary].thaw.is_some() {
            draft.output.wait(
                format!("upload {id}@{}", tier.name),
                ReasonCode::ThawNeeded,
                format!(
                    "{} is the only place it could be made on, and must be thawed before it is read: the next plan does it",
                    facts.tiers[primary].name
                ),
            );
            continue;
        }
        let mut after = BTreeSet::from([proved.clone()]);
        match chain_here(facts, draft, index) {
            Ok(proofs) => after.extend(proofs),
            Err(text) => {
                let what = format!("upload {id}@{}", tier.name);
                draft.output.wait(what, ReasonCode::ChainNeeded, text);
                continue;
            }
        }
        let upload = Step {
            after: after.into_iter().collect(),
            bytes,
            from: Some(facts.tiers[primary].name.clone()),
            lock: locks::of_candidate(world, facts, &draft.tiers[index], index),
            requires: vec![there.absent(), verified(&id, facts.tiers[primary].name)],
            ..there.step(
                Action::Upload,
                Reason::new(
                    ReasonCode::CopyWanted,
                    format!("`{}` on {} wants it", tier.keep, tier.name),
                ),
            )
        };
        let level = level_of_new(facts, index, false);
        let proof = there.verify(level, bytes, new_copy(level), Some(upload.id.clone()));
        draft.output.steps.extend([upload, proof]);
        draft.tiers[index].makes_candidate = true;
    }
}

/// What proves the links of the candidate's chain that this plan copies here; an error says why the candidate must not come here.
fn chain_here(
    facts: &SeriesFacts<'_>,
    draft: &Draft<'_>,
    tier: usize,
) -> Result<Vec<StepId>, String> {
    let chain = draft
        .candidate
        .iter()
        .flat_map(|candidate| &candidate.chain);
    let here = &facts.tiers[tier];
    let mut proofs = Vec::new();
    for link in chain {
        let id = &facts.points[*link].point.id;
        if here.thaw.is_some() {
            return Err(
                "links of a live chain stay where they can be read at once; nothing is archived before its chain has ended"
                    .to_owned(),
            );
        }
        if draft.tiers[tier].made.contains(link) {
            proofs.push(StepId::new(Action::Verify, id, here.name));
        } else if !here.present(*link) {
            return Err(format!(
                "it is incremental to {id}, of which {} has no copy and gets none",
                here.name
            ));
        }
    }
    Ok(proofs)
}
