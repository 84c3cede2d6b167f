//! `backup`: one database now, outside its schedule, under the retention of one of its series.

use super::{planning, running};
use crate::{
    arguments::{BackupArguments, Global},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{out, plan_text},
    wiring,
};
use jiff::Timestamp;
use model::{Plan, ReasonCode, SeriesName};
use planner::Options;
use policy_schema::{Policy, policy::DatabaseDeclaration};
use std::collections::BTreeSet;

pub(crate) async fn run(arguments: BackupArguments, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let now = clock::now();
    let database = planning::declared(&policy, &arguments.database)?;
    let series = choose(&policy, database, arguments.series.as_deref(), now)?;
    let options = Options {
        requested: vec![(database.name.clone(), Some(series))],
        ..Options::default()
    };
    let looked = planning::look(global, &path, &policy, now, false).await?;
    let plan = planner::draft_plan(
        &policy,
        &looked.inventory,
        &wiring::capabilities(&policy),
        now,
        &options,
    );
    let plan = only_requested(plan).ok_or_else(|| {
        Failure::new(
            "mainstay::backup::refused",
            format!("`{}` cannot be backed up now", arguments.database),
        )
        .help("`mainstay plan` says why: look under \"Waiting\"")
        .exit(Exit::Blocked)
    })?;
    if !global.json {
        out::data(&plan_text::plan(
            &plan,
            &policy.timezone,
            &wiring::off_machine(&policy),
        ))?;
    }
    running::carry_out(
        &plan,
        running::Brought::default(),
        &path,
        &policy,
        &arguments.run,
        global,
    )
    .await
}

/// The named series, else the one that runs most often: its retention expects extra points best.
pub(crate) fn choose(
    policy: &Policy,
    database: &DatabaseDeclaration,
    name: Option<&str>,
    now: Timestamp,
) -> Result<SeriesName> {
    if let Some(name) = name {
        return database
            .series
            .get(name)
            .map(|series| series.name.clone())
            .ok_or_else(|| {
                let known: Vec<&str> = database.series.keys().map(SeriesName::as_str).collect();
                Failure::new(
                    "mainstay::arguments::series",
                    format!("`{}` has no series `{name}`", database.name),
                )
                .help(format!("it has: {}", known.join(", ")))
            });
    }
    database
        .series
        .values()
        .min_by_key(|series| series.schedule.largest_gap(now, &policy.timezone))
        .map(|series| series.name.clone())
        .ok_or_else(|| {
            Failure::new(
                "mainstay::arguments::series",
                format!("`{}` declares no series", database.name),
            )
            .help("add a [[database.….series]] table to the policy")
        })
}

/// The steps of the requested points alone, sealed anew; `None` when there are none.
pub(crate) fn only_requested(mut plan: Plan) -> Option<Plan> {
    let points: BTreeSet<_> = plan
        .steps
        .iter()
        .filter(|step| step.reason.code == ReasonCode::Requested)
        .map(|step| step.recovery_point.clone())
        .collect();
    let mut steps = std::mem::take(&mut plan.steps);
    steps.retain(|step| points.contains(&step.recovery_point));
    let left: BTreeSet<_> = steps.iter().map(|step| step.id.clone()).collect();
    for step in &mut steps {
        step.after.retain(|before| left.contains(before));
    }
    plan.narrow_to(steps);
    if plan.steps.is_empty() {
        None
    } else {
        plan.seal().ok()
    }
}
