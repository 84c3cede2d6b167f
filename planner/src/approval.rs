//! Whether deletions are routine or need a person: retention that became shorter, and the breaker.
//!
//! Routine is what ages out under an unchanged rule. The breaker is the second net behind every rule: junk points, a
//! clock that jumped, a mistake in this program.

use crate::{
    draft::Draft, facts::SeriesFacts, retention::Occupy, rules::verdicts_of, world::World,
};
use model::{ApprovalRules, Reason, ReasonCode, Step};

/// Fewer deletions than this never trip the breaker by their share: small series would ask every day.
const FEWEST_FOR_SHARE: usize = 3;

/// The policy lets others approve, or with fewer signatures, than the rules in force, or has none any more.
pub(crate) fn rules_weakened(world: &World<'_>) -> Option<Reason> {
    let in_force = world.inventory.approval_in_force.as_ref()?;
    let now = world.policy.approval.as_ref();
    if !ApprovalRules::weaken(now, in_force) {
        return None;
    }
    let what = match now {
        None => "the policy declares no `[approval]` any more".to_owned(),
        Some(now) if now.signers != in_force.signers => "other signers may approve".to_owned(),
        Some(now) if now.quorum < in_force.quorum => {
            format!(
                "{} signatures are enough, so far {}",
                now.quorum, in_force.quorum
            )
        }
        Some(now) if in_force.exclude_author && !now.exclude_author => {
            "who wrote the policy may approve it".to_owned()
        }
        Some(_) => "`[safety]` lets more be deleted without a signature than so far".to_owned(),
    };
    Some(Reason::new(
        ReasonCode::ApprovalWeakened,
        format!(
            "{what}: the rules in force stay until {} of their signers agree",
            in_force.quorum
        ),
    ))
}

/// Marks the prunes of one series on one tier that need approval, and says why; and remembers the old rule for as long
/// as something that only it keeps is there, so that a plan which could not delete yet does not make it forgotten.
pub(crate) fn judge(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
    tier: usize,
    unkept: &[usize],
    pruned: &mut [(usize, Step)],
) {
    shortened(world, facts, draft, tier, unkept, pruned);
    breaker(world, facts, draft, tier, pruned);
}

fn shortened(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
    tier: usize,
    unkept: &[usize],
    pruned: &mut [(usize, Step)],
) {
    let here = &facts.tiers[tier];
    let Some(in_force) = world
        .inventory
        .retention_in_force
        .get(&facts.database.name)
        .and_then(|series| series.get(&facts.series.name))
        .and_then(|tiers| tiers.get(here.name))
        .filter(|in_force| *in_force != here.keep)
    else {
        return;
    };
    let old = verdicts_of(world, facts, tier, in_force, Occupy::Complete);
    let protected = unkept.iter().filter(|index| old[**index].is_kept()).count();
    if protected == 0 {
        return;
    }
    let mut lost = 0;
    for (index, step) in pruned.iter_mut() {
        if old[*index].is_kept() {
            step.needs_approval = true;
            lost += 1;
        } else {
            // Routine under both rules: carrying it out alone must not put the shorter one in force.
            step.retention = Some(in_force.clone());
        }
    }
    if lost < protected {
        draft.output.still_in_force.push((
            facts.database.name.clone(),
            facts.series.name.clone(),
            here.name.clone(),
            in_force.clone(),
        ));
    }
    if lost > 0 {
        draft.output.approval.push(Reason::new(
            ReasonCode::RetentionShortened,
            format!(
                "retention of {} on {} became shorter (`{in_force}`, now `{}`): {} that the old rule keeps would be deleted",
                facts.name(),
                here.name,
                here.keep,
                crate::rules::points(lost)
            ),
        ));
    }
}

fn breaker(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
    tier: usize,
    pruned: &mut [(usize, Step)],
) {
    let here = &facts.tiers[tier];
    let present = (0..facts.points.len())
        .filter(|index| here.present(*index))
        .count();
    let safety = &world.limits;
    let share = pruned.len() * 100 / present.max(1);
    let by_count = pruned.len() > safety.max_prune_count as usize;
    let by_share = pruned.len() >= FEWEST_FOR_SHARE
        && pruned.len() * 100 > present * safety.max_prune_percent as usize;
    if !by_count && !by_share {
        return;
    }
    for (_, step) in pruned.iter_mut() {
        step.needs_approval = true;
    }
    draft.output.approval.push(Reason::new(
        ReasonCode::BreakerTripped,
        format!(
            "{} of {present} points ({share} %) of {} on {} would be deleted at once; at most {} points and {} % go without \
             approval",
            pruned.len(),
            facts.name(),
            here.name,
            safety.max_prune_count,
            safety.max_prune_percent
        ),
    ));
}
