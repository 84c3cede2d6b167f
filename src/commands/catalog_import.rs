//! `catalog import`: recovery points for backups that other software made and keeps, such as Barman's.
//!
//! Each is an ordinary backup step whose capture describes what is there instead of making something new: with a lease, a
//! manifest, events and audit. Its slot is the moment when the backup was begun, so doing it again finds it done.
//! Invariant: what no `keep` rule would keep is not imported, because the next `apply` would prune it.

use super::{backup, planning, running};
use crate::{
    arguments::{CatalogImportArguments, Global},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{color, out},
    settings, wiring,
};
use executor::Wiring;
use jiff::{SignedDuration, Timestamp};
use model::{DatabaseName, RecoveryPointId, SeriesName};
use planner::Options;
use policy_schema::{Policy, longest_life, policy::DatabaseDeclaration};
use providers::api::ExistingBackup;
use serde_json::{Value, json};
use std::sync::Arc;

/// What became of the backups that were found.
#[derive(Default)]
struct Account {
    imported: Vec<(RecoveryPointId, String)>,
    known: usize,
    not_kept: Vec<String>,
    failed: usize,
}

pub(crate) async fn run(arguments: CatalogImportArguments, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let database = planning::declared(&policy, &arguments.database)?;
    let now = clock::now();
    let series = backup::choose(&policy, database, arguments.series.as_deref(), now)?;
    let wiring = wiring::wire(&policy, settings::scratch(global, &path))?;
    let engine = wiring
        .databases
        .get(&database.name)
        .map(|wired| Arc::clone(&wired.engine))
        .ok_or_else(|| planning::undeclared(&policy, &arguments.database))?;
    let found = engine.existing_backups().await.map_err(Failure::from)?;
    if let Ok(facts) = engine.probe().await
        && let Some(retention) = facts.facts.get("barman_retention_policy")
    {
        warn_of_retention(retention, database, &policy);
    }
    let capabilities = wiring::capabilities(&policy);
    let mut account = Account::default();
    for backup in found {
        let looked = planning::look(global, &path, &policy, now, false).await?;
        let points = &looked.inventory.recovery_points;
        let at = whole_seconds(backup.begun_at);
        let id = RecoveryPointId::new(&database.name, &series, at);
        // A backup that Mainstay ordered has the slot of its schedule, and was complete at the same instant.
        let is_known = points.iter().any(|point| {
            point.id == id
                || (point.database == database.name
                    && point.captured_at.as_second() == backup.ended_at.as_second())
        });
        if is_known {
            account.known += 1;
            continue;
        }
        let options = Options {
            requested: vec![(database.name.clone(), Some(series.clone()))],
            ..Options::default()
        };
        let plan = planner::draft_plan(&policy, &looked.inventory, &capabilities, at, &options);
        let Some(plan) = backup::only_requested(plan) else {
            account.not_kept.push(backup.name);
            continue;
        };
        let prepared = describing(&wiring, &database.name, &series, &backup);
        let exit = running::carry_out_with(
            &plan,
            running::Brought::default(),
            &path,
            &prepared,
            &arguments.run,
            global,
        );
        if exit.await? == Exit::Done {
            account.imported.push((id, backup.name));
        } else {
            account.failed += 1;
        }
    }
    tell(&account, global)?;
    Ok(if account.failed > 0 {
        Exit::PartlyFailed
    } else {
        Exit::Done
    })
}

/// A pointer that outlives its data is a promise that nobody keeps.
fn warn_of_retention(retention: &str, database: &DatabaseDeclaration, policy: &Policy) {
    let Some(window) = window_of(retention) else {
        return;
    };
    for series in database.series.values() {
        for (tier, keep) in &series.keep {
            let life = longest_life(&series.schedule, keep, &policy.timezone);
            if life.is_none_or(|life| life > window) {
                out::words(&format!(
                    "{} {}.{}: points stay on {tier} for longer than Barman keeps their data ({retention}): shorten keep.{tier}, or lengthen retention_policy in Barman\n",
                    color::paint(color::WARN, "!"),
                    database.name,
                    series.name,
                ));
            }
        }
    }
}

/// Barman's `RECOVERY WINDOW OF 4 WEEKS`, as it counts it itself; a redundancy is no time.
fn window_of(retention: &str) -> Option<SignedDuration> {
    let words: Vec<String> = retention
        .split_whitespace()
        .map(str::to_uppercase)
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ["RECOVERY", "WINDOW", "OF", count, unit] = words.as_slice() else {
        return None;
    };
    let days = match unit.trim_end_matches('S') {
        "DAY" => 1,
        "WEEK" => 7,
        "MONTH" => 31,
        _ => return None,
    };
    let count: i64 = count.parse().ok()?;
    Some(SignedDuration::from_hours(count.checked_mul(24 * days)?))
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// Engines whose next capture of this series describes that backup.
fn describing(
    wiring: &Wiring,
    database: &DatabaseName,
    series: &SeriesName,
    backup: &ExistingBackup,
) -> Wiring {
    let mut prepared = wiring.clone();
    let wired = prepared.databases.get_mut(database);
    if let Some(table) = wired.and_then(|wired| wired.series.get_mut(series)) {
        if !table.is_object() {
            *table = json!({});
        }
        if let (Value::Object(table), Value::Object(more)) = (table, &backup.options) {
            table.extend(more.clone());
        }
    }
    prepared
}

fn tell(account: &Account, global: &Global) -> Result<()> {
    if global.json {
        let imported: Vec<_> = account
            .imported
            .iter()
            .map(|(point, name)| json!({"recovery_point": point, "backup": name}))
            .collect();
        return out::json(&json!({
            "format": "mainstay.import.v1", "imported": imported, "known": account.known,
            "not_kept": account.not_kept, "failed": account.failed,
        }));
    }
    for (point, name) in &account.imported {
        out::data(&format!("{name} is now {point}\n"))?;
    }
    out::data(&format!(
        "Imported {} backup(s); {} were known already.\n",
        account.imported.len(),
        account.known
    ))?;
    if !account.not_kept.is_empty() {
        out::words(&format!(
            "{} left out, because no keep rule would keep them: {}\n",
            color::paint(color::WARN, "!"),
            account.not_kept.join(", ")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn barmans_windows_are_read_and_a_redundancy_is_none() {
        let days = |text| window_of(text).map(|window| window.as_hours() / 24);
        assert_eq!(days("RECOVERY WINDOW OF 7 DAYS"), Some(7));
        assert_eq!(days("recovery window of 4 weeks"), Some(28));
        assert_eq!(days("RECOVERY WINDOW OF 1 MONTH"), Some(31));
        assert_eq!(days("REDUNDANCY 3"), None);
    }
}
