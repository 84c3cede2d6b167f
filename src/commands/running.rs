//! What `apply` and `backup` share: carrying out a plan with progress, Ctrl-C, a closing account and an exit code.

use crate::{
    arguments::{Global, RunArguments},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{out, progress::Progress, report},
    session, settings, wiring,
};
use executor::{ApplyOptions, Clock, Drift, Routine, RunEnd, RunError, Wiring, cancellation};
use jiff::Timestamp;
use model::{Digest, Plan, PolicySource};
use policy_schema::Policy;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// The real clock, for the executor.
#[derive(Debug)]
pub(crate) struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        clock::now()
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let exit = match &error {
            RunError::Locked { .. } => Exit::Locked,
            RunError::NeedsApproval { .. } => Exit::NeedsApproval,
            _ => Exit::Failed,
        };
        let failure = error.to_failure();
        let made = Self::new(&failure.code, failure.message).exit(exit);
        match failure.help {
            Some(help) => made.help(help),
            None => made,
        }
    }
}

/// What comes with a plan.
#[derive(Default)]
pub(crate) struct Brought {
    /// What an observation found that the catalog does not know.
    pub(crate) drift: Vec<Drift>,
    /// Armoured signatures of the plan.
    pub(crate) signatures: Vec<String>,
    /// What needs nobody's approval now.
    pub(crate) routine: Option<Routine>,
    /// Where the policy lies now.
    pub(crate) policy_source: Option<PolicySource>,
}

/// Carries out a plan that was agreed to.
pub(crate) async fn carry_out(
    plan: &Plan,
    brought: Brought,
    path: &Path,
    policy: &Policy,
    run: &RunArguments,
    global: &Global,
) -> Result<Exit> {
    let wiring = wiring::wire(policy, settings::scratch(global, path))?;
    carry_out_with(plan, brought, path, &wiring, run, global).await
}

/// The same with engines and tiers that were prepared before.
pub(crate) async fn carry_out_with(
    plan: &Plan,
    brought: Brought,
    path: &Path,
    wiring: &Wiring,
    run: &RunArguments,
    global: &Global,
) -> Result<Exit> {
    let catalog = session::catalog(global, path).await?;
    let progress = Arc::new(Progress::new(global.json));
    let started = clock::now();
    let mut options = ApplyOptions::new(run_name(started), settings::who(), Arc::new(RealClock));
    options.approved = run.approve.clone().map(Digest::from);
    options.parallelism = usize::from(run.parallel);
    options.lease_wait = Duration::from_secs(run.lease_wait);
    options.drift = brought.drift;
    options.signatures = brought.signatures;
    options.policy_source = brought.policy_source;
    options.routine = brought.routine;
    options.audit_key = Some(settings::audit_key(global, path));
    options.crash_at = settings::crash_at();
    let shown = Arc::clone(&progress);
    options.events = Arc::new(move |event| shown.show(event));
    let (switch, cancel) = cancellation();
    options.cancel = cancel;
    let stopper = tokio::spawn(async move {
        stop_signal().await;
        out::words(
            "\nStopping: what runs is dropped, nothing half-done stays visible. Once more to leave at once.\n",
        );
        switch.cancel();
        stop_signal().await;
        std::process::exit(130);
    });
    let result = executor::apply(plan, wiring, &catalog, options).await;
    stopper.abort();
    catalog.close().await;
    let report = result?;
    if !global.json {
        out::words(&report::text(&report, plan));
    }
    Ok(match report.end() {
        // Everything planned is done, but a due backup that no tier could take is not a success.
        RunEnd::Done
            if plan
                .not_planned
                .iter()
                .any(|item| item.reason.code.leaves_unprotected()) =>
        {
            if !global.json {
                out::words(
                    "Not everything that the policy wants exists: see \"Waiting, and why\" in the plan (exit 10).\n",
                );
            }
            Exit::Blocked
        }
        RunEnd::Done => Exit::Done,
        RunEnd::Stopped | RunEnd::Failed => Exit::Failed,
        RunEnd::SomeFailed => Exit::PartlyFailed,
        RunEnd::NeedsApproval => Exit::NeedsApproval,
        RunEnd::Stale => Exit::Stale,
        RunEnd::Blocked => Exit::Blocked,
    })
}

/// Ctrl-C, or a service manager's SIGTERM.
pub(crate) async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(interrupt.await),
    }
}

/// `run-20261121T131500Z-4711`: when, and which process; from the second run of a process on also which of them.
pub(crate) fn run_name(at: Timestamp) -> String {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let stamp = model::recovery_point_id::stamp(at);
    match RUNS.fetch_add(1, Ordering::Relaxed) {
        0 => format!("run-{stamp}-{}", std::process::id()),
        earlier => format!("run-{stamp}-{}-{}", std::process::id(), earlier + 1),
    }
}

/// Loads the policy that a saved plan was made from; exit 7 when it has changed since.
pub(crate) fn policy_of(plan: &Plan, global: &Global) -> Result<(std::path::PathBuf, Policy)> {
    let (path, policy) = policy::load(global)?;
    if policy.digest != plan.policy_digest {
        return Err(Failure::new(
            "mainstay::plan::stale",
            "the policy has changed since this plan was made",
        )
        .help("make a new plan with `mainstay plan --out FILE` and read what is different")
        .exit(Exit::Stale));
    }
    Ok((path, policy))
}
