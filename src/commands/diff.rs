//! `diff`: what a change of the policy does to the recovery points that exist, before anybody applies it.
//!
//! Finds the two policies (`sides`), compares them (`planner::diff`), and says with its exit code whether somebody must agree.
//! Nothing is written, no tier is asked, no network used.

mod sides;

use super::plan::read_inventory;
use crate::{
    arguments::{DiffArguments, Global},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    render::{diff, out},
    session, settings, wiring,
};
use jiff::Timestamp;
use model::Inventory;
use planner::diff::{Declared, PolicyDiff};
use policy_schema::Policy;
use sides::Side;

pub(crate) async fn run(arguments: DiffArguments, global: &Global) -> Result<Exit> {
    let (old, new) = sides::both(&arguments, global)?;
    let before = usable(&old, "old", false)?;
    let after = usable(&new, "new", global.strict)?;
    let (inventory, now) = inventory(&arguments, global).await?;
    let capabilities = [before, after].map(wiring::capabilities);
    let declared = |policy, side: usize| Declared {
        policy,
        capabilities: &capabilities[side],
    };
    let mut found = planner::diff(declared(before, 0), declared(after, 1), inventory, now);
    name(&mut found, &old, &new);
    let exit = verdict(&found, arguments.accept.as_deref())?;
    if global.json {
        out::json(&found)?;
    } else if arguments.markdown {
        out::data(&diff::markdown(&found, &after.timezone))?;
    } else {
        out::data(&diff::text(&found, &after.timezone))?;
    }
    Ok(exit)
}

/// The policy of a side; what is wrong with it ends the command.
fn usable<'a>(side: &'a Side, which: &str, strict: bool) -> Result<&'a Policy> {
    let policy = &side.checked.policy;
    let acceptable = side.checked.is_acceptable(strict);
    if !side.checked.findings.is_empty() && (!acceptable || which == "new") {
        out::words(&side.checked.findings_text());
    }
    policy.as_ref().filter(|_| acceptable).ok_or_else(|| {
        Failure::new(
            "mainstay::policy::invalid",
            format!("the {which} policy `{}` cannot be used", side.source),
        )
        .help("mend the findings above; `mainstay validate` shows those of a policy on the disk")
        .exit(Exit::PolicyInvalid)
    })
}

/// What exists, and the time of the comparison.
async fn inventory(arguments: &DiffArguments, global: &Global) -> Result<(Inventory, Timestamp)> {
    if let Some(file) = &arguments.inventory {
        let inventory = read_inventory(file)?;
        let now = arguments.now.unwrap_or(inventory.observed_at);
        return Ok((inventory, now));
    }
    let now = arguments.now.unwrap_or_else(clock::now);
    // Without a policy on the disk there is no place beside it; a catalog that was named is looked for all the same.
    let beside = settings::policy_path(global).unwrap_or_default();
    let Some(catalog) = session::catalog_if_any(global, &beside).await? else {
        out::words(
            "There is no catalog here, so only rules are compared. To see what becomes of recovery points:  \
             mainstay inventory --json > inventory.json  where they are made, then --inventory inventory.json\n",
        );
        return Ok((Inventory::empty(now), now));
    };
    let inventory = catalog.inventory(now).await;
    catalog.close().await;
    Ok((inventory?, now))
}

/// Writes down where each side comes from, and takes secrets out of what it says.
fn name(found: &mut PolicyDiff, old: &Side, new: &Side) {
    let named = [(&mut found.old_policy, old), (&mut found.new_policy, new)];
    for (side, from) in named {
        side.source = Some(from.source.clone());
        side.revision.clone_from(&from.commit);
    }
    let secrets = [old, new].map(|side| side.checked.loaded.secrets());
    for setting in &mut found.settings {
        for (value, secrets) in [&mut setting.from, &mut setting.to]
            .into_iter()
            .zip(&secrets)
        {
            if let Some(value) = value {
                secrets.hide(value);
            }
        }
    }
}

fn verdict(found: &PolicyDiff, accepted: Option<&str>) -> Result<Exit> {
    let needed = found.id.as_ref().filter(|_| found.needs_approval());
    match (needed, accepted) {
        (None, _) if found.needs_approval() => Ok(Exit::NeedsApproval),
        (None, _) => Ok(Exit::Done),
        (Some(_), None) => Ok(Exit::NeedsApproval),
        (Some(id), Some(accepted)) if id.as_str() == accepted => Ok(Exit::Done),
        (Some(id), Some(_)) => Err(Failure::new(
            "mainstay::diff::accepts-another",
            format!("what was agreed to is another change; this one is `{id}`"),
        )
        .help("read this one with `mainstay diff` and the same arguments, without --accept")
        .exit(Exit::NeedsApproval)),
    }
}
