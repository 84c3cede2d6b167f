//! Finds the copies whose key rings are to be read, on the tiers that can be read now.
//!
//! Invariant: a tier that is away is named with the copies it holds, never passed over: whoever has rotated a key or wants to
//! destroy it must know where that key is still needed.

use crate::{
    gate,
    steps::{self, error::StepError},
    stored::{self, ManifestThere},
    wiring::Wiring,
};
use catalog::Catalog;
use model::{CopyState, Inventory, Manifest, RecoveryPointId, TierName, event::Failure};
use providers::api::Tier;
use std::{collections::BTreeMap, sync::Arc};

/// Rings read at the same time: enough to hide the latency of a network, few enough for a disk.
pub(crate) const AT_ONCE: usize = 16;

/// Copies, and where they cannot be read now.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    pub(crate) readable: Vec<(Arc<dyn Tier>, RecoveryPointId)>,
    pub(crate) away: BTreeMap<TierName, (Failure, Vec<RecoveryPointId>)>,
}

/// Every copy of an inventory that is wanted and not known to be gone, in the order of the tiers.
pub(crate) async fn find(
    inventory: &Inventory,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    wanted: impl Fn(&TierName, &RecoveryPointId) -> bool,
) -> Copies {
    let mut by_tier: BTreeMap<&TierName, Vec<RecoveryPointId>> = BTreeMap::new();
    for point in &inventory.recovery_points {
        for copy in &point.copies {
            if copy.state != CopyState::Missing && wanted(&copy.tier, &point.id) {
                by_tier
                    .entry(&copy.tier)
                    .or_default()
                    .push(point.id.clone());
            }
        }
    }
    let mut found = Copies::default();
    for (name, points) in by_tier {
        match reachable(wiring, catalog, name).await {
            Ok(tier) => {
                let copies = points.into_iter().map(|point| (Arc::clone(&tier), point));
                found.readable.extend(copies);
            }
            Err(error) => {
                found
                    .away
                    .insert(name.clone(), (error.to_failure(), points));
            }
        }
    }
    found
}

async fn reachable(
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    name: &TierName,
) -> Result<Arc<dyn Tier>, StepError> {
    let tier = steps::tier(wiring, name)?;
    let _ = gate::look(&**tier, catalog).await?;
    Ok(Arc::clone(tier))
}

/// The manifest of a copy, from the catalog if it knows one.
pub(crate) async fn manifest_of(
    catalog: Option<&Catalog>,
    tier: &dyn Tier,
    point: &RecoveryPointId,
) -> Result<Manifest, StepError> {
    if let Some(catalog) = catalog
        && let Some(manifest) = catalog.manifest(point).await?
    {
        return Ok(manifest);
    }
    let (point, tier_name) = (point.clone(), tier.name().clone());
    match stored::read_manifest(tier, &point).await? {
        ManifestThere::Valid(manifest, _) => Ok(*manifest),
        ManifestThere::Unreadable(why) => Err(StepError::Damaged {
            point,
            tier: tier_name,
            why,
        }),
        ManifestThere::Absent => Err(StepError::Missing {
            point,
            tier: tier_name,
            why: "its manifest is not there".to_owned(),
        }),
    }
}
