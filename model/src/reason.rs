//! Why: a stable code for programs and a sentence for people.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Why a step exists, or why something is not planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable code.
    pub code: ReasonCode,
    /// The same for people, one fragment without a final full stop.
    pub text: Cow<'static, str>,
}

impl Reason {
    /// A reason with its sentence.
    pub fn new(code: ReasonCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal,)*) => {
        /// Stable codes of reasons; documented in `docs/formats/plan.md`, never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ReasonCode {
            $($(#[doc = $doc])* #[serde(rename = $text)] $variant,)*
        }
        impl ReasonCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The code as it stands in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    // Steps
    /// A slot of the schedule is due and has no point.
    SlotDue = "slot-due",
    /// The newest of several missed slots is made up.
    SlotMissed = "slot-missed",
    /// A person asked for it now.
    Requested = "requested",
    /// An existing file becomes a recovery point.
    FileAdopted = "file-adopted",
    /// A keep rule wants a copy on this tier.
    CopyWanted = "copy-wanted",
    /// A copy was never verified.
    NeverVerified = "never-verified",
    /// A copy was verified less thoroughly than the policy asks.
    VerifiedTooWeakly = "verified-too-weakly",
    /// No keep rule wants the copy any longer.
    NotKept = "not-kept",
    /// The copy belongs to something no longer declared and its purge was asked for.
    Purged = "purged",
    /// The copy is damaged and another tier has a good one.
    CopyDamaged = "copy-damaged",
    /// The copy is gone and another tier has a good one.
    CopyMissing = "copy-missing",
    /// A point on a tier is unknown to the catalog.
    FoundOnTier = "found-on-tier",
    /// A copy that must be read is archived.
    ThawNeeded = "thaw-needed",
    /// Retention keeps the copy for longer than it is locked.
    LockTooShort = "lock-too-short",
    /// A drill of the schedule is due.
    DrillDue = "drill-due",
    /// The log has a hole after the newest base backup, or the server went to another timeline or is another cluster.
    WalBroken = "wal-broken",
    /// Archived log that no kept point and no window needs.
    WalNotNeeded = "wal-not-needed",
    // Not planned
    /// A drill waits for a point that can be restored.
    NothingToRestore = "nothing-to-restore",
    /// A restore would take longer than promised, or a drill's newest run failed; nothing that a plan does mends it.
    RtoNotMet = "rto-not-met",
    /// Archived log is kept although it is older than the window.
    WalNeeded = "wal-needed",
    /// The tier could not be observed.
    TierUnreachable = "tier-unreachable",
    /// A prune waits because a tier of its series could not be observed.
    PruneWaitsForTier = "prune-waits-for-tier",
    /// A prune waits for a newer verified point.
    PruneWaitsForVerified = "prune-waits-for-verified",
    /// A prune would leave fewer verified points than the policy's `min-verified`.
    MinVerified = "min-verified",
    /// A prune waits because the clock looks wrong.
    ClockSuspect = "clock-suspect",
    /// A person holds the point.
    Held = "held",
    /// The archive is making the copy readable; apply again when it is.
    Thawing = "thawing",
    /// The storage locks the copy.
    Locked = "locked",
    /// A kept point needs this one to be restored.
    ChainNeeded = "chain-needed",
    /// A prune waits until the copies wanted elsewhere exist.
    PruneWaitsForCopy = "prune-waits-for-copy",
    /// What would justify a deletion is a state of another database than what would be deleted.
    SourceChanged = "source-changed",
    /// The slot's window to start has passed.
    WindowPassed = "window-passed",
    /// The tier has too little free space.
    TierFull = "tier-full",
    /// The points of this series or tier are no longer declared; nothing is deleted.
    Orphaned = "orphaned",
    /// Every copy is damaged or gone; nothing is left to repair from.
    NoGoodCopy = "no-good-copy",
    /// What an interrupted run left behind; the next apply cleans it up.
    Incomplete = "incomplete",
    // Why a plan needs approval
    /// Retention became shorter than what was in force.
    RetentionShortened = "retention-shortened",
    /// More would be deleted than the safety breaker allows.
    BreakerTripped = "breaker-tripped",
    /// Others may approve, or fewer are enough, than under the rules in force.
    ApprovalWeakened = "approval-weakened",
}

impl ReasonCode {
    /// Whether something that is not planned for this reason leaves data less protected than the policy wants, so that an
    /// apply which could do nothing about it must not end as a success. Waiting prunes, holds and locks are normal states.
    pub fn leaves_unprotected(self) -> bool {
        matches!(
            self,
            Self::TierUnreachable | Self::TierFull | Self::NoGoodCopy | Self::WindowPassed
        )
    }
}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
