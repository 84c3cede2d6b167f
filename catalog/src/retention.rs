//! The retention in force: the rules under which the last complete apply pruned, per series and tier.
//!
//! Compared by the planner with the policy's, so that shortening is noticed. Rules of what is no longer declared stay,
//! so that declaring it again with a shorter retention is noticed too.

use crate::{
    catalog::Catalog,
    connection::Transaction,
    error::CatalogError,
    lease::{self, Lease},
};
use model::{DatabaseName, Keep, SeriesName, TierName};
use std::collections::BTreeMap;

/// Rules per database, series and tier, as in a plan and an inventory.
pub type Retention = BTreeMap<DatabaseName, BTreeMap<SeriesName, BTreeMap<TierName, Keep>>>;

impl Catalog {
    /// The rules in force.
    pub async fn retention_in_force(&self) -> Result<Retention, CatalogError> {
        let mut transaction = self.read("retention_in_force").await?;
        read(&mut transaction).await
    }

    /// Puts the given rules in force; those of other series and tiers stay.
    pub async fn set_retention_in_force(
        &self,
        lease: &Lease,
        retention: &Retention,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("set_retention_in_force").await?;
        lease::fence(&mut transaction, lease).await?;
        for (database, by_series) in retention {
            for (series, by_tier) in by_series {
                for (tier, keep) in by_tier {
                    let keep = serde_json::to_string(keep)
                        .map_err(|_| transaction.corrupt("a retention rule cannot be written"))?;
                    transaction
                        .execute(
                            "INSERT INTO retention_in_force (database_name, series, tier, keep) VALUES ($1, $2, $3, $4) \
                             ON CONFLICT (database_name, series, tier) DO UPDATE SET keep = excluded.keep",
                            &[
                                database.as_str().into(),
                                series.as_str().into(),
                                tier.as_str().into(),
                                keep.as_str().into(),
                            ],
                        )
                        .await?;
                }
            }
        }
        transaction.commit().await
    }
}

pub(crate) async fn read(transaction: &mut Transaction) -> Result<Retention, CatalogError> {
    let rows = transaction
        .rows(
            "SELECT database_name, series, tier, keep FROM retention_in_force",
            &[],
        )
        .await?;
    let mut retention = Retention::new();
    for row in &rows {
        retention
            .entry(row.parsed(0, "a database name")?)
            .or_default()
            .entry(row.parsed(1, "a series name")?)
            .or_default()
            .insert(
                row.parsed(2, "a tier name")?,
                row.json(3, "a retention rule")?,
            );
    }
    Ok(retention)
}
