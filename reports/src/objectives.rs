//! What was promised and what was proved: the sections on objectives and on restores and drills.

use crate::{
    charts::{self, Bar},
    document::Section,
    head::{length, time, tone},
    protection::by_control,
    table::{Cell, Table, columns},
    words,
};
use jiff::tz::TimeZone;
use model::evidence::{Assessment, EvidenceFacts};

pub(crate) fn objectives(facts: &EvidenceFacts, assessment: &Assessment) -> Section {
    let rows = assessment.objectives.iter().map(|row| {
        vec![
            Cell::code(&row.database),
            Cell::number(length(row.age_seconds)),
            Cell::number(length(row.rpo_seconds)),
            Cell::toned(row.rpo.as_str(), tone(row.rpo)),
            Cell::number(
                row.slowest_milliseconds
                    .map_or_else(|| "–".to_owned(), words::milliseconds),
            ),
            Cell::number(length(row.rto_seconds)),
            Cell::toned(row.rto.as_str(), tone(row.rto)),
            Cell::code(
                row.newest
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), ToString::to_string),
            ),
        ]
    });
    let pictures = [
        charts::bars(
            "Age of the newest good point against the RPO",
            "RPO",
            &ages(assessment),
        ),
        charts::bars(
            "Slowest restore of the period against the RTO",
            "RTO",
            &times(assessment),
        ),
    ];
    let table = Table {
        name: "objectives",
        title: String::new(),
        columns: columns(&[
            "Database",
            "Age#",
            "RPO#",
            "RPO verdict",
            "Restore#",
            "RTO#",
            "RTO verdict",
            "Newest good point",
        ]),
        rows: rows.collect(),
        nothing: "No database is declared.",
    };
    Section::new("objectives", "Objectives", vec![table, proofs(facts)])
        .lead("Age: of the newest good point at the end of the period, against the largest loss that is promised (RPO). Restore: the slowest of the period that ended well, against the longest that is promised (RTO).")
        .pictures(pictures.into_iter().flatten())
}
/// The age of each newest good point as a share of the RPO.
fn ages(assessment: &Assessment) -> Vec<Bar> {
    assessment
        .objectives
        .iter()
        .filter_map(|row| {
            let promised = row.rpo_seconds?;
            Some(Bar {
                label: row.database.to_string(),
                share: row.age_seconds.map(|age| share(age, promised)),
                words: match row.age_seconds {
                    Some(age) => {
                        format!("{} of {}", length(Some(age)), length(Some(promised)))
                    }
                    None => "no good point".to_owned(),
                },
            })
        })
        .collect()
}

/// The slowest restore of each database as a share of the RTO.
fn times(assessment: &Assessment) -> Vec<Bar> {
    assessment
        .objectives
        .iter()
        .filter_map(|row| {
            let promised = row.rto_seconds?;
            let took = row.slowest_milliseconds;
            Some(Bar {
                label: row.database.to_string(),
                share: took.map(|took| {
                    share(
                        i64::try_from(took).unwrap_or(i64::MAX),
                        promised.saturating_mul(1000),
                    )
                }),
                words: match took {
                    Some(took) => {
                        format!(
                            "{} of {}",
                            words::milliseconds(took),
                            length(Some(promised))
                        )
                    }
                    None => "not measured".to_owned(),
                },
            })
        })
        .collect()
}

pub(crate) fn share(part: i64, whole: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a length in a picture")]
    let share = part as f64 / whole.max(1) as f64;
    share
}

pub(crate) fn evidence_of_recovery(assessment: &Assessment, zone: &TimeZone) -> Section {
    let rows = assessment.recoveries.iter().map(|row| {
        let result = if row.passed { "passed" } else { "FAILED" };
        vec![
            time(row.at, zone),
            Cell::code(&row.database),
            Cell::text(&row.what),
            Cell::code(&row.recovery_point),
            Cell::toned(result, if row.passed { "good" } else { "bad" }),
            Cell::text(format!(
                "{} of {}",
                row.checks - row.failed_checks,
                row.checks
            )),
            Cell::number(words::milliseconds(row.milliseconds)),
            Cell::text(&row.who),
            Cell::code(&row.id),
        ]
    });
    Section::new(
        "recovery",
        "Restores and drills",
        vec![
            by_control(assessment, "proofs", &["recovery.proved", "recovery.time"]),
            Table {
                name: "recoveries",
                title: "In the period".to_owned(),
                columns: columns(&[
                    "Ended",
                    "Database",
                    "What",
                    "Point",
                    "Result",
                    "Checks passed",
                    "Took#",
                    "Who",
                    "Record",
                ]),
                rows: rows.collect(),
                nothing: "There was none.",
            },
        ],
    )
}

/// What was proved of each promise, for every age.
fn proofs(facts: &EvidenceFacts) -> Table {
    let rows = facts.proofs.iter().map(|proof| {
        let class = match proof.verdict.as_str() {
            "proved" => "good",
            "violated" => "bad",
            _ => "warn",
        };
        vec![
            Cell::code(&proof.database),
            Cell::text(proof.objective.to_uppercase()),
            Cell::number(length(Some(proof.from_age_seconds))),
            Cell::number(length(proof.promised_seconds)),
            Cell::number(length(proof.most_seconds)),
            Cell::toned(&proof.verdict, class),
            Cell::text(&proof.why),
        ]
    });
    Table {
        name: "proofs",
        title: "Proved for the years ahead".to_owned(),
        columns: columns(&[
            "Database",
            "Promise",
            "States from an age of#",
            "Promised#",
            "Found#",
            "Verdict",
            "Why",
        ]),
        rows: rows.collect(),
        nothing: "Nothing was proved: a proof is of now, and this period ended before, or nothing is promised.",
    }
}
