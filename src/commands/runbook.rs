//! `runbook`: gathers what is known of one database and prints the commands that bring it back. Changes nothing.

use super::planning;
use crate::{
    arguments::{Global, RunbookArguments, RunbookFormat},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{out, plan_text::local, progress::duration},
    session,
};
use jiff::Timestamp;
use model::{
    Inventory, Manifest, PointState, RecoveryPoint,
    recovery_record::Promise,
    wal::coverage::{Base, coverage},
};
use planner::status::RtoStatus;
use policy_schema::{
    Policy,
    policy::{DatabaseDeclaration, Target, WalMode},
};
use reports::{
    ClusterFacts, Copies, EngineFacts, Format, KeyNeeded, LogArchive, Measured, RunbookFacts,
    Window, runbook,
};
use std::{fs, path::Path};

pub(crate) async fn run(arguments: RunbookArguments, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let now = clock::now();
    let database = planning::declared(&policy, &arguments.database)?;
    let looked = planning::look(global, &path, &policy, now, false).await?;
    let points = readable_points(&looked.inventory, database);
    let newest = points.iter().max_by_key(|point| point.captured_at);
    let manifest = match (session::catalog_if_any(global, &path).await?, newest) {
        (Some(catalog), Some(newest)) => catalog.manifest(&newest.id).await?,
        _ => None,
    };
    let status = planner::status(&policy, &looked.inventory, now);
    let rto = status
        .into_iter()
        .find(|status| status.database == database.name)
        .map(|status| status.rto);
    let facts = RunbookFacts {
        database: database.name.to_string(),
        at: now,
        policy: std::path::absolute(&path)
            .unwrap_or(path)
            .display()
            .to_string(),
        engine: engine(database, &points, manifest.as_ref()),
        tiers: tiers(&policy, &points),
        keys: keys(&policy, database),
        newest: named(newest.copied()),
        oldest: named(points.iter().min_by_key(|point| point.captured_at).copied()),
        windows: windows(&looked.inventory, database, &points),
        measured: rto.as_ref().map_or_else(Vec::new, measured),
        proved: rto.as_ref().and_then(|rto| proved(rto, &policy)),
        rpo: database.objective.rpo.map(promise),
        rto: database.objective.rto.map(promise),
    };
    let format = match arguments.format {
        RunbookFormat::Markdown => Format::Markdown,
        RunbookFormat::Html => Format::Html,
    };
    let text = runbook(&facts, &policy.timezone, format)?;
    match &arguments.out {
        Some(file) => write(file, &text)?,
        None => out::data(&text)?,
    }
    Ok(Exit::Done)
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(|error| {
        let failure = Failure::from_error(
            "mainstay::report::write",
            Some("name a file that this user may write".to_owned()),
            &error,
        );
        let message = format!("cannot write `{}`: {}", file.display(), failure.message);
        Failure { message, ..failure }
    })?;
    out::words(&format!("wrote {}\n", file.display()));
    Ok(())
}

fn readable_points<'a>(
    inventory: &'a Inventory,
    database: &DatabaseDeclaration,
) -> Vec<&'a RecoveryPoint> {
    let points = inventory.recovery_points.iter().filter(|point| {
        point.database == database.name
            && point.state == PointState::Complete
            && point.copies.iter().any(model::Copy::is_present)
    });
    points.collect()
}

fn named(point: Option<&RecoveryPoint>) -> Option<(String, Timestamp)> {
    point.map(|point| (point.id.to_string(), point.captured_at))
}

fn promise(target: Target) -> Promise {
    let seconds = |duration: jiff::SignedDuration| u64::try_from(duration.as_secs()).unwrap_or(0);
    Promise {
        maximum_seconds: seconds(target.maximum),
        target_seconds: seconds(target.target),
    }
}

