//! Carries a plan out: takes the lease, cleans up after crashed runs, starts steps as their turn comes, reports what became of each.
//!
//! Invariants:
//! - Nothing is changed before the plan is found intact and the lease is held; a lost lease stops everything at once.
//! - A step starts only after everything in its `after` has been done. What depends on a step that was not done is skipped, what
//!   does not goes on.
//! - When the plan needs approval and does not have it, no destructive step runs.
//! - Stopping drops the running steps; what they leave is invisible, and settled here or by the next run.
//!
//! Not here: what a step does (`steps/`), which may start (`schedule.rs`), what is decided (the plan).

mod approval;
mod options;
mod report;
mod routine;
mod runner;

pub use options::ApplyOptions;
pub use report::{RunEnd, RunError, RunReport, StepReport, how_to_sign};
pub use routine::Routine;
pub(crate) use runner::STOP_CODES;

use crate::{
    audit::{self, ExportReport, Exporter},
    crash_point::CrashPoints,
    journal::Journal,
    lease::{self, Held},
    leftovers,
    schedule::{Limits, Schedule},
    scratch::{self, Owner, Scratch},
    steps::{
        RunContext,
        error::{StepError, catalog_failure},
    },
    tier_lease::{Tenant, TierLeases},
    unknown_rules,
    wiring::Wiring,
};
use catalog::{Catalog, CatalogError, NewRun, Retention};
use jiff::Timestamp;
use model::{
    Action, DatabaseName, Digest, Plan, Step, VerifyLevel,
    event::{Outcome, Summary, What},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// Carries out a plan.
///
/// A repeat finds what is done and does the rest. Dropping the future stops the steps at once; the lease then ends by itself.
pub async fn apply(
    plan: &Plan,
    wiring: &Wiring,
    catalog: &Catalog,
    options: ApplyOptions,
) -> Result<RunReport, RunError> {
    let digest = match (&plan.id, plan.is_intact()) {
        (Some(id), Ok(true)) => id.clone(),
        _ => return Err(RunError::PlanEdited),
    };
    if plan.format != model::plan::FORMAT {
        return Err(RunError::PlanFormat(plan.format.clone()));
    }
    let schedule = Schedule::new(&plan.steps, limits(wiring, &options))?;
    let held = lease::acquire(
        catalog,
        &options.clock,
        &options.run,
        options.lease_wait,
        &options.cancel,
    )
    .await
    .map_err(locked)?;
    let crash = CrashPoints::new(options.crash_at.clone());
    crash.hit("after-lease");
    let result = under_lease(plan, digest, wiring, catalog, &options, &held, schedule).await;
    let released = held.release(catalog).await;
    let mut report = result?;
    if let Err(error) = released {
        report.gaps.push(catalog_failure(&error));
    }
    Ok(report)
}

/// Who holds the lease is a fact of its own; everything else is the catalog's trouble.
pub(crate) fn locked(error: CatalogError) -> RunError {
    match error {
        CatalogError::Locked {
            holder,
            since,
            expires,
            ..
        } => RunError::Locked {
            holder: lease::describe(&holder),
            since,
            expires,
        },
        other => RunError::Catalog(other),
    }
}

fn limits(wiring: &Wiring, options: &ApplyOptions) -> Limits {
    Limits {
        overall: options.parallelism,
        databases: wiring
            .databases
            .iter()
            .map(|(name, wired)| (name.clone(), wired.concurrency))
            .collect(),
        tiers: wiring
            .tiers
            .iter()
            .map(|(name, wired)| (name.clone(), wired.concurrency))
            .collect(),
    }
}

async fn under_lease(
    plan: &Plan,
    digest: Digest,
    wiring: &Wiring,
    catalog: &Catalog,
    options: &ApplyOptions,
    held: &Held,
    schedule: Schedule,
) -> Result<RunReport, RunError> {
    // Before this run's own folder is made: every other one belongs to a dead run.
    let cleaned = scratch::clean_leftovers(&wiring.scratch).map_err(RunError::Scratch)?;
    let after_crash = !cleaned.is_empty();
    let scratch =
        Scratch::create(&wiring.scratch, Owner::Run, &options.run).map_err(RunError::Scratch)?;
    let crashed = leftovers::crashed_runs(catalog).await.map_err(broken)?;
    let begun = options.clock.now();
    catalog
        .start_run(&NewRun {
            id: options.run.clone(),
            plan_digest: digest.clone(),
            plan_json: serde_json::to_string(plan).map_err(|_| RunError::PlanEdited)?,
            policy_digest: plan.policy_digest.clone(),
            who: options.who.clone(),
            at: begun,
        })
        .await?;
    put_policy_in_force(plan, wiring, catalog, options, held, begun).await?;
    let standing = approval::look(plan, &digest, catalog, options).await?;
    if let Some(by) = &standing.by {
        let entry = approval::entry(plan, &digest, by, options);
        catalog.audit(&entry).await?;
    }
    // Before the first step: rules that protect more need not wait for a backup to succeed.
    standing
        .bring_into_force(plan, catalog, &held.lease, options)
        .await?;
    let journal = Arc::new(Journal::new(
        options.run.clone(),
        Arc::clone(&options.clock),
        Arc::clone(&options.events),
        catalog.clone(),
    ));
    let context = Arc::new(RunContext {
        run: options.run.clone(),
        who: options.who.clone(),
        plan: digest.clone(),
        approved_by: standing.by.clone(),
        policy_digest: plan.policy_digest.clone(),
        evaluated_at: plan.evaluated_at,
        wiring: wiring.clone(),
        catalog: catalog.clone(),
        lease: held.lease.clone(),
        tier_leases: TierLeases::new(Tenant {
            catalog: catalog.identity().await?,
            catalog_token: held.lease.token,
            run: options.run.clone(),
            who: options.who.clone(),
            times: options.tier_lease,
            wait: options.lease_wait,
        }),
        clock: Arc::clone(&options.clock),
        crash: CrashPoints::new(options.crash_at.clone()),
        journal: Arc::clone(&journal),
        scratch,
        pruning: tokio::sync::Mutex::new(()),
        kits: crate::recovery_kit::KitsSeen::default(),
        children: tokio::sync::OnceCell::new(),
    });
    let found = Found {
        cleaned,
        after_crash,
        crashed,
        standing,
    };
    let result = with_context(&context, plan, digest, options, held, schedule, found).await;
    // Also after an error, so that another catalog's run need not wait for the end of a lease that nobody uses.
    context.tier_leases.release_all().await;
    result
}

/// Records which policy the run was planned from, before anything is done under it.
async fn put_policy_in_force(
    plan: &Plan,
    wiring: &Wiring,
    catalog: &Catalog,
    options: &ApplyOptions,
    held: &Held,
    begun: Timestamp,
) -> Result<(), RunError> {
    let Some(policy) = &wiring.policy else {
        return Ok(());
    };
    // A plan of another policy is refused before it gets here; if it ever is not, its text is unknown and nothing is better than a lie.
    if model::Digest::sha256_of(policy.as_bytes()) == plan.policy_digest {
        catalog
            .put_policy_in_force(&held.lease, policy, &options.who, begun)
            .await?;
    }
    Ok(())
}

/// What earlier runs have left, and people.
struct Found {
    /// What is tidied up already.
    cleaned: Vec<String>,
    after_crash: bool,
    crashed: Vec<String>,
    /// The approval.
    standing: approval::Standing,
}

async fn with_context(
    context: &Arc<RunContext>,
    plan: &Plan,
    digest: Digest,
    options: &ApplyOptions,
    held: &Held,
    schedule: Schedule,
    found: Found,
) -> Result<RunReport, RunError> {
    let (catalog, journal) = (&context.catalog, &context.journal);
    let mut cleaned = found.cleaned;
    journal
        .tell(What::RunStarted {
            plan: digest.clone(),
            steps: plan.steps.len(),
        })
        .await;
    cleaned.extend(
        clean_up(context, plan, found.after_crash, &found.crashed)
            .await
            .map_err(broken)?,
    );
    for what in &cleaned {
        journal.tell(What::CleanedUp { what: what.clone() }).await;
    }
    context.crash.hit("after-cleanup");
    for drift in &options.drift {
        let recorded = crate::drift::record(context, drift).await;
        recorded.map_err(broken)?;
    }

    let standing = &found.standing;
    let withheld = |step: &Step| standing.withholds(plan, step);
    let ended = runner::run(context, schedule, options, held, &withheld).await;

    let retention = standing.retention_of(plan, options.routine.as_ref());
    put_retention_in_force(context, plan, retention, &ended.steps).await;
    if standing.is_settled(plan)
        && let Some(source) = &plan.policy_source
        && let Err(error) = catalog.set_applied_source(&context.lease, source).await
    {
        journal.gap(catalog_failure(&error));
    }
    let summary = summarize(&ended.steps);
    context.crash.hit("before-run-end");
    journal.tell(What::RunFinished { summary }).await;
    if let Err(error) = catalog
        .finish_run(&options.run, &summary, options.clock.now())
        .await
    {
        journal.gap(catalog_failure(&error));
    }
    Ok(RunReport {
        run: options.run.clone(),
        plan: digest,
        summary,
        steps: ended.steps,
        cleaned,
        stopped: ended.stopped,
        rules_withheld: found.standing.withholds_rules(plan),
        not_routine: if found.standing.is_given() {
            BTreeSet::new()
        } else {
            found.standing.not_routine.clone()
        },
        approval: if found.standing.is_needed(plan) {
            found.standing.verdict
        } else {
            None
        },
        gaps: journal.gaps(),
        audit: export_audit(context, options).await,
    })
}

/// Carries the entries of the audit to the tiers. A run that is told to stop leaves that to the next one.
async fn export_audit(context: &RunContext, options: &ApplyOptions) -> ExportReport {
    let Some(key) = &options.audit_key else {
        return ExportReport::default();
    };
    let exported = async {
        match Exporter::open(&context.catalog, key, &context.who, &context.clock).await {
            Ok(exporter) => {
                let crash = CrashPoints::new(options.crash_at.clone());
                let exporter = exporter.with_crash_points(crash);
                exporter.export(&context.wiring.tiers).await
            }
            Err(error) => ExportReport {
                nothing: Some(error.to_failure()),
                ..ExportReport::default()
            },
        }
    };
    tokio::select! {
        biased;
        () = options.cancel.cancelled() => ExportReport::default(),
        report = exported => report,
    }
}

fn broken(error: StepError) -> RunError {
    match error {
        StepError::Catalog(error) => RunError::Catalog(error),
        other => RunError::CleanUp(other.to_failure()),
    }
}

/// Removes and records what crashed runs left behind.
async fn clean_up(
    context: &RunContext,
    plan: &Plan,
    after_crash: bool,
    crashed: &[String],
) -> Result<Vec<String>, StepError> {
    let mut cleaned = leftovers::settle_all(context).await?;
    // Engines spare what somebody still works on. A program of the dead run may be that somebody for a while, so what the
    // first run after a crash could not drop is tried again whenever a run has work on that database.
    let everywhere = after_crash || !crashed.is_empty();
    let databases = context
        .wiring
        .databases
        .keys()
        .filter(|name| {
            everywhere
                || plan.steps.iter().any(|step| {
                    step.database == **name
                        && (step.action == Action::Backup
                            || step.level == Some(VerifyLevel::Restore))
                })
        })
        .cloned()
        .collect();
    cleaned.extend(clean_engines(context, databases).await);
    if everywhere {
        cleaned.extend(clean_control_objects(context).await);
    }
    for run in crashed {
        let events = context.catalog.events(run).await?;
        let summary = count(events.iter().filter_map(|event| match &event.what {
            What::StepFinished { outcome, .. } => Some(outcome),
            _ => None,
        }));
        context
            .catalog
            .finish_run(run, &summary, context.now())
            .await?;
        cleaned.push(format!("closed run `{run}`, which had crashed"));
    }
    Ok(cleaned)
}

/// What a killed writer of a lease, of another control object or of an export of the audit left on a tier, where no point's clean-up looks.
async fn clean_control_objects(context: &RunContext) -> Vec<String> {
    let mut cleaning = JoinSet::new();
    for wired in context.wiring.tiers.values() {
        let tier = Arc::clone(&wired.tier);
        cleaning.spawn(async move {
            let mut removed = Vec::new();
            for prefix in [CONTROL_OBJECTS, audit::FOLDER] {
                let cleaned = tier.clean_leftovers(prefix);
                // A tier that is away says so where it is used.
                if let Ok(Ok(gone)) = tokio::time::timeout(ENGINE_LIMIT, cleaned).await {
                    removed.extend(gone);
                }
            }
            removed
                .into_iter()
                .map(|what| format!("`{what}` on {}", tier.name()))
                .collect::<Vec<_>>()
        });
    }
    let mut removed = cleaning.join_all().await.concat();
    removed.sort();
    removed
}

/// How the names of a tier's own objects begin (`docs/formats`).
const CONTROL_OBJECTS: &str = ".mainstay-";

/// Lets engines drop their scratch databases; one that is down must not stop the backup of the others.
async fn clean_engines(context: &RunContext, databases: BTreeSet<DatabaseName>) -> Vec<String> {
    let mut cleaning = JoinSet::new();
    for name in databases {
        let Some(wired) = context.wiring.databases.get(&name) else {
            continue;
        };
        let engine = Arc::clone(&wired.engine);
        cleaning.spawn(async move {
            match tokio::time::timeout(ENGINE_LIMIT, engine.clean_leftovers()).await {
                Ok(Ok(removed)) => removed,
                Ok(Err(error)) => {
                    tracing::warn!(database = %name, code = error.code, "leftovers could not be cleaned up");
                    Vec::new()
                }
                Err(_) => {
                    tracing::warn!(database = %name, "cleaning up leftovers took too long");
                    Vec::new()
                }
            }
        });
    }
    let mut removed = cleaning.join_all().await.concat();
    removed.sort();
    removed
}

/// A server that does not answer must not hold up the run.
const ENGINE_LIMIT: Duration = Duration::from_secs(30);

/// Records the retention of every series and tier where nothing was left undone.
async fn put_retention_in_force(
    context: &RunContext,
    plan: &Plan,
    mut retention: Retention,
    steps: &[StepReport],
) {
    let adopted: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Adopt)
        .map(|step| (&step.database, &step.series, &step.tier))
        .collect();
    if let Err(error) =
        unknown_rules::protect(&context.catalog, &context.lease, adopted.iter().copied()).await
    {
        return context.journal.gap(catalog_failure(&error));
    }
    // A drill that failed says nothing of what may be deleted.
    for step in plan
        .steps
        .iter()
        .filter(|step| step.action != Action::Drill)
    {
        let outcome = steps
            .iter()
            .find(|report| report.step == step.id)
            .map(|report| &report.outcome);
        // The plan was made before the adopted points could be judged.
        let fine = step.action != Action::Adopt
            && matches!(
                outcome,
                Some(Outcome::Done | Outcome::AlreadyDone | Outcome::Blocked { .. })
            );
        if !fine
            && let Some(tiers) = retention
                .get_mut(&step.database)
                .and_then(|by_series| by_series.get_mut(&step.series))
        {
            tiers.remove(&step.tier);
        }
    }
    if retention.is_empty() {
        return;
    }
    if let Err(error) = context
        .catalog
        .set_retention_in_force(&context.lease, &retention)
        .await
    {
        context.journal.gap(catalog_failure(&error));
    }
}

fn summarize(steps: &[StepReport]) -> Summary {
    count(steps.iter().map(|step| &step.outcome))
}

fn count<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Summary {
    let mut summary = Summary::default();
    for outcome in outcomes {
        let counter = match outcome {
            Outcome::Done => &mut summary.done,
            Outcome::AlreadyDone => &mut summary.already_done,
            Outcome::Failed { .. } => &mut summary.failed,
            Outcome::Skipped { .. } => &mut summary.skipped,
            Outcome::Stale { .. } => &mut summary.stale,
            Outcome::Blocked { .. } => &mut summary.blocked,
            Outcome::NeedsApproval => &mut summary.needs_approval,
        };
        *counter += 1;
    }
    summary
}
