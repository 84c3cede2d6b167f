//! Verifies the copy of a step and records what was found.
//!
//! What a failure says about the copy: wrong bytes make it damaged, absent files missing; failed checks only take its
//! verification away; trouble of the tier or the engine says nothing about it and changes nothing.
//! Not here: how a copy is verified (`verification.rs`, also used by `mainstay verify`).

use super::{Ended, Try, error::StepError};
use crate::verification::{self, CopyToVerify};
use catalog::Verification;
use model::{Copy, CopyState, VerifyLevel};

/// Verifies the copy, unless that was done since the plan was made.
pub(crate) async fn ensure_verified(at: &Try<'_>) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    let Some(level) = step.level else {
        return Err(StepError::Unsupported(step.id.to_string()));
    };
    let Some(copy) = context.known_copy(&step.recovery_point, &step.tier).await? else {
        return Ok(Ended::Stale(format!(
            "the catalog knows no copy of `{}` on `{}`",
            step.recovery_point, step.tier
        )));
    };
    if copy.is_good() && verified_since(at, &copy, level).await? {
        return Ok(Ended::AlreadyDone);
    }
    let tier = context.admitted(&step.tier).await?;
    let recorded = context.catalog.manifest(&step.recovery_point).await?;
    let result = verification::verify(CopyToVerify {
        point: &step.recovery_point,
        tier: &**tier,
        level,
        recorded: recorded.as_ref(),
        wiring: &context.wiring,
        catalog: Some(&context.catalog),
        clock: &context.clock,
        scratch: at.scratch,
        meter: &at.meter,
    })
    .await;
    context.crash.hit("before-verification-record");
    let record = |level: VerifyLevel, passed: bool, detail: String| Verification {
        recovery_point: step.recovery_point.clone(),
        tier: step.tier.clone(),
        level,
        at: context.now(),
        passed,
        detail,
        who: format!("run {}", context.run),
    };
    match result {
        Ok(passed) => {
            let detail = verification::describe(&passed);
            context
                .catalog
                .record_verification(&record(passed.level, true, detail))
                .await?;
            Ok(Ended::Done(Some(passed.bytes)))
        }
        Err(error) => {
            if let Some(verdict) = verification::verdict(&error) {
                context
                    .catalog
                    .record_verification(&record(level, false, error.to_string()))
                    .await?;
                let state = match verdict {
                    verification::Verdict::Damaged => Some(CopyState::Damaged),
                    verification::Verdict::Missing => Some(CopyState::Missing),
                    verification::Verdict::ChecksFailed => None,
                };
                if let Some(state) = state {
                    context
                        .catalog
                        .set_copy_state(
                            &context.lease,
                            &step.recovery_point,
                            &step.tier,
                            state,
                            context.now(),
                        )
                        .await?;
                }
            }
            Err(error)
        }
    }
}

/// Whether this very work was done after the plan was made. The copy's own entry keeps only its strongest verification, so
/// the history is asked.
async fn verified_since(at: &Try<'_>, copy: &Copy, level: VerifyLevel) -> Result<bool, StepError> {
    let step = at.step;
    let since = at.context.evaluated_at.max(copy.stored_at);
    let history = at
        .context
        .catalog
        .verifications(&step.recovery_point)
        .await?;
    Ok(history.iter().any(|entry| {
        entry.tier == step.tier && entry.passed && entry.level >= level && entry.at >= since
    }))
}
