//! Retention's verdict per tier over the complete copies that are there now: the list of what is kept, and why.
//!
//! Only what is complete occupies a period: a copy that this plan is going to make displaces nothing before it exists, so a
//! plan never deletes on the strength of something that may still fail. What a new point displaces, the next plan prunes.
//! Beside the rules, a tier always keeps the newest point and the newest verified point it has, the base that a window of log
//! there begins with, and whatever a kept point (or the candidate) needs to be restored.

use crate::{
    draft::Draft,
    facts::SeriesFacts,
    retention::{Dated, Occupy, Verdict, evaluate_dated},
    world::World,
};
use model::{Keep, plan::Kept};
use std::sync::Arc;

pub(super) fn retention_judges_what_is_there(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    for tier in 0..facts.tiers.len() {
        let keep = facts.tiers[tier].keep;
        draft.tiers[tier].verdicts = verdicts(world, facts, tier, keep, Occupy::Complete);
        draft.tiers[tier].cautious = verdicts(world, facts, tier, keep, Occupy::Verified);
        keep_the_newest(facts, draft, tier);
        keep_windows(facts, draft, tier);
        keep_chains(facts, draft, tier);
    }
    list_kept(facts, draft);
}

/// Indices of the points that are on the tier, and the points as retention looks at them.
pub(crate) fn there(facts: &SeriesFacts<'_>, tier: usize) -> (Vec<usize>, Vec<Dated>) {
    let here = &facts.tiers[tier];
    facts
        .points
        .iter()
        .enumerate()
        .filter(|(index, _)| here.present(*index))
        .map(|(index, point)| {
            let dated = Dated {
                moment: point.moment,
                held: point.held,
                verified: here.good(index),
            };
            (index, dated)
        })
        .unzip()
}

/// The verdicts of `keep` on what is on the tier, as the points stand.
pub(crate) fn verdicts(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    tier: usize,
    keep: &Keep,
    occupy: Occupy,
) -> Vec<Verdict> {
    let (members, there) = there(facts, tier);
    let judged = evaluate_dated(keep, &there, &world.policy.timezone, occupy);
    let mut verdicts = vec![Verdict::default(); facts.points.len()];
    for (index, verdict) in members.into_iter().zip(judged) {
        verdicts[index] = verdict;
    }
    verdicts
}

fn keep_the_newest(facts: &SeriesFacts<'_>, draft: &mut Draft<'_>, tier: usize) {
    let here = &facts.tiers[tier];
    let mine = &mut draft.tiers[tier];
    let newest = (0..facts.points.len()).find(|index| here.present(*index));
    let newest_good = (0..facts.points.len()).find(|index| here.good(*index));
    for (newest, words) in [
        (newest, "newest here"),
        (newest_good, "newest verified here"),
    ] {
        let Some(newest) = newest else { continue };
        if !mine.verdicts[newest].is_kept() && mine.also_kept[newest].is_empty() {
            mine.also_kept[newest].push(Arc::from(words));
        }
    }
}

/// The base that a window of log on this tier begins with.
fn keep_windows(facts: &SeriesFacts<'_>, draft: &mut Draft<'_>, tier: usize) {
    let windows = facts.log.windows.iter();
    for (_, index, words) in windows.filter(|(on, ..)| *on == tier) {
        draft.tiers[tier].also_kept[*index].push(Arc::clone(words));
    }
}

fn keep_chains(facts: &SeriesFacts<'_>, draft: &mut Draft<'_>, tier: usize) {
    let mine = &mut draft.tiers[tier];
    let candidate = draft.candidate.as_ref().filter(|_| mine.makes_candidate);
    if let Some((candidate, parent)) = candidate.and_then(|one| Some((one, one.chain.first()?))) {
        let words = format!("needed by {}", candidate.id);
        mine.also_kept[*parent].push(Arc::from(words));
    }
    // Newest first: parents are older, so one walk reaches the whole chain of every kept point.
    for index in 0..facts.points.len() {
        if mine.keeps(index)
            && let Some(parent) = facts.parent(index)
        {
            let words = format!("needed by {}", facts.points[index].point.id);
            mine.also_kept[parent].push(Arc::from(words));
        }
    }
}

fn list_kept(facts: &SeriesFacts<'_>, draft: &mut Draft<'_>) {
    let mut by_name: Vec<usize> = (0..facts.tiers.len()).collect();
    by_name.sort_by_key(|tier| facts.tiers[*tier].name);
    draft
        .output
        .kept
        .reserve_exact(facts.points.len() * facts.tiers.len());
    for index in (0..facts.points.len()).rev() {
        for tier in &by_name {
            let mine = &mut draft.tiers[*tier];
            if !facts.tiers[*tier].present(index) || !mine.keeps(index) {
                continue;
            }
            let verdict = &mine.verdicts[index];
            let also = &mine.also_kept[index];
            let mut reasons = Vec::with_capacity(verdict.reasons.len() + also.len());
            reasons.extend(verdict.reasons.iter().map(|why| draft.words.of(*why)));
            reasons.extend(also.iter().cloned());
            draft.output.kept.push(Kept {
                reasons,
                recovery_point: facts.points[index].point.id.clone(),
                tier: facts.tiers[*tier].name.clone(),
            });
        }
    }
    draft.output.kept.shrink_to_fit();
}
