//! The loop of a run: starts what may start, waits for the first to end, until nothing is left or the run is stopped.
//!
//! Each step is a task of its own. Aborting a task drops its future, which kills its programs with their process groups and
//! leaves unfinished objects invisible (the contracts of `providers::api`).

use super::{ApplyOptions, StepReport};
use crate::{
    lease::Held,
    leftovers,
    schedule::Schedule,
    steps::{self, Ended, RunContext, Try, error::StepError},
    stored,
};
use model::{
    Action, ByteCount, Disposition, Step, StepId,
    event::{Failure, Outcome, What},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::{Id, JoinError, JoinSet};

/// Time to settle what was being written when the run was stopped.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// Codes of runs that stopped before their end.
pub(crate) const STOP_CODES: &[&str] = &["mainstay::run::lease-lost", "mainstay::run::stopped"];

/// What became of all steps.
#[derive(Debug)]
pub(super) struct RunEnded {
    /// In the plan's order.
    pub(super) steps: Vec<StepReport>,
    pub(super) stopped: Option<Failure>,
}

/// What a task gives back.
struct Finished {
    at: usize,
    report: StepReport,
    lost_lease: bool,
}

/// Carries out every step that can be.
pub(super) async fn run(
    context: &Arc<RunContext>,
    mut schedule: Schedule,
    options: &ApplyOptions,
    held: &Held,
    withheld: &(dyn Fn(&Step) -> bool + Sync),
) -> RunEnded {
    let mut reports: BTreeMap<usize, StepReport> = BTreeMap::new();
    let mut tasks: JoinSet<Finished> = JoinSet::new();
    let mut indices: BTreeMap<Id, usize> = BTreeMap::new();
    let mut stopped = None;
    loop {
        if options.cancel.is_cancelled() {
            stopped = Some(stopped_by_person());
            break;
        }
        while let Some(at) = schedule.start_next() {
            let step = schedule.step(at).clone();
            if withheld(&step) {
                let report = StepReport {
                    step: step.id,
                    outcome: Outcome::NeedsApproval,
                    milliseconds: 0,
                    bytes: None,
                };
                note(context, &mut schedule, &mut reports, at, report).await;
                continue;
            }
            let context = Arc::clone(context);
            let task = tasks.spawn(async move {
                let (report, lost_lease) = carry_out(&context, step).await;
                Finished {
                    at,
                    report,
                    lost_lease,
                }
            });
            indices.insert(task.id(), at);
        }
        if tasks.is_empty() {
            break;
        }
        let joined = tokio::select! {
            joined = tasks.join_next_with_id() => joined,
            () = options.cancel.cancelled() => {
                stopped = Some(stopped_by_person());
                break;
            }
            () = held.lost.cancelled() => {
                stopped = Some(lost_lease(held));
                break;
            }
        };
        match joined {
            Some(Ok((_, finished))) => {
                let lost = finished.lost_lease;
                note(
                    context,
                    &mut schedule,
                    &mut reports,
                    finished.at,
                    finished.report,
                )
                .await;
                if lost {
                    stopped = Some(lost_lease(held));
                    break;
                }
            }
            Some(Err(error)) => {
                if let Some(at) = indices.get(&error.id()).copied() {
                    let report = faulty(schedule.step(at), &error);
                    note(context, &mut schedule, &mut reports, at, report).await;
                }
            }
            None => break,
        }
    }
    tasks.shutdown().await;
    if let Some(failure) = &stopped {
        skip_rest(context, &mut schedule, &mut reports, failure).await;
        // A stopped writer's leftovers are invisible either way; tidying them up now is a courtesy with a limit.
        if !held.lost.is_cancelled() {
            let _ = tokio::time::timeout(SETTLE_LIMIT, leftovers::settle_all(context)).await;
        }
    }
    RunEnded {
        steps: reports.into_values().collect(),
        stopped,
    }
}

/// Notes how a step ended, and what that means for those that depend on it.
async fn note(
    context: &RunContext,
    schedule: &mut Schedule,
    reports: &mut BTreeMap<usize, StepReport>,
    at: usize,
    report: StepReport,
) {
    tell_end(context, &report).await;
    let id = report.step.clone();
    let word = match &report.outcome {
        Outcome::Done | Outcome::AlreadyDone => {
            schedule.succeeded(at);
            reports.insert(at, report);
            return;
        }
        Outcome::Failed { .. } => "failed",
        Outcome::Skipped { .. } => "was skipped",
        Outcome::Stale { .. } => "is stale",
        Outcome::Blocked { .. } => "is blocked",
        Outcome::NeedsApproval => "needs approval",
    };
    reports.insert(at, report);
    for lost in schedule.not_done(at) {
        if reports.contains_key(&lost) {
            continue;
        }
        let report = skipped(&schedule.step(lost).id, format!("`{id}` {word}"));
        tell_end(context, &report).await;
        reports.insert(lost, report);
    }
}

async fn skip_rest(
    context: &RunContext,
    schedule: &mut Schedule,
    reports: &mut BTreeMap<usize, StepReport>,
    failure: &Failure,
) {
    for (at, was_running) in schedule.drain() {
        if reports.contains_key(&at) {
            continue;
        }
        let why = if was_running {
            format!("{} while it was under way", failure.message)
        } else {
            failure.message.clone()
        };
        let report = skipped(&schedule.step(at).id, why);
        tell_end(context, &report).await;
        reports.insert(at, report);
    }
}

fn skipped(step: &StepId, why: String) -> StepReport {
    StepReport {
        step: step.clone(),
        outcome: Outcome::Skipped { why },
        milliseconds: 0,
        bytes: None,
    }
}

async fn tell_end(context: &RunContext, report: &StepReport) {
    context
        .journal
        .tell(What::StepFinished {
            step: report.step.clone(),
            outcome: report.outcome.clone(),
            milliseconds: report.milliseconds,
            bytes: report.bytes,
        })
        .await;
}

/// All tries of one step.
async fn carry_out(context: &RunContext, step: Step) -> (StepReport, bool) {
    let started = Instant::now();
    let tries = step.limits.retries.saturating_add(1);
    let mut attempt = 1;
    let (outcome, bytes, lost_lease) = loop {
        context
            .journal
            .tell(What::StepStarted {
                step: step.id.clone(),
                attempt,
            })
            .await;
        let this_try = Instant::now();
        let error = match try_once(context, &step).await {
            Ok(ended) => {
                if let Ended::Done(bytes) = &ended {
                    measure(context, &step, *bytes, this_try.elapsed()).await;
                }
                let (outcome, bytes) = outcome(ended);
                break (outcome, bytes, false);
            }
            Err(error) => error,
        };
        let failure = error.to_failure();
        if error.is_lost_lease() {
            break (Outcome::Failed { error: failure }, None, true);
        }
        if failure.disposition != Disposition::Retry || attempt >= tries {
            // A key that was taken meanwhile is somebody else's work, perhaps with its manifest still to come.
            if failure.code != stored::EXISTS {
                tidy(context, &step).await;
            }
            break (Outcome::Failed { error: failure }, None, false);
        }
        context
            .journal
            .tell(What::StepRetried {
                step: step.id.clone(),
                error: failure,
                after_seconds: step.limits.retry_after_seconds,
            })
            .await;
        tokio::time::sleep(Duration::from_secs(step.limits.retry_after_seconds)).await;
        attempt += 1;
    };
    let report = StepReport {
        step: step.id,
        outcome,
        milliseconds: milliseconds(started.elapsed()),
        bytes,
    };
    (report, lost_lease)
}

async fn try_once(context: &RunContext, step: &Step) -> Result<Ended, StepError> {
    let scratch = context.scratch.fresh().map_err(StepError::Scratch)?;
    let attempt = Try {
        context,
        step,
        meter: context.journal.meter(step.id.clone(), step.bytes),
        scratch: &scratch,
    };
    let limit = Duration::from_secs(step.limits.timeout_seconds);
    let result = tokio::time::timeout(limit, steps::ensure(&attempt)).await;
    context.scratch.discard(&scratch);
    result.unwrap_or(Err(StepError::TimedOut {
        seconds: step.limits.timeout_seconds,
    }))
}

/// Removes what the last try of a writing step left; the next run would do it otherwise.
async fn tidy(context: &RunContext, step: &Step) {
    let (point, tier) = (&step.recovery_point, &step.tier);
    if !matches!(
        step.action,
        Action::Backup | Action::Upload | Action::Repair
    ) {
        return;
    }
    // A step that failed before it announced anything has left nothing; what lies there is somebody else's.
    let settled = match leftovers::is_announced(context, point, tier).await {
        Ok(false) => return,
        Ok(true) => leftovers::settle(context, point, tier).await.map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = settled {
        tracing::warn!(step = %step.id, code = error.code(), "leftovers stay for the next run");
    }
}

fn outcome(ended: Ended) -> (Outcome, Option<ByteCount>) {
    match ended {
        Ended::Done(bytes) => (Outcome::Done, bytes),
        Ended::AlreadyDone => (Outcome::AlreadyDone, None),
        Ended::Stale(why) => (Outcome::Stale { why }, None),
        Ended::Blocked(reason) => (Outcome::Blocked { reason }, None),
    }
}

/// Records how long the work took, for the steps that move bytes.
async fn measure(context: &RunContext, step: &Step, bytes: Option<ByteCount>, duration: Duration) {
    let Some(bytes) = bytes else { return };
    let kind = match step.level {
        Some(level) if step.action == Action::Verify => format!("verify-{level}"),
        _ => step.action.to_string(),
    };
    let measured = catalog::Measurement {
        kind,
        database: step.database.clone(),
        series: step.series.clone(),
        tier: step.tier.clone(),
        bytes,
        milliseconds: milliseconds(duration),
        at: context.now(),
    };
    if let Err(error) = context.catalog.record_measurement(&measured).await {
        context.journal.gap(steps::error::catalog_failure(&error));
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn faulty(step: &Step, error: &JoinError) -> StepReport {
    tracing::error!(step = %step.id, panicked = error.is_panic(), "a step's task has ended without a result");
    StepReport {
        step: step.id.clone(),
        outcome: Outcome::Failed {
            error: StepError::Panicked.to_failure(),
        },
        milliseconds: 0,
        bytes: None,
    }
}

fn stopped_by_person() -> Failure {
    Failure {
        code: "mainstay::run::stopped".to_owned(),
        message: "the run was stopped".to_owned(),
        help: Some("run `mainstay apply` again; it goes on where this run ended".to_owned()),
        disposition: Disposition::NeedsOperator,
    }
}

fn lost_lease(held: &Held) -> Failure {
    Failure {
        code: "mainstay::run::lease-lost".to_owned(),
        message: format!(
            "the run lost its lease (token {}) to another run",
            held.lease.token
        ),
        help: Some("let the other run finish, then run `mainstay apply` again".to_owned()),
        disposition: Disposition::NeedsOperator,
    }
}
