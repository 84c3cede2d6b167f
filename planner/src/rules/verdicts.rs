//! Retention's verdict per tier over what will be there after this plan's uploads: the list of what is kept, and why.
//!
//! Judging with the new copies in place makes a plan complete: what they displace is pruned by the same plan (after they
//! are verified), and the next plan is empty. Beside the rules, a tier always keeps the newest point and the newest
//! verified point it has, and whatever a kept point needs to be restored.

use crate::{
    draft::Draft,
    facts::SeriesFacts,
    retention::{Dated, Verdict, evaluate_dated},
    world::World,
};
use model::{Keep, plan::Kept};
use std::sync::Arc;

pub(super) fn retention_judges_what_will_be_there(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    for tier in 0..facts.tiers.len() {
        draft.tiers[tier].verdicts = verdicts(world, facts, draft, tier, facts.tiers[tier].keep);
        keep_the_newest(facts, draft, tier);
        keep_chains(facts, draft, tier);
    }
    list_kept(facts, draft);
}

/// The verdicts of `keep` on what will be on the tier, as the points stand.
pub(crate) fn verdicts(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &Draft<'_>,
    tier: usize,
    keep: &Keep,
) -> Vec<Verdict> {
    let here = &facts.tiers[tier];
    let mine = &draft.tiers[tier];
    let mut members = Vec::with_capacity(facts.points.len() + 1);
    let mut there = Vec::with_capacity(facts.points.len() + 1);
    let mut candidate = draft
        .candidate
        .as_ref()
        .filter(|_| mine.makes_candidate)
        .map(|candidate| Dated {
            moment: candidate.moment,
            held: false,
            verified: true,
        });
    for (index, point) in facts.points.iter().enumerate() {
        let made = mine.made.contains(&index);
        if !made && !here.present(index) {
            continue;
        }
        if let Some(new) = candidate.take_if(|new| new.moment.at >= point.moment.at) {
            members.push(None);
            there.push(new);
        }
        members.push(Some(index));
        there.push(Dated {
            moment: point.moment,
            held: point.held,
            verified: made || here.good(index),
        });
    }
    if let Some(new) = candidate {
        members.push(None);
        there.push(new);
    }
    let mut verdicts = vec![Verdict::default(); facts.points.len()];
    for (member, verdict) in
        members
            .iter()
            .zip(evaluate_dated(keep, &there, &world.policy.timezone))
    {
        if let Some(index) = member {
            verdicts[*index] = verdict;
        }
    }
    verdicts
}

fn keep_the_newest(facts: &SeriesFacts<'_>, draft: &mut Draft<'_>, tier: usize) {
    let here = &facts.tiers[tier];
    let mine = &mut draft.tiers[tier];
    let newer_is_made = |slot| {
        mine.makes_candidate
            && draft
                .candidate
                .as_ref()
                .is_some_and(|candidate| candidate.slot > slot)
    };
    let made = mine.made.first().copied().unwrap_or(usize::MAX);
    let newest = (0..facts.points.len()).find(|index| here.present(*index));
    let newest_good = (0..facts.points.len()).find(|index| here.good(*index));
    for (newest, words) in [
        (newest, "newest here"),
        (newest_good, "newest verified here"),
    ] {
        // What this plan makes is verified before anything is pruned, and then is the newest of both kinds.
        let Some(newest) =
            newest.filter(|index| *index < made && !newer_is_made(facts.points[*index].point.slot))
        else {
            continue;
        };
        if !mine.verdicts[newest].is_kept() && mine.also_kept[newest].is_empty() {
            mine.also_kept[newest].push(Arc::from(words));
        }
    }
}

fn keep_chains(facts: &SeriesFacts<'_>, draft: &mut Draft<'_>, tier: usize) {
    let mine = &mut draft.tiers[tier];
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
