//! One node of a plan: what to do, why, after what, and what must still be true when it is done.
//!
//! A step is specific: the executor decides nothing and never sees the policy.

use crate::{
    assertion::Assertion,
    level::VerifyLevel,
    names::{DatabaseName, KeyName, MethodName, SeriesName, TierName},
    reason::Reason,
    recovery_point_id::RecoveryPointId,
    recovery_record::Promise,
    retention::Keep,
    tier_facts::{LockOrder, ThawOrder},
    units::ByteCount,
    wal::{Lsn, RecoveryTarget},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Record a point found on a tier.
    Adopt,
    /// Make a recovery point on a tier.
    Backup,
    /// Restore it for a test.
    Drill,
    /// Delete archived log that no kept point and no window needs.
    ExpireWal,
    /// Lock one copy against deletion for longer.
    Lock,
    /// Delete one copy.
    Prune,
    /// Replace a damaged or lost copy from a good one.
    Repair,
    /// Ask an archive to make a copy readable.
    Thaw,
    /// Copy a point from one tier to another.
    Upload,
    /// Check one copy.
    Verify,
}

impl Action {
    /// The word used in JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::Backup => "backup",
            Self::Drill => "drill",
            Self::ExpireWal => "expire-wal",
            Self::Lock => "lock",
            Self::Prune => "prune",
            Self::Repair => "repair",
            Self::Thaw => "thaw",
            Self::Upload => "upload",
            Self::Verify => "verify",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names a step inside its plan: `<action>:<recovery point>@<tier>`, of a drill with its name; stable between plans.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(String);

impl StepId {
    /// The id of a step.
    pub fn new(action: Action, point: &RecoveryPointId, tier: &TierName) -> Self {
        Self(format!("{action}:{point}@{tier}"))
    }

    /// The id of a drill: several may restore the same copy, so it names the drill too, `drill:<recovery point>@<tier>#<name>`.
    pub fn of_drill(point: &RecoveryPointId, tier: &TierName, name: &str) -> Self {
        Self(format!("{}:{point}@{tier}#{name}", Action::Drill))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One step. Fields in alphabetical order: plans are digested (`canonical`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Steps that must have succeeded first.
    pub after: Vec<StepId>,
    /// Stored size that it will write, read or free, as far as it can be foreseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteCount>,
    /// Database concerned.
    pub database: DatabaseName,
    /// Whether something is lost by doing it.
    pub destructive: bool,
    /// For `drill`: what is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillOrder>,
    /// For `backup`: keys that every object is encrypted for; empty: it is stored plain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encrypt_for: Vec<KeyName>,
    /// Tier that the bytes come from (`upload`, `repair`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TierName>,
    /// Names the step.
    pub id: StepId,
    /// For `prune`: points whose existence makes the deletion right. The guard checks them again.
    pub justified_by: Vec<RecoveryPointId>,
    /// For `verify`: how thoroughly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<VerifyLevel>,
    /// Time and tries.
    pub limits: Limits,
    /// For what stores a copy, and for `lock`: how it is locked against deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockOrder>,
    /// For `backup`: the engine's method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<MethodName>,
    /// For `prune`: verified points that must remain in the series on this tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_verified: Option<u32>,
    /// Whether `apply --approve` must name this plan for it to run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_approval: bool,
    /// For `backup`: the point that it is incremental to; `None`: it is a full one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RecoveryPointId>,
    /// Why it is done.
    pub reason: Reason,
    /// Point concerned.
    pub recovery_point: RecoveryPointId,
    /// What must hold when it starts; else the step is stale.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Precondition>,
    /// For `prune`: the retention that gave the verdict; recorded as in force when the plan was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Keep>,
    /// Series concerned.
    pub series: SeriesName,
    /// For `backup`: nominal time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Timestamp>,
    /// For `thaw`: how fast, and for how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thaw: Option<ThawOrder>,
    /// Tier that is written, read or pruned.
    pub tier: TierName,
    /// For `expire-wal`: the pieces of log that go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wal: Vec<WalRange>,
}

/// A piece of the log of one timeline. Fields in alphabetical order: it is digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalRange {
    /// First position after it.
    pub end: Lsn,
    /// First position in it.
    pub start: Lsn,
    /// Identifier of the cluster.
    #[serde(with = "crate::wal::decimal")]
    pub system_identifier: u64,
    /// Timeline.
    pub timeline: u32,
}

/// What a drill tries. Fields in alphabetical order: it is digested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillOrder {
    /// Whether indexes and tables are checked with `pg_amcheck`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub amcheck: bool,
    /// What must hold in the restored database, beside the database's own assertions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asserts: Vec<Assertion>,
    /// The drill's name in the policy.
    pub name: String,
    /// Promised largest loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Promise>,
    /// Promised longest restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<Promise>,
    /// What made a random choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Slot of its schedule.
    pub slot: Timestamp,
    /// Moment to recover to; `None`: the point as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<RecoveryTarget>,
}

/// Time and tries of a step; whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Further tries after a failure that may pass.
    pub retries: u32,
    /// Pause before each further try.
    pub retry_after_seconds: u64,
    /// Longest duration of one try.
    pub timeout_seconds: u64,
}

/// Something that must hold when a step starts. A copy that is already as the step would make it means "already done".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Precondition {
    /// The catalog has no complete copy of the point on the tier.
    Absent {
        /// The point.
        recovery_point: RecoveryPointId,
        /// The tier.
        tier: TierName,
    },
    /// A readable copy of the point is on the tier.
    Present {
        /// The point.
        recovery_point: RecoveryPointId,
        /// The tier.
        tier: TierName,
    },
    /// The copy on the tier has passed a verification.
    Verified {
        /// The point.
        recovery_point: RecoveryPointId,
        /// The tier.
        tier: TierName,
    },
    /// Nobody holds the point.
    NotHeld {
        /// The point.
        recovery_point: RecoveryPointId,
    },
}
