//! `show`: a saved plan, also one that no longer fits.

use crate::{
    arguments::{Global, ShowArguments},
    exit::Exit,
    failure::{Failure, Result},
    input, policy,
    render::{color, out, plan_dot, plan_markdown, plan_text},
    settings, wiring,
};
use model::Plan;
use std::path::Path;

pub(crate) fn run(arguments: &ShowArguments, global: &Global) -> Result<Exit> {
    let plan = read(&arguments.file)?;
    // The zone is only for showing; a plan can be looked at without its policy.
    let current = settings::policy_path(global)
        .ok()
        .and_then(|path| policy::check(&path).policy);
    let zone = current
        .as_ref()
        .map_or(jiff::tz::TimeZone::UTC, |policy| policy.timezone.clone());
    let off_machine = current
        .as_ref()
        .map(wiring::off_machine)
        .unwrap_or_default();
    if global.json {
        out::json(&plan)?;
    } else if arguments.markdown {
        out::data(&plan_markdown::plan(&plan, &zone, &off_machine, None))?;
    } else if arguments.graph {
        out::data(&plan_dot::plan(&plan))?;
    } else {
        out::data(&plan_text::plan(&plan, &zone, &off_machine))?;
        if let Some(policy) = current
            && policy.digest != plan.policy_digest
        {
            let note = "Stale: the policy has changed since this plan was made; `apply` would refuse it (exit 7).";
            out::words(&format!("\n{}\n", color::paint(color::WARN, note)));
        }
    }
    Ok(Exit::Done)
}

/// Reads a saved plan and checks that nobody edited it.
pub(crate) fn read(file: &Path) -> Result<Plan> {
    let bytes = input::read(file).map_err(|error| {
        Failure::from_error(
            "mainstay::plan::unreadable",
            Some("save one with `mainstay plan --out FILE`".to_owned()),
            &crate::failure::Because(
                format!("cannot read the plan `{}`", file.display()),
                Box::new(error),
            ),
        )
    })?;
    let invalid = |why: String| {
        Failure::new(
            "mainstay::plan::invalid",
            format!(
                "`{}` is not a plan that mainstay saved: {why}",
                file.display()
            ),
        )
        .help("save a new one with `mainstay plan --out FILE`")
    };
    let plan: Plan = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    if plan.format != model::plan::FORMAT {
        return Err(invalid(format!(
            "its format is `{}`, this program reads `{}`",
            plan.format,
            model::plan::FORMAT
        )));
    }
    if !plan
        .is_intact()
        .map_err(|error| invalid(error.to_string()))?
    {
        return Err(invalid(
            "its id does not agree with its content, so somebody changed it".to_owned(),
        ));
    }
    Ok(plan)
}
