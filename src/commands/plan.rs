//! `plan`: what apply would do, and why. Looks through read-only tiers, so a mistake here cannot write.

use super::{
    planning::{self, Looked},
    prove,
};
use crate::{
    arguments::{Global, PlanArguments},
    clock,
    exit::Exit,
    failure::{Because, Failure, Result},
    input, policy, policy_source,
    render::{drift, out, plan_dot, plan_markdown, plan_text, prove as render_prove},
    wiring,
};
use model::{Inventory, Plan};
use std::{collections::BTreeSet, fs::OpenOptions, io::Write as _, path::Path};

pub(crate) async fn run(arguments: PlanArguments, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let now = arguments.now.unwrap_or_else(clock::now);
    if arguments.refresh_only {
        let looked = planning::look(global, &path, &policy, now, true).await?;
        return refresh_only(&looked, global);
    }
    let mut options = planning::options(&arguments.source, &policy)?;
    let inventory = if let Some(file) = &arguments.inventory {
        read_inventory(file)?
    } else {
        let looked = planning::look(global, &path, &policy, now, arguments.source.refresh).await?;
        planning::check_purge(&options, &looked.inventory)?;
        // Not for a plan from a file: it is made of the policy, the file and the time, and of nothing around them.
        options.policy_source = policy_source::at(global, &path, &policy).await?;
        looked.inventory
    };
    let plan = planner::plan(
        &policy,
        &inventory,
        &wiring::capabilities(&policy),
        now,
        &options,
    );
    // Written before it is shown: whoever sees the plan can rely on the file.
    if let Some(file) = &arguments.out {
        save(&plan, file)?;
    }
    if global.json {
        out::json(&plan)?;
    } else if arguments.markdown {
        out::data(&plan_markdown::plan(
            &plan,
            &policy.timezone,
            &wiring::off_machine(&policy),
            prove::briefly(&policy, &inventory, &wiring::capabilities(&policy), now).as_ref(),
        ))?;
    } else if arguments.graph {
        out::data(&plan_dot::plan(&plan))?;
    } else {
        out::data(&plan_text::plan(
            &plan,
            &policy.timezone,
            &wiring::off_machine(&policy),
        ))?;
        let capabilities = wiring::capabilities(&policy);
        if let Some(proof) = prove::briefly(&policy, &inventory, &capabilities, now) {
            out::data(&render_prove::briefly(&proof))?;
        }
        if let Some(file) = &arguments.out {
            out::words(&format!(
                "\nSaved. Carry it out with:  mainstay apply {}\n",
                file.display()
            ));
        }
    }
    Ok(if arguments.detailed_exitcode && plan.applyable {
        Exit::ChangesPlanned
    } else {
        Exit::Done
    })
}

fn refresh_only(looked: &Looked, global: &Global) -> Result<Exit> {
    if global.json {
        out::json(&drift::json(&looked.drift, &looked.inventory))?;
    } else {
        out::data(&drift::text(&looked.drift, &looked.inventory))?;
    }
    Ok(if looked.drift.iter().any(executor::Drift::is_drift) {
        Exit::DriftFound
    } else {
        Exit::Done
    })
}

/// What says which version of the format the rest is in.
#[derive(serde::Deserialize)]
#[serde(expecting = "a JSON object")]
struct Head {
    format: Option<String>,
}

/// Reads an inventory that somebody else wrote, and refuses what would make a plan wrong.
pub(super) fn read_inventory(file: &Path) -> Result<Inventory> {
    let bytes = input::read(file).map_err(|error| {
        let because = Because(
            format!("cannot read the inventory `{}`", file.display()),
            Box::new(error),
        );
        Failure::from_error(
            "mainstay::inventory::unreadable",
            Some("write one with `mainstay inventory --json`".to_owned()),
            &because,
        )
    })?;
    let invalid = |why: String| {
        Failure::new("mainstay::inventory::invalid", format!("`{}` is not a usable inventory: {why}", file.display()))
            .help("its format is documented in docs/formats/inventory.md; `mainstay inventory --json` writes one")
    };
    // Format first: a file of another version deserves that message and not one about a missing field.
    let head: Head = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    match head.format.as_deref() {
        Some(model::inventory::FORMAT) => {}
        Some(other) => {
            return Err(invalid(format!(
                "its format is `{other}`, this program reads `{}`",
                model::inventory::FORMAT
            )));
        }
        None => {
            return Err(invalid(format!(
                "it lacks `\"format\": \"{}\"`",
                model::inventory::FORMAT
            )));
        }
    }
    let inventory: Inventory =
        serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    drop(bytes);
    let mut ids = BTreeSet::new();
    for point in &inventory.recovery_points {
        if point.id.database() != point.database.as_str()
            || point.id.series() != point.series.as_str()
        {
            return Err(invalid(format!(
                "`{}` says that it belongs to `{}/{}`",
                point.id, point.database, point.series
            )));
        }
        if !ids.insert(&point.id) {
            return Err(invalid(format!("`{}` occurs twice", point.id)));
        }
        let tiers: BTreeSet<_> = point.copies.iter().map(|copy| &copy.tier).collect();
        if tiers.len() != point.copies.len() {
            return Err(invalid(format!(
                "`{}` has two copies on one tier",
                point.id
            )));
        }
    }
    drop(ids);
    Ok(inventory)
}

/// Saves a plan; never over a file that is there.
fn save(plan: &Plan, file: &Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        let help = if error.kind() == std::io::ErrorKind::AlreadyExists {
            "name another file, or remove this one first"
        } else {
            "check the folder"
        };
        let because = Because(
            format!("cannot save the plan to `{}`", file.display()),
            Box::new(error),
        );
        Failure::from_error("mainstay::plan::unsaved", Some(help.to_owned()), &because)
    };
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .map_err(failed)?;
    let mut bytes = model::canonical::to_vec(plan).map_err(|error| failed(error.into()))?;
    bytes.push(b'\n');
    target
        .write_all(&bytes)
        .and_then(|()| target.sync_all())
        .map_err(|error| {
            // A half plan must not look like a plan.
            let _ = std::fs::remove_file(file);
            failed(error)
        })
}
