//! What an observation found to differ from what the catalog remembers, and how the catalog learns it.
//!
//! Invariant: recording looks again, under the lease, because time has passed since the observation; only what is still so is
//! recorded. Trouble with a tier records nothing. Not here: mending it (`repair`, `adopt` steps of a plan).

use crate::{
    gate,
    steps::{RunContext, error::StepError},
    stored::{self, ManifestThere},
};
use model::{ByteCount, CopyState, RecoveryPointId, TierName};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(tag = "drift", rename_all = "kebab-case")]
pub enum Drift {
    /// The catalog knows a copy that is not on its tier.
    Missing {
        /// The point.
        recovery_point: RecoveryPointId,
        /// The tier.
        tier: TierName,
        /// What is not there.
        why: String,
    },
    /// A known copy is there, but not as its manifest says.
    Damaged {
        /// The point.
        recovery_point: RecoveryPointId,
        /// The tier.
        tier: TierName,
        /// What is wrong.
        why: String,
    },
    /// A copy that was missing is there again.
    Returned {
        /// The point.
        recovery_point: RecoveryPointId,
        /// The tier.
        tier: TierName,
    },
    /// A recovery point with a valid manifest that the catalog does not know: to be adopted.
    Foreign {
        /// The point.
        recovery_point: RecoveryPointId,
        /// The tier.
        tier: TierName,
        /// Stored size.
        bytes: ByteCount,
    },
    /// Something where a recovery point lies that cannot be used and that the catalog does not know.
    Unusable {
        /// The point that it would be.
        recovery_point: RecoveryPointId,
        /// The tier.
        tier: TierName,
        /// Why not.
        why: String,
    },
    /// What an interrupted run left behind; the next apply removes it.
    Incomplete {
        /// The point.
        recovery_point: RecoveryPointId,
        /// The tier.
        tier: TierName,
    },
    /// Objects that are nothing of ours; ignored.
    NotOurs {
        /// The tier.
        tier: TierName,
        /// How many.
        objects: u64,
        /// The first of them.
        examples: Vec<String>,
    },
}

impl Drift {
    /// Whether the catalog and the tiers disagree about recovery points (exit 5), not only something lies around.
    pub fn is_drift(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::Damaged { .. }
            | Self::Returned { .. }
            | Self::Foreign { .. }
            | Self::Unusable { .. } => true,
            Self::Incomplete { .. } | Self::NotOurs { .. } => false,
        }
    }
}

/// Records a difference, if it is still so. Only states of known copies are recorded; the rest is for plans and people.
pub(crate) async fn record(context: &RunContext, drift: &Drift) -> Result<(), StepError> {
    let (Drift::Missing {
        recovery_point,
        tier,
        ..
    }
    | Drift::Damaged {
        recovery_point,
        tier,
        ..
    }
    | Drift::Returned {
        recovery_point,
        tier,
    }) = drift
    else {
        return Ok(());
    };
    let Some(known) = context.known_copy(recovery_point, tier).await? else {
        return Ok(());
    };
    match look(context, recovery_point, tier).await {
        Ok(None) if known.state == CopyState::Missing => {
            // Nobody watched it while it was away: it counts as new, unverified.
            let (catalog, lease) = (&context.catalog, &context.lease);
            catalog
                .record_copy(lease, tier, recovery_point, known.bytes, context.now())
                .await?;
            Ok(())
        }
        Ok(Some(state)) if state != known.state => {
            context
                .catalog
                .set_copy_state(&context.lease, recovery_point, tier, state, context.now())
                .await?;
            Ok(())
        }
        Err(error) if error.is_lost_lease() => Err(error),
        Err(StepError::Catalog(error)) => Err(error.into()),
        // A tier that is away says nothing about its copies.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What a copy looks like now; `None`: right, as far as sizes tell.
async fn look(
    context: &RunContext,
    point: &RecoveryPointId,
    name: &TierName,
) -> Result<Option<CopyState>, StepError> {
    let tier = &**context.tier(name)?;
    let _ = gate::look(tier, Some(&context.catalog)).await?;
    let recorded = context.catalog.manifest(point).await?;
    Ok(match stored::read_manifest(tier, point).await? {
        ManifestThere::Absent => Some(CopyState::Missing),
        ManifestThere::Unreadable(_) => Some(CopyState::Damaged),
        ManifestThere::Valid(manifest, _) if recorded.is_some_and(|known| known != *manifest) => {
            Some(CopyState::Damaged)
        }
        ManifestThere::Valid(manifest, _) => match stored::check_sizes(tier, &manifest).await? {
            None => None,
            Some(stored::SizeTrouble::Missing(_)) => Some(CopyState::Missing),
            Some(stored::SizeTrouble::Differs(_)) => Some(CopyState::Damaged),
        },
    })
}
