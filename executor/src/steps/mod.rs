//! Carries out one step: one file per kind, functions named `ensure_*`, because each may find its work done already.
//!
//! Invariants: a step looks before it acts, so trying it again is always right; what it needs from reality it reads at that
//! moment, not from the plan. Not here: when a step starts and how often it is tried (`apply/`), whether a copy may be
//! deleted (`prune_guard.rs`).

pub(crate) mod adopt;
pub(crate) mod backup;
pub(crate) mod copying;
pub(crate) mod drill;
pub(crate) mod error;
pub(crate) mod expire_wal;
pub(crate) mod key_file;
pub(crate) mod lock;
mod parent;
pub(crate) mod preconditions;
pub(crate) mod prune;
pub(crate) mod repair;
pub(crate) mod thaw;
pub(crate) mod upload;
pub(crate) mod verify;

use crate::{
    clock::Clock,
    crash_point::CrashPoints,
    gate,
    journal::Journal,
    meter::Meter,
    recovery_kit::KitsSeen,
    scratch::Scratch,
    tier_lease::{Purpose, TierLeases, Waiting},
    wiring::{DatabaseWiring, Wiring},
};
use catalog::{Catalog, Lease};
use error::StepError;
use jiff::Timestamp;
use model::{
    Action, ByteCount, CopyState, DatabaseName, Digest, Reason, RecoveryPointId, Step, TierName,
    inventory::Copy,
};
use providers::api::Tier;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// What all steps of one run share.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) run: String,
    pub(crate) who: String,
    /// Id of the plan.
    pub(crate) plan: Digest,
    /// Who approved the plan, if it needed approval.
    pub(crate) approved_by: Option<String>,
    pub(crate) policy_digest: Digest,
    pub(crate) evaluated_at: Timestamp,
    pub(crate) wiring: Wiring,
    pub(crate) catalog: Catalog,
    pub(crate) lease: Lease,
    /// The right to change each tier, besides the catalog.
    pub(crate) tier_leases: TierLeases,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) crash: CrashPoints,
    pub(crate) journal: Arc<Journal>,
    pub(crate) scratch: Scratch,
    /// Guard and deletion of one copy are one act: two prunes must not each count on the copy that the other deletes.
    pub(crate) pruning: tokio::sync::Mutex<()>,
    pub(crate) kits: KitsSeen,
    /// Which points other points are incremental to, once it was asked; under the lease only this run adds points.
    pub(crate) children: tokio::sync::OnceCell<BTreeMap<RecoveryPointId, Vec<RecoveryPointId>>>,
}

/// One try of one step.
#[derive(Debug)]
pub(crate) struct Try<'a> {
    pub(crate) context: &'a RunContext,
    pub(crate) step: &'a Step,
    pub(crate) meter: Meter,
    /// An empty folder of this try's own.
    pub(crate) scratch: &'a Path,
}

/// How a try ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Done now; stored bytes written, read or freed.
    Done(Option<ByteCount>),
    /// It had been done before.
    AlreadyDone,
    /// Its precondition no longer holds.
    Stale(String),
    /// The guard, a hold or a lock forbids it.
    Blocked(Reason),
}

/// Carries out one try of a step.
pub(crate) async fn ensure(at: &Try<'_>) -> Result<Ended, StepError> {
    if let Some(ended) = preconditions::check(at.context, at.step).await? {
        return Ok(ended);
    }
    let Some(purpose) = purpose(at.step.action) else {
        return carry_out(at).await;
    };
    let (context, tier) = (at.context, &at.step.tier);
    let _ = context.writable(tier, purpose).await?;
    let lost = context.tier_leases.lost(tier);
    let ended = tokio::select! {
        ended = carry_out(at) => ended?,
        () = lost.cancelled() => {
            context.tier_leases.ensure_current(tier).await?;
            return Err(StepError::Panicked);
        }
    };
    if purpose_stores(at.step.action) && matches!(ended, Ended::Done(_) | Ended::AlreadyDone) {
        lock::note_stored(at).await?;
    }
    Ok(ended)
}

/// What a kind of step does to its tier; `None`: nothing that the tier's lease is needed for.
fn purpose(action: Action) -> Option<Purpose> {
    match action {
        Action::Backup | Action::Upload => Some(Purpose::Store),
        Action::ExpireWal | Action::Prune | Action::Repair => Some(Purpose::Delete),
        Action::Adopt | Action::Drill | Action::Lock | Action::Thaw | Action::Verify => None,
    }
}

