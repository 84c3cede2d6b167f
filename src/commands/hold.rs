//! `hold add | release | list`: a person's order not to delete a recovery point.
//!
//! Holding needs nobody's approval; releasing needs the signatures that a deletion beyond routine needs, where rules are in force.

use super::{approve, running::RealClock};
use crate::{
    arguments::{Global, HoldCommand},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{color, out, plan_text::local, table::table},
    session::{self, UnknownPoint},
    settings, wiring,
};
use catalog::Catalog;
use executor::{Clock, HoldReport, spread_hold};
use jiff::Timestamp;
use model::{
    RecoveryPointId,
    approval::{RELEASE_FORMAT, ReleaseRequest},
};
use serde_json::{Value, json};
use std::{fmt::Write as _, sync::Arc};

/// What became of the hold on the stores that can hold by themselves.
enum Stores {
    Asked(HoldReport),
    /// The policy, which names the tiers, could not be read; the catalog's hold counts all the same.
    NoPolicy(String),
}

/// Carries the hold, or its end, to the stores.
async fn spread(
    point: &RecoveryPointId,
    held: bool,
    who: &str,
    global: &Global,
    catalog: &Catalog,
) -> Stores {
    let wired = policy::load(global)
        .and_then(|(path, policy)| wiring::wire(&policy, settings::scratch(global, &path)));
    match wired {
        Ok(wired) => {
            let clock: Arc<dyn Clock> = Arc::new(RealClock);
            Stores::Asked(spread_hold(point, held, who, &wired, catalog, &clock).await)
        }
        Err(failure) => Stores::NoPolicy(failure.message),
    }
}

/// Who agreed to the release of a point's holds; `None`: nobody has to. Deleting what was held needs no signatures any more.
async fn agreed(catalog: &Catalog, point: &RecoveryPointId) -> Result<Option<String>> {
    let history = catalog.hold_history().await?;
    let ours = history
        .iter()
        .filter(|record| record.hold.recovery_point == *point);
    // With none left, those that were released last: a store that could not be reached then is let go by a repeat.
    let newest = ours
        .clone()
        .map(|record| {
            record
                .released
                .as_ref()
                .map_or(Timestamp::MAX, |(at, ..)| *at)
        })
        .max();
    let holds = ours
        .filter(|record| {
            record
                .released
                .as_ref()
                .map_or(Timestamp::MAX, |(at, ..)| *at)
                == newest.unwrap_or_default()
        })
        .map(|record| record.hold.id)
        .collect();
    let request = ReleaseRequest {
        catalog: catalog.identity().await?,
        format: RELEASE_FORMAT,
        holds,
        recovery_point: point.clone(),
    };
    let what = format!("the release of the holds of `{point}`");
    approve::agreed(catalog, &request, "mainstay::hold::needs-approval", &what).await
}

impl Stores {
    fn text(&self, done: &str) -> String {
        let warn = color::paint(color::WARN, "!");
        let mut text = String::new();
        match self {
            Self::NoPolicy(why) => {
                let _ = writeln!(
                    text,
                    "{warn} stores that can hold by themselves were not asked: {why}"
                );
            }
            Self::Asked(report) => {
                let names: Vec<&str> = report
                    .copies
                    .iter()
                    .map(|copy| copy.tier.as_str())
                    .collect();
                if !names.is_empty() {
                    let _ = writeln!(text, "{} {done}.", names.join(" and "));
                }
                for (tier, failure) in &report.not_done {
                    let _ = writeln!(
                        text,
                        "{warn} {tier} was not reached, so only Mainstay's own hold counts there: {}; run the command again",
                        failure.message
                    );
                }
                for gap in &report.gaps {
                    let _ = writeln!(text, "{warn} not recorded: {}", gap.message);
                }
            }
        }
        text
    }

    fn json(&self) -> Value {
        match self {
            Self::NoPolicy(why) => json!({"asked": false, "why": why}),
            Self::Asked(report) => {
                let held: Vec<Value> = report
                    .copies
                    .iter()
                    .map(|copy| json!({"tier": copy.tier, "files": copy.files, "changed": copy.changed}))
                    .collect();
                let not_done: Vec<Value> = report
                    .not_done
                    .iter()
                    .map(|(tier, failure)| json!({"tier": tier, "failure": failure}))
                    .collect();
                json!({"asked": true, "copies": held, "not_done": not_done})
            }
        }
    }

    fn had_work(&self) -> bool {
        match self {
            Self::Asked(report) => {
                !report.not_done.is_empty() || report.copies.iter().any(|copy| copy.changed > 0)
            }
            Self::NoPolicy(_) => false,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Asked(report) if report.not_done.is_empty() => Exit::Done,
            Self::Asked(_) | Self::NoPolicy(_) => Exit::PartlyFailed,
        }
    }
}

