//! Which points each tier wants, judged over all that could be there, not only over what is.
//!
//! The universe of a tier: points with any copy on it, points on tiers that stand earlier in the policy's order (it is
//! filled from them), and points newer than the newest one it has. Older points that it once pruned are not in it, so
//! they do not come back. Points of which nothing can be read take no place. The candidate counts as verified, because
//! nothing depends on it before it is.

use crate::{
    draft::Draft,
    facts::SeriesFacts,
    retention::{
        Dated, Occupy, Verdict, evaluate_dated,
        kept_until::{Ahead, kept_until},
    },
    rules::slots::started,
    world::World,
};
use jiff::Timestamp;

pub(crate) fn each_tier_wants_what_its_retention_keeps(
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
        let until = until(world, facts, tier, &universe, &verdicts);
        let mut kept_until = vec![
            None;
            if until.is_empty() {
                0
            } else {
                facts.points.len()
            }
        ];
        let mut wanted = vec![false; facts.points.len()];
        let mut wants_candidate = false;
        let mut candidate_kept_until = None;
        let mut member = members.into_iter();
        for (position, verdict) in verdicts.iter().enumerate() {
            if Some(position) == candidate_at {
                wants_candidate = verdict.is_kept();
                candidate_kept_until = until.get(position).copied().flatten();
            } else if let Some(index) = member.next() {
                // A hold keeps what is here; it does not ask for more copies.
                wanted[index] = verdict
                    .reasons
                    .iter()
                    .any(|why| *why != crate::retention::Why::Held);
                if let Some(until) = until.get(position) {
                    kept_until[index] = *until;
                }
            }
        }
        // The base that a window of log begins with: if its copy here is spoilt, it is mended.
        for (on, index, _) in &facts.log.windows {
            wanted[*index] |= *on == tier && facts.tiers[tier].copies[*index].is_some();
        }
        // A point without its chain is no point. Newest first, so that one walk reaches the whole chain.
        for index in 0..wanted.len() {
            if wanted[index]
                && let Some(parent) = facts.parent(index)
            {
                wanted[parent] = true;
                if !kept_until.is_empty() {
                    kept_until[parent] = kept_until[parent].max(kept_until[index]);
                }
            }
        }
        let draft = &mut draft.tiers[tier];
        draft.wanted = wanted;
        draft.wants_candidate = wants_candidate;
        draft.kept_until = kept_until;
        draft.candidate_kept_until = candidate_kept_until;
    }
}

/// Until when each member is certain to be kept, where copies are locked for as long as that; else nothing.
fn until(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    tier: usize,
    universe: &[Dated],
    verdicts: &[Verdict],
) -> Vec<Option<Timestamp>> {
    let here = &facts.tiers[tier];
    if here.lock.is_none_or(|lock| lock.length.is_some()) {
        return Vec::new();
    }
    let zone = &world.policy.timezone;
    let ahead = Ahead {
        now: world.now,
        // A slot whose jitter has not passed is still to come.
        from: started(world, facts).unwrap_or(world.now),
        next: &|after| facts.series.schedule.next_after(after, zone),
        zone,
    };
    kept_until(here.keep, universe, verdicts, &ahead)
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
