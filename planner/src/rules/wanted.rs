//! Which points each tier wants, judged over all that could be there, not only over what is.
//!
//! The universe of a tier: points with any copy on it, points on tiers that stand earlier in the policy's order (it is
//! filled from them), and points newer than the newest one it has. Older points that it once pruned are not in it, so
//! they do not come back. Points of which nothing can be read take no place. The candidate counts as verified, because
//! nothing depends on it before it is.

use crate::{
    draft::Draft,
    facts::SeriesFacts,
    retention::{Dated, Occupy, evaluate_dated},
    world::World,
};

pub(super) fn each_tier_wants_what_its_retention_keeps(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    for tier in 0..facts.tiers.len() {
        let (members, universe, candidate_at) = universe(facts, draft, tier);
        let verdicts = evaluate_dated(
            facts.tiers[tier].keep,
            &universe,
            &world.policy.timezone,
            Occupy::Complete,
        );
        let mut wanted = vec![false; facts.points.len()];
        let mut wants_candidate = false;
        let mut member = members.into_iter();
        for (position, verdict) in verdicts.iter().enumerate() {
            if Some(position) == candidate_at {
                wants_candidate = verdict.is_kept();
            } else if let Some(index) = member.next() {
                // A hold keeps what is here; it does not ask for more copies.
                wanted[index] = verdict
                    .reasons
                    .iter()
                    .any(|why| *why != crate::retention::Why::Held);
            }
        }
        // A point without its chain is no point. Newest first, so that one walk reaches the whole chain.
        for index in 0..wanted.len() {
            if wanted[index]
                && let Some(parent) = facts.parent(index)
            {
                wanted[parent] = true;
            }
        }
        let draft = &mut draft.tiers[tier];
        draft.wanted = wanted;
        draft.wants_candidate = wants_candidate;
    }
}

/// Indices of the members, the members with the candidate in its place, and where the candidate stands.
fn universe(
    facts: &SeriesFacts<'_>,
    draft: &Draft<'_>,
    tier: usize,
) -> (Vec<usize>, Vec<Dated>, Option<usize>) {
    let here = &facts.tiers[tier];
    let newest_here = (0..facts.points.len())
        .find(|index| here.present(*index))
        .unwrap_or(facts.points.len());
    let members: Vec<usize> = (0..facts.points.len())
        .filter(|index| {
            facts.points[*index].available
                && (*index < newest_here
                    || here.copies[*index].is_some()
                    || facts.tiers[..tier]
                        .iter()
                        .any(|earlier| earlier.present(*index)))
        })
        .collect();
    let mut universe: Vec<Dated> = members
        .iter()
        .map(|index| {
            let point = &facts.points[*index];
            Dated {
                moment: point.moment,
                held: point.held,
                verified: point.verified,
            }
        })
        .collect();
    let candidate_at = draft.candidate.as_ref().map(|candidate| {
        let at = universe
            .iter()
            .position(|point| point.moment.at <= candidate.slot)
            .unwrap_or(universe.len());
        universe.insert(
            at,
            Dated {
                moment: candidate.moment,
                held: false,
                verified: true,
            },
        );
        at
    });
    (members, universe, candidate_at)
}
