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
use model::{Action, Reason, ReasonCode, Step};

pub(super) fn the_candidate_is_made_on_the_first_tier_that_wants_it(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    let Some(candidate) = draft.candidate.as_mut() else {
        return;
    };
    let what = format!("backup {}", candidate.id);
    let mut usable = Vec::new();
    for (index, tier) in facts.tiers.iter().enumerate() {
        if !tier.reachable {
            continue;
        }
        match is_full(world, tier.name, candidate.bytes) {
            Some(text) if draft.tiers[index].wants_candidate || index == 0 => {
                draft
                    .output
                    .wait(format!("{what}@{}", tier.name), ReasonCode::TierFull, text);
            }
            Some(_) => {}
            None => usable.push(index),
        }
    }
    let best = usable.iter().copied().min_by_key(|index| {
        let wants = draft.tiers[*index].wants_candidate;
        (!wants, facts.tiers[*index].thaw.is_some(), *index)
    });
    let Some(primary) = best else {
        if facts.tiers.iter().all(|tier| !tier.reachable) {
            let text =
                "none of the tiers of the series could be observed, so there is nowhere to put it";
            draft.output.wait(what, ReasonCode::TierUnreachable, text);
        }
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
    let backup = Step {
        bytes: candidate.bytes,
        encrypt_for: facts.database.encrypt_with.clone(),
        lock: locks::of_candidate(world, facts, &draft.tiers[primary], primary),
        method: Some(facts.series.method.clone()),
        requires: vec![here.absent()],
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
    let proved = proof.id.clone();
    draft.output.steps.extend([backup, proof]);
    draft.tiers[primary].makes_candidate = true;

    for (index, tier) in facts.tiers.iter().enumerate() {
        if index == primary || !tier.reachable || !draft.tiers[index].wants_candidate {
            continue;
        }
        if !usable.contains(&index) {
            continue;
        }
        let there = Subject::new(facts, tier.name, &candidate.id);
        if facts.tiers[primary].thaw.is_some() {
            draft.output.wait(
                format!("upload {}@{}", candidate.id, tier.name),
                ReasonCode::ThawNeeded,
                format!(
                    "{} is the only place it could be made on, and must be thawed before it is read: the next plan does it",
                    facts.tiers[primary].name
                ),
            );
            continue;
        }
        let upload = Step {
            after: vec![proved.clone()],
            bytes: candidate.bytes,
            from: Some(facts.tiers[primary].name.clone()),
            lock: locks::of_candidate(world, facts, &draft.tiers[index], index),
            requires: vec![
                there.absent(),
                verified(&candidate.id, facts.tiers[primary].name),
            ],
            ..there.step(
                Action::Upload,
                Reason::new(
                    ReasonCode::CopyWanted,
                    format!("`{}` on {} wants it", tier.keep, tier.name),
                ),
            )
        };
        let level = level_of_new(facts, index, false);
        let proof = there.verify(
            level,
            candidate.bytes,
            new_copy(level),
            Some(upload.id.clone()),
        );
        draft.output.steps.extend([upload, proof]);
        draft.tiers[index].makes_candidate = true;
    }
}
