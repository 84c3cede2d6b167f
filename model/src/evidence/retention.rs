//! What was computed of retention: what was demanded, what was there, what was deleted and whether it was due.

use crate::{DatabaseName, Digest, RecoveryPointId, SeriesName, TierName, evidence::Deletion};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

/// Everything of a period. Fields in alphabetical order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RetentionEvidence {
    /// Points on each tier at the end of each day (or week, in long periods), for pictures.
    pub days: Vec<DayCount>,
    /// Every deletion of the period.
    pub deletions: Vec<JudgedDeletion>,
    /// What the policy in force demanded at each time.
    pub demands: Vec<Demand>,
    /// Copies that nothing keeps and that are there.
    pub overdue: Vec<Overdue>,
    /// Slots that were demanded.
    pub slots: Vec<SeriesSlots>,
    /// What was there, by series and tier.
    pub stock: Vec<Stock>,
}

/// What a policy demanded of one series on one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Database.
    pub database: DatabaseName,
    /// From when on.
    pub from: Timestamp,
    /// Rules, in words of the policy language.
    pub keep: String,
    /// Policy.
    pub policy: Digest,
    /// Schedule.
    pub schedule: String,
    /// Series.
    pub series: SeriesName,
    /// Tier.
    pub tier: TierName,
    /// Until when; `None`: still.
    pub until: Option<Timestamp>,
    /// Verification that is demanded.
    pub verify: String,
}

/// Slots of one series in the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesSlots {
    /// Database.
    pub database: DatabaseName,
    /// Slots that the policies in force demanded.
    pub demanded: u64,
    /// Of them those with a recovery point.
    pub made: u64,
    /// Those without, in runs of slots with the same reason.
    pub missed: Vec<MissedSlots>,
    /// Slots that may still get their point.
    pub open: u64,
    /// Series.
    pub series: SeriesName,
}

impl SeriesSlots {
    /// How many slots were missed.
    pub fn missed_count(&self) -> u64 {
        self.missed.iter().map(|missed| missed.count).sum()
    }
}

/// Slots one after the other that have no point, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedSlots {
    /// `no-run`, `not-made`, or the code of the failure.
    pub code: String,
    /// How many.
    pub count: u64,
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// Why.
    pub why: String,
}

/// Copies of one series on one tier over the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// There when the period began.
    pub at_begin: u64,
    /// There when it ended.
    pub at_end: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Database.
    pub database: DatabaseName,
    /// Deleted in the period.
    pub deleted: u64,
    /// Of those at the end: held by a person.
    pub held: u64,
    /// Of those at the end: locked by the storage.
    pub locked: u64,
    /// Stored in the period.
    pub made: u64,
    /// Slot of the newest at the end.
    pub newest: Option<Timestamp>,
    /// Slot of the oldest at the end.
    pub oldest: Option<Timestamp>,
    /// Series.
    pub series: SeriesName,
    /// Tier.
    pub tier: TierName,
    /// Of those at the end: verified.
    pub verified: u64,
}

/// One deletion and what the policy then in force says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedDeletion {
    /// As the audit has it.
    pub deletion: Deletion,
    /// Policy in force.
    pub policy: Option<Digest>,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// Tier.
    pub tier: TierName,
    /// Verdict.
    pub verdict: DeletionVerdict,
    /// In words: the rule that let it go, or the one that still wanted it.
    pub why: String,
}

/// Whether a deletion was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletionVerdict {
    /// No rule of the policy in force wanted the copy any more.
    Due,
    /// The policy in force did not declare the series on that tier: a purge that somebody has approved.
    Purged,
    /// Which policy was in force is not known.
    CannotTell,
    /// A rule, a hold or the verified minimum wanted it.
    TooEarly,
}

impl DeletionVerdict {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Purged => "purged",
            Self::CannotTell => "cannot tell",
            Self::TooEarly => "TOO EARLY",
        }
    }
}

/// A copy that no rule keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdue {
    /// For how many days.
    pub days: i64,
    /// What forbids its deletion, if anything does: a hold, a lock, a chain, or that it is no longer declared.
    pub excuse: Option<String>,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// Since when nothing keeps it.
    pub since: Timestamp,
    /// Tier.
    pub tier: TierName,
}

/// Points on a tier at the end of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCount {
    /// How many.
    pub count: u64,
    /// Database.
    pub database: DatabaseName,
    /// Day, in the policy's time zone.
    pub day: Date,
    /// Tier.
    pub tier: TierName,
}
