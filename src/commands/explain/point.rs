//! `explain` of a recovery point: what keeps it and until when; of one that is gone, who deleted it and why.
//!
//! Not here: the reasons themselves (`planner::explain`), what a point holds (`info`).

use crate::{
    arguments::{ExplainArguments, Global},
    clock,
    commands::plan::read_inventory,
    exit::Exit,
    failure::{Failure, Result},
    policy::{self, Checked},
    render::{
        explain_point::{self, Origin, Past},
        out,
    },
    session::{self, UnknownPoint},
    wiring,
};
use catalog::{Catalog, Hold};
use model::RecoveryPointId;
use planner::explain::PointExplanation;
use serde_json::json;
use std::{collections::BTreeMap, path::Path};

pub(super) async fn run(arguments: &ExplainArguments, global: &Global) -> Result<Exit> {
    let id = RecoveryPointId::parse(&arguments.what).map_err(|error| {
        Failure::new("mainstay::explain::nothing", error.to_string())
            .help("list them with `mainstay list`; keys of the policy are written with dots")
    })?;
    let (path, policy) = policy::load(global)?;
    let known = known(arguments, global, &path, &id).await?;
    let explained = planner::explain(
        &policy,
        &known.inventory,
        &wiring::capabilities(&policy),
        known.now,
        &id,
    );
    let Some(explained) = explained else {
        return gone(&id, known, global);
    };
    let origins = origins(&policy::check(&path), &explained);
    if global.json {
        let places: BTreeMap<_, _> = origins
            .iter()
            .map(|(key, origin)| (key, origin.json()))
            .collect();
        let holds: Vec<_> = known.holds.iter().map(hold_json).collect();
        let mut document = serde_json::to_value(&explained).unwrap_or_default();
        document["origins"] = json!(places);
        document["holds"] = json!(holds);
        out::json(&document)?;
    } else {
        let holds = &known.holds;
        out::data(&explain_point::text(
            &explained,
            &origins,
            holds,
            &policy.timezone,
        ))?;
    }
    Ok(Exit::Done)
}

/// What is remembered, as far as it concerns the point.
struct Known {
    inventory: model::Inventory,
    now: jiff::Timestamp,
    holds: Vec<Hold>,
    past: Vec<Past>,
    /// What to say when nothing is known of it.
    unknown: Failure,
}

async fn known(
    arguments: &ExplainArguments,
    global: &Global,
    path: &Path,
    id: &RecoveryPointId,
) -> Result<Known> {
    if let Some(file) = &arguments.inventory {
        let inventory = read_inventory(file)?;
        return Ok(Known {
            now: arguments.now.unwrap_or(inventory.observed_at),
            inventory,
            holds: Vec::new(),
            past: Vec::new(),
            unknown: Failure::new(
                "mainstay::point::unknown",
                format!("the inventory has no recovery point `{id}`"),
            )
            .help("what became of a point that is gone is in the catalog: leave out --inventory"),
        });
    }
    let now = arguments.now.unwrap_or_else(clock::now);
    let Some(catalog) = session::catalog_if_any(global, path).await? else {
        return Err(session::no_catalog());
    };
    let inventory = catalog.inventory(now).await?;
    let mut holds = catalog.holds().await?;
    holds.retain(|hold| &hold.recovery_point == id && hold.is_active(now));
    let known = Known {
        inventory,
        now,
        holds,
        past: past(&catalog, id).await?,
        unknown: session::unknown_point(&catalog, UnknownPoint::Id(id), now).await,
    };
    catalog.close().await;
    Ok(known)
}

/// Everything that the audit says of a point.
async fn past(catalog: &Catalog, id: &RecoveryPointId) -> Result<Vec<Past>> {
    let entries = catalog.audit_entries(u64::MAX).await?;
    let on_a_tier = format!("{id}@");
    let concerns = |what: &str| what == id.as_str() || what.starts_with(&on_a_tier);
    Ok(entries
        .into_iter()
        .filter(|entry| concerns(&entry.what))
        .map(Past::from)
        .collect())
}

fn gone(id: &RecoveryPointId, known: Known, global: &Global) -> Result<Exit> {
    if known.past.is_empty() {
        return Err(known.unknown);
    }
    if global.json {
        let past: Vec<_> = known.past.iter().map(Past::json).collect();
        out::json(&json!({
            "format": planner::explain::FORMAT, "recovery_point": id, "evaluated_at": known.now, "gone": true, "past": past,
        }))?;
    } else {
        out::data(&explain_point::gone(id, &known.past))?;
    }
    Ok(Exit::Done)
}

fn hold_json(hold: &Hold) -> serde_json::Value {
    json!({"who": hold.who, "why": hold.why, "until": hold.until, "at": hold.at})
}

/// Where each rule that keeps the point is written.
fn origins(checked: &Checked, explained: &PointExplanation) -> BTreeMap<String, Origin> {
    let reasons = explained.tiers.iter().flat_map(|tier| &tier.reasons);
    let keys = reasons.filter_map(|reason| reason.key.clone());
    keys.filter_map(|key| Some((key.clone(), origin(checked, &key)?)))
        .collect()
}

fn origin(checked: &Checked, key: &str) -> Option<Origin> {
    // A window can be written as `daily = "14d"` as well as `within-daily = "14d"`.
    let other = key.replace(".within-", ".");
    [key, &other].into_iter().find_map(|key| {
        let explanation = checked.loaded.explain(key).ok()?;
        let written = explanation.contributions.into_iter().next_back()?;
        Some(Origin {
            file: written.file,
            line: written.line,
            via: written.via,
            value: written.value,
        })
    })
}
