//! The facts: everything that a verdict may rest on, as data, at one moment. Format `mainstay.evidence.v1`.
//!
//! Invariants: no secret is in it (a policy holds references only); fields stand in alphabetical order, because it is digested; what
//! could not be observed is named and is never taken for absent.

use crate::{
    CopyState, DatabaseName, Digest, KeyName, LockMode, RecoveryPointId, RecoveryRecord, TierName,
    Verified, VerifyLevel, inventory::DrillFact,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Value of [`EvidenceFacts::format`].
pub const FORMAT: &str = "mainstay.evidence.v1";

/// What is known of a period. Fields in alphabetical order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvidenceFacts {
    /// The chain of the audit; `None`: nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditFact>,
    /// Copies that exist, and copies that were deleted in the period or needed to judge it; by point and tier.
    pub copies: Vec<CopyFact>,
    /// Databases that were found beside the declared ones; empty: nobody looked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discovered: Vec<Discovery>,
    /// Drills as the inventory knows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drills: Vec<DrillFact>,
    /// Exceptions that somebody has accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<ExceptionFact>,
    /// Backup steps that failed, were blocked or skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_steps: Vec<FailedStep>,
    /// [`FORMAT`].
    pub format: String,
    /// Begin of the period.
    pub from: Timestamp,
    /// Holds, ended ones too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<HoldFact>,
    /// Declared keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyFact>,
    /// Archived logs as they were read when the facts were gathered; empty: nobody looked, or none is archived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogFact>,
    /// Copies that were found gone or damaged in the period, also those that are forgotten or repaired by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<LossFact>,
    /// Version of Mainstay that gathered this.
    pub mainstay_version: String,
    /// What the controls ask.
    pub parameters: Parameters,
    /// Policies in force in the period, and the one before, the oldest first.
    pub policies: Vec<PolicyFact>,
    /// What `prove` said of each objective when the facts were gathered; empty: it was not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<ProofFact>,
    /// Restores and drills of the period, and the newest of each database before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<RecoveryRecord>,
    /// Runs of the period.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunFact>,
    /// Declared tiers.
    pub tiers: BTreeMap<TierName, TierFact>,
    /// The policy that the report was made with (tiers, keys, exceptions and parameters are its own), where no run was ever planned from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_policy: Option<Digest>,
    /// Tiers that could not be observed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable_tiers: Vec<TierName>,
    /// End of the period, and the moment of which everything is judged.
    pub until: Timestamp,
    /// Verifications, of copies that are gone too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verifications: Vec<VerificationFact>,
}

/// What a walk over the whole audit found, and a comparison with its signed exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFact {
    /// Tiers whose signed exports were compared with it; empty: nobody looked, or there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<TierName>,
    /// Digest of its last entry: what a signed checkpoint of that time must name too.
    pub digest: Digest,
    /// Entries.
    pub entries: u64,
    /// Everything that is wrong with the chain or between it and its exports, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flaws: Vec<String>,
    /// Number of the last entry that a signed checkpoint on one of the compared tiers covers.
    #[serde(default)]
    pub signed_until: u64,
}

/// One recovery point on one tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopyFact {
    /// Stored bytes; `None`: no longer known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Instant whose state the point is; `None`: no longer known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured_at: Option<Timestamp>,
    /// Whether its data is encrypted; `None`: no longer known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    /// What became of it.
    pub fate: CopyFate,
    /// Whether a person holds it now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// The storage refuses deletion until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
    /// The point that it is incremental to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RecoveryPointId>,
    /// Keys that the point was encrypted for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// Nominal time.
    pub slot: Timestamp,
    /// When it was complete on the tier; `None`: no longer known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_at: Option<Timestamp>,
    /// Tier.
    pub tier: TierName,
    /// Strongest verification that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
}

impl CopyFact {
    /// Whether it is there, as far as was looked.
    pub fn is_present(&self) -> bool {
        self.fate == CopyFate::Exists(CopyState::Present)
    }

    /// Whether it is there and has passed a verification.
    pub fn is_good(&self) -> bool {
        self.is_present() && self.verified.is_some()
    }

    /// Its deletion.
    pub fn deletion(&self) -> Option<&Deletion> {
        match &self.fate {
            CopyFate::Deleted(deletion) => Some(deletion),
            CopyFate::Exists(_) => None,
        }
    }
}

/// What became of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyFate {
    /// It is known to the catalog, in this state.
    Exists(CopyState),
    /// It was deleted.
    Deleted(Deletion),
}

/// A deletion as the audit has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Who approved it, where it needed approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The run that did it, if the audit names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Who ordered it.
    pub who: String,
    /// Why.
    pub why: String,
}

/// What a look at one server gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    /// Why nothing could be found; `None`: the look succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Databases on it that no policy declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undeclared: Vec<String>,
    /// The declared databases through which the server was reached.
    pub via: Vec<DatabaseName>,
}

/// An accepted departure from a control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionFact {
    /// Control.
    pub control: String,
    /// When it ends.
    pub expires: Timestamp,
    /// Who answers for it.
    pub owner: String,
    /// The database that it is for; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Why.
    pub why: String,
}

