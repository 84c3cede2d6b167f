//! Brings the small files of a point that a capture shall be incremental to, from whichever tier has a good copy.
//!
//! Invariant: what the engine gets was read to its checked end. A copy that is found spoilt here is remembered as such, so that
//! the next plan sees a broken chain and asks for a full point. Not here: which point is the parent (the plan says).

use super::{Try, error::StepError};
use crate::{copies, keys::KeyChain, meter::Meter, stored, verification};
use model::{CopyState, RecoveryPointId, TierName};
use providers::{
    api::{PARENT_ROLES, ParentPoint, PlainObject},
    stream,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The parent of the point that a step makes, its files below `folder`; `None`: it is a full point.
pub(super) async fn of(at: &Try<'_>, folder: &Path) -> Result<Option<ParentPoint>, StepError> {
    let Some(point) = &at.step.parent else {
        return Ok(None);
    };
    let mut first: Option<StepError> = None;
    for name in tiers(at, point).await? {
        match from_tier(at, point, &name, folder).await {
            Ok(parent) => return Ok(Some(parent)),
            Err(error) => {
                remember(at, point, &error).await?;
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| StepError::Missing {
        point: point.clone(),
        tier: at.step.tier.clone(),
        why: "no tier has a copy of it, and the step is to build on it".to_owned(),
    }))
}

/// Where the parent has a copy, this step's tier first.
async fn tiers(at: &Try<'_>, point: &RecoveryPointId) -> Result<Vec<TierName>, StepError> {
    let (context, own) = (at.context, &at.step.tier);
    let Some(known) = context.catalog.point(point, context.now()).await? else {
        return Ok(Vec::new());
    };
    let mut tiers: Vec<TierName> = known
        .copies
        .iter()
        .filter(|copy| copy.is_present())
        .map(|copy| copy.tier.clone())
        .collect();
    tiers.sort_by_key(|name| (name != own, name.clone()));
    Ok(tiers)
}

async fn from_tier(
    at: &Try<'_>,
    point: &RecoveryPointId,
    name: &TierName,
    folder: &Path,
) -> Result<ParentPoint, StepError> {
    let context = at.context;
    let tier = &**context.admitted(name).await?;
    // Also its data must look whole: what builds on a point that cannot be restored is no backup.
    let manifest = copies::look(point, &context.wiring, Some(&context.catalog), name).await?;
    // The others may be large, and may lie in an archive.
    let mut needed = manifest.clone();
    needed
        .objects
        .retain(|object| PARENT_ROLES.contains(&object.role.as_str()));
    let openings = match verification::ring_of(point, tier, &manifest).await? {
        Some(ring) => KeyChain::new(&context.wiring.keys).open(&ring).await?,
        None => BTreeMap::new(),
    };
    // What is read here is no progress of the backup.
    let meter = Meter::new(Arc::new(|_| {}));
    let (objects, _) = verification::plain_objects(point, tier, &needed, &openings, &meter).await?;
    let mut files = BTreeMap::new();
    for object in objects {
        let role = object.role.clone();
        let path = folder.join(&role);
        keep(object, path.clone(), point, name).await?;
        files.insert(role, path);
    }
    Ok(ParentPoint { manifest, files })
}

async fn keep(
    mut object: PlainObject,
    path: PathBuf,
    point: &RecoveryPointId,
    tier: &TierName,
) -> Result<(), StepError> {
    let copying = tokio::task::spawn_blocking(move || {
        // Another tier's copy may have left a part of it.
        let mut file = File::create(&path)?;
        io::copy(&mut object.stream, &mut file).map(|_| ())
    });
    let Err(error) = copying.await.map_err(|_| StepError::Panicked)? else {
        return Ok(());
    };
    // Only what comes out of the stream carries an error of a provider.
    if stream::provider_error_of(&error).is_none() {
        return Err(StepError::Scratch(error));
    }
    let error = stream::provider_error(error);
    if error.code == stored::DAMAGED || error.code == stored::WRONG_KEY {
        return Err(StepError::Damaged {
            point: point.clone(),
            tier: tier.clone(),
            why: error.message,
        });
    }
    Err(error.into())
}

/// A catalog that went on calling such a copy good would plan the same step again, for ever.
async fn remember(
    at: &Try<'_>,
    point: &RecoveryPointId,
    error: &StepError,
) -> Result<(), StepError> {
    let (tier, state) = match error {
        StepError::Damaged { tier, .. } => (tier, CopyState::Damaged),
        StepError::Missing { tier, .. } => (tier, CopyState::Missing),
        _ => return Ok(()),
    };
    let context = at.context;
    context
        .catalog
        .set_copy_state(&context.lease, point, tier, state, context.now())
        .await?;
    Ok(())
}