pub(crate) async fn run(command: HoldCommand, global: &Global) -> Result<Exit> {
    match command {
        HoldCommand::Add {
            point,
            why,
            until,
            who,
        } => add(&point, &why, until, who, global).await,
        HoldCommand::Release { point, why, who } => release(&point, why, who, global).await,
        HoldCommand::List => list(global).await,
    }
}

async fn add(
    point: &RecoveryPointId,
    why: &str,
    until: Option<Timestamp>,
    who: Option<String>,
    global: &Global,
) -> Result<Exit> {
    let policy = settings::policy_path(global)?;
    let now = clock::now();
    if let Some(until) = until
        && until <= now
    {
        return Err(Failure::new(
            "mainstay::hold::past",
            format!("the hold would end at {until}, which is in the past"),
        )
        .help("give a later `--until`, or leave it out to hold until released"));
    }
    let catalog = session::catalog_or_fail(global, &policy).await?;
    let who = who.unwrap_or_else(settings::who);
    let hold = match catalog.add_hold(point, &who, why, until, now).await {
        Err(catalog::CatalogError::UnknownPoint { .. }) => {
            return Err(session::unknown_point(&catalog, UnknownPoint::Id(point), now).await);
        }
        other => other?,
    };
    let stores = spread(point, true, &who, global, &catalog).await;
    let until = hold.until.map_or_else(
        || "until released".to_owned(),
        |until| format!("until {until}"),
    );
    if global.json {
        out::json(
            &json!({"format": "mainstay.hold.v1", "recovery_point": hold.recovery_point, "who": hold.who, "why": hold.why, "until": hold.until, "at": hold.at, "stores": stores.json()}),
        )?;
    } else {
        out::data(&format!(
            "{point} is held {until}: no plan deletes it on any tier.\n"
        ))?;
        out::data(&stores.text("hold it as well: nobody can delete it there"))?;
    }
    Ok(stores.exit())
}

async fn release(
    point: &RecoveryPointId,
    why: String,
    who: Option<String>,
    global: &Global,
) -> Result<Exit> {
    let policy = settings::policy_path(global)?;
    let now = clock::now();
    let catalog = session::catalog_or_fail(global, &policy).await?;
    let who = who.unwrap_or_else(settings::who);
    let why = approve::with_signers(why, agreed(&catalog, point).await?.as_deref());
    let released = catalog.release_hold(point, &who, &why, now).await?;
    let stores = spread(point, false, &who, global, &catalog).await;
    // A store that could not be reached the last time is let go by a repeat.
    if released == 0 && !stores.had_work() {
        return Err(
            Failure::new("mainstay::hold::none", format!("`{point}` is not held"))
                .help("see what is held with `mainstay hold list`"),
        );
    }
    if global.json {
        out::json(
            &json!({"format": "mainstay.hold.v1", "recovery_point": point, "released": released, "who": who, "why": why, "at": now, "stores": stores.json()}),
        )?;
    } else {
        out::data(&format!(
            "{point} is no longer held. Retention decides about it from the next plan on.\n"
        ))?;
        out::data(&stores.text("hold it no longer either"))?;
    }
    Ok(stores.exit())
}

async fn list(global: &Global) -> Result<Exit> {
    let policy = settings::policy_path(global)?;
    let now = clock::now();
    let holds = match session::catalog_if_any(global, &policy).await? {
        Some(catalog) => catalog.holds().await?,
        None => Vec::new(),
    };
    if global.json {
        let holds: Vec<_> = holds
            .iter()
            .map(|hold| json!({"recovery_point": hold.recovery_point, "who": hold.who, "why": hold.why, "until": hold.until, "at": hold.at, "active": hold.is_active(now)}))
            .collect();
        out::json(&json!({"format": "mainstay.holds.v1", "holds": holds}))?;
    } else if holds.is_empty() {
        out::data("Nothing is held.\n")?;
    } else {
        let zone = policy::zone(&policy);
        let rows: Vec<Vec<String>> = holds
            .iter()
            .map(|hold| {
                let until = match hold.until {
                    Some(until) if hold.is_active(now) => local(until, &zone),
                    Some(until) => format!("ended {}", local(until, &zone)),
                    None => "released".to_owned(),
                };
                vec![
                    hold.recovery_point.to_string(),
                    until,
                    hold.who.clone(),
                    hold.why.clone(),
                ]
            })
            .collect();
        out::data(&table(&["RECOVERY POINT", "UNTIL", "WHO", "WHY"], &rows))?;
    }
    Ok(Exit::Done)
}
