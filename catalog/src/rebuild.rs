//! Rebuilding the catalog from the manifests that were found on the tiers.
//!
//! Adds and corrects, never removes: what a tier could not show is not known to be gone. What manifests do not say
//! (verifications, holds, runs, retention in force) is not rebuilt.

use crate::{
    catalog::Catalog,
    connection::{Arg, Transaction, signed},
    copies,
    error::CatalogError,
    lease::{self, Lease},
    points,
};
use jiff::Timestamp;
use model::{ByteCount, CopyState, Manifest, RecoveryPointId, TierName};
use std::collections::BTreeMap;

/// Rows of one statement. SQLite looks up each `$n` among all earlier ones, so many more at once would be slower, not faster.
const BATCH: usize = 64;

/// A complete point as it was found on a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundCopy {
    /// The tier.
    pub tier: TierName,
    /// The manifest that was read there.
    pub manifest: Manifest,
    /// When the manifest was written there.
    pub stored_at: Timestamp,
    /// Stored size of the objects.
    pub bytes: ByteCount,
}

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// Points that are in the catalog now.
    pub points: u64,
    /// Copies that are in the catalog now.
    pub copies: u64,
    /// Copies that were left out, because the manifest of their point differs from one recorded before; by id.
    pub differing: Vec<(RecoveryPointId, TierName)>,
}

impl Catalog {
    /// Records every found copy as present, with its point, in one transaction. A repeat changes nothing.
    pub async fn rebuild(
        &self,
        lease: &Lease,
        found: &[FoundCopy],
    ) -> Result<Rebuilt, CatalogError> {
        let mut transaction = self.write("rebuild").await?;
        lease::fence(&mut transaction, lease).await?;
        let mut known = known_manifests(&mut transaction, found).await?;
        let mut rebuilt = Rebuilt::default();
        let mut new = Vec::new();
        // By point and tier: two finds of the same copy cannot be in one statement, and the later one wins.
        let mut accepted = BTreeMap::new();
        for copy in found {
            let id = &copy.manifest.id;
            match known.get(id) {
                Some(manifest) if *manifest != copy.manifest => {
                    rebuilt.differing.push((id.clone(), copy.tier.clone()));
                    continue;
                }
                Some(_) => {}
                None => {
                    known.insert(id.clone(), copy.manifest.clone());
                    new.push(&copy.manifest);
                }
            }
            accepted.insert((id, &copy.tier), copy);
        }
        rebuilt.differing.sort();
        rebuilt.copies = accepted.len() as u64;
        let mut ids: Vec<_> = accepted.keys().map(|(id, _)| *id).collect();
        ids.dedup();
        rebuilt.points = ids.len() as u64;
        for batch in new.chunks(BATCH) {
            insert_points(&mut transaction, batch).await?;
        }
        let copies: Vec<_> = accepted.into_values().collect();
        for batch in copies.chunks(BATCH) {
            insert_copies(&mut transaction, batch).await?;
        }
        transaction.commit().await?;
        Ok(rebuilt)
    }
}

/// The manifests that the catalog already has of the found points.
async fn known_manifests(
    transaction: &mut Transaction,
    found: &[FoundCopy],
) -> Result<BTreeMap<RecoveryPointId, Manifest>, CatalogError> {
    let mut known = BTreeMap::new();
    // Mostly the catalog is empty; then a million questions need not be asked.
    let any = transaction.row("SELECT 1 FROM points LIMIT 1", &[]).await?;
    if any.is_none() {
        return Ok(known);
    }
    for copy in found {
        let id = &copy.manifest.id;
        if known.contains_key(id) {
            continue;
        }
        if let Some(manifest) = points::stored_manifest(transaction, id).await? {
            known.insert(id.clone(), manifest);
        }
    }
    Ok(known)
}

async fn insert_points(
    transaction: &mut Transaction,
    batch: &[&Manifest],
) -> Result<(), CatalogError> {
    let texts = batch
        .iter()
        .map(|manifest| points::manifest_text(transaction, manifest))
        .collect::<Result<Vec<_>, _>>()?;
    let wal = batch
        .iter()
        .map(|manifest| points::wal_text(transaction, manifest))
        .collect::<Result<Vec<_>, _>>()?;
    let mut args: Vec<Arg<'_>> = Vec::with_capacity(batch.len() * 7);
    for (manifest, wal) in batch.iter().zip(&wal) {
        args.extend(points::columns(manifest, wal.as_deref()));
    }
    transaction
        .insert_many(points::INSERT_POINT, 7, &args, points::ON_KNOWN_POINT)
        .await?;
    let args: Vec<Arg<'_>> = batch
        .iter()
        .zip(&texts)
        .flat_map(|(manifest, text)| [manifest.id.as_str().into(), text.as_str().into()])
        .collect();
    transaction
        .insert_many(points::INSERT_MANIFEST, 2, &args, points::ON_KNOWN_MANIFEST)
        .await
}

async fn insert_copies(
    transaction: &mut Transaction,
    batch: &[&FoundCopy],
) -> Result<(), CatalogError> {
    let args: Vec<Arg<'_>> = batch
        .iter()
        .flat_map(|copy| {
            [
                copy.manifest.id.as_str().into(),
                copy.tier.as_str().into(),
                signed(copy.bytes.0).into(),
                copy.stored_at.into(),
                copies::word(CopyState::Present).into(),
            ]
        })
        .collect();
    transaction
        .insert_many(copies::INSERT_COPY, 5, &args, copies::ON_KNOWN_COPY)
        .await
}
