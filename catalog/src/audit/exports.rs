//! How far each tier has the entries of the audit.
//!
//! A memory, so that a run need not list a tier to know what is new; what really lies there is looked at by `audit verify`.

use crate::{catalog::Catalog, connection::signed, error::CatalogError};
use jiff::Timestamp;
use model::{Digest, TierName};
use std::collections::BTreeMap;

/// The newest checkpoint that was stored on a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditExport {
    /// When it was stored.
    pub at: Timestamp,
    /// Digest of the last entry there.
    pub digest: Digest,
    /// Number of the last entry there.
    pub sequence: u64,
}

impl Catalog {
    /// The newest checkpoint on every tier that has one.
    pub async fn audit_exports(&self) -> Result<BTreeMap<TierName, AuditExport>, CatalogError> {
        let mut transaction = self.read("audit_exports").await?;
        let rows = transaction
            .rows("SELECT tier, sequence, digest, at FROM audit_exports", &[])
            .await?;
        rows.iter()
            .map(|row| {
                let export = AuditExport {
                    at: row.time(3)?,
                    digest: row.get::<String>(2)?.into(),
                    sequence: row.natural(1)?,
                };
                Ok((row.parsed(0, "a tier name")?, export))
            })
            .collect()
    }

    /// Remembers what was stored on a tier; never goes back. A repeat changes nothing.
    pub async fn note_audit_export(
        &self,
        tier: &TierName,
        export: &AuditExport,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("note_audit_export").await?;
        transaction
            .execute(
                "INSERT INTO audit_exports (tier, sequence, digest, at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (tier) DO UPDATE SET sequence = excluded.sequence, digest = excluded.digest, at = excluded.at \
                 WHERE excluded.sequence > audit_exports.sequence",
                &[
                    tier.as_str().into(),
                    signed(export.sequence).into(),
                    export.digest.as_str().into(),
                    export.at.into(),
                ],
            )
            .await?;
        transaction.commit().await
    }
}
