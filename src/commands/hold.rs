//! `hold add | release | list`: a person's order not to delete a recovery point.

use crate::{
    arguments::{Global, HoldCommand},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    render::{out, plan_text::local, table::table},
    session::{self, UnknownPoint},
    settings,
};
use jiff::tz::TimeZone;
use serde_json::json;

pub(crate) async fn run(command: HoldCommand, global: &Global) -> Result<Exit> {
    let policy = settings::policy_path(global)?;
    let now = clock::now();
    match command {
        HoldCommand::Add {
            point,
            why,
            until,
            who,
        } => {
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
            let hold = match catalog.add_hold(&point, &who, &why, until, now).await {
                Err(catalog::CatalogError::UnknownPoint { .. }) => {
                    return Err(
                        session::unknown_point(&catalog, UnknownPoint::Id(&point), now).await,
                    );
                }
                other => other?,
            };
            let until = hold.until.map_or_else(
                || "until released".to_owned(),
                |until| format!("until {until}"),
            );
            if global.json {
                out::json(
                    &json!({"format": "mainstay.hold.v1", "recovery_point": hold.recovery_point, "who": hold.who, "why": hold.why, "until": hold.until, "at": hold.at}),
                )?;
            } else {
                out::data(&format!(
                    "{point} is held {until}: no plan deletes it on any tier.\n"
                ))?;
            }
        }
        HoldCommand::Release { point, why, who } => {
            let catalog = session::catalog_or_fail(global, &policy).await?;
            let who = who.unwrap_or_else(settings::who);
            let released = catalog.release_hold(&point, &who, &why, now).await?;
            if released == 0 {
                return Err(
                    Failure::new("mainstay::hold::none", format!("`{point}` is not held"))
                        .help("see what is held with `mainstay hold list`"),
                );
            }
            if global.json {
                out::json(
                    &json!({"format": "mainstay.hold.v1", "recovery_point": point, "released": released, "who": who, "why": why, "at": now}),
                )?;
            } else {
                out::data(&format!(
                    "{point} is no longer held. Retention decides about it from the next plan on.\n"
                ))?;
            }
        }
        HoldCommand::List => {
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
                let rows: Vec<Vec<String>> = holds
                    .iter()
                    .map(|hold| {
                        let until = match hold.until {
                            Some(until) if hold.is_active(now) => local(until, &TimeZone::UTC),
                            Some(until) => format!("ended {}", local(until, &TimeZone::UTC)),
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
        }
    }
    Ok(Exit::Done)
}
