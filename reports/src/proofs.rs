//! The list of restores and drills for an auditor: what was proved, when, by whom, and whether the promises were kept.

use crate::{
    format::{Format, ReportError, Templates, render},
    words,
};
use jiff::{Timestamp, tz::TimeZone};
use model::{RecoveryRecord, recovery_record::Unjudged};
use serde::Serialize;
use std::collections::BTreeMap;

const TEMPLATES: Templates = Templates {
    markdown: include_str!("templates/proofs.md.hbs"),
    html: include_str!("templates/proofs.html.hbs"),
};

#[derive(Serialize)]
struct View {
    title: String,
    sentence: String,
    databases: Vec<DatabaseRow>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct DatabaseRow {
    database: String,
    class: &'static str,
    sentence: String,
}

#[derive(Serialize)]
struct Row {
    ended: String,
    database: String,
    what: String,
    point: String,
    tier: String,
    result: &'static str,
    class: &'static str,
    checks: String,
    took: String,
    rpo: &'static str,
    rto: &'static str,
    who: String,
    why: String,
    id: String,
}

/// The document of these records, newest first; `declared` names the databases that ought to have a proof.
pub fn proofs(
    records: &[RecoveryRecord],
    declared: &[String],
    since: Option<Timestamp>,
    zone: &TimeZone,
    format: Format,
) -> Result<String, ReportError> {
    let mut newest: BTreeMap<&str, Option<&RecoveryRecord>> =
        declared.iter().map(|name| (name.as_str(), None)).collect();
    for record in records.iter().filter(|record| record.passed) {
        let known = newest.entry(record.database.as_str()).or_default();
        if known.is_none_or(|known| known.finished_at < record.finished_at) {
            *known = Some(record);
        }
    }
    let databases = newest.iter().map(|(name, proof)| DatabaseRow {
        database: (*name).to_owned(),
        class: if proof.is_some() { "good" } else { "bad" },
        sentence: match proof {
            Some(record) => format!(
                "last proved {} from {} in {}",
                words::time(record.finished_at, zone),
                record.tier.as_ref().map_or("–", |tier| tier.as_str()),
                words::milliseconds(record.rto_measured_milliseconds)
            ),
            None => "NOT PROVED: no restore or drill of it has passed in this time".to_owned(),
        },
    });
    let passed = records.iter().filter(|record| record.passed).count();
    let when = since.map_or_else(
        || "since the beginning of the catalog".to_owned(),
        |since| format!("since {}", words::time(since, zone)),
    );
    let view = View {
        title: "Restores and drills".to_owned(),
        sentence: format!(
            "{} restores and drills {when}; {passed} passed.",
            records.len()
        ),
        databases: databases.collect(),
        rows: records.iter().map(|record| row(record, zone)).collect(),
    };
    render(&TEMPLATES, format, &view)
}

fn row(record: &RecoveryRecord, zone: &TimeZone) -> Row {
    let met = |met: Option<bool>| match met {
        Some(true) => "met",
        Some(false) => "NOT MET",
        None => "–",
    };
    let passed = record.checks.iter().filter(|check| check.passed).count();
    let (result, class) = match (record.passed, record.unjudged) {
        (true, _) => ("passed", "good"),
        (false, Some(Unjudged::NotBegun)) => ("did not begin", "warn"),
        (false, Some(Unjudged::Stopped)) => ("stopped", "warn"),
        (false, None) => ("FAILED", "bad"),
    };
    Row {
        ended: words::time(record.finished_at, zone),
        database: record.database.to_string(),
        what: match &record.drill {
            Some(drill) => format!("drill {}", drill.name),
            None => "restore".to_owned(),
        },
        point: record.recovery_point.to_string(),
        tier: record
            .tier
            .as_ref()
            .map_or_else(|| "–".to_owned(), ToString::to_string),
        result,
        class,
        checks: format!("{passed} of {}", record.checks.len()),
        took: words::milliseconds(record.rto_measured_milliseconds),
        rpo: met(record.rpo_met()),
        rto: met(record.rto_met()),
        who: record.who.clone(),
        why: record.why.clone(),
        id: record.id.clone(),
    }
}
