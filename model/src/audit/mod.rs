//! The audit: who did what, on what, why and when; each entry holds the digest of the one before, so that none can be edited,
//! removed or moved unseen.
//!
//! Format `mainstay.audit.v1` (`docs/formats/audit.md`). Not here: keeping the entries (`catalog`), carrying them to the tiers and
//! comparing (`executor`).

pub mod chain;
pub mod checkpoint;
pub mod details;

pub use chain::{ChainWalk, ChainedEntry, Flaw};
pub use checkpoint::{Checkpoint, SignedCheckpoint, SigningKeyName};
pub use details::{AuditDetails, Deletion, EarlierChain, LogDeletion, RetentionChange};

use jiff::Timestamp;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal,)*) => {
        /// What kind of act an entry records. The words are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AuditKind {
            $($(#[doc = $doc])* $variant,)*
        }
        impl AuditKind {
            /// Every kind, by its word.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The word used in the tables, in exports and on the screen.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

kinds! {
    /// A file that somebody's script had made became a recovery point.
    Adoption = "adoption",
    /// A person approved a plan that needs it.
    Approval = "approval",
    /// Who may approve plans changed.
    ApprovalRules = "approval-rules",
    /// The catalog was made again from the tiers: a new chain begins.
    CatalogRebuild = "catalog-rebuild",
    /// A copy was found gone or damaged: nothing of Mainstay did that.
    CopyLoss = "copy-loss",
    /// A copy, or archived log, was deleted.
    Deletion = "deletion",
    /// A point was restored for a test.
    Drill = "drill",
    /// A branch is followed although its history was rewritten or went back, at a person's word.
    HistoryAccept = "history-accept",
    /// A hold was ordered.
    Hold = "hold",
    /// A key file was made.
    KeyGeneration = "key-generation",
    /// The data keys of points were wrapped for other recipients.
    KeyRotation = "key-rotation",
    /// The storage was told not to delete a copy, or that it may again, at a person's order.
    LegalHold = "legal-hold",
    /// A lock of the storage on a copy was set or prolonged.
    Lock = "lock",
    /// The log of a database has a hole, or its server another timeline or identity.
    LogBreak = "log-break",
    /// A run is the first to see another policy than the run before it.
    PolicyChange = "policy-change",
    /// A hold was released.
    Release = "release",
    /// A point was restored.
    Restore = "restore",
    /// A run began or ended.
    Run = "run",
    /// A signer approved a plan with a signature.
    Signature = "signature",
    /// The key that signs checkpoints of the audit is used for the first time.
    SigningKey = "signing-key",
    /// A tier is used for the first time, or shows another identity than before.
    TierUse = "tier-use",
    /// A copy was verified.
    Verification = "verification",
    /// A tier takes the log of another server from now on.
    WalAccept = "wal-accept",
}

impl std::str::FromStr for AuditKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|kind| kind.as_str() == word);
        known.copied().ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("is none of: {}", all.join(", "))
        })
    }
}

/// One act, as it is told to the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who ordered it.
    pub who: String,
    /// Kind of act.
    pub kind: AuditKind,
    /// On what: `<recovery point>@<tier>`, a run …
    pub what: String,
    /// Why, or with what result; for people.
    pub why: String,
    /// The same for programs.
    pub details: Option<AuditDetails>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_in_the_order_of_their_words() {
        let words: Vec<_> = AuditKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert!(words.is_sorted_by(|a, b| a < b), "{words:?}");
        for kind in AuditKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        assert!("Run".parse::<AuditKind>().is_err());
    }
}
