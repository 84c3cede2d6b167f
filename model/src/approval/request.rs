//! Acts outside of plans that take protection away: what is signed for them, and the way out when no signature can be had.
//!
//! A request names exactly what would be done, in this catalog, so that its digest can be signed like the id of a plan and fits nothing
//! else. Everybody who can read the catalog computes the same digest; nobody has to believe what they are given to sign.

use crate::{
    canonical,
    names::{DatabaseName, TierName},
    recovery_point_id::RecoveryPointId,
    units::Digest,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Value of [`ReleaseRequest::format`].
pub const RELEASE_FORMAT: &str = "mainstay.release-request.v1";

/// Value of [`RotationRequest::format`].
pub const ROTATION_FORMAT: &str = "mainstay.rotation-request.v1";

/// Value of [`ClusterRequest::format`].
pub const CLUSTER_FORMAT: &str = "mainstay.cluster-request.v1";

/// How long everybody can object before rules without keys end.
pub const RESET_WAIT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The release of a point's holds. Fields in alphabetical order: it is digested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseRequest {
    /// Identity of the catalog.
    pub catalog: String,
    /// [`RELEASE_FORMAT`].
    pub format: &'static str,
    /// Holds that end; a later one of the same point needs signatures of its own.
    pub holds: BTreeSet<u64>,
    /// What they hold.
    pub recovery_point: RecoveryPointId,
}

/// A rotation that takes keys away from rings. Fields in alphabetical order, here and below: it is digested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RotationRequest {
    /// Identity of the catalog.
    pub catalog: String,
    /// [`ROTATION_FORMAT`].
    pub format: &'static str,
    /// By tier and by what they open, the rings that would lose keys; the others need nobody.
    pub rings: BTreeMap<TierName, BTreeMap<RecoveryPointId, RingChange>>,
}

/// What would become of one ring. Keys are their kind and id: a name can be given to any key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RingChange {
    /// Keys that would open it.
    pub after: BTreeSet<String>,
    /// The ring as it is; once it has changed, for whatever reason, nothing signed before fits it.
    pub before: Digest,
    /// Keys whose entries would go.
    pub lost: BTreeSet<String>,
}

/// Another cluster whose log would be taken. Fields in alphabetical order, here and below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterRequest {
    /// Whose log each tier that would change takes now; `None`: no log lies there yet.
    pub before: BTreeMap<TierName, Option<ClusterBefore>>,
    /// Identity of the catalog.
    pub catalog: String,
    /// Database that archives.
    pub database: DatabaseName,
    /// [`CLUSTER_FORMAT`].
    pub format: &'static str,
    /// Size of its segments, where it is given.
    pub segment_bytes: Option<u64>,
    /// The cluster that would come.
    #[serde(with = "crate::wal::decimal")]
    pub system_identifier: u64,
}

/// The cluster of a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterBefore {
    /// Since when: it may come again after another one, and then nothing signed before fits.
    pub since: Timestamp,
    /// Its identifier.
    #[serde(with = "crate::wal::decimal")]
    pub system_identifier: u64,
}

/// What can be signed although it is no plan.
pub trait ApprovalRequest: Serialize {
    /// What is signed.
    fn id(&self) -> serde_json::Result<Digest> {
        canonical::digest(self)
    }
}

impl ApprovalRequest for ReleaseRequest {}
impl ApprovalRequest for RotationRequest {}
impl ApprovalRequest for ClusterRequest {}

/// Somebody asked that the rules of approval end, because their keys are lost. Fields in alphabetical order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetRequest {
    /// When.
    pub asked_at: Timestamp,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
}

impl ResetRequest {
    /// From when on the rules can be ended.
    pub fn ends_at(&self) -> Timestamp {
        self.asked_at
            .saturating_add(RESET_WAIT)
            .unwrap_or(Timestamp::MAX)
    }
}
