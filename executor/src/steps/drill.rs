//! Restores the point of a step for a test, checks it, times it, and leaves nothing behind but the record.
//!
//! Invariants: it passes only if something was checked and every check passed; it is recorded however it ends; a copy that it
//! finds spoilt is remembered as such, so that nothing relies on it and a repair is planned.
//! Not here: how it is restored (`restore/`), drills outside the schedule and proofs that a drill can fail (`drill.rs`).

use super::{Ended, Try, error::StepError};
use crate::{
    drill::{self, Occasion},
    restore, stored,
};
use model::{CopyState, Reason, ReasonCode, TierName, event::Failure};
use std::time::Duration;

const MISSING: &str = "mainstay::run::copy-missing";

/// Carries out the drill, unless it has passed since the plan was made.
pub(crate) async fn ensure_drilled(at: &Try<'_>) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    let Some(order) = &step.drill else {
        return Err(StepError::Unsupported(step.id.to_string()));
    };
    if passed_since(at, &order.name).await? {
        return Ok(Ended::AlreadyDone);
    }
    let mut wanted = drill::restore_order(
        order,
        Occasion {
            point: step.recovery_point.clone(),
            only_from: step.from.clone(),
            prefer: Some(step.tier.clone()),
            who: context.who.clone(),
            why: step.reason.text.to_string(),
            at: context.now(),
        },
    );
    wanted.policy_digest = Some(context.policy_digest.clone());
    wanted.progress = at.meter.callback();
    let result = restore::restore_until(
        &wanted,
        &context.wiring,
        Some(&context.catalog),
        &context.clock,
        out_of_time(step.limits.timeout_seconds),
    )
    .await;
    let given_up = match &result {
        Ok(report) => &report.given_up,
        Err(error) => &error.given_up,
    };
    for (tier, failure) in given_up {
        remember_bad_copy(at, tier, failure).await?;
    }
    if let Err(error) = &result {
        if restore::waits(&error.failure) {
            let text = error.failure.message.clone();
            return Ok(Ended::Blocked(Reason::new(ReasonCode::Thawing, text)));
        }
        if let Some(tier) = &error.tier {
            remember_bad_copy(at, tier, &error.failure).await?;
        }
    }
    match drill::failure(&result) {
        None => Ok(Ended::Done(result.ok().map(|report| report.bytes))),
        Some(failure) => Err(StepError::Drill {
            name: order.name.clone(),
            database: step.database.clone(),
            failure: Box::new(failure),
            record: wanted.run,
        }),
    }
}

/// Ends just before the step would be ended from outside, so that there is time to record it.
async fn out_of_time(seconds: u64) -> Failure {
    let limit = Duration::from_secs(seconds);
    tokio::time::sleep(limit.saturating_sub(limit / 50)).await;
    StepError::TimedOut { seconds }.to_failure()
}

/// Whether this drill was passed for this slot since the plan was made.
async fn passed_since(at: &Try<'_>, name: &str) -> Result<bool, StepError> {
    let (context, step) = (at.context, at.step);
    let slot = step.drill.as_ref().map(|order| order.slot);
    let records = context.catalog.recoveries(Some(&step.database), 64).await?;
    Ok(records.iter().any(|record| {
        let drill = record.drill.as_ref();
        record.passed
            && record.finished_at >= context.evaluated_at
            && drill.is_some_and(|drill| drill.name == name && Some(drill.slot) == slot)
    }))
}

async fn remember_bad_copy(
    at: &Try<'_>,
    tier: &TierName,
    failure: &Failure,
) -> Result<(), StepError> {
    let (context, point) = (at.context, &at.step.recovery_point);
    let state = match failure.code.as_str() {
        stored::DAMAGED => CopyState::Damaged,
        MISSING => CopyState::Missing,
        _ => return Ok(()),
    };
    let known = context.known_copy(point, tier).await?;
    if known.is_some_and(|copy| copy.is_present()) {
        let (catalog, lease) = (&context.catalog, &context.lease);
        catalog
            .set_copy_state(lease, point, tier, state, context.now())
            .await?;
    }
    Ok(())
}
