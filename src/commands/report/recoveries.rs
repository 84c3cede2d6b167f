//! `report recoveries`: the list of restores and drills.

use crate::{
    arguments::{Global, LogFormat},
    commands::planning,
    exit::Exit,
    failure::Result,
    policy,
    render::{out, recovery},
    session,
};
use jiff::Timestamp;
use model::DatabaseName;
use reports::{Format, proofs};
use serde_json::json;

/// More than anyone reads; older ones are asked for with a database.
const MOST: u64 = 10_000;

pub(super) async fn run(
    database: Option<&str>,
    since: Option<Timestamp>,
    format: LogFormat,
    global: &Global,
) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let database = match database {
        Some(name) => Some(planning::declared(&policy, name)?.name.clone()),
        None => None,
    };
    let catalog = session::catalog_or_fail(global, &path).await?;
    let mut records = catalog.recoveries(database.as_ref(), MOST).await?;
    catalog.close().await;
    records.retain(|record| since.is_none_or(|since| record.finished_at >= since));
    let declared: Vec<String> = policy
        .databases
        .keys()
        .filter(|name| database.as_ref().is_none_or(|only| only == *name))
        .map(DatabaseName::to_string)
        .collect();
    let zone = &policy.timezone;
    let document = |format| proofs(&records, &declared, since, zone, format);
    match format {
        _ if global.json => as_json(&records)?,
        LogFormat::Json => as_json(&records)?,
        LogFormat::Text => out::data(&recovery::list(&records, zone))?,
        LogFormat::Markdown => out::data(&document(Format::Markdown)?)?,
        LogFormat::Html => out::data(&document(Format::Html)?)?,
    }
    Ok(Exit::Done)
}

fn as_json(records: &[model::RecoveryRecord]) -> Result<()> {
    out::json(&json!({"format": "mainstay.recoveries.v1", "recoveries": records}))
}
