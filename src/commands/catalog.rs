//! `catalog rebuild | import | adopt | runs | events`: looking after what is remembered between runs.

use super::{
    adopt, catalog_import, planning,
    running::{self, RealClock},
};
use crate::{
    arguments::{CatalogCommand, Global},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{color, out, plan_text::local, progress::outcome_words, table::table},
    session, settings,
};
use executor::{Clock, rebuild};
use model::event::What;
use serde_json::json;
use std::{sync::Arc, time::Duration};

pub(crate) async fn run(command: CatalogCommand, global: &Global) -> Result<Exit> {
    match command {
        CatalogCommand::Rebuild { tier } => rebuild_from(&tier, global).await,
        CatalogCommand::Import(arguments) => catalog_import::run(arguments, global).await,
        CatalogCommand::Adopt(arguments) => adopt::run(*arguments, global).await,
        CatalogCommand::Runs { limit } => runs(limit, global).await,
        CatalogCommand::Events { run } => events(&run, global).await,
    }
}

async fn rebuild_from(only: &[String], global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let tiers = planning::chosen_tiers(&policy, only)?;
    let catalog = session::catalog(global, &path).await?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let report = rebuild(
        &catalog,
        &tiers,
        &clock,
        &running::run_name(clock::now()),
        &settings::who(),
        Duration::from_secs(30),
    )
    .await?;
    let known = catalog.inventory(clock::now()).await?.recovery_points.len();
    catalog.close().await;
    let trouble = !report.unusable.is_empty()
        || !report.unreachable.is_empty()
        || !report.rebuilt.differing.is_empty();
    if global.json {
        let unusable: Vec<_> = report
            .unusable
            .iter()
            .map(|(point, tier, why)| json!({"recovery_point": point, "tier": tier, "why": why}))
            .collect();
        let differing: Vec<_> = report
            .rebuilt
            .differing
            .iter()
            .map(|(point, tier)| json!({"recovery_point": point, "tier": tier}))
            .collect();
        out::json(&json!({
            "format": "mainstay.rebuild.v1", "known_points": known, "points": report.rebuilt.points, "copies": report.rebuilt.copies,
            "unusable": unusable, "differing": differing, "unreachable": report.unreachable,
        }))?;
    } else {
        out::data(&format!(
            "Recorded {} recovery point(s) with {} copies that the catalog did not know; it now knows {known}.\n",
            report.rebuilt.points, report.rebuilt.copies
        ))?;
        for (point, tier, why) in &report.unusable {
            out::words(&format!(
                "{} {point} on {tier} cannot be used: {why}\n",
                color::paint(color::WARN, "!")
            ));
        }
        for (point, tier) in &report.rebuilt.differing {
            out::words(&format!(
                "{} {point} on {tier} has another manifest than the copy elsewhere and was left out\n",
                color::paint(color::WARN, "!")
            ));
        }
        for (tier, failure) in &report.unreachable {
            out::words(&format!(
                "{} tier {tier} could not be read: {}\n",
                color::paint(color::WARN, "!"),
                failure.message
            ));
        }
        if report.rebuilt.copies > 0 {
            out::words(
                "Verifications and holds are not in manifests: these copies count as not verified until the next apply or verify.\n",
            );
        }
    }
    Ok(if trouble {
        Exit::PartlyFailed
    } else {
        Exit::Done
    })
}

async fn runs(limit: u32, global: &Global) -> Result<Exit> {
    let policy = settings::policy_path(global)?;
    let runs = match session::catalog_if_any(global, &policy).await? {
        Some(catalog) => catalog.runs(u64::from(limit)).await?,
        None => Vec::new(),
    };
    if global.json {
        let runs: Vec<_> = runs
            .iter()
            .map(|run| json!({"id": run.id, "plan": run.plan_digest, "policy_digest": run.policy_digest, "who": run.who, "started_at": run.started_at, "finished_at": run.finished_at, "summary": run.summary}))
            .collect();
        out::json(&json!({"format": "mainstay.runs.v1", "runs": runs}))?;
        return Ok(Exit::Done);
    }
    let zone = crate::policy::zone(&policy);
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let ended = match (&run.summary, run.finished_at) {
                (Some(s), _) if *s == model::event::Summary::default() => {
                    "nothing to do".to_owned()
                }
                (Some(s), _) => format!(
                    "{} done, {} failed, {} other",
                    s.done + s.already_done,
                    s.failed,
                    s.skipped + s.stale + s.blocked + s.needs_approval
                ),
                (None, _) => color::paint(color::WARN, "not ended: running or crashed"),
            };
            vec![
                run.id.clone(),
                local(run.started_at, &zone),
                run.who.clone(),
                ended,
            ]
        })
        .collect();
    out::data(&if rows.is_empty() {
        "No runs.\n".to_owned()
    } else {
        table(&["RUN", "STARTED", "WHO", "RESULT"], &rows)
    })?;
    Ok(Exit::Done)
}

async fn events(run: &str, global: &Global) -> Result<Exit> {
    let policy = settings::policy_path(global)?;
    let Some(catalog) = session::catalog_if_any(global, &policy).await? else {
        return Err(session::no_catalog());
    };
    let events = catalog.events(run).await?;
    if events.is_empty() {
        return Err(Failure::new(
            "mainstay::catalog::unknown-run-events",
            format!("there are no events of a run `{run}`"),
        )
        .help("list the runs with `mainstay catalog runs`"));
    }
    for event in &events {
        if global.json {
            out::json(event)?;
            continue;
        }
        let words = match &event.what {
            What::RunStarted { plan, steps } => {
                format!("run started: {steps} step(s) of plan {plan}")
            }
            What::CleanedUp { what } => format!("cleaned up {what}"),
            What::StepStarted { step, attempt } => format!("{step}: try {attempt}"),
            What::StepProgress { .. } => continue,
            What::StepRetried {
                step,
                error,
                after_seconds,
            } => format!("{step}: {}; next try in {after_seconds} s", error.message),
            What::StepFinished { step, outcome, .. } => {
                format!("{step}: {}", outcome_words(outcome).trim_end())
            }
            What::RunFinished { summary } => format!(
                "run finished: {} done, {} failed",
                summary.done, summary.failed
            ),
        };
        out::data(&format!("{}  {words}\n", event.at))?;
    }
    Ok(Exit::Done)
}
