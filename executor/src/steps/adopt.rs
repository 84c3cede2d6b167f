//! Records a recovery point that was found on a tier: the catalog was lost, or the tier came from another machine.
//!
//! Invariant: nothing on the tier is changed; what the catalog learns is what the manifest says.

use super::{Ended, Try, error::StepError};
use crate::stored::{self, ManifestThere};
use model::CopyState;

/// Records the copy, unless it is known.
pub(crate) async fn ensure_adopted(at: &Try<'_>) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    let known = context.known_copy(&step.recovery_point, &step.tier).await?;
    if known.is_some_and(|copy| copy.state != CopyState::Missing) {
        return Ok(Ended::AlreadyDone);
    }
    let tier = &**context.admitted(&step.tier).await?;
    let manifest = match stored::read_manifest(tier, &step.recovery_point).await? {
        ManifestThere::Valid(manifest, _) => *manifest,
        ManifestThere::Absent => {
            return Ok(Ended::Stale(format!(
                "`{}` is not on `{}` any more",
                step.recovery_point, step.tier
            )));
        }
        ManifestThere::Unreadable(why) => {
            return Err(StepError::Damaged {
                point: step.recovery_point.clone(),
                tier: step.tier.clone(),
                why,
            });
        }
    };
    if let Some(trouble) = stored::check_sizes(tier, &manifest).await? {
        return Err(StepError::Damaged {
            point: step.recovery_point.clone(),
            tier: step.tier.clone(),
            why: trouble.text().to_owned(),
        });
    }
    context
        .catalog
        .finish_copy(&context.lease, &manifest, &step.tier, context.now())
        .await?;
    context.crash.hit("after-catalog");
    Ok(Ended::Done(None))
}
