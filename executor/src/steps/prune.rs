//! Deletes one copy, if the guard allows it.
//!
//! Order of deletions, and what a crash after each leaves:
//! 1. the manifest: from here on the copy is invisible at once, never half there; the catalog still lists it, so the next plan
//!    prunes it again and this file goes on;
//! 2. the objects, `keys.json` among them: nothing is left on the tier;
//! 3. the catalog's row, with who and why in the audit.
//!
//! A store that refuses a deletion although the guard has just asked it (a lock set at this very moment) ends the step as
//! blocked; before each deletion the tier's lease is looked at once more.
//! The catalog is last, because a copy that it has forgotten would leave its objects for ever.

use super::{Ended, Try, error::StepError};
use crate::{
    prune_guard::{self, Verdict},
    stored,
};
use model::{ByteCount, Reason, ReasonCode, audit::Deletion};
use providers::api::{ObjectKey, Tier};

/// The storage refuses to delete an object.
const LOCKED: &str = "mainstay::tier::locked";

/// Deletes the copy, unless it is gone.
pub(crate) async fn ensure_pruned(at: &Try<'_>) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    let _alone = context.pruning.lock().await;
    let known = context.known_copy(&step.recovery_point, &step.tier).await?;
    let Some(known) = known else {
        return Ok(Ended::AlreadyDone);
    };
    let tier = &**context.admitted(&step.tier).await?;
    match prune_guard::judge(context, step, tier).await? {
        Verdict::Allowed => {}
        Verdict::Refused(reason) => return Ok(Ended::Blocked(reason)),
    }
    context.crash.hit("before-delete");
    let objects = stored::list_folder(tier, &step.recovery_point).await?;
    let manifest = stored::manifest_key(&step.recovery_point)?;
    if known.is_present() && !objects.iter().any(|info| info.key == manifest) {
        // What is gone already, this step must not make look like its own deletion; the report tells what a run that died had begun.
        let (lease, point, now) = (&context.lease, &step.recovery_point, context.now());
        context
            .catalog
            .record_loss(lease, point, &step.tier, now)
            .await?;
    }
    if let Some(blocked) = delete(at, tier, &manifest).await? {
        return Ok(blocked);
    }
    context.crash.hit("after-delete-manifest");
    let mut freed = ByteCount(0);
    for info in &objects {
        if info.key != manifest {
            context.tier_leases.ensure_current(&step.tier).await?;
            if let Some(blocked) = delete(at, tier, &info.key).await? {
                return Ok(blocked);
            }
        }
        freed = freed.saturating_add(info.bytes);
    }
    tier.clean_leftovers(&format!("{}/", step.recovery_point.folder()))
        .await?;
    context.crash.hit("after-delete-data");
    let why = format!("{} (run {})", step.reason.text, context.run);
    let deletion = Deletion {
        approved_by: context.approver(step),
        // What an earlier run had deleted before it died is not here any more; the catalog knows the whole.
        bytes: None,
        justified_by: step.justified_by.clone(),
        keep: step.retention.clone(),
        plan: Some(context.plan.clone()),
        policy: Some(context.policy_digest.clone()),
        reason: Some(step.reason.code),
        run: Some(context.run.clone()),
        ..Deletion::of(step.recovery_point.clone(), step.tier.clone())
    };
    let (lease, who, now) = (&context.lease, &context.who, context.now());
    context
        .catalog
        .forget_copy(lease, &deletion, who, &why, now)
        .await?;
    context.crash.hit("after-forget");
    Ok(Ended::Done(Some(freed)))
}

/// Deletes one object; how the step ends when the storage refuses.
async fn delete(
    at: &Try<'_>,
    tier: &dyn Tier,
    key: &ObjectKey,
) -> Result<Option<Ended>, StepError> {
    let (point, name) = (&at.step.recovery_point, &at.step.tier);
    match tier.delete(key).await {
        Ok(_) => Ok(None),
        Err(error) if error.code == LOCKED => {
            let protection = tier.protection(key).await?;
            let reason = match protection.locked_until {
                Some(until) if !protection.legal_hold => prune_guard::locked(point, name, until),
                _ => Reason::new(
                    ReasonCode::Held,
                    format!("`{name}` refuses to delete `{key}`: {}", error.message),
                ),
            };
            Ok(Some(Ended::Blocked(reason)))
        }
        Err(error) => Err(error.into()),
    }
}
