//! `apply`: the saved plan, or a new one that is shown and agreed to first.

mod fetch;
mod follow;

use super::{
    approve, logs, planning,
    running::{self, Brought},
    show,
};
use crate::{
    arguments::{ApplyArguments, Global},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy, policy_source,
    render::{out, plan_text},
    session, wiring,
};
use executor::Routine;
use model::{Action, Plan, PolicySource};
use policy_schema::Policy;
use std::{
    io::{BufRead as _, IsTerminal as _},
    path::Path,
};

pub(crate) async fn run(arguments: ApplyArguments, global: &Global) -> Result<Exit> {
    let run = &arguments.run;
    if let Some(file) = &arguments.plan {
        if arguments.source.refresh || !arguments.source.purge.is_empty() {
            return Err(Failure::new(
                "mainstay::apply::saved-plan",
                "a saved plan is carried out as it is",
            )
            .help("give --refresh and --purge to `mainstay plan --out FILE`"));
        }
        let plan = show::read(file)?;
        let (path, policy) = running::policy_of(&plan, global)?;
        approval_fits(run.approve.as_deref(), &plan)?;
        if plan.steps.is_empty() && !global.json {
            out::data(&plan_text::plan(
                &plan,
                &policy.timezone,
                &wiring::off_machine(&policy),
            ))?;
        }
        let brought = Brought {
            signatures: approve::signatures_beside(file)?,
            policy_source: policy_source::at(global, &path, &policy).await?,
            routine: routine(&plan, &path, &policy, global).await?,
            ..Brought::default()
        };
        return running::carry_out(&plan, brought, &path, &policy, run, global).await;
    }
    if run.approve.is_some() {
        return Err(Failure::new("mainstay::apply::approve-what", "a plan made now has another id than the one that was approved")
            .help("save the plan with `mainstay plan --out FILE`, read it, then `mainstay apply FILE --approve ID`"));
    }

    if let Some(from) = &arguments.follow.from_git {
        let followed = follow::follow(from, &arguments.follow, global).await?;
        let scene = Scene {
            path: &followed.path,
            policy: &followed.policy,
            source: Some(followed.source),
            global: &followed.global,
        };
        return both_rounds(&arguments, scene).await;
    }
    let (path, policy) = policy::load(global)?;
    let source = policy_source::at(global, &path, &policy).await?;
    let scene = Scene {
        path: &path,
        policy: &policy,
        source,
        global,
    };
    both_rounds(&arguments, scene).await
}

/// The policy that is applied, and from where.
struct Scene<'a> {
    path: &'a Path,
    policy: &'a Policy,
    source: Option<PolicySource>,
    global: &'a Global,
}

async fn both_rounds(arguments: &ApplyArguments, scene: Scene<'_>) -> Result<Exit> {
    planning::warn_about_keys(&planning::keys_in_trouble(scene.policy).await?);
    let exit = round(arguments, &scene, Round::First).await?;
    if exit != Exit::Done {
        return Ok(exit);
    }
    // What was made may have taken the place of older points: after this round the plan is empty.
    match round(arguments, &scene, Round::FollowUp).await {
        // Everything that was asked for is done; a run that came in between deletes what is superfluous, or the next one does.
        Err(failure) if failure.exit == Exit::Locked => {
            if !scene.global.json {
                out::words(
                    "Another run has begun meanwhile, so older recovery points that are superfluous now stay for the next apply.\n",
                );
            }
            Ok(Exit::Done)
        }
        other => other,
    }
}

/// Which time this command plans.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// What was asked for.
    First,
    /// What the first round made superfluous; only if there is any, and only if it is routine.
    FollowUp,
}

/// Looks, plans, shows, asks and carries out once.
async fn round(arguments: &ApplyArguments, scene: &Scene<'_>, round: Round) -> Result<Exit> {
    let Scene {
        path,
        policy,
        global,
        ..
    } = *scene;
    let run = &arguments.run;
    let now = clock::now();
    let mut options = planning::options(&arguments.source, policy)?;
    options.policy_source.clone_from(&scene.source);
    let looked = planning::look(global, path, policy, now, arguments.source.refresh).await?;
    if round == Round::First {
        planning::check_purge(&options, &looked.inventory)?;
    }
    let plan = planner::plan(
        policy,
        &looked.inventory,
        &wiring::capabilities(policy),
        now,
        &options,
    );
    if round == Round::FollowUp && !plan.steps.iter().any(|step| step.action == Action::Prune) {
        return Ok(Exit::Done);
    }
    if !global.json {
        if round == Round::FollowUp {
            out::data("\nThe new recovery points take the place of older ones:\n\n")?;
        }
        out::data(&plan_text::plan(
            &plan,
            &policy.timezone,
            &wiring::off_machine(policy),
        ))?;
    }
    if !plan.steps.is_empty() && !run.auto_approve {
        agree()?;
    }
    logs::record(global, path, policy, &looked, now).await?;
    // Also with nothing to do: a crashed run is cleaned up after, and the retention of the policy comes into force.
    let brought = Brought {
        drift: looked.drift,
        policy_source: scene.source.clone(),
        routine: Some(Routine::of(&plan)),
        ..Brought::default()
    };
    running::carry_out(&plan, brought, path, policy, run, global).await
}

/// What a plan of now calls routine, where somebody's signatures are asked for: there a saved plan is not believed when it says so of
/// itself.
async fn routine(
    plan: &Plan,
    path: &Path,
    policy: &Policy,
    global: &Global,
) -> Result<Option<Routine>> {
    let in_force = match session::catalog_if_any(global, path).await? {
        Some(catalog) => {
            let rules = catalog.approval_rules().await;
            catalog.close().await;
            rules?
        }
        None => None,
    };
    if in_force.or_else(|| plan.approval_rules.clone()).is_none() {
        return Ok(None);
    }
    let now = clock::now();
    let looked = planning::look(global, path, policy, now, false).await?;
    let fresh = planner::plan(
        policy,
        &looked.inventory,
        &wiring::capabilities(policy),
        now,
        &planner::Options::default(),
    );
    Ok(Some(Routine::of(&fresh)))
}

/// An id that is not this plan's is a mistake to stop at, not an approval to ignore.
fn approval_fits(approve: Option<&str>, plan: &Plan) -> Result<()> {
    match (approve, &plan.id) {
        (Some(approve), Some(id)) if approve != id.as_str() => Err(Failure::new(
            "mainstay::apply::approve-other",
            format!("`{approve}` is not the id of this plan, which is `{id}`"),
        )
        .help("read the plan with `mainstay show FILE` and approve the id that it has")
        .exit(Exit::NeedsApproval)),
        _ => Ok(()),
    }
}

/// Asks on a terminal; elsewhere silence is not consent.
fn agree() -> Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::new(
            "mainstay::apply::not-agreed",
            "there is no terminal to ask on",
        )
        .help("give `--auto-approve` for routine changes, or a saved plan")
        .exit(Exit::NeedsApproval));
    }
    out::words("\nCarry this out? Only `yes` is taken as consent: ");
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    if read.is_err() || answer.trim() != "yes" {
        return Err(
            Failure::new("mainstay::apply::not-agreed", "nothing was done")
                .exit(Exit::NeedsApproval),
        );
    }
    Ok(())
}
