//! Whether the candidate is incremental, and to what; then its whole chain is wanted wherever the candidate is.
//!
//! It continues the chain of the newest point whose links are all present and verified on the tier where it is made. A newer point
//! that merely was not verified yet is passed over; one whose chain is damaged or gone is not, because then something went wrong
//! and a full point is the way out. The server's own words count too: another timeline or another cluster ends a chain.

use crate::{
    draft::Draft,
    facts::SeriesFacts,
    rules::backup::{primary_of, usable},
    world::World,
};
use model::{CopyState, RecoveryPoint};

pub(super) fn the_candidate_continues_a_chain(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    if !facts.series.incremental || draft.candidate.is_none() {
        return;
    }
    let Some(primary) = primary_of(facts, draft, &usable(world, facts, draft)) else {
        return;
    };
    let Some(candidate) = draft.candidate.as_mut() else {
        return;
    };
    let age = |full: &RecoveryPoint| candidate.slot.duration_since(full.slot);
    let chain = match continued(facts, primary) {
        Ok(chain) => {
            let full = chain.last().map(|full| facts.points[*full].point);
            let newest = facts.points[chain[0]].point;
            if full.is_some_and(|full| age(full) >= facts.series.full_every) {
                Err("the last full one is as old as `full-every`".to_owned())
            } else if let Some(why) = other_source(facts, newest) {
                Err(why)
            } else {
                Ok(chain)
            }
        }
        Err(why) => Err(why),
    };
    match chain {
        Err(why) => {
            candidate.reason.text = format!("{}; a full one: {why}", candidate.reason.text).into();
        }
        Ok(chain) => {
            let parent = &facts.points[chain[0]].point.id;
            candidate.reason.text =
                format!("{}; incremental to {parent}", candidate.reason.text).into();
            candidate.chain.clone_from(&chain);
            for (index, tier) in draft.tiers.iter_mut().enumerate() {
                let archived = facts.tiers[index].thaw.is_some();
                if index == primary || (tier.wants_candidate && !archived) {
                    for link in &chain {
                        tier.wanted[*link] = true;
                    }
                }
            }
        }
    }
}

/// The chain to continue, the newest link first; or why there is none.
fn continued(facts: &SeriesFacts<'_>, primary: usize) -> Result<Vec<usize>, String> {
    let here = &facts.tiers[primary];
    for index in 0..facts.points.len() {
        let chain = match facts.chain(index) {
            Ok(chain) => chain,
            Err(unknown) => {
                return Err(format!(
                    "the chain is broken: {unknown} is not known any more"
                ));
            }
        };
        let broken = chain.iter().find_map(|link| {
            let state = match here.copies[*link].map(|copy| copy.state) {
                Some(CopyState::Present) => return None,
                Some(CopyState::Damaged) => "is damaged",
                Some(CopyState::Foreign) => "is not adopted yet",
                Some(CopyState::Missing) | None => "is not there",
            };
            Some(format!("{} {state}", facts.points[*link].point.id))
        });
        if let Some(broken) = broken {
            return Err(format!("the chain is broken on {}: {broken}", here.name));
        }
        if chain.iter().all(|link| here.good(*link)) {
            return Ok(chain);
        }
    }
    Err(if facts.points.is_empty() {
        "the first of the series".to_owned()
    } else {
        format!("no earlier one is verified on {}", here.name)
    })
}

/// Why the server is not the one that the point was made of.
fn other_source(facts: &SeriesFacts<'_>, newest: &RecoveryPoint) -> Option<String> {
    let (source, span) = (facts.log.source?, newest.wal.as_deref()?);
    if source.at <= newest.captured_at {
        return None;
    }
    if source.system_identifier != span.system_identifier {
        return Some("the server is another cluster".to_owned());
    }
    (source.timeline != span.timeline).then(|| {
        format!(
            "the server went from timeline {} to {}",
            span.timeline, source.timeline
        )
    })
}
