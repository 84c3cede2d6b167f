//! `restore`: bring a recovery point back, and say what was restored, how long each phase took and how old the data is.

use super::{planning, running};
use crate::{
    arguments::{Global, RestoreArguments, ThawChoice},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{bar::Bar, color, out, plan_text::local, progress::duration, status::span},
    session::{self, UnknownPoint},
    settings, wiring,
};
use catalog::Catalog;
use executor::{Clock, RestoreOrder, RestoreReport, ThawPolicy, restore};
use jiff::Timestamp;
use model::{CopyState, DatabaseName, PointState, RecoveryPointId, TierName};
use providers::api::{RestoreTarget, Selection};
use serde_json::json;
use std::{
    fmt::Write as _,
    io::{BufRead as _, IsTerminal as _},
    sync::Arc,
    time::Duration,
};

pub(crate) async fn run(arguments: RestoreArguments, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let now = clock::now();
    let from = match &arguments.from {
        Some(name) => Some(planning::declared_tier(&policy, name)?.clone()),
        None => None,
    };
    let Some(catalog) = (if catalog::Catalog::exists(&settings::state_url(global, &path)).await? {
        Some(session::catalog(global, &path).await?)
    } else {
        None
    }) else {
        return Err(session::no_catalog());
    };
    let undeclared = !policy.databases.contains_key(arguments.database.as_str());
    let known = catalog.inventory(now).await?.recovery_points;
    let Some(database) = known
        .iter()
        .map(|point| &point.database)
        .find(|name| name.as_str() == arguments.database)
        .filter(|_| undeclared)
        .or(policy
            .databases
            .get(arguments.database.as_str())
            .map(|declared| &declared.name))
    else {
        return Err(planning::undeclared(&policy, &arguments.database));
    };
    let point = choose(&arguments, database, &catalog, from.as_ref(), now).await?;
    if arguments.replace && !arguments.yes {
        confirm(&arguments)?;
    }
    let mut wiring = wiring::wire(&policy, settings::scratch(global, &path))?;
    if undeclared {
        let manifest = catalog.manifest(&point).await?;
        let engine = manifest.map_or_else(String::new, |manifest| manifest.engine);
        wiring::add_for_restore(&mut wiring, database, &engine, &arguments.to)?;
    }
    let clock: Arc<dyn Clock> = Arc::new(running::RealClock);
    let bar = Bar::new(&format!("restoring {point}"));
    let order = RestoreOrder {
        point,
        from,
        target: RestoreTarget::Named(arguments.to.clone()),
        replace: arguments.replace,
        selection: Selection {
            tables: arguments.table.clone(),
            schemas: arguments.schema.clone(),
            paths: arguments.path.clone(),
        },
        who: settings::who(),
        why: arguments.reason.clone().unwrap_or_default(),
        run: running::run_name(now).replace("run-", "restore-"),
        progress: bar.progress(),
        thaw: thaw(arguments.thaw),
        recovery: None,
        asserts: Vec::new(),
        drill: None,
        policy_digest: Some(policy.digest.clone()),
    };
    let restored = tokio::select! {
        restored = restore(&order, &wiring, Some(&catalog), &clock) => restored,
        _ = tokio::signal::ctrl_c() => {
            return Err(Failure::new("mainstay::restore::stopped", "stopped; the target is as it was before, or whole if it was in its last moment")
                .help("temporary databases or files of an interrupted restore are removed by the next apply"));
        }
    };
    bar.finish();
    catalog.close().await;
    let report = restored.map_err(|error| {
        let mut message = error.failure.message.clone();
        for (tier, failure) in &error.given_up {
            let _ = write!(
                message,
                "\n  before that, the copy on {tier} was tried and given up: {}",
                failure.message
            );
        }
        let mut failure = Failure::new(&error.failure.code, message);
        if ARCHIVED.contains(&error.failure.code.as_str()) {
            failure = failure.exit(Exit::Blocked);
        }
        match error.failure.help {
            Some(help) => failure.help(help),
            None => failure,
        }
    })?;
    if global.json {
        out::json(&as_json(&report))?;
    } else {
        out::data(&text(&report, &policy.timezone))?;
    }
    Ok(if report.passed() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// The named point, the newest at or before a time, or the newest.
async fn choose(
    arguments: &RestoreArguments,
    database: &DatabaseName,
    catalog: &Catalog,
    from: Option<&TierName>,
    now: Timestamp,
) -> Result<RecoveryPointId> {
    if let Some(id) = &arguments.point {
        if id.database() != database.as_str() {
            return Err(Failure::new(
                "mainstay::point::other-database",
                format!("`{id}` is not a recovery point of `{database}`"),
            )
            .help(format!(
                "restore it with `mainstay restore {} --point {id} --to …`",
                id.database()
            )));
        }
        return match catalog.point(id, now).await? {
            Some(_) => Ok(id.clone()),
            None => Err(session::unknown_point(catalog, UnknownPoint::Id(id), now).await),
        };
    }
    let inventory = catalog.inventory(now).await?;
    let usable: Vec<_> = inventory
        .recovery_points
        .iter()
        .filter(|point| point.database == *database && point.state == PointState::Complete)
        .filter(|point| {
            point.copies.iter().any(|copy| {
                copy.state == CopyState::Present && from.is_none_or(|from| from == &copy.tier)
            })
        })
        .collect();
    let chosen = usable
        .iter()
        .filter(|point| arguments.at.is_none_or(|at| point.captured_at <= at))
        .max_by_key(|point| point.captured_at);
    match (chosen, usable.iter().min_by_key(|point| point.captured_at)) {
        (Some(point), _) => Ok(point.id.clone()),
        (None, Some(oldest)) => Err(Failure::new(
            "mainstay::point::too-early",
            format!("no recovery point of `{database}` is that old"),
        )
        .help(format!(
            "the oldest is `{}`, the state of {}",
            oldest.id, oldest.captured_at
        ))),
        (None, None) => {
            Err(
                session::unknown_point(catalog, UnknownPoint::Database(database.as_str()), now)
                    .await,
            )
        }
    }
}

/// Replacing data needs the database's name typed: a `y` is typed too easily.
fn confirm(arguments: &RestoreArguments) -> Result<()> {
    let stdin = std::io::stdin();
    let refused = |message: &str| {
        Failure::new("mainstay::restore::not-confirmed", message.to_owned())
            .exit(Exit::NeedsApproval)
    };
    if !stdin.is_terminal() {
        return Err(refused(
            "replacing existing data needs confirmation, and there is no terminal to ask on",
        )
        .help("give `--yes` if you are sure"));
    }
    out::words(&format!(
        "This replaces what is in the target of `--to`. Type the database's name ({}) to go on: ",
        arguments.database
    ));
    let mut answer = String::new();
    if stdin.lock().read_line(&mut answer).is_err() || answer.trim() != arguments.database {
        return Err(refused("nothing was restored: the name was not typed"));
    }
    Ok(())
}

fn text(report: &RestoreReport, zone: &jiff::tz::TimeZone) -> String {
    let mut text = String::new();
    for (tier, failure) in &report.given_up {
        let _ = writeln!(
            text,
            "{} the copy on {tier} could not be used: {}",
            color::paint(color::WARN, "!"),
            failure.message
        );
    }
    let _ = writeln!(
        text,
        "{} {} from {} to {}",
        color::paint(color::BOLD, "Restored"),
        report.point,
        report.tier,
        report.target
    );
    let _ = writeln!(
        text,
        "  state of  {}, {} old",
        local(report.captured_at, zone),
        span(report.age_seconds)
    );
    let phases: Vec<String> = report
        .phases
        .iter()
        .map(|(phase, milliseconds)| format!("{phase} {}", duration(*milliseconds)))
        .collect();
    let total: u64 = report
        .phases
        .iter()
        .map(|(_, milliseconds)| milliseconds)
        .sum();
    let _ = writeln!(
        text,
        "  took      {} ({})",
        duration(total),
        phases.join(", ")
    );
    let passed = report.checks.iter().filter(|check| check.passed).count();
    let _ = writeln!(
        text,
        "  checks    {passed} of {} passed",
        report.checks.len()
    );
    for check in report.checks.iter().filter(|check| !check.passed) {
        let _ = writeln!(
            text,
            "    {} {}: {}",
            color::paint(color::REMOVE, "FAILED"),
            check.what,
            check.detail
        );
    }
    for note in &report.notes {
        let _ = writeln!(text, "  {} {note}", color::paint(color::WARN, "!"));
    }
    for gap in &report.gaps {
        let _ = writeln!(
            text,
            "  {} not recorded: {}",
            color::paint(color::WARN, "!"),
            gap.message
        );
    }
    text
}

fn as_json(report: &RestoreReport) -> serde_json::Value {
    let checks: Vec<_> = report
        .checks
        .iter()
        .map(|check| json!({"what": check.what, "passed": check.passed, "detail": check.detail}))
        .collect();
    let phases: Vec<_> = report
        .phases
        .iter()
        .map(|(phase, milliseconds)| json!({"phase": phase, "milliseconds": milliseconds}))
        .collect();
    let given_up: Vec<_> = report
        .given_up
        .iter()
        .map(|(tier, failure)| json!({"tier": tier, "failure": failure}))
        .collect();
    json!({
        "format": "mainstay.restore.v1", "recovery_point": report.point, "tier": report.tier, "target": report.target, "captured_at": report.captured_at,
        "age_seconds": report.age_seconds, "bytes": report.bytes, "phases": phases, "checks": checks, "passed": report.passed(), "notes": report.notes, "given_up": given_up,
    })
}

/// Nothing is wrong with the copy; it cannot be read yet.
const ARCHIVED: [&str; 2] = ["mainstay::restore::archived", "mainstay::restore::thawing"];

/// An archive is looked at again after so long; it takes hours.
const THAW_POLL: Duration = Duration::from_mins(1);

fn thaw(choice: Option<ThawChoice>) -> ThawPolicy {
    match choice {
        None => ThawPolicy::Refuse,
        Some(ThawChoice::Ask) => ThawPolicy::Ask,
        Some(ThawChoice::Wait) => ThawPolicy::AskAndWait {
            poll: THAW_POLL,
            tell: Arc::new(|words| out::words(&format!("{words}\n"))),
        },
    }
}
