//! `apply`: the saved plan, or a new one that is shown and agreed to first.

use super::{logs, planning, running, show};
use crate::{
    arguments::{ApplyArguments, Global},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{out, plan_text},
    wiring,
};
use model::Action;
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
        return running::carry_out(&plan, Vec::new(), &path, &policy, run, global).await;
    }
    if run.approve.is_some() {
        return Err(Failure::new("mainstay::apply::approve-what", "a plan made now has another id than the one that was approved")
            .help("save the plan with `mainstay plan --out FILE`, read it, then `mainstay apply FILE --approve ID`"));
    }

    let (path, policy) = policy::load(global)?;
    planning::warn_about_keys(&planning::keys_in_trouble(&policy).await?);
    let exit = round(&arguments, &path, &policy, global, Round::First).await?;
    if exit != Exit::Done {
        return Ok(exit);
    }
    // What was made may have taken the place of older points: after this round the plan is empty.
    match round(&arguments, &path, &policy, global, Round::FollowUp).await {
        // Everything that was asked for is done; a run that came in between deletes what is superfluous, or the next one does.
        Err(failure) if failure.exit == Exit::Locked => {
            if !global.json {
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
async fn round(
    arguments: &ApplyArguments,
    path: &Path,
    policy: &Policy,
    global: &Global,
    round: Round,
) -> Result<Exit> {
    let run = &arguments.run;
    let now = clock::now();
    let options = planning::options(&arguments.source, policy)?;
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
    running::carry_out(&plan, looked.drift, path, policy, run, global).await
}

/// An id that is not this plan's is a mistake to stop at, not an approval to ignore.
fn approval_fits(approve: Option<&str>, plan: &model::Plan) -> Result<()> {
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
