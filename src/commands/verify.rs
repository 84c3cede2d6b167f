//! `verify`: check copies now, whatever the plan says. The result is stored per copy and used by retention.

use super::running;
use crate::{
    arguments::{Global, VerifyArguments},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{bar::Bar, color, out, progress::duration},
    session::{self, UnknownPoint},
    settings, wiring,
};
use executor::{Clock, VerifyOrder, VerifyReport, verify_now};
use jiff::Timestamp;
use model::{Inventory, PointState, RecoveryPoint, RecoveryPointId, TierName};
use serde_json::json;
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

pub(crate) async fn run(arguments: VerifyArguments, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let now = clock::now();
    let catalog = session::catalog_or_fail(global, &path).await?;
    let inventory = catalog.inventory(now).await?;
    let points = choose(&arguments, &inventory);
    if points.is_empty() {
        return Err(
            match arguments
                .what
                .as_deref()
                .map(|what| (what, RecoveryPointId::parse(what)))
            {
                Some((_, Ok(id))) => {
                    session::unknown_point(&catalog, UnknownPoint::Id(&id), now).await
                }
                Some((database, Err(_))) => {
                    session::unknown_point(&catalog, UnknownPoint::Database(database), now).await
                }
                None => Failure::new(
                    "mainstay::point::unknown",
                    "there is no recovery point to verify",
                )
                .help("make one with `mainstay apply`"),
            },
        );
    }
    let copies: Vec<(RecoveryPointId, TierName)> = points
        .iter()
        .flat_map(|point| {
            point
                .copies
                .iter()
                .map(|copy| (point.id.clone(), copy.tier.clone()))
        })
        .filter(|(_, tier)| {
            arguments
                .tier
                .as_ref()
                .is_none_or(|only| only == tier.as_str())
        })
        .collect();
    if copies.is_empty() {
        return Err(Failure::new(
            "mainstay::verify::no-copy",
            "none of these recovery points has a copy there",
        )
        .help("see where copies are with `mainstay list`"));
    }
    let wiring = wiring::wire(&policy, settings::scratch(global, &path))?;
    let clock: Arc<dyn Clock> = Arc::new(running::RealClock);
    let mut failed = 0;
    let total = copies.len();
    for (number, (point, tier)) in copies.into_iter().enumerate() {
        let bar = Bar::new(&format!("{} {point} on {tier}", arguments.level));
        let order = VerifyOrder {
            point,
            tier,
            level: arguments.level,
            who: settings::who(),
            run: format!("{}-{number}", running::run_name(now)).replace("run-", "verify-"),
            lease_wait: Duration::from_secs(10),
            progress: bar.progress(),
        };
        let report = verify_now(&order, &wiring, Some(&catalog), &clock).await;
        bar.finish();
        failed += usize::from(!report.passed());
        show(&report, global)?;
    }
    if !global.json {
        out::words(&format!("{} of {total} copies are good.\n", total - failed));
    }
    catalog.close().await;
    Ok(match failed {
        0 => Exit::Done,
        all if all == total => Exit::Failed,
        _ => Exit::PartlyFailed,
    })
}

/// The named point; or the newest of each series of a database, or of all; with `--all` every one.
fn choose<'a>(arguments: &VerifyArguments, inventory: &'a Inventory) -> Vec<&'a RecoveryPoint> {
    let what = arguments.what.as_deref();
    let mut newest: BTreeMap<(&str, &str), &RecoveryPoint> = BTreeMap::new();
    let mut all = Vec::new();
    for point in inventory
        .recovery_points
        .iter()
        .filter(|point| point.state == PointState::Complete)
    {
        if what == Some(point.id.as_str()) {
            return vec![point];
        }
        if what.is_some_and(|what| what != point.database.as_str()) {
            continue;
        }
        all.push(point);
        let entry = newest
            .entry((point.database.as_str(), point.series.as_str()))
            .or_insert(point);
        let age = |point: &RecoveryPoint| -> Timestamp { point.captured_at };
        if age(point) > age(entry) {
            *entry = point;
        }
    }
    if arguments.all {
        all
    } else {
        newest.into_values().collect()
    }
}

fn show(report: &VerifyReport, global: &Global) -> Result<()> {
    if global.json {
        let checks: Vec<_> = report
            .checks
            .iter()
            .map(
                |check| json!({"what": check.what, "passed": check.passed, "detail": check.detail}),
            )
            .collect();
        return out::json(&json!({
            "format": "mainstay.verification.v1", "recovery_point": report.point, "tier": report.tier, "level": report.level,
            "passed": report.passed(), "judged": report.judged, "failure": report.failure, "checks": checks, "bytes": report.bytes, "milliseconds": report.milliseconds,
        }));
    }
    let mark = if report.passed() {
        color::paint(color::ADD, "good  ")
    } else if !report.judged {
        // Not a word about the copy: nobody shall throw away what could only not be reached.
        color::paint(color::WARN, "unread")
    } else {
        color::paint(color::REMOVE, "BAD   ")
    };
    let mut text = format!(
        "{mark} {} on {} ({}, {}, {})\n",
        report.point,
        report.tier,
        report.level,
        report.bytes,
        duration(report.milliseconds)
    );
    if let Some(failure) = &report.failure {
        let _ = writeln!(text, "       {} [{}]", failure.message, failure.code);
        if let Some(help) = &failure.help {
            let _ = writeln!(text, "       help: {help}");
        }
    }
    for gap in &report.gaps {
        let _ = writeln!(text, "       not recorded: {}", gap.message);
    }
    out::data(&text)
}
