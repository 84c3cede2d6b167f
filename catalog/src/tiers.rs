//! Which tier is which: the identity that a tier showed when it was first used.
//!
//! A tier that later shows none (an unmounted disk is an empty folder) or another one is not the tier that is meant.

use crate::{catalog::Catalog, error::CatalogError};
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

    /// Remembers a tier's identity, in place of an earlier one.
    pub async fn remember_tier(&self, name: &TierName, identity: &str) -> Result<(), CatalogError> {
        let mut transaction = self.write("remember_tier").await?;
        transaction
            .execute(
                "INSERT INTO tiers (name, identity) VALUES ($1, $2) \
                 ON CONFLICT (name) DO UPDATE SET identity = excluded.identity",
                &[name.as_str().into(), identity.into()],
            )
            .await?;
        transaction.commit().await
    }
}
