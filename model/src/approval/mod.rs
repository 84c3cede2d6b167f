//! Approvals: who may approve plans that delete, and whether signatures are enough of them.
//!
//! A signature is one of SSH (`sshsig`) over the id of the plan, in the namespace [`NAMESPACE`]. Invariants: a signer counts once, a
//! signature is checked again wherever it counts, and what cannot be told (who wrote the policy) is never in favour of a deletion.
//! Not here: which plans need approval (`planner`), asking for a signature (root package), keeping them (`catalog`).

mod request;
mod ssh;
mod sshsig;
mod verdict;

pub use request::{
    ApprovalRequest, CLUSTER_FORMAT, ClusterBefore, ClusterRequest, RELEASE_FORMAT, RESET_WAIT,
    ROTATION_FORMAT, ReleaseRequest, ResetRequest, RingChange, RotationRequest,
};
pub use ssh::PublicKey;
pub use sshsig::SshSignature;
pub use verdict::{ApprovalVerdict, judge, judge_request, signer_of};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Purpose that is part of every signature of a plan.
pub const NAMESPACE: &str = "mainstay-plan";

/// Purpose that Git gives its signatures of commits.
pub const GIT_NAMESPACE: &str = "git";

/// Who may approve. Fields in alphabetical order: part of plans, which are digested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRules {
    /// Whether those who wrote the policy do not count.
    pub exclude_author: bool,
    /// What may be deleted without any signature; `None`: recorded by a version that did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<DeletionLimits>,
    /// Signers that it takes.
    pub quorum: u32,
    /// Name and public key (as in `authorized_keys`, without a comment) of everyone who may.
    pub signers: BTreeMap<String, String>,
}

/// `[safety]` of the policy: how much goes as routine. Fields in alphabetical order: part of plans, which are digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionLimits {
    /// More points than this of one series and tier are not routine.
    pub max_prune_count: u32,
    /// Nor is a larger share of them.
    pub max_prune_percent: u32,
    /// Verified points that must stay.
    pub min_verified: u32,
}

impl DeletionLimits {
    /// What both allow.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        Self {
            max_prune_count: self.max_prune_count.min(other.max_prune_count),
            max_prune_percent: self.max_prune_percent.min(other.max_prune_percent),
            min_verified: self.min_verified.max(other.min_verified),
        }
    }
}

impl ApprovalRules {
    /// The same with what may go without a signature.
    #[must_use]
    pub fn with_limits(self, limits: DeletionLimits) -> Self {
        Self {
            limits: Some(limits),
            ..self
        }
    }

    /// Whether these protect less than those in force, or might: other signers may always be somebody's own key. Who may sign now
    /// must agree to it.
    pub fn weaken(now: Option<&Self>, in_force: &Self) -> bool {
        now.is_none_or(|now| {
            now.signers != in_force.signers
                || now.quorum < in_force.quorum
                || (in_force.exclude_author && !now.exclude_author)
                || now.loosen_limits(in_force)
        })
    }

    /// Whether more may be deleted without a signature than under those in force.
    pub fn loosen_limits(&self, in_force: &Self) -> bool {
        match (self.limits, in_force.limits) {
            (Some(now), Some(in_force)) => now.stricter(in_force) != now,
            (now, in_force) => now.is_none() && in_force.is_some(),
        }
    }

    /// Whose key it is.
    pub fn name_of(&self, key: &PublicKey) -> Option<&str> {
        let line = key.line();
        let mut signers = self.signers.iter();
        signers
            .find(|(_, allowed)| **allowed == line)
            .map(|(name, _)| name.as_str())
    }
}

/// Why something is no key, or no signature of a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// No public key.
    #[error("it is no public key: {0}")]
    Key(&'static str),
    /// An algorithm that is not known, or no longer safe.
    #[error("its algorithm is not accepted")]
    Algorithm,
    /// Cannot be read.
    #[error("it is cut short or damaged")]
    Malformed,
    /// Made for another purpose.
    #[error("it was made for `{0}`, not for this purpose")]
    Namespace(String),
    /// Not what this key signed.
    #[error("it does not fit: something else was signed, or it was changed")]
    Forged,
    /// A hardware key that nobody touched.
    #[error("its hardware key was not touched")]
    Untouched,
    /// Made by somebody else.
    #[error("its key {0} belongs to no allowed signer")]
    Stranger(String),
}

#[cfg(test)]
mod tests;
