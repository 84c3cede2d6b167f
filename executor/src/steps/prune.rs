//! Deletes one copy, if the guard allows it.
//!
//! Order of deletions, and what a crash after each leaves:
//! 1. the manifest: from here on the copy is invisible at once, never half there; the catalog still lists it, so the next plan
//!    prunes it again and this file goes on;
//! 2. the objects: nothing is left on the tier;
//! 3. the catalog's row, with who and why in the audit.
//!
//! The catalog is last, because a copy that it has forgotten would leave its objects for ever.

use super::{Ended, Try, error::StepError};
use crate::{
    prune_guard::{self, Verdict},
    stored,
};
use model::ByteCount;

/// Deletes the copy, unless it is gone.
pub(crate) async fn ensure_pruned(at: &Try<'_>) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    let _alone = context.pruning.lock().await;
    let known = context.known_copy(&step.recovery_point, &step.tier).await?;
    if known.is_none() {
        return Ok(Ended::AlreadyDone);
    }
    let tier = &**context.admitted(&step.tier).await?;
    match prune_guard::judge(context, step, tier).await? {
        Verdict::Allowed => {}
        Verdict::Refused(reason) => return Ok(Ended::Blocked(reason)),
    }
    context.crash.hit("before-delete");
    let objects = stored::list_folder(tier, &step.recovery_point).await?;
    let manifest = stored::manifest_key(&step.recovery_point)?;
    tier.delete(&manifest).await?;
    context.crash.hit("after-delete-manifest");
    let mut freed = ByteCount(0);
    for info in &objects {
        if info.key != manifest {
            tier.delete(&info.key).await?;
        }
        freed = freed.saturating_add(info.bytes);
    }
    tier.clean_leftovers(&format!("{}/", step.recovery_point.folder()))
        .await?;
    context.crash.hit("after-delete-data");
    let why = format!("{} (run {})", step.reason.text, context.run);
    context
        .catalog
        .forget_copy(
            &context.lease,
            &step.recovery_point,
            &step.tier,
            &context.who,
            &why,
            context.now(),
        )
        .await?;
    context.crash.hit("after-forget");
    Ok(Ended::Done(Some(freed)))
}
