//! Gives a copy's plain objects to the engine, and what it must know beside them.

use super::{milliseconds, order::RestoreOrder};
use crate::{
    keys::KeyChain,
    meter::Meter,
    scratch::Scratch,
    steps::{self, error::StepError},
    verification,
    wiring::{DatabaseWiring, Wiring},
};
use model::{Manifest, TierName};
use providers::{
    api::{RestoreRequest, Restored, Tier},
    seal::Sealing,
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

pub(super) async fn load(
    order: &RestoreOrder,
    wiring: &Wiring,
    database: &DatabaseWiring,
    scratch: &Scratch,
    name: &TierName,
    manifest: &Manifest,
) -> Result<(Restored, Option<u64>, Vec<(String, u64)>), StepError> {
    let tier = &**steps::tier(wiring, name)?;
    let opening = Instant::now();
    let openings = open_keys(order, wiring, tier, manifest).await?;
    let keys_ms = manifest.is_encrypted().then(|| milliseconds(opening));
    let folder = scratch.fresh().map_err(StepError::Scratch)?;
    let meter = Meter::new(Arc::clone(&order.progress));
    let (objects, _) =
        verification::plain_objects(&order.point, tier, manifest, &openings, &meter).await?;
    let restored = database
        .engine
        .restore(RestoreRequest {
            chain: Vec::new(),
            recovery: None,
            manifest: manifest.clone(),
            objects,
            target: order.target.clone(),
            replace: order.replace,
            selection: order.selection.clone(),
            // A person's checks are about the whole.
            asserts: if order.selection.is_all() {
                [database.asserts.clone(), order.asserts.clone()].concat()
            } else {
                Vec::new()
            },
            scratch: folder.clone(),
        })
        .await?;
    scratch.discard(&folder);
    Ok((restored, keys_ms, meter.busy()))
}

/// What opens each encrypted object of a copy.
pub(super) async fn open_keys(
    order: &RestoreOrder,
    wiring: &Wiring,
    tier: &dyn Tier,
    manifest: &Manifest,
) -> Result<BTreeMap<String, Sealing>, StepError> {
    match verification::ring_of(&order.point, tier, manifest).await? {
        Some(ring) => Ok(KeyChain::new(&wiring.keys).open(&ring).await?),
        None => Ok(BTreeMap::new()),
    }
}
