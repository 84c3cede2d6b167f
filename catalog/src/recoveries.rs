//! The record of every restore and drill: kept for ever, as the proof that what is stored can be brought back.
//!
//! Invariants: a record is written once and never changed; its entry in the audit is part of the same transaction. The inventory
//! gets from here which drills were carried out, and how long restores that ended well have taken.
//! Not here: documents made of a record (`reports`).

use crate::{
    audit::{self, AuditDetails, AuditEntry, AuditKind},
    catalog::Catalog,
    connection::{Row, Transaction, signed},
    error::CatalogError,
};
use model::{
    DatabaseName, RecoveryRecord,
    inventory::{DrillFact, MeasuredRestore},
};
use std::collections::BTreeMap;

/// Runs of each drill that the inventory knows of; the newest decides, the others show whether it is a habit.
const DRILL_RUNS: i64 = 12;

/// Records of each database that measured times are taken from.
const MEASURED: i64 = 32;

impl Catalog {
    /// Records a restore or a drill, with its entry in the audit. A repeat changes nothing.
    pub async fn record_recovery(&self, record: &RecoveryRecord) -> Result<(), CatalogError> {
        let mut transaction = self.write("record_recovery").await?;
        let Ok(json) = serde_json::to_string(record) else {
            return Err(transaction.corrupt("a record that JSON cannot hold"));
        };
        let inserted = transaction
            .execute(
                "INSERT INTO recoveries (id, database_name, drill, slot, point, finished_at, passed, record) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
                &[
                    record.id.as_str().into(),
                    record.database.as_str().into(),
                    record.drill.as_ref().map(|drill| drill.name.as_str()).into(),
                    record.drill.as_ref().map(|drill| drill.slot).into(),
                    record.recovery_point.as_str().into(),
                    record.finished_at.into(),
                    record.passed.into(),
                    json.as_str().into(),
                ],
            )
            .await?;
        if inserted == 0 {
            return Ok(());
        }
        audit::append(&mut transaction, &entry(record)).await?;
        transaction.commit().await
    }

    /// The newest `limit` records, of one database or of all, the newest first.
    pub async fn recoveries(
        &self,
        database: Option<&DatabaseName>,
        limit: u64,
    ) -> Result<Vec<RecoveryRecord>, CatalogError> {
        let mut transaction = self.read("recoveries").await?;
        let limit = signed(limit);
        let rows = match database {
            Some(database) => {
                transaction
                    .rows(
                        "SELECT record FROM recoveries WHERE database_name = $1 ORDER BY finished_at DESC, id DESC LIMIT $2",
                        &[database.as_str().into(), limit.into()],
                    )
                    .await?
            }
            None => {
                transaction
                    .rows(
                        "SELECT record FROM recoveries ORDER BY finished_at DESC, id DESC LIMIT $1",
                        &[limit.into()],
                    )
                    .await?
            }
        };
        rows.iter().map(record_of).collect()
    }

    /// One record; `None` when there is none of that name.
    pub async fn recovery(&self, id: &str) -> Result<Option<RecoveryRecord>, CatalogError> {
        let mut transaction = self.read("recovery").await?;
        let row = transaction
            .row("SELECT record FROM recoveries WHERE id = $1", &[id.into()])
            .await?;
        row.as_ref().map(record_of).transpose()
    }
}

fn record_of(row: &Row) -> Result<RecoveryRecord, CatalogError> {
    row.json(0, "the record of a recovery")
}

fn entry(record: &RecoveryRecord) -> AuditEntry {
    let result = match (&record.failure, record.passed) {
        (Some(failure), _) => format!("failed ({})", failure.code),
        (None, true) => "all checks passed".to_owned(),
        (None, false) => "checks failed".to_owned(),
    };
    let tier = record.tier.as_ref().map(|tier| format!("@{tier}"));
    let kind = match record.drill {
        Some(_) => AuditKind::Drill,
        None => AuditKind::Restore,
    };
    AuditEntry {
        at: record.finished_at,
        who: record.who.clone(),
        kind,
        what: format!("{}{}", record.recovery_point, tier.unwrap_or_default()),
        why: format!("to {}; {result}; {}", record.target_place, record.why),
        details: Some(AuditDetails::Recovery {
            checks: record.checks.len() as u64,
            drill: record.drill.as_ref().map(|drill| drill.name.clone()),
            failure: record.failure.as_ref().map(|failure| failure.code.clone()),
            milliseconds: record.rto_measured_milliseconds,
            passed: record.passed,
            point: record.recovery_point.clone(),
            record: record.id.clone(),
            tier: record.tier.clone(),
        }),
    }
}

/// The newest runs of each drill of each database, the oldest of them first.
pub(crate) async fn drills(transaction: &mut Transaction) -> Result<Vec<DrillFact>, CatalogError> {
    let rows = transaction
        .rows(
            "SELECT finished_at, database_name, drill, passed, point, slot FROM (SELECT finished_at, database_name, drill, passed, point, slot, id, \
             row_number() OVER (PARTITION BY database_name, drill ORDER BY slot DESC, finished_at DESC, id DESC) AS place \
             FROM recoveries WHERE drill IS NOT NULL AND slot IS NOT NULL) AS runs \
             WHERE place <= $1 ORDER BY database_name, drill, slot, finished_at, id",
            &[DRILL_RUNS.into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(DrillFact {
                at: row.time(0)?,
                database: row.parsed(1, "a database name")?,
                name: row.get(2)?,
                passed: row.get(3)?,
                recovery_point: row.parsed(4, "a recovery point id")?,
                slot: row.time(5)?,
            })
        })
        .collect()
}

/// The newest whole restores and drills of each database that ended well, the newest first.
pub(crate) async fn measured(
    transaction: &mut Transaction,
) -> Result<BTreeMap<DatabaseName, Vec<MeasuredRestore>>, CatalogError> {
    let rows = transaction
        .rows(
            "SELECT record FROM (SELECT record, database_name, finished_at, id, \
             row_number() OVER (PARTITION BY database_name ORDER BY finished_at DESC, id DESC) AS place \
             FROM recoveries WHERE passed) AS newest \
             WHERE place <= $1 ORDER BY database_name, finished_at DESC, id DESC",
            &[MEASURED.into()],
        )
        .await?;
    let mut measured: BTreeMap<DatabaseName, Vec<MeasuredRestore>> = BTreeMap::new();
    for row in &rows {
        let record = record_of(row)?;
        // Part of a point says nothing about how long the whole takes.
        let (Some(tier), true) = (record.tier, record.selection.is_empty()) else {
            continue;
        };
        measured
            .entry(record.database)
            .or_default()
            .push(MeasuredRestore {
                at: record.finished_at,
                bytes: record.stored_bytes,
                method: record.method,
                milliseconds: record.rto_measured_milliseconds,
                tier,
            });
    }
    Ok(measured)
}
