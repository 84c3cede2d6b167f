//! The audit: who did what, why and when, for ever. The databases themselves refuse to change or delete a row of it.
//!
//! Not here: a chain of hashes over the entries.

use crate::{
    catalog::Catalog,
    connection::{Transaction, signed},
    error::CatalogError,
};
use jiff::Timestamp;

/// What kind of act an entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditKind {
    /// A copy was deleted.
    Deletion,
    /// A point was restored for a test.
    Drill,
    /// A hold was ordered.
    Hold,
    /// The data keys of a point were wrapped for other recipients.
    KeyRotation,
    /// The storage was told not to delete a copy, or that it may again, at a person's order.
    LegalHold,
    /// The log of a database has a hole, or its server another timeline or identity.
    LogBreak,
    /// A lock of the storage on a copy was set or prolonged.
    Lock,
    /// A hold was released.
    Release,
    /// A point was restored.
    Restore,
    /// A run began or ended.
    Run,
    /// A copy was verified.
    Verification,
}

impl AuditKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Deletion,
        Self::Drill,
        Self::Hold,
        Self::KeyRotation,
        Self::LegalHold,
        Self::Lock,
        Self::LogBreak,
        Self::Release,
        Self::Restore,
        Self::Run,
        Self::Verification,
    ];

    /// The word used in the table and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deletion => "deletion",
            Self::Drill => "drill",
            Self::Hold => "hold",
            Self::KeyRotation => "key-rotation",
            Self::LegalHold => "legal-hold",
            Self::Lock => "lock",
            Self::LogBreak => "log-break",
            Self::Release => "release",
            Self::Restore => "restore",
            Self::Run => "run",
            Self::Verification => "verification",
        }
    }
}

/// One act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who ordered it.
    pub who: String,
    /// Kind of act.
    pub kind: AuditKind,
    /// On what: `<recovery point>@<tier>`, a run …
    pub what: String,
    /// Why, or with what result.
    pub why: String,
}

impl Catalog {
    /// Appends an entry. The acts that the catalog itself records (deletions, holds, recoveries, verifications, runs) need no call.
    /// A repeat after a lost answer appends a second one.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<(), CatalogError> {
        let mut transaction = self.write("audit").await?;
        append(&mut transaction, entry).await?;
        transaction.commit().await
    }

    /// Appends an entry unless one of the same kind, on the same, for the same reason is there; whether it did.
    pub async fn audit_once(&self, entry: &AuditEntry) -> Result<bool, CatalogError> {
        let mut transaction = self.write("audit_once").await?;
        let same = transaction
            .rows(
                "SELECT 1 FROM audit WHERE kind = $1 AND what = $2 AND why = $3 LIMIT 1",
                &[
                    entry.kind.as_str().into(),
                    entry.what.as_str().into(),
                    entry.why.as_str().into(),
                ],
            )
            .await?;
        if same.is_empty() {
            append(&mut transaction, entry).await?;
        }
        transaction.commit().await?;
        Ok(same.is_empty())
    }

    /// The newest `limit` entries, oldest of them first.
    pub async fn audit_entries(&self, limit: u64) -> Result<Vec<AuditEntry>, CatalogError> {
        let mut transaction = self.read("audit_entries").await?;
        let rows = transaction
            .rows(
                "SELECT at, who, kind, what, why FROM audit ORDER BY id DESC LIMIT $1",
                &[signed(limit).into()],
            )
            .await?;
        rows.iter()
            .rev()
            .map(|row| {
                let kind: String = row.get(2)?;
                let kind = AuditKind::ALL.iter().find(|known| known.as_str() == kind);
                Ok(AuditEntry {
                    at: row.time(0)?,
                    who: row.get(1)?,
                    kind: *kind.ok_or_else(|| row.bad("a kind of audit entry"))?,
                    what: row.get(3)?,
                    why: row.get(4)?,
                })
            })
            .collect()
    }
}

/// Appends an entry in the transaction of the act itself.
pub(crate) async fn append(
    transaction: &mut Transaction,
    entry: &AuditEntry,
) -> Result<(), CatalogError> {
    transaction
        .execute(
            "INSERT INTO audit (at, who, kind, what, why) VALUES ($1, $2, $3, $4, $5)",
            &[
                entry.at.into(),
                entry.who.as_str().into(),
                entry.kind.as_str().into(),
                entry.what.as_str().into(),
                entry.why.as_str().into(),
            ],
        )
        .await?;
    Ok(())
}
