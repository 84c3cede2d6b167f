//! Approvals: who may approve plans that delete, and whether signatures are enough of them.
//!
//! A signature is one of SSH (`sshsig`) over the id of the plan, in the namespace [`NAMESPACE`]. Invariants: a signer counts once, a
//! signature is checked again wherever it counts, and what cannot be told (who wrote the policy) is never in favour of a deletion.
//! Not here: which plans need approval (`planner`), asking for a signature (root package), keeping them (`catalog`).

mod ssh;
mod sshsig;
mod verdict;

pub use ssh::PublicKey;
pub use sshsig::SshSignature;
pub use verdict::{ApprovalVerdict, judge, signer_of};

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
    /// Signers that it takes.
    pub quorum: u32,
    /// Name and public key (as in `authorized_keys`, without a comment) of everyone who may.
    pub signers: BTreeMap<String, String>,
}

impl ApprovalRules {
    /// Whether these protect less than those in force, or might: other signers may always be somebody's own key. Who may sign now
    /// must agree to it.
    pub fn weaken(now: Option<&Self>, in_force: &Self) -> bool {
        now.is_none_or(|now| {
            now.signers != in_force.signers
                || now.quorum < in_force.quorum
                || (in_force.exclude_author && !now.exclude_author)
        })
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
