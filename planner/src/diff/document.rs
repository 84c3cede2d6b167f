//! What a change of the policy does, as data: format `mainstay.diff.v1` (`docs/formats/diff.md`).
//!
//! Every list is complete and sorted; what a screen has no room for is the screen's business. Fields in alphabetical order.

use crate::{fate::Gone, lifetime::Until, prove::Verdict};
use jiff::Timestamp;
use model::{
    ByteCount, DatabaseName, Digest, KeyName, LockRule, Period, Reason, RecoveryPointId,
    SeriesName, TierName,
};
use policy_schema::policy::CheckId;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// Value of [`PolicyDiff::format`].
pub const FORMAT: &str = "mainstay.diff.v1";

/// What changes when `new` takes the place of `old`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyDiff {
    /// What a person must agree to, the worst first; empty when nobody needs to.
    pub approval: Vec<Approval>,
    /// Points that lose copies and keep at least one.
    pub copies_lost: Vec<LostPoint>,
    /// Points that no tier would keep, deleted as soon as the new policy is applied with approval.
    pub destroyed: Vec<LostPoint>,
    /// The same, but something stands in the way now: a lock, a tier that cannot be observed, a copy that must exist first.
    pub destroyed_later: Vec<LostPoint>,
    /// Keys that everything is encrypted for.
    pub encryption: Vec<EncryptionChange>,
    /// `now` of the comparison.
    pub evaluated_at: Timestamp,
    /// Copies that go earlier than they would have.
    pub expires_earlier: Vec<Expiry>,
    /// Copies that stay longer than they would have.
    pub expires_later: Vec<Expiry>,
    /// [`FORMAT`].
    pub format: String,
    /// Names this change of policy with what needs approval in it; the same on any day, with whatever points there are.
    pub id: Option<Digest>,
    /// What it was judged by.
    pub inventory: Judged,
    /// How the tiers lock what they store.
    pub locks: Vec<LockChange>,
    /// Windows of archived log.
    pub log_windows: Vec<WindowChange>,
    /// Databases and series that only the new policy declares.
    pub new: Vec<Named>,
    /// The new policy.
    pub new_policy: Side,
    /// Promises.
    pub objectives: Vec<ObjectiveChange>,
    /// The old policy.
    pub old_policy: Side,
    /// What the new policy does not name any more; nothing of it is deleted.
    pub orphaned: Vec<Orphaned>,
    /// Databases and series that only the old policy declares: no new points are made.
    pub removed: Vec<Named>,
    /// Keep rules that differ, or whose points fare otherwise.
    pub retention: Vec<RetentionChange>,
    /// Schedules.
    pub schedules: Vec<ScheduleChange>,
    /// Every other key that differs.
    pub settings: Vec<Setting>,
    /// Promises and checks whose verdict differs.
    pub verdicts: Vec<VerdictChange>,
}

impl PolicyDiff {
    /// Whether a person must agree.
    pub fn needs_approval(&self) -> bool {
        !self.approval.is_empty()
    }

    /// Whether both policies mean the same.
    pub fn is_empty(&self) -> bool {
        self.old_policy.digest == self.new_policy.digest
    }
}

/// One of the two policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Digest of the policy.
    pub digest: Digest,
    /// Commit that it was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What a person called it: a path, `main:policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The inventory that a diff was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Its digest.
    pub digest: Digest,
    /// When it was observed.
    pub observed_at: Timestamp,
    /// Complete points in it.
    pub recovery_points: usize,
}

/// Something that a person must agree to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// What kind of thing.
    pub code: ApprovalCode,
    /// Database.
    pub database: DatabaseName,
    /// Series; `None`: the whole database, or its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesName>,
    /// The same for people, with today's figures.
    pub text: String,
    /// Tier; `None`: every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<TierName>,
}

/// Stable codes of what needs approval, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalCode {
    /// Points or copies that the old policy keeps would be deleted.
    Destroys,
    /// A window of archived log becomes shorter or goes.
    LogWindowShortened,
    /// A database or series is not backed up any more.
    NoLongerBackedUp,
    /// A tier lies elsewhere: what is stored stays behind.
    TierMoved,
    /// A series does not use a tier any more.
    TierLeft,
    /// A keep rule keeps less than it did.
    RetentionShortened,
}

impl ApprovalCode {
    /// The code as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Destroys => "destroys",
            Self::LogWindowShortened => "log-window-shortened",
            Self::NoLongerBackedUp => "no-longer-backed-up",
            Self::TierMoved => "tier-moved",
            Self::TierLeft => "tier-left",
            Self::RetentionShortened => "retention-shortened",
        }
    }
}

/// A point that loses copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostPoint {
    /// The copies that it loses.
    pub copies: Vec<LostCopy>,
    /// Tiers that still have a copy afterwards.
    pub left_on: Vec<TierName>,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// Its nominal time.
    pub slot: Timestamp,
}

impl LostPoint {
    /// Stored size of what goes.
    pub fn bytes(&self) -> ByteCount {
        let sizes = self.copies.iter().map(|copy| copy.bytes);
        sizes.fold(ByteCount(0), ByteCount::saturating_add)
    }
}

