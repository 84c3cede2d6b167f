//! Points that come from somewhere else: which rule were they kept under?
//!
//! A rebuilt catalog, or one that adopts, knows neither the rule nor the holds that kept a point until now. Deleting it as
//! routine would make a lost catalog the way around every approval. So "everything" counts as the rule in force until
//! a plan finds nothing that its policy would delete, or a person approves that deletion.
//!
//! Invariant: a rule that is known is never touched.

use catalog::{Catalog, CatalogError, Lease, Retention};
use model::{DatabaseName, Keep, SeriesName, TierName};

/// Puts "keep everything" in force for each of the given series and tiers that has no rule in force.
pub(crate) async fn protect<'a>(
    catalog: &Catalog,
    lease: &Lease,
    found: impl Iterator<Item = (&'a DatabaseName, &'a SeriesName, &'a TierName)>,
) -> Result<(), CatalogError> {
    let in_force = catalog.retention_in_force().await?;
    let mut unknown = Retention::new();
    for (database, series, tier) in found {
        let is_known = in_force
            .get(database)
            .and_then(|by_series| by_series.get(series))
            .is_some_and(|by_tier| by_tier.contains_key(tier));
        if !is_known {
            let everything = Keep {
                forever: true,
                ..Keep::default()
            };
            unknown
                .entry(database.clone())
                .or_default()
                .entry(series.clone())
                .or_default()
                .insert(tier.clone(), everything);
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    catalog.set_retention_in_force(lease, &unknown).await
}
