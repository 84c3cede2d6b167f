//! Asks an archive to make a copy readable. Done when every object can be read; until then what needs it waits for a later run.
//!
//! Invariants: nothing is asked twice (the tier's promise); no step waits for hours while the run holds its lease.
//! No lease of the tier is needed: a thaw changes nothing that is stored.

use super::{Ended, Try, error::StepError};
use crate::{
    stored::{self, ManifestThere},
    thawing::{self, Thaw},
};
use model::{Reason, ReasonCode};
use providers::api::Attestation;

/// Asks for every object of the copy that is not readable.
pub(crate) async fn ensure_thawed(at: &Try<'_>) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    let Some(order) = &step.thaw else {
        return Err(StepError::Unsupported(step.id.to_string()));
    };
    let tier = &**context.admitted(&step.tier).await?;
    let manifest = match stored::read_manifest(tier, &step.recovery_point).await? {
        ManifestThere::Valid(manifest, _) => manifest,
        ManifestThere::Absent => {
            return Ok(Ended::Stale(format!(
                "the copy of `{}` on `{}` is not there any more",
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
    // It costs nothing to ask, and a thaw of a copy that the store knows to be wrong is paid for in vain.
    for object in &manifest.objects {
        let key = stored::key(&manifest.id, &object.file)?;
        if let Attestation::Differs(why) = tier.attest(&key, object).await? {
            return Err(StepError::Damaged {
                point: step.recovery_point.clone(),
                tier: step.tier.clone(),
                why: format!("`{}`: {why}", object.file),
            });
        }
    }
    Ok(match thawing::ask(tier, &manifest, order).await? {
        Thaw::Ready { asked: 0 } => Ended::AlreadyDone,
        Thaw::Ready { .. } => Ended::Done(None),
        Thaw::Waiting { asked, objects } => Ended::Blocked(Reason::new(
            ReasonCode::Thawing,
            format!(
                "{}; run `mainstay apply` again then",
                thawing::words(
                    &step.recovery_point,
                    &step.tier,
                    order,
                    asked,
                    objects,
                    context.now()
                )
            ),
        )),
    })
}
