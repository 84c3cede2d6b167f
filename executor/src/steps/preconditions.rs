//! Whether a step still makes sense: judged when it starts, step by step, so that a saved plan stays valid while unrelated
//! points arrive (design.md §4).
//!
//! Three answers: it holds; the work has been done already; or the world has changed and the step is stale. Asks the catalog,
//! and a tier only for points that the catalog does not know. What only the bytes can tell is found by the step itself.

use super::{Ended, RunContext, error::StepError};
use crate::stored::{self, ManifestThere};
use model::{
    Action, CopyState, Reason, ReasonCode, RecoveryPointId, Step, TierName, step::Precondition,
};

/// `None` when everything that the step requires holds.
pub(crate) async fn check(context: &RunContext, step: &Step) -> Result<Option<Ended>, StepError> {
    for required in &step.requires {
        if let Some(ended) = check_one(context, step, required).await? {
            return Ok(Some(ended));
        }
    }
    Ok(None)
}

async fn check_one(
    context: &RunContext,
    step: &Step,
    required: &Precondition,
) -> Result<Option<Ended>, StepError> {
    let own = |point: &RecoveryPointId, tier: &TierName| {
        *point == step.recovery_point && *tier == step.tier
    };
    match required {
        Precondition::Absent {
            recovery_point,
            tier,
        } => Ok(match context.known_copy(recovery_point, tier).await? {
            None => None,
            // A lost or damaged copy is no complete one: it is what an upload or a repair replaces.
            Some(copy) if !copy.is_present() => None,
            // The plan was made from a look at the tier that the catalog may not know of: the bytes decide.
            Some(copy)
                if step.action == Action::Repair
                    && own(recovery_point, tier)
                    && copy.stored_at < context.evaluated_at =>
            {
                None
            }
            Some(_) if own(recovery_point, tier) => Some(Ended::AlreadyDone),
            Some(_) => Some(Ended::Stale(format!(
                "`{recovery_point}` has got a copy on `{tier}` since"
            ))),
        }),
        Precondition::Present {
            recovery_point,
            tier,
        } => Ok(match context.known_copy(recovery_point, tier).await? {
            Some(copy) if copy.is_present() => None,
            // The deletion of a copy that is gone, or spoilt, is still a deletion.
            Some(_) if step.action == Action::Prune && own(recovery_point, tier) => None,
            None if step.action == Action::Prune && own(recovery_point, tier) => {
                Some(Ended::AlreadyDone)
            }
            Some(copy) => Some(Ended::Stale(format!(
                "the copy of `{recovery_point}` on `{tier}` is {}",
                state_word(copy.state)
            ))),
            None => foreign(context, recovery_point, tier).await?,
        }),
        Precondition::Verified {
            recovery_point,
            tier,
        } => Ok(match context.known_copy(recovery_point, tier).await? {
            Some(copy) if copy.is_good() => None,
            _ if step.action == Action::Prune => Some(Ended::Blocked(Reason::new(
                ReasonCode::PruneWaitsForVerified,
                format!("`{recovery_point}` on `{tier}` is not verified now"),
            ))),
            _ => Some(Ended::Stale(format!(
                "the copy of `{recovery_point}` on `{tier}` is not verified now"
            ))),
        }),
        Precondition::NotHeld { recovery_point } => {
            let known = context.catalog.point(recovery_point, context.now()).await?;
            let held = known.is_some_and(|known| known.copies.iter().any(|copy| copy.held));
            Ok(held.then(|| {
                Ended::Blocked(Reason::new(
                    ReasonCode::Held,
                    format!("`{recovery_point}` is held"),
                ))
            }))
        }
    }
}

/// A point that the catalog does not know: only its tier can tell.
async fn foreign(
    context: &RunContext,
    point: &RecoveryPointId,
    tier: &TierName,
) -> Result<Option<Ended>, StepError> {
    let there = context.admitted(tier).await?;
    Ok(match stored::read_manifest(&**there, point).await? {
        ManifestThere::Valid(..) => None,
        ManifestThere::Absent | ManifestThere::Unreadable(_) => Some(Ended::Stale(format!(
            "there is no readable copy of `{point}` on `{tier}` any more"
        ))),
    })
}

fn state_word(state: CopyState) -> &'static str {
    match state {
        CopyState::Present => "present",
        CopyState::Missing => "missing",
        CopyState::Damaged => "damaged",
        CopyState::Foreign => "not adopted yet",
    }
}
