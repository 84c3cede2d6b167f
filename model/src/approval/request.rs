//! Acts outside of plans that take protection away: what is signed for them, and the way out when no signature can be had.
//!
//! A request names exactly what would be done, in this catalog, so that its digest can be signed like the id of a plan and fits nothing
//! else. Everybody who can read the catalog computes the same digest; nobody has to believe what they are given to sign.

use crate::{canonical, recovery_point_id::RecoveryPointId, units::Digest};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Value of [`ReleaseRequest::format`].
pub const RELEASE_FORMAT: &str = "mainstay.release-request.v1";

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

impl ReleaseRequest {
    /// What is signed.
    pub fn id(&self) -> serde_json::Result<Digest> {
        canonical::digest(self)
    }
}

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