/// A step that should have stored a copy and did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedStep {
    /// When it ended.
    pub at: Timestamp,
    /// Its error code or the reason's code.
    pub code: String,
    /// Point that it should have made.
    pub recovery_point: RecoveryPointId,
    /// Run.
    pub run: String,
    /// In words.
    pub text: String,
}

/// An order not to delete a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldFact {
    /// When it was ordered.
    pub at: Timestamp,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// When it was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Timestamp>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_by: Option<String>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who ordered it.
    pub who: String,
    /// Why.
    pub why: String,
}

impl HoldFact {
    /// Whether it forbade deletion then.
    pub fn is_active(&self, at: Timestamp) -> bool {
        self.at <= at
            && self.until.is_none_or(|until| until > at)
            && self.released_at.is_none_or(|released| released > at)
    }
}

/// A declared key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFact {
    /// Kind.
    pub kind: String,
    /// Name in the policy.
    pub name: KeyName,
    /// What is wrong with it; `None`: it can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// The archived log of one database on one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFact {
    /// Database.
    pub database: DatabaseName,
    /// Whether the last window goes on to the end of what is archived.
    pub reaches_end: bool,
    /// Tier.
    pub tier: TierName,
    /// Since when every moment can be recovered, one begin for each unbroken stretch, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whole_since: Vec<Timestamp>,
}

/// A copy that was found gone or damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossFact {
    /// When it was found.
    pub at: Timestamp,
    /// The run that had begun to delete it and died; `None`: nothing of Mainstay touched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_run: Option<String>,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// What was seen.
    pub state: CopyState,
    /// Tier.
    pub tier: TierName,
}

/// What checks of the policy ask of one database, in seconds; `None`: nothing, so the default holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AskedParameters {
    /// A restore or drill at least this often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_seconds: Option<i64>,
    /// A recovery point at least this often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_seconds: Option<i64>,
    /// The newest good point is at most so old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_point_seconds: Option<i64>,
    /// The storage refuses to delete a copy for at least this long after its point was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_seconds: Option<i64>,
    /// Something is kept at least this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_seconds: Option<i64>,
}

/// What the controls ask: the defaults, and what the policy asks instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// What checks of the policy ask of single databases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub asked: BTreeMap<DatabaseName, AskedParameters>,
    /// A restore or drill of each database at least this often, in days.
    pub drill_days: u32,
    /// A recovery point of each database at least this often, in hours.
    pub frequency_hours: u32,
    /// The newest good point of a database without an RPO is at most so old, in hours.
    pub last_point_hours: u32,
    /// A copy that nothing keeps is deleted within so many days.
    pub overkeep_days: u32,
    /// Something of each database is kept at least this long, in days.
    pub retention_days: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            asked: BTreeMap::new(),
            drill_days: 35,
            frequency_hours: 24,
            last_point_hours: 24,
            overkeep_days: 7,
            retention_days: 35,
        }
    }
}

/// A policy over the time in which it was in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyFact {
    /// SHA-256 of the canonical JSON of `policy`.
    pub digest: Digest,
    /// The resolved policy.
    pub policy: serde_json::Value,
    /// From when on.
    pub since: Timestamp,
    /// Until when; `None`: it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who put it in force.
    pub who: String,
}

/// What was proved of one objective, for states from an age on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofFact {
    /// Database.
    pub database: DatabaseName,
    /// Age from which on it was asked, in seconds.
    pub from_age_seconds: i64,
    /// The figure that was found; `None`: it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_seconds: Option<i64>,
    /// `rpo` or `rto`.
    pub objective: String,
    /// What was promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promised_seconds: Option<i64>,
    /// `proved`, `unproven` or `violated`.
    pub verdict: String,
    /// In words.
    pub why: String,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFact {
    /// Whether its plan needed approval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approval_needed: bool,
    /// Whether steps waited in vain for that approval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approval_refused: bool,
    /// Who approved its plan, as the audit has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Steps that failed.
    pub failed: u32,
    /// When it ended; `None`: it runs, or it crashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Names it.
    pub id: String,
    /// Its plan.
    pub plan: Digest,
    /// The policy that it was planned from.
    pub policy: Digest,
    /// When it began.
    pub started_at: Timestamp,
    /// Who ordered it.
    pub who: String,
}

/// A declared tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierFact {
    /// Whether it must be thawed before it can be read, so that the store's own word is the most that verifies it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archive: bool,
    /// Kind.
    pub kind: String,
    /// Who can lift the locks that it sets; `None`: it sets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockMode>,
    /// Medium, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// Whether it lies away from the machine that makes the recovery points, as declared or as its kind tells.
    pub off_site: bool,
    /// What tells its place from those of other tiers: equal places fail together.
    pub place: String,
}

/// One check of one copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationFact {
    /// When.
    pub at: Timestamp,
    /// How thoroughly.
    pub level: VerifyLevel,
    /// Whether it passed.
    pub passed: bool,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// Tier.
    pub tier: TierName,
    /// Who had it done.
    pub who: String,
}
