//! `tier probe`: what a store really does, tried on objects of its own. The only command that writes to a tier without a run.

use super::planning;
use crate::{
    arguments::{Global, TierCommand},
    exit::Exit,
    failure::Result,
    policy,
    render::{bar::Bar, color, out, table::table},
};
use model::TierName;
use providers::api::{ProbeResult, ProviderError};
use serde_json::json;
use std::{collections::BTreeMap, error::Error as _, fmt::Write as _};

type Probed = BTreeMap<TierName, Result<Vec<ProbeResult>, ProviderError>>;

pub(crate) async fn run(command: TierCommand, global: &Global) -> Result<Exit> {
    let TierCommand::Probe { tier: only } = command;
    let (_, policy) = policy::load(global)?;
    let tiers = planning::chosen_tiers(&policy, &only)?;
    let mut probed: Probed = BTreeMap::new();
    for (name, wired) in &tiers {
        let bar = Bar::new(&format!("probing {name}"));
        let results = wired.tier.probe().await;
        bar.finish();
        probed.insert(name.clone(), results);
    }
    if global.json {
        out::json(&as_json(&probed))?;
    } else {
        out::data(&text(&probed))?;
    }
    let fit = probed.values().all(|results| {
        results
            .as_ref()
            .is_ok_and(|results| results.iter().all(|one| one.works || !one.needed))
    });
    Ok(if fit { Exit::Done } else { Exit::Failed })
}

fn text(probed: &Probed) -> String {
    let mut text = String::new();
    for (name, results) in probed {
        match results {
            Ok(results) if results.is_empty() => {
                let _ = writeln!(
                    text,
                    "{name}: nothing to probe; this kind of tier keeps its promises or says so"
                );
            }
            Ok(results) => {
                let rows: Vec<Vec<String>> = results.iter().map(row).collect();
                let _ = writeln!(text, "{name}");
                text.push_str(&table(&["  TRIED", "RESULT", "SEEN"], &rows));
            }
            Err(error) => {
                let _ = writeln!(
                    text,
                    "{name}: {} {}",
                    color::paint(color::REMOVE, "could not be probed:"),
                    whole(error)
                );
                if let Some(help) = &error.help {
                    let _ = writeln!(text, "  {help}");
                }
            }
        }
    }
    text
}

/// The error with what the store said.
fn whole(error: &ProviderError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        let _ = write!(text, ": {found}");
        cause = found.source();
    }
    text
}

fn row(result: &ProbeResult) -> Vec<String> {
    let word = match (result.works, result.needed) {
        (true, _) => color::paint(color::ADD, "works"),
        (false, true) => color::paint(color::REMOVE, "MISSING, and needed"),
        (false, false) => color::paint(color::WARN, "missing"),
    };
    vec![format!("  {}", result.what), word, result.detail.clone()]
}

fn as_json(probed: &Probed) -> serde_json::Value {
    let tiers: serde_json::Map<String, serde_json::Value> = probed
        .iter()
        .map(|(name, results)| {
            let value = match results {
                Ok(results) => {
                    let results: Vec<_> = results
                        .iter()
                        .map(|one| json!({"what": one.what, "works": one.works, "needed": one.needed, "detail": one.detail}))
                        .collect();
                    json!({"results": results})
                }
                Err(error) => json!({"error": {"code": error.code, "message": whole(error), "help": error.help}}),
            };
            (name.to_string(), value)
        })
        .collect();
    json!({"format": "mainstay.probe.v1", "tiers": tiers})
}
