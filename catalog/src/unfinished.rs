//! The journal of copies being written: a row before the first byte, gone in the same transaction that records the copy.
//!
//! So after a crash everything that may lie half-written on a tier is listed here, and nothing else needs to be searched.

use crate::{
    catalog::Catalog,
    connection::signed,
    copies,
    error::CatalogError,
    lease::{self, Lease},
    points,
};
use jiff::Timestamp;
use model::{Manifest, MethodName, RecoveryPointId, TierName};

/// A copy that a run is about to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyIntent {
    /// The run.
    pub run: String,
    /// The point.
    pub recovery_point: RecoveryPointId,
    /// The tier that will be written.
    pub tier: TierName,
    /// Method of the point.
    pub method: MethodName,
    /// Nominal time of the point.
    pub slot: Timestamp,
    /// Now.
    pub at: Timestamp,
}

/// A copy that was begun and neither finished nor cleaned up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// What was begun.
    pub intent: CopyIntent,
    /// Fencing token of the run that began it.
    pub token: u64,
}

impl Catalog {
    /// Announces a copy; to be called before the first byte. A repeat, also by a later run, replaces the announcement.
    pub async fn begin_copy(&self, lease: &Lease, intent: &CopyIntent) -> Result<(), CatalogError> {
        let mut transaction = self.write("begin_copy").await?;
        lease::fence(&mut transaction, lease).await?;
        transaction
            .execute(
                "INSERT INTO unfinished (point, tier, run, token, method, slot, begun_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (point, tier) DO UPDATE SET run = excluded.run, \
                 token = excluded.token, method = excluded.method, slot = excluded.slot, begun_at = excluded.begun_at",
                &[
                    intent.recovery_point.as_str().into(),
                    intent.tier.as_str().into(),
                    intent.run.as_str().into(),
                    signed(lease.token).into(),
                    intent.method.as_str().into(),
                    intent.slot.into(),
                    intent.at.into(),
                ],
            )
            .await?;
        transaction.commit().await
    }

    /// Turns an announced copy into a copy, together with its point; to be called when the tier has everything durably.
    /// The size is that of the manifest's objects.
    ///
    /// Errors: [`CatalogError::ManifestDiffers`] when other copies of the point carry another manifest.
    pub async fn finish_copy(
        &self,
        lease: &Lease,
        manifest: &Manifest,
        tier: &TierName,
        stored_at: Timestamp,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("finish_copy").await?;
        lease::fence(&mut transaction, lease).await?;
        points::upsert_point(&mut transaction, manifest, Some(tier)).await?;
        copies::upsert_copy(
            &mut transaction,
            tier,
            &manifest.id,
            manifest.bytes(),
            stored_at,
        )
        .await?;
        transaction
            .execute(DELETE, &[manifest.id.as_str().into(), tier.as_str().into()])
            .await?;
        transaction.commit().await
    }

    /// Strikes an announcement whose leftovers are gone from the tier. One that is not there is no error.
    pub async fn clear_unfinished(
        &self,
        lease: &Lease,
        id: &RecoveryPointId,
        tier: &TierName,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("clear_unfinished").await?;
        lease::fence(&mut transaction, lease).await?;
        transaction
            .execute(DELETE, &[id.as_str().into(), tier.as_str().into()])
            .await?;
        transaction.commit().await
    }

    /// Everything begun and not finished, by point and tier. With the lease in hand it is what crashed runs left behind.
    pub async fn unfinished(&self) -> Result<Vec<Unfinished>, CatalogError> {
        let mut transaction = self.read("unfinished").await?;
        let rows = transaction
            .rows(
                "SELECT point, tier, run, token, method, slot, begun_at FROM unfinished ORDER BY point, tier",
                &[],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Unfinished {
                    intent: CopyIntent {
                        recovery_point: row.parsed(0, "a recovery point id")?,
                        tier: row.parsed(1, "a tier name")?,
                        run: row.get(2)?,
                        method: row.parsed(4, "a method name")?,
                        slot: row.time(5)?,
                        at: row.time(6)?,
                    },
                    token: row.natural(3)?,
                })
            })
            .collect()
    }
}

const DELETE: &str = "DELETE FROM unfinished WHERE point = $1 AND tier = $2";
