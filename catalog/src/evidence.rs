//! What an auditor's report is gathered from, beside the inventory: holds with their ends, verifications, deletions, finished steps,
//! who may open what, and runs that needed an approval.
//!
//! Rows as they were recorded, oldest first; what they mean is decided by `planner`.

use crate::{
    audit::{self, AuditKind, ChainedEntry},
    catalog::Catalog,
    connection::Transaction,
    error::CatalogError,
    holds::{self, Hold},
    verifications::{self, Verification},
};
use jiff::Timestamp;
use model::{
    Digest, Manifest, RecoveryPointId,
    event::{RunEvent, What},
};

/// A hold and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRecord {
    /// The order.
    pub hold: Hold,
    /// When it was released, by whom and why; `None`: it was not.
    pub released: Option<(Timestamp, String, String)>,
}

/// What the manifest of a point says that the inventory does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPoint {
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// Whether all of its data is encrypted.
    pub encrypted: bool,
    /// Keys that it was encrypted for when it was made.
    pub recipients: Vec<String>,
    /// Policy in force when it was made.
    pub policy_digest: Digest,
}

impl Catalog {
    /// Every hold that was ever ordered.
    pub async fn hold_history(&self) -> Result<Vec<HoldRecord>, CatalogError> {
        let mut transaction = self.read("hold_history").await?;
        let rows = transaction
            .rows(
                "SELECT id, point, who, why, until, at, released_at, released_by, released_why FROM holds ORDER BY id",
                &[],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let released = match row.maybe_time(6)? {
                    Some(at) => Some((
                        at,
                        row.get::<Option<String>>(7)?.unwrap_or_default(),
                        row.get::<Option<String>>(8)?.unwrap_or_default(),
                    )),
                    None => None,
                };
                let hold = holds::hold(row)?;
                Ok(HoldRecord { hold, released })
            })
            .collect()
    }

    /// Every verification that was ever made, of copies that are gone too.
    pub async fn all_verifications(&self) -> Result<Vec<Verification>, CatalogError> {
        let mut transaction = self.read("all_verifications").await?;
        let rows = transaction
            .rows(
                "SELECT point, tier, level, at, passed, detail, who FROM verifications ORDER BY at, point, tier, level",
                &[],
            )
            .await?;
        rows.iter().map(verifications::of_row).collect()
    }

    /// Every deletion of a copy that was ever recorded.
    pub async fn deletions(&self) -> Result<Vec<ChainedEntry>, CatalogError> {
        self.entries_of(AuditKind::Deletion).await
    }

    /// Every entry of the audit that tells of a copy which was found gone or damaged.
    pub async fn losses(&self) -> Result<Vec<ChainedEntry>, CatalogError> {
        self.entries_of(AuditKind::CopyLoss).await
    }

    /// Every approval of a plan.
    pub async fn approvals(&self) -> Result<Vec<ChainedEntry>, CatalogError> {
        self.entries_of(AuditKind::Approval).await
    }

    async fn entries_of(&self, kind: AuditKind) -> Result<Vec<ChainedEntry>, CatalogError> {
        let mut transaction = self.read("entries_of").await?;
        let rows = transaction
            .rows(
                "SELECT sequence, at, who, kind, what, why, details, previous, digest FROM audit WHERE kind = $1 ORDER BY sequence",
                &[kind.as_str().into()],
            )
            .await?;
        rows.iter().map(audit::chained).collect()
    }

    /// Every deletion of a copy that a run has begun, ended or not: what is gone after one that did not end, that run may have deleted.
    pub async fn begun_deletions(&self) -> Result<Vec<RunEvent>, CatalogError> {
        let mut transaction = self.read("begun_deletions").await?;
        let rows = transaction
            .rows(
                "SELECT event FROM events WHERE event LIKE '%\"step-started\"%' AND event LIKE '%\"prune:%' ORDER BY id",
                &[],
            )
            .await?;
        rows.iter().map(|row| row.json(0, "an event")).collect()
    }

    /// Every step that has ended, of all runs, in the order of the runs' journals.
    pub async fn finished_steps(&self) -> Result<Vec<RunEvent>, CatalogError> {
        let mut transaction = self.read("finished_steps").await?;
        let rows = transaction
            .rows(
                "SELECT event FROM events WHERE event LIKE '%\"step-finished\"%' ORDER BY id",
                &[],
            )
            .await?;
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            let event: RunEvent = row.json(0, "an event")?;
            if matches!(event.what, What::StepFinished { .. }) {
                events.push(event);
            }
        }
        Ok(events)
    }

    /// The ids of runs whose plan needed approval.
    pub async fn runs_that_needed_approval(&self) -> Result<Vec<String>, CatalogError> {
        let mut transaction = self.read("runs_that_needed_approval").await?;
        let rows = transaction
            .rows(
                "SELECT id FROM runs WHERE plan LIKE '%\"needs_approval\":true,\"next_slots\"%' ORDER BY started_at, id",
                &[],
            )
            .await?;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Of every point that is known: whether it is encrypted, and for whom.
    pub async fn sealed_points(&self) -> Result<Vec<SealedPoint>, CatalogError> {
        const PAGE: i64 = 1024;
        let mut transaction = self.read("sealed_points").await?;
        let mut sealed: Vec<SealedPoint> = Vec::new();
        loop {
            let after = sealed
                .last()
                .map_or(String::new(), |last| last.recovery_point.to_string());
            let page = sealed_page(&mut transaction, &after, PAGE).await?;
            let full = i64::try_from(page.len()) == Ok(PAGE);
            sealed.extend(page);
            if !full {
                return Ok(sealed);
            }
        }
    }
}

async fn sealed_page(
    transaction: &mut Transaction,
    after: &str,
    page: i64,
) -> Result<Vec<SealedPoint>, CatalogError> {
    let rows = transaction
        .rows(
            "SELECT manifest FROM manifests WHERE point > $1 ORDER BY point LIMIT $2",
            &[after.into(), page.into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let manifest: Manifest = row.json(0, "a manifest")?;
            Ok(SealedPoint {
                encrypted: manifest
                    .objects
                    .iter()
                    .filter(|object| object.role == "data")
                    .all(|object| object.encryption.is_some()),
                recipients: manifest.recipients,
                policy_digest: manifest.policy_digest,
                recovery_point: manifest.id,
            })
        })
        .collect()
}
