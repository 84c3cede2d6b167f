//! The copies of one point: which tiers are tried, in which order, and whether a copy looks whole.
//!
//! Reads only, and works without a catalog: then every tier may have a copy. Not here: reading the bytes (`verification.rs`).

use crate::{
    gate,
    steps::{self, error::StepError},
    stored::{self, ManifestThere, SizeTrouble},
    wiring::Wiring,
};
use catalog::Catalog;
use jiff::Timestamp;
use model::{Manifest, RecoveryPointId, TierName, VerifyLevel};

/// Tiers to try: those with a known copy, the best verified first, then those that may have one, last those whose copy is bad.
pub(crate) async fn candidates(
    point: &RecoveryPointId,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    now: Timestamp,
) -> Vec<TierName> {
    let known = match catalog {
        // Without the catalog the tiers still tell; a restore does not wait for it.
        Some(catalog) => catalog.point(point, now).await.ok().flatten(),
        None => None,
    };
    let rank = |tier: &TierName| {
        let copy = known.as_ref().and_then(|known| known.copy_on(tier));
        match copy {
            Some(copy) if copy.is_present() => match copy.verified.map(|verified| verified.level) {
                Some(VerifyLevel::Restore) => 0,
                Some(VerifyLevel::FullRead) => 1,
                Some(VerifyLevel::Checksum) => 2,
                Some(VerifyLevel::Attested) => 3,
                None => 4,
            },
            None => 5,
            Some(_) => 6,
        }
    };
    let mut tiers: Vec<TierName> = wiring.tiers.keys().cloned().collect();
    tiers.sort_by_key(rank);
    tiers
}

/// The manifest of a copy that looks whole by the sizes of its objects and by its key ring.
pub(crate) async fn look(
    point: &RecoveryPointId,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    name: &TierName,
) -> Result<Manifest, StepError> {
    let tier = &**steps::tier(wiring, name)?;
    let missing = |why: String| StepError::Missing {
        point: point.clone(),
        tier: name.clone(),
        why,
    };
    let damaged = |why: String| StepError::Damaged {
        point: point.clone(),
        tier: name.clone(),
        why,
    };
    gate::look(tier, catalog).await?;
    match stored::read_manifest(tier, point).await? {
        ManifestThere::Valid(manifest, _) => match stored::check_sizes(tier, &manifest).await? {
            None => Ok(*manifest),
            Some(SizeTrouble::Missing(why)) => Err(missing(why)),
            Some(SizeTrouble::Differs(why)) => Err(damaged(why)),
        },
        ManifestThere::Absent => Err(missing("its manifest is not there".to_owned())),
        ManifestThere::Unreadable(why) => Err(damaged(why)),
    }
}

/// The manifest of a point, from whichever tier has a copy that looks whole; `None`: none has.
pub async fn find_manifest(
    point: &RecoveryPointId,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
) -> Option<Manifest> {
    let mut tiers: Vec<&TierName> = wiring.tiers.keys().collect();
    tiers.sort();
    for tier in tiers {
        if let Ok(manifest) = look(point, wiring, catalog, tier).await {
            return Some(manifest);
        }
    }
    None
}
