//! Looks at what exists: the catalog's memory, corrected by what the tiers show now.
//!
//! Invariants: nothing is changed, neither on a tier nor in the catalog. Unknown is never "absent": copies on a tier that could
//! not be read keep their last known state, and the tier is named as unreachable. A tier that was used before and shows
//! no marker, or another one, is unreachable, not empty.
//! Not here: recording what was found (`drift.rs`, at the start of an apply), reading the bytes of copies (`verify`).

mod listing;

use crate::{
    drift::Drift,
    gate::{self, Identity},
    steps::error::StepError,
    wiring::TierWiring,
};
use catalog::{Catalog, CatalogError};
use jiff::Timestamp;
use listing::{Listed, State};
use model::{
    ByteCount, Copy, CopyState, Inventory, Manifest, PointState, RecoveryPoint, RecoveryPointId,
    TierName, event::Failure,
};
use std::collections::BTreeMap;
use tokio::task::JoinSet;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Is each tier there, is it the right one, and how much room does it have?
    Shallow,
    /// Also list every tier and read every manifest.
    Full,
}

/// What an observation gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What exists.
    pub inventory: Inventory,
    /// Where the tiers differ from the catalog, sorted; only after a full refresh.
    pub drift: Vec<Drift>,
    /// Tiers that could not be observed, with the whole story.
    pub unreachable: BTreeMap<TierName, Failure>,
}

/// Observes. Without a catalog everything on the tiers is new.
///
/// Errors: only the catalog's; a tier that fails is part of the answer.
pub async fn observe(
    catalog: Option<&Catalog>,
    tiers: &BTreeMap<TierName, TierWiring>,
    now: Timestamp,
    refresh: Refresh,
) -> Result<Observation, CatalogError> {
    let mut inventory = match catalog {
        Some(catalog) => catalog.inventory(now).await?,
        None => Inventory::empty(now),
    };
    let mut looks = JoinSet::new();
    for (name, wired) in tiers {
        let known = match refresh {
            Refresh::Shallow => BTreeMap::new(),
            Refresh::Full => known_on(&inventory, name),
        };
        let (name, wired, catalog) = (name.clone(), wired.clone(), catalog.cloned());
        looks.spawn(async move {
            let looked = look_at(&wired, catalog.as_ref(), known, refresh).await;
            (name, looked)
        });
    }
    let mut drift = Vec::new();
    let mut unreachable = BTreeMap::new();
    let mut found: BTreeMap<TierName, Listed> = BTreeMap::new();
    while let Some(joined) = looks.join_next().await {
        // A panic in a provider goes on here: hiding it would call a tier empty.
        let (name, looked) = match joined {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => continue,
            },
        };
        match looked {
            Ok((space, listed)) => {
                if let Some(space) = space {
                    inventory.space.insert(name.clone(), space);
                }
                found.insert(name, listed);
            }
            Err(StepError::Catalog(error)) => return Err(error),
            Err(error) => {
                let failure = error.to_failure();
                inventory
                    .unreachable_why
                    .insert(name.clone(), failure.message.clone());
                unreachable.insert(name, failure);
            }
        }
    }
    inventory.unreachable_tiers = unreachable.keys().cloned().collect();
    merge(&mut inventory, found, &mut drift);
    drift.sort();
    Ok(Observation {
        inventory,
        drift,
        unreachable,
    })
}

async fn look_at(
    wired: &TierWiring,
    catalog: Option<&Catalog>,
    known: BTreeMap<RecoveryPointId, CopyState>,
    refresh: Refresh,
) -> Result<(Option<model::tier_facts::Space>, Listed), StepError> {
    let (identity, state) = gate::look(&*wired.tier, catalog).await?;
    let listed = match (refresh, identity) {
        // A tier that nobody has used cannot be listed, and holds nothing.
        (Refresh::Shallow, _) | (_, Identity::Uninitialised) => Listed::default(),
        (Refresh::Full, _) => listing::list(&wired.tier, catalog, known).await?,
    };
    Ok((state.space, listed))
}

fn known_on(inventory: &Inventory, tier: &TierName) -> BTreeMap<RecoveryPointId, CopyState> {
    inventory
        .recovery_points
        .iter()
        .filter_map(|point| Some((point.id.clone(), point.copy_on(tier)?.state)))
        .collect()
}

/// Writes what was listed into the inventory, in the order of the tiers' names.
fn merge(inventory: &mut Inventory, found: BTreeMap<TierName, Listed>, drift: &mut Vec<Drift>) {
    let mut points: BTreeMap<RecoveryPointId, RecoveryPoint> =
        std::mem::take(&mut inventory.recovery_points)
            .into_iter()
            .map(|point| (point.id.clone(), point))
            .collect();
    for (tier, listed) in found {
        drift.extend(listed.drift);
        for (id, state) in listed.states {
            let copy = points
                .get_mut(&id)
                .and_then(|point| point.copies.iter_mut().find(|copy| copy.tier == tier));
            if let Some(copy) = copy {
                if matches!(state, State::Returned | State::Damaged) {
                    copy.verified = None;
                }
                copy.state = match state {
                    State::Missing => CopyState::Missing,
                    State::Damaged => CopyState::Damaged,
                    State::Returned => CopyState::Present,
                };
            }
        }
        for foreign in listed.foreign {
            add_foreign(&mut points, &tier, &foreign.manifest, foreign.stored_at);
        }
    }
    inventory.recovery_points = points.into_values().collect();
}

fn add_foreign(
    points: &mut BTreeMap<RecoveryPointId, RecoveryPoint>,
    tier: &TierName,
    manifest: &Manifest,
    stored_at: Timestamp,
) {
    let copy = |held| Copy {
        bytes: manifest.bytes(),
        held,
        locked_until: None,
        state: CopyState::Foreign,
        stored_at,
        tier: tier.clone(),
        verified: None,
    };
    let point = points
        .entry(manifest.id.clone())
        .or_insert_with(|| RecoveryPoint {
            adopted: manifest.is_adopted(),
            wal: manifest.wal.map(Box::new),
            bytes: ByteCount(0),
            captured_at: manifest.captured_at,
            copies: Vec::new(),
            database: manifest.database.clone(),
            id: manifest.id.clone(),
            method: manifest.method.clone(),
            parent: manifest.parent.clone(),
            series: manifest.series.clone(),
            slot: manifest.slot,
            state: PointState::Complete,
        });
    if point.state == PointState::Incomplete {
        // Its run crashed between the manifest and the catalog.
        point.state = PointState::Complete;
        point.captured_at = manifest.captured_at;
        point.adopted = manifest.is_adopted();
        point.parent.clone_from(&manifest.parent);
        point.wal = manifest.wal.map(Box::new);
    }
    if point.bytes == ByteCount(0) {
        point.bytes = manifest.bytes();
    }
    let held = point.copies.iter().any(|copy| copy.held);
    point.copies.push(copy(held));
    point.copies.sort_by(|a, b| a.tier.cmp(&b.tier));
}