fn purpose_stores(action: Action) -> bool {
    matches!(action, Action::Backup | Action::Upload | Action::Repair)
}

async fn carry_out(at: &Try<'_>) -> Result<Ended, StepError> {
    match at.step.action {
        Action::Adopt => adopt::ensure_adopted(at).await,
        Action::Backup => backup::ensure_backup(at).await,
        Action::Prune => prune::ensure_pruned(at).await,
        Action::Repair => remember_bad_source(at, repair::ensure_repaired(at).await).await,
        Action::Upload => remember_bad_source(at, upload::ensure_uploaded(at).await).await,
        Action::Verify => verify::ensure_verified(at).await,
        Action::Lock => lock::ensure_locked(at).await,
        Action::Thaw => thaw::ensure_thawed(at).await,
        Action::Drill => drill::ensure_drilled(at).await,
        Action::ExpireWal => expire_wal::ensure_expired(at).await,
    }
}

/// Whoever reads a copy in order to copy it may be the first to see that it is spoilt: a catalog that went on calling it
/// verified would let it justify deletions.
async fn remember_bad_source(
    at: &Try<'_>,
    result: Result<Ended, StepError>,
) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    let found = match &result {
        Err(StepError::Damaged { tier, .. }) => Some((tier, CopyState::Damaged)),
        Err(StepError::Missing { tier, .. }) => Some((tier, CopyState::Missing)),
        _ => None,
    };
    if let Some((tier, state)) = found
        && step.from.as_ref() == Some(tier)
        && context
            .known_copy(&step.recovery_point, tier)
            .await?
            .is_some_and(|copy| copy.is_present())
    {
        context
            .catalog
            .set_copy_state(
                &context.lease,
                &step.recovery_point,
                tier,
                state,
                context.now(),
            )
            .await?;
    }
    result
}

impl RunContext {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Who approved a step that needs it; for a step that does not, nobody had to.
    pub(crate) fn approver(&self, step: &Step) -> Option<String> {
        self.approved_by
            .clone()
            .filter(|_| step.needs_approval || step.destructive)
    }

    /// A declared tier, without asking whether it is there.
    pub(crate) fn tier(&self, name: &TierName) -> Result<&Arc<dyn Tier>, StepError> {
        tier(&self.wiring, name)
    }

    /// A declared tier that is there and is the one that is meant.
    pub(crate) async fn admitted(&self, name: &TierName) -> Result<&Arc<dyn Tier>, StepError> {
        let tier = self.tier(name)?;
        gate::admit(&**tier, &self.catalog, &self.run, &self.who, self.now()).await?;
        Ok(tier)
    }

    /// An admitted tier whose lease this run holds.
    pub(crate) async fn writable(
        &self,
        name: &TierName,
        purpose: Purpose,
    ) -> Result<&Arc<dyn Tier>, StepError> {
        let tier = self.admitted(name).await?;
        self.tier_leases
            .hold(tier, self.now(), purpose, Waiting::Bounded)
            .await?;
        Ok(tier)
    }

    /// An admitted tier on which a step stores a copy: what brings copies back without this program lies beside them first.
    pub(crate) async fn receiving(&self, name: &TierName) -> Result<&Arc<dyn Tier>, StepError> {
        let tier = self.admitted(name).await?;
        self.kits.ensure_there(&**tier).await?;
        Ok(tier)
    }

    pub(crate) fn database(&self, name: &DatabaseName) -> Result<&DatabaseWiring, StepError> {
        database(&self.wiring, name)
    }

    /// What the catalog knows of a copy now.
    pub(crate) async fn known_copy(
        &self,
        point: &RecoveryPointId,
        tier: &TierName,
    ) -> Result<Option<Copy>, StepError> {
        let known = self.catalog.point(point, self.now()).await?;
        Ok(known.and_then(|known| known.copy_on(tier).cloned()))
    }
}

/// A declared tier.
pub(crate) fn tier<'a>(
    wiring: &'a Wiring,
    name: &TierName,
) -> Result<&'a Arc<dyn Tier>, StepError> {
    wiring
        .tiers
        .get(name)
        .map(|wired| &wired.tier)
        .ok_or_else(|| StepError::NotDeclared {
            what: "tier",
            name: name.to_string(),
        })
}

/// A declared database.
pub(crate) fn database<'a>(
    wiring: &'a Wiring,
    name: &DatabaseName,
) -> Result<&'a DatabaseWiring, StepError> {
    wiring
        .databases
        .get(name)
        .ok_or_else(|| StepError::NotDeclared {
            what: "database",
            name: name.to_string(),
        })
}
