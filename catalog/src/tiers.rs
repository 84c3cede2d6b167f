//! Which tier is which: the identity that a tier showed when it was first used.
//!
//! A tier that later shows none (an unmounted disk is an empty folder) or another one is not the tier that is meant.

use crate::{
    audit::{self, AuditDetails, AuditEntry, AuditKind},
    catalog::Catalog,
    error::CatalogError,
};
use jiff::Timestamp;
use model::TierName;

impl Catalog {
    /// The identity that was remembered of a tier.
    pub async fn tier_identity(&self, name: &TierName) -> Result<Option<String>, CatalogError> {
        let mut transaction = self.read("tier_identity").await?;
        let row = transaction
            .row(
                "SELECT identity FROM tiers WHERE name = $1",
                &[name.as_str().into()],
            )
            .await?;
        row.map(|row| row.get(0)).transpose()
    }

    /// Remembers a tier's identity, in place of an earlier one. A new or another one is an act for the audit; a repeat changes nothing.
    pub async fn remember_tier(
        &self,
        name: &TierName,
        identity: &str,
        who: &str,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("remember_tier").await?;
        let row = transaction
            .row(
                "SELECT identity FROM tiers WHERE name = $1",
                &[name.as_str().into()],
            )
            .await?;
        let earlier: Option<String> = row.map(|row| row.get(0)).transpose()?;
        if earlier.as_deref() == Some(identity) {
            return Ok(());
        }
        transaction
            .execute(
                "INSERT INTO tiers (name, identity) VALUES ($1, $2) \
                 ON CONFLICT (name) DO UPDATE SET identity = excluded.identity",
                &[name.as_str().into(), identity.into()],
            )
            .await?;
        let entry = AuditEntry {
            at,
            who: who.to_owned(),
            kind: AuditKind::TierUse,
            what: name.to_string(),
            why: match &earlier {
                None => format!("first use of the tier with identity {identity}"),
                Some(earlier) => {
                    format!("the tier has identity {identity} now, before it was {earlier}")
                }
            },
            details: Some(AuditDetails::TierUse {
                earlier,
                identity: identity.to_owned(),
                tier: name.clone(),
            }),
        };
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await
    }
}
