//! Whether deletions are routine or need a person: retention that became shorter, and the breaker.
//!
//! Routine is what ages out under an unchanged rule. The breaker is the second net behind every rule: junk points, a
//! clock that jumped, a mistake in this program.

use crate::{draft::Draft, facts::SeriesFacts, rules::verdicts_of, world::World};
use model::{Reason, ReasonCode, Step};

/// Fewer deletions than this never trip the breaker by their share: small series would ask every day.
const FEWEST_FOR_SHARE: usize = 3;

/// Marks the prunes of one series on one tier that need approval, and says why.
pub(crate) fn judge(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
    tier: usize,
    pruned: &mut [(usize, Step)],
) {
    let here = &facts.tiers[tier];
    let place = format!("{} on {}", facts.name(), here.name);
    let in_force = world
        .inventory
        .retention_in_force
        .get(&facts.database.name)
        .and_then(|series| series.get(&facts.series.name))
        .and_then(|tiers| tiers.get(here.name))
        .filter(|in_force| *in_force != here.keep);
    if let Some(in_force) = in_force {
        let old = verdicts_of(world, facts, draft, tier, in_force);
        let mut lost = 0;
        for (index, step) in pruned.iter_mut() {
            if old[*index].is_kept() {
                step.needs_approval = true;
                lost += 1;
            }
        }
        if lost > 0 {
            draft.output.approval.push(Reason::new(
                ReasonCode::RetentionShortened,
                format!(
                    "retention of {place} became shorter (`{in_force}`, now `{}`): {} of its points would be deleted that \
                     the old rule keeps",
                    here.keep, lost
                ),
            ));
        }
    }
    let present = (0..facts.points.len())
        .filter(|index| here.present(*index))
        .count();
    let safety = &world.policy.safety;
    let share = pruned.len() * 100 / present.max(1);
    let by_count = pruned.len() > safety.max_prune_count as usize;
    let by_share = pruned.len() >= FEWEST_FOR_SHARE
        && pruned.len() * 100 > present * safety.max_prune_percent as usize;
    if by_count || by_share {
        for (_, step) in pruned.iter_mut() {
            step.needs_approval = true;
        }
        draft.output.approval.push(Reason::new(
            ReasonCode::BreakerTripped,
            format!(
                "{} of {present} points ({share} %) of {place} would be deleted at once; without approval at most {} and \
                 {} % may be",
                pruned.len(),
                safety.max_prune_count,
                safety.max_prune_percent
            ),
        ));
    }
}