/// A copy that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostCopy {
    /// Stored size.
    pub bytes: ByteCount,
    /// Why the old policy keeps it.
    pub kept_by: Vec<Arc<str>>,
    /// Whether its deletion needs `apply --approve`.
    pub needs_approval: bool,
    /// Tier.
    pub tier: TierName,
    /// What stands in the way now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<Reason>,
}

/// A copy whose end moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expiry {
    /// Under the old policy.
    pub from: Until,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// Tier.
    pub tier: TierName,
    /// Under the new policy.
    pub to: Until,
}

/// A database, or one series of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Named {
    /// Database.
    pub database: DatabaseName,
    /// Series; `None`: the whole database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesName>,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.series {
            Some(series) => write!(f, "{}/{series}", self.database),
            None => self.database.fmt(f),
        }
    }
}

/// Copies that stay where they are without a policy that names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphaned {
    /// Stored size of all.
    pub bytes: ByteCount,
    /// How many.
    pub copies: usize,
    /// Database.
    pub database: DatabaseName,
    /// Newest slot.
    pub newest: Timestamp,
    /// Oldest slot.
    pub oldest: Timestamp,
    /// Series.
    pub series: SeriesName,
    /// Tier.
    pub tier: TierName,
    /// What is gone from the policy.
    pub why: Gone,
}

/// Retention of one series on one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetentionChange {
    /// Copies that go.
    pub copies_destroyed: usize,
    /// Database.
    pub database: DatabaseName,
    /// Copies that go earlier.
    pub earlier: usize,
    /// The old rules.
    pub from: Option<String>,
    /// Copies that stay longer.
    pub later: usize,
    /// Seconds that the longest-kept point of the old rules stays.
    pub longest_from: Reach,
    /// Seconds that the longest-kept point of the new rules stays.
    pub longest_to: Reach,
    /// Series.
    pub series: SeriesName,
    /// Whether the new rules keep less than the old ones, whatever is stored today.
    pub shorter: bool,
    /// Tier.
    pub tier: TierName,
    /// The new rules.
    pub to: Option<String>,
}

/// How far back a keep reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Seconds.
    Seconds(i64),
    /// Without end.
    NoEnd,
}

/// A schedule that runs at other times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScheduleChange {
    /// Database.
    pub database: DatabaseName,
    /// Drill; `None`: it is a series' schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
    /// As the old policy has it.
    pub from: String,
    /// Largest gap between slots of the coming year, in seconds, old.
    pub largest_gap_from: i64,
    /// The same, new.
    pub largest_gap_to: i64,
    /// The next slots, old.
    pub next_from: Vec<Timestamp>,
    /// The next slots, new.
    pub next_to: Vec<Timestamp>,
    /// Series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesName>,
    /// As the new policy has it.
    pub to: String,
}

/// A promise that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectiveChange {
    /// Database.
    pub database: DatabaseName,
    /// Old, in seconds.
    pub from: Option<Promise>,
    /// Whether less is promised.
    pub looser: bool,
    /// Which.
    pub objective: &'static str,
    /// New, in seconds.
    pub to: Option<Promise>,
}

/// A promise in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// What must not be exceeded.
    pub maximum_seconds: i64,
    /// Where one wants to be.
    pub target_seconds: i64,
}

/// A promise or check that stands otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictChange {
    /// Which.
    pub check: CheckId,
    /// Database.
    pub database: DatabaseName,
    /// Under the old policy.
    pub from: Verdict,
    /// Under the new policy.
    pub to: Verdict,
    /// Why, under the new policy; `None`: it is not asked there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it stood better before.
    pub worse: bool,
}

/// Recipients that differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EncryptionChange {
    /// Keys that new points can be opened with besides.
    pub added: Vec<KeyName>,
    /// Database.
    pub database: DatabaseName,
    /// Whether new points would be stored readable by anybody.
    pub plain: bool,
    /// Keys that new points cannot be opened with any more.
    pub removed: Vec<KeyName>,
}

/// A tier that locks otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockChange {
    /// Copies there.
    pub copies: usize,
    /// Old.
    pub from: Option<LockRule>,
    /// Copies that the next plan would lock, or lock for longer.
    pub locked_next: usize,
    /// Tier.
    pub tier: TierName,
    /// New.
    pub to: Option<LockRule>,
    /// Whether less is locked than before; a lock that is set stays until it ends.
    pub weaker: bool,
}

/// A window of archived log that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowChange {
    /// Log that would be deleted now.
    pub bytes_destroyed: ByteCount,
    /// Database.
    pub database: DatabaseName,
    /// Old; `None`: no log was kept there.
    pub from: Option<Period>,
    /// Whether fewer moments stay recoverable.
    pub shorter: bool,
    /// Tier.
    pub tier: TierName,
    /// New; `None`: no log is kept there.
    pub to: Option<Period>,
}

/// Another key that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The old value.
    pub from: Option<Value>,
    /// Its path, as `explain` understands it.
    pub path: String,
    /// The new value.
    pub to: Option<Value>,
    /// Whether it certainly protects less than before.
    pub weaker: bool,
}
