//! The record of one restore or drill: who did what, why, from where, how long each phase took, what was checked, what was promised.
//!
//! Format `mainstay.recovery.v1`, JSON, described in `docs/formats/recovery.md`; kept in the catalog, the source of every recovery
//! log (`reports`). Fields in alphabetical order. Never holds a secret.

use crate::{
    event::Failure,
    inventory::Verified,
    names::{DatabaseName, MethodName, TierName},
    recovery_point_id::RecoveryPointId,
    units::{ByteCount, Digest},
    wal::{Lsn, RecoveryTarget},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Value of [`RecoveryRecord::format`].
pub const FORMAT: &str = "mainstay.recovery.v1";

/// One restore or drill, ended well or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRecord {
    /// Every check that was made in the target.
    pub checks: Vec<RecordedCheck>,
    /// Database.
    pub database: DatabaseName,
    /// For a drill: which, and the slot of its schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillSlot>,
    /// Engine.
    pub engine: String,
    /// Why it failed; `None`: it did not, though checks may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// [`FORMAT`].
    pub format: String,
    /// Copies that were tried before and given up, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<(TierName, Failure)>,
    /// Names this recovery.
    pub id: String,
    /// Version of Mainstay.
    pub mainstay_version: String,
    /// Method that made the point.
    pub method: MethodName,
    /// What a person must know of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Whether it succeeded and every check passed.
    pub passed: bool,
    /// Phases in order: `choose`, `thaw`, `keys`, `load`, `replay`, `checks` … Those that are not `within` another add up to the whole.
    pub phases: Vec<Phase>,
    /// Plain bytes that were restored, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_bytes: Option<ByteCount>,
    /// Digest of the policy in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_digest: Option<Digest>,
    /// How far it came.
    #[serde(default)]
    pub reached: Reached,
    /// The point that was restored.
    pub recovery_point: RecoveryPointId,
    /// The age of the restored state when the recovery began, in seconds: what would have been lost.
    pub rpo_measured_seconds: i64,
    /// What was promised of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_promised: Option<Promise>,
    /// Wall time of the whole, in milliseconds.
    pub rto_measured_milliseconds: u64,
    /// What was promised of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_promised: Option<Promise>,
    /// Which tables, schemas or paths were restored; empty: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// Stored bytes that were read: of the point and its chain, and of the log.
    pub stored_bytes: ByteCount,
    /// What was wanted; `None`: the point as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<RecoveryTarget>,
    /// Where to, in words, without a secret.
    pub target_place: String,
    /// Tier that was read; `None`: none could be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<TierName>,
    /// Why it says nothing about what was promised; `None`: it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unjudged: Option<Unjudged>,
    /// Strongest verification of the copy before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_before: Option<Verified>,
    /// Who did it.
    pub who: String,
    /// Why.
    pub why: String,
}

/// Why a recovery says nothing about what was promised of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unjudged {
    /// It was refused before anything was read: the target or the machine is the trouble, and no copy.
    NotBegun,
    /// Somebody stopped it.
    Stopped,
}

/// A drill's name and slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillSlot {
    /// Its name in the policy.
    pub name: String,
    /// What made a random choice, so that it can be made again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Slot of its schedule.
    pub slot: Timestamp,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedCheck {
    /// Found and expected, in words.
    pub detail: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was checked.
    pub what: String,
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Wall time; of a phase within another: how long its stage of the pipeline was busy, over all threads.
    pub milliseconds: u64,
    /// Its name.
    pub name: String,
    /// The phase in the course of which it ran, beside others of its kind: the time of that one holds this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

/// The last that was replayed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reached {
    /// Position in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Lsn>,
    /// Commit time of the last transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Timeline that was followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
}

/// Where one wants to be, and what must not be exceeded; in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// What must not be exceeded.
    pub maximum_seconds: u64,
    /// Where one wants to be.
    pub target_seconds: u64,
}

impl RecoveryRecord {
    /// Whether the loss stayed within the promise; `None`: nothing was promised, or it is [`Unjudged`], or a moment was asked for, whose
    /// age is a choice and no loss. What else did not pass keeps no promise.
    pub fn rpo_met(&self) -> Option<bool> {
        if self.unjudged.is_some() {
            return None;
        }
        if self.passed && self.target.as_ref().is_some_and(RecoveryTarget::is_chosen) {
            return None;
        }
        let measured = u64::try_from(self.rpo_measured_seconds).unwrap_or(0);
        self.rpo_promised
            .map(|p| self.passed && measured <= p.maximum_seconds)
    }

    /// Whether the time stayed within the promise; `None`: nothing was promised, or it is [`Unjudged`]. What else did not pass keeps no
    /// promise.
    pub fn rto_met(&self) -> Option<bool> {
        if self.unjudged.is_some() {
            return None;
        }
        let measured = self.rto_measured_milliseconds.div_ceil(1000);
        self.rto_promised
            .map(|p| self.passed && measured <= p.maximum_seconds)
    }
}