/// What it is called where it lives: from the newest point's own word where that tells, else from the policy.
fn engine(
    database: &DatabaseDeclaration,
    points: &[&RecoveryPoint],
    manifest: Option<&Manifest>,
) -> EngineFacts {
    let tables = manifest.map(|manifest| &manifest.expectations.tables);
    // An example with many rows is the likelier one to be asked for.
    let table = tables.and_then(|tables| tables.iter().max_by_key(|(_, table)| table.rows));
    let table = table.map(|(name, _)| name.clone());
    match database.engine.as_str() {
        "postgres" => {
            let known = manifest.and_then(|manifest| manifest.source.get("database"));
            let table = table.unwrap_or_else(|| "public.orders".to_owned());
            let mut bases = points.iter().filter(|point| point.wal.is_some());
            if let Some(base) = bases.next_back() {
                let others = points.iter().any(|point| point.wal.is_none());
                return EngineFacts::PostgresPhysical(ClusterFacts {
                    log: match database.wal.as_ref().map(|wal| wal.mode) {
                        None => LogArchive::None,
                        Some(WalMode::Archive) => LogArchive::Pushed,
                        Some(WalMode::Stream) => LogArchive::Streamed,
                    },
                    database: known.map_or_else(|| "postgres".to_owned(), Clone::clone),
                    table,
                    series: others.then(|| base.series.to_string()),
                });
            }
            EngineFacts::PostgresLogical {
                database: known.map_or_else(|| database.name.to_string(), Clone::clone),
                table,
            }
        }
        "sqlite" => {
            let path = database.table.get("path").and_then(|path| path.as_str());
            let path = database.base.join(path.unwrap_or_default());
            EngineFacts::Sqlite {
                path: std::path::absolute(&path)
                    .unwrap_or(path)
                    .display()
                    .to_string(),
                table: table.unwrap_or_else(|| "orders".to_owned()),
            }
        }
        "files" => EngineFacts::Files,
        other => EngineFacts::Other(other.to_owned()),
    }
}

fn tiers(policy: &Policy, points: &[&RecoveryPoint]) -> Vec<Copies> {
    let mut tiers: Vec<Copies> = policy
        .tiers
        .values()
        .filter_map(|tier| {
            let here = points.iter().filter(|point| {
                let copy = point.copy_on(&tier.name);
                copy.is_some_and(model::Copy::is_present)
            });
            let newest = here.clone().max_by_key(|point| point.captured_at)?;
            Some(Copies {
                tier: tier.name.to_string(),
                place: place(&tier.kind, &tier.table),
                count: here.count(),
                newest: newest.id.to_string(),
                bytes: newest.bytes,
                thaw_seconds: tier.capabilities.thaw.map(|order| order.typical_seconds),
            })
        })
        .collect();
    tiers.sort_by_key(|tier| tier.thaw_seconds);
    tiers
}

/// Where a tier or a key is: what of its table is a place, and never a secret.
fn place(kind: &str, table: &serde_json::Value) -> String {
    let parts = [
        "path",
        "endpoint",
        "bucket",
        "prefix",
        "region",
        "key-id",
        "certificate",
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter_map(|key| Some(format!("{key} {}", table.get(key)?.as_str()?)))
        .collect();
    if parts.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}, {}", parts.join(", "))
    }
}

fn keys(policy: &Policy, database: &DatabaseDeclaration) -> Vec<KeyNeeded> {
    let named = database.encrypt_with.iter();
    let declared = named.filter_map(|name| policy.keys.get(name));
    declared
        .map(|key| KeyNeeded {
            name: key.name.to_string(),
            place: place(&key.kind, &key.table),
        })
        .collect()
}

fn windows(
    inventory: &Inventory,
    database: &DatabaseDeclaration,
    points: &[&RecoveryPoint],
) -> Vec<Window> {
    let Some(archive) = inventory.wal.get(&database.name) else {
        return Vec::new();
    };
    let mut bases: Vec<Base> = points
        .iter()
        .filter_map(|point| {
            Some(Base {
                captured_at: point.captured_at,
                id: point.id.clone(),
                span: *point.wal.as_deref()?,
            })
        })
        .collect();
    bases.sort_by(|a, b| (a.captured_at, &a.id).cmp(&(b.captured_at, &b.id)));
    let coverage = coverage(&archive.together(), &bases);
    let windows = coverage.windows.iter().filter_map(|window| {
        let mut inside = bases.iter().filter(|base| window.bases.contains(&base.id));
        Some(Window {
            from: inside.next()?.captured_at,
            to: window.stored_at,
        })
    });
    windows.collect()
}

fn measured(rto: &RtoStatus) -> Vec<Measured> {
    let estimates = rto.estimates.iter().map(|one| Measured {
        tier: one.tier.to_string(),
        method: one.method.to_string(),
        seconds: one.seconds,
        count: one.measured,
        at: one.measured_at,
    });
    estimates.collect()
}

fn proved(rto: &RtoStatus, policy: &Policy) -> Option<String> {
    let proof = rto.last_proof.as_ref()?;
    let how = match &proof.drill {
        Some(drill) => format!("drill {drill}"),
        None => "a restore".to_owned(),
    };
    Some(format!(
        "{} by {how} from {} in {}",
        local(proof.at, &policy.timezone),
        proof.tier,
        duration(proof.milliseconds)
    ))
}
