//! Complete recovery points and their manifests: recording and reading one.
//!
//! Invariant: one manifest for one id. Another one is refused while any other copy of the first exists, because the
//! copies of a point are interchangeable; it replaces the first only when nothing of that is left.

use crate::{
    catalog::Catalog,
    connection::{Arg, Transaction, signed},
    error::CatalogError,
    lease::{self, Lease},
};
use model::{Manifest, RecoveryPointId, TierName};

impl Catalog {
    /// Records a complete point by its manifest, without a copy. Repeats change nothing.
    ///
    /// Errors: [`CatalogError::ManifestDiffers`] when it has copies with another manifest.
    pub async fn record_point(
        &self,
        lease: &Lease,
        manifest: &Manifest,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("record_point").await?;
        lease::fence(&mut transaction, lease).await?;
        upsert_point(&mut transaction, manifest, None).await?;
        transaction.commit().await
    }

    /// The manifest of a point; `None` when the point is not known or only begun.
    pub async fn manifest(&self, id: &RecoveryPointId) -> Result<Option<Manifest>, CatalogError> {
        let mut transaction = self.read("manifest").await?;
        stored_manifest(&mut transaction, id).await
    }
}

/// Writes point and manifest. `tier` is the one whose copy is about to be written, which therefore does not count as another copy.
pub(crate) async fn upsert_point(
    transaction: &mut Transaction,
    manifest: &Manifest,
    tier: Option<&TierName>,
) -> Result<(), CatalogError> {
    let id = manifest.id.as_str();
    if let Some(known) = stored_manifest(transaction, &manifest.id).await? {
        if known == *manifest {
            return Ok(());
        }
        let elsewhere = transaction
            .row(
                "SELECT 1 FROM copies WHERE point = $1 AND tier <> $2",
                &[id.into(), tier.map_or("", TierName::as_str).into()],
            )
            .await?;
        if elsewhere.is_some() {
            return Err(CatalogError::ManifestDiffers(manifest.id.clone()));
        }
    }
    let text = manifest_text(transaction, manifest)?;
    let wal = wal_text(transaction, manifest)?;
    transaction
        .insert_many(
            INSERT_POINT,
            7,
            &columns(manifest, wal.as_deref()),
            ON_KNOWN_POINT,
        )
        .await?;
    transaction
        .insert_many(
            INSERT_MANIFEST,
            2,
            &[id.into(), text.as_str().into()],
            ON_KNOWN_MANIFEST,
        )
        .await
}

/// Beginning of the statement that [`ON_KNOWN_POINT`] ends.
pub(crate) const INSERT_POINT: &str =
    "INSERT INTO points (id, captured_at, slot, method, parent, bytes, wal) VALUES";
/// What is done when a point is recorded that is already known.
pub(crate) const ON_KNOWN_POINT: &str = "ON CONFLICT (id) DO UPDATE SET captured_at = excluded.captured_at, \
    slot = excluded.slot, method = excluded.method, parent = excluded.parent, bytes = excluded.bytes, wal = excluded.wal";
/// Beginning of the statement that [`ON_KNOWN_MANIFEST`] ends.
pub(crate) const INSERT_MANIFEST: &str = "INSERT INTO manifests (point, manifest) VALUES";
/// What is done when a manifest is recorded of a point that already has one.
pub(crate) const ON_KNOWN_MANIFEST: &str =
    "ON CONFLICT (point) DO UPDATE SET manifest = excluded.manifest";

/// The arguments of [`INSERT_POINT`].
pub(crate) fn columns<'a>(manifest: &'a Manifest, wal: Option<&'a str>) -> [Arg<'a>; 7] {
    [
        manifest.id.as_str().into(),
        manifest.captured_at.into(),
        manifest.slot.into(),
        manifest.method.as_str().into(),
        manifest.parent.as_ref().map(RecoveryPointId::as_str).into(),
        signed(manifest.bytes().0).into(),
        wal.into(),
    ]
}

/// The log that a physical point needs, as it is stored.
pub(crate) fn wal_text(
    transaction: &Transaction,
    manifest: &Manifest,
) -> Result<Option<String>, CatalogError> {
    let text = manifest.wal.as_ref().map(serde_json::to_string).transpose();
    text.map_err(|_| transaction.corrupt("a manifest cannot be written"))
}

/// The manifest as it is stored.
pub(crate) fn manifest_text(
    transaction: &Transaction,
    manifest: &Manifest,
) -> Result<String, CatalogError> {
    serde_json::to_string(manifest).map_err(|_| transaction.corrupt("a manifest cannot be written"))
}

/// Fails when a point is not known.
pub(crate) async fn ensure_known(
    transaction: &mut Transaction,
    id: &RecoveryPointId,
) -> Result<(), CatalogError> {
    let known = transaction
        .row("SELECT 1 FROM points WHERE id = $1", &[id.as_str().into()])
        .await?;
    match known {
        Some(_) => Ok(()),
        None => Err(CatalogError::UnknownPoint(id.clone())),
    }
}

/// The manifest that is recorded of a point.
pub(crate) async fn stored_manifest(
    transaction: &mut Transaction,
    id: &RecoveryPointId,
) -> Result<Option<Manifest>, CatalogError> {
    let row = transaction
        .row(
            "SELECT manifest FROM manifests WHERE point = $1",
            &[id.as_str().into()],
        )
        .await?;
    row.map(|row| row.json(0, "a manifest")).transpose()
}
