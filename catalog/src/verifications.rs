//! Verifications: the history, and what it means for a copy.
//!
//! A copy counts as verified at the strongest level that it passed since it was stored and since it last failed one. A failure
//! takes earlier passes away, because pruning older points on the word of a copy that has just failed loses data.

use crate::{
    audit::{self, AuditDetails, AuditEntry, AuditKind},
    catalog::Catalog,
    connection::Row,
    error::CatalogError,
};
use jiff::Timestamp;
use model::{RecoveryPointId, TierName, VerifyLevel};

/// One check of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The point.
    pub recovery_point: RecoveryPointId,
    /// The tier whose copy was read.
    pub tier: TierName,
    /// How thoroughly.
    pub level: VerifyLevel,
    /// When it ended.
    pub at: Timestamp,
    /// Whether it passed.
    pub passed: bool,
    /// What was found, for people.
    pub detail: String,
    /// Who had it done: a person, or a run.
    pub who: String,
}

impl Catalog {
    /// Records a verification. It needs no lease: it takes nothing away but trust. A repeat changes nothing.
    ///
    /// Errors: [`CatalogError::UnknownCopy`].
    pub async fn record_verification(
        &self,
        verification: &Verification,
    ) -> Result<(), CatalogError> {
        let Verification {
            recovery_point,
            tier,
            level,
            at,
            passed,
            detail,
            who,
        } = verification;
        let mut transaction = self.write("record_verification").await?;
        let copy = [recovery_point.as_str().into(), tier.as_str().into()];
        let known = transaction
            .row("SELECT 1 FROM copies WHERE point = $1 AND tier = $2", &copy)
            .await?;
        if known.is_none() {
            return Err(CatalogError::UnknownCopy {
                recovery_point: recovery_point.clone(),
                tier: tier.clone(),
            });
        }
        let inserted = transaction
            .execute(
                "INSERT INTO verifications (point, tier, level, at, passed, detail, who) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                &[
                    copy[0],
                    copy[1],
                    rank(*level).into(),
                    (*at).into(),
                    (*passed).into(),
                    detail.as_str().into(),
                    who.as_str().into(),
                ],
            )
            .await?;
        if inserted == 0 {
            return Ok(());
        }
        if *passed {
            transaction
                .execute(
                    "UPDATE copies SET verified_level = $3, verified_at = $4 \
                     WHERE point = $1 AND tier = $2 AND stored_at <= $4 AND (verified_level IS NULL \
                     OR verified_level < $3 OR (verified_level = $3 AND verified_at < $4)) \
                     AND NOT EXISTS (SELECT 1 FROM verifications AS v WHERE v.point = $1 AND v.tier = $2 AND v.at >= $4 AND NOT v.passed)",
                    &[copy[0], copy[1], rank(*level).into(), (*at).into()],
                )
                .await?;
        } else {
            transaction
                .execute(
                    "UPDATE copies SET verified_level = NULL, verified_at = NULL \
                     WHERE point = $1 AND tier = $2 AND stored_at <= $3 AND verified_at <= $3",
                    &[copy[0], copy[1], (*at).into()],
                )
                .await?;
        }
        let result = if *passed { "passed" } else { "failed" };
        let entry = AuditEntry {
            at: *at,
            who: who.clone(),
            kind: AuditKind::Verification,
            what: format!("{recovery_point}@{tier}"),
            why: if detail.is_empty() {
                format!("{level} {result}")
            } else {
                format!("{level} {result}: {detail}")
            },
            details: Some(AuditDetails::Verification {
                level: *level,
                passed: *passed,
                point: recovery_point.clone(),
                tier: tier.clone(),
            }),
        };
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await
    }

    /// The history of a point, oldest first; it stays after the point is gone.
    pub async fn verifications(
        &self,
        id: &RecoveryPointId,
    ) -> Result<Vec<Verification>, CatalogError> {
        let mut transaction = self.read("verifications").await?;
        let rows = transaction
            .rows(
                "SELECT point, tier, level, at, passed, detail, who FROM verifications \
                 WHERE point = $1 ORDER BY at, tier, level",
                &[id.as_str().into()],
            )
            .await?;
        rows.iter().map(of_row).collect()
    }
}

/// A row of `point, tier, level, at, passed, detail, who`.
pub(crate) fn of_row(row: &Row) -> Result<Verification, CatalogError> {
    Ok(Verification {
        recovery_point: row.parsed(0, "a recovery point id")?,
        tier: row.parsed(1, "a tier name")?,
        level: level(row, row.get(2)?)?,
        at: row.time(3)?,
        passed: row.get(4)?,
        detail: row.get(5)?,
        who: row.get(6)?,
    })
}

/// Levels are stored as numbers, so that the database can compare them.
fn rank(level: VerifyLevel) -> i64 {
    match level {
        VerifyLevel::Attested => 0,
        VerifyLevel::Checksum => 1,
        VerifyLevel::FullRead => 2,
        VerifyLevel::Restore => 3,
    }
}

/// The level of a stored number.
pub(crate) fn level(row: &Row, rank: i64) -> Result<VerifyLevel, CatalogError> {
    match rank {
        0 => Ok(VerifyLevel::Attested),
        1 => Ok(VerifyLevel::Checksum),
        2 => Ok(VerifyLevel::FullRead),
        3 => Ok(VerifyLevel::Restore),
        _ => Err(row.bad("a verify level")),
    }
}
