//! Whether those who may sign agreed to what a rotation takes away: who changes `encrypt-with` and rotates could otherwise make all
//! history unreadable for its owners.
//!
//! Invariants: a key that only comes needs nobody; what is signed are the very rings, so that it fits no other rotation, nor the same one
//! once a ring has changed; a ring that could not be read here loses nothing later (`rewrap::MayLose`).

use super::{Piece, Shared, each, rewrapping};
use crate::{
    apply::RunError,
    rewrap::{self, MayLose},
    steps::error::StepError,
};
use model::{
    RecoveryPointId, TierName,
    approval::{ApprovalRequest as _, ROTATION_FORMAT, RingChange, RotationRequest, judge_request},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a rotation may do.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    pub(super) may_lose: MayLose,
    /// Who signed, if anybody had to.
    pub(super) by: Option<String>,
}

/// Errors: signatures are missing, or the catalog fails.
pub(super) async fn ensure_agreed(
    shared: &Arc<Shared>,
    pieces: &[Piece],
) -> Result<Agreement, RunError> {
    let catalog = &shared.catalog;
    let Some(rules) = catalog.approval_rules().await? else {
        return Ok(Agreement::default());
    };
    let rings = losses(shared, pieces).await?;
    let changes = || rings.values().flat_map(BTreeMap::values);
    let may_lose = MayLose::Only(changes().map(|ring| ring.before.clone()).collect());
    if rings.is_empty() {
        return Ok(Agreement { may_lose, by: None });
    }
    let lost: BTreeSet<&str> = changes()
        .flat_map(|ring| ring.lost.iter().map(String::as_str))
        .collect();
    let lost: Vec<_> = lost.into_iter().map(|key| format!("`{key}`")).collect();
    let what = format!(
        "the rotation, which takes {} away from {} key rings,",
        lost.join(" and "),
        changes().count()
    );
    let request = RotationRequest {
        catalog: catalog.identity().await?,
        format: ROTATION_FORMAT,
        rings,
    };
    let id = request.id().map_err(RunError::Unsignable)?;
    let verdict = judge_request(&rules, &id, &catalog.signatures(&id).await?);
    if !verdict.is_given() {
        let verdict = Box::new(verdict);
        return Err(RunError::NeedsApproval { what, id, verdict });
    }
    let names: Vec<_> = verdict.approved_by.into_iter().collect();
    let by = Some(names.join(", "));
    Ok(Agreement { may_lose, by })
}

/// What each ring would lose. One that cannot be read is told by the rotation itself.
async fn losses(
    shared: &Arc<Shared>,
    pieces: &[Piece],
) -> Result<BTreeMap<TierName, BTreeMap<RecoveryPointId, RingChange>>, RunError> {
    let mut rings: BTreeMap<TierName, BTreeMap<_, _>> = BTreeMap::new();
    let look = |piece: Piece| {
        let shared = Arc::clone(shared);
        async move {
            let found = loss(&shared, &piece).await;
            (piece, found)
        }
    };
    each(pieces, look, |piece, found| {
        match found {
            Err(StepError::Catalog(error)) => return Err(error.into()),
            Ok(Some(change)) => {
                let on_tier = rings.entry(piece.tier.name().clone()).or_default();
                on_tier.insert(piece.id, change);
            }
            Ok(None) | Err(_) => {}
        }
        Ok(())
    })
    .await?;
    Ok(rings)
}

async fn loss(shared: &Shared, piece: &Piece) -> Result<Option<RingChange>, StepError> {
    let Some(owner) = piece.owner(&shared.catalog).await? else {
        return Ok(None);
    };
    match shared.wanted.get(piece.id.database()) {
        Some(Ok(wanted)) if !wanted.is_empty() => {
            let nothing = MayLose::Only(BTreeSet::new());
            let order = rewrapping(shared, wanted, &nothing);
            rewrap::loss(&order, &*piece.tier, owner.place()).await
        }
        _ => Ok(None),
    }
}
