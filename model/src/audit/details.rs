//! What an entry of the audit says for programs, beside its words: typed, so that reports compute and do not read sentences.
//!
//! Stored as canonical JSON with the name of the variant under `type`. Fields may be added, never renamed or given another meaning; an
//! entry of an older version may lack any that is optional.

use crate::{
    approval::ApprovalRules,
    event::Summary,
    inventory::CopyState,
    level::VerifyLevel,
    names::{DatabaseName, KeyName, SeriesName, TierName},
    policy_source::PolicySource,
    reason::ReasonCode,
    recovery_point_id::RecoveryPointId,
    retention::Keep,
    step::WalRange,
    tier_facts::LockMode,
    units::{ByteCount, Digest},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One act, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum AuditDetails {
    /// A file that somebody's script had made became a recovery point.
    Adoption {
        /// Of when it is.
        captured_at: Timestamp,
        /// How that is known: `name`, `inside`, `modified`.
        captured_at_from: String,
        /// The file.
        file: String,
        /// Point.
        point: RecoveryPointId,
        /// SHA-256 of the file as it lay there, in hexadecimal digits.
        sha256: String,
        /// The tier that it was stored on first.
        tier: TierName,
    },
    /// A plan was approved.
    Approval {
        /// Who approved it.
        approved_by: String,
        /// Its id.
        plan: Digest,
        /// Why it needs approval.
        reasons: Vec<ReasonCode>,
        /// The run that carried it out.
        run: String,
    },
    /// Who may approve plans changed.
    ApprovalRules {
        /// From now on; `None`: whoever runs `apply --approve`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new: Option<ApprovalRules>,
        /// Until now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old: Option<ApprovalRules>,
        /// The run that brought it.
        run: String,
    },
    /// The catalog was made again from the tiers.
    CatalogRebuild {
        /// Copies that were found.
        copies: u64,
        /// The newest signed checkpoint of every earlier chain that lies on the tiers.
        earlier: Vec<EarlierChain>,
        /// Points that were found.
        points: u64,
    },
    /// A copy was found gone or damaged.
    CopyLoss {
        /// Point.
        point: RecoveryPointId,
        /// What was seen of it.
        state: CopyState,
        /// Tier.
        tier: TierName,
    },
    /// A copy was deleted.
    Deletion(Deletion),
    /// A branch is followed although its history was rewritten or went back.
    HistoryAccept {
        /// The commit that was applied last.
        from: String,
        /// The repository and its branch.
        repository: String,
        /// The commit that is followed now.
        to: String,
    },
    /// A person ordered that a point stays.
    Hold {
        /// Number of the hold.
        hold: u64,
        /// Point.
        point: RecoveryPointId,
        /// Until when; `None`: until released.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A key file was made.
    KeyGeneration {
        /// Name in the policy, if it is declared there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// Id of the key.
        key_id: String,
        /// Where the key that it replaces went.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept_as: Option<String>,
    },
    /// Data keys were wrapped anew.
    KeyRotation {
        /// Copies that had the wanted recipients.
        already_fine: u64,
        /// Copies that keep their old recipients.
        failed: u64,
        /// Whether recipients that are not wanted any more stay.
        keep_old: bool,
        /// Copies on tiers that were away.
        not_reached: u64,
        /// Copies that have the wanted recipients now.
        rewrapped: u64,
        /// The piece of work.
        run: String,
        /// The keys that shall open the points of each database.
        wanted: BTreeMap<DatabaseName, Vec<KeyName>>,
    },
    /// The storage holds a copy, or holds it no longer.
    LegalHold {
        /// Files that were changed.
        files: u64,
        /// Whether they are held now.
        held: bool,
        /// Point.
        point: RecoveryPointId,
        /// Tier.
        tier: TierName,
    },
    /// Files of a copy were locked for longer.
    Lock {
        /// Files that were changed.
        files: u64,
        /// Who can lift it.
        mode: LockMode,
        /// Point.
        point: RecoveryPointId,
        /// Tier.
        tier: TierName,
        /// Until when at least.
        until: Timestamp,
    },
    /// The log of a database cannot be followed further.
    LogBreak {
        /// `hole`, `timeline-switch`, `other-cluster`, `went-back`.
        break_kind: String,
        /// Database.
        database: DatabaseName,
        /// Where; `None`: it is the server's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tier: Option<TierName>,
    },
    /// Archived log was deleted.
    LogDeletion(LogDeletion),
    /// Another policy than that of the run before.
    PolicyChange {
        /// Where the policy comes from, if it lies in a Git repository.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<PolicySource>,
        /// Digest of the policy now.
        new: Digest,
        /// Digest of the policy before; `None`: it is the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old: Option<Digest>,
        /// Retention rules that differ from those of the policy before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        retention: Vec<RetentionChange>,
        /// The first run under it.
        run: String,
    },
    /// A restore or a drill, ended well or not.
    Recovery {
        /// Checks that were made.
        checks: u64,
        /// Drill; `None`: a restore at a person's word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drill: Option<String>,
        /// Code of what went wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
        /// From the order to the checked database.
        milliseconds: u64,
        /// Whether it went through and all checks passed.
        passed: bool,
        /// Point.
        point: RecoveryPointId,
        /// Id of its record (`recovery.md`).
        record: String,
        /// Tier that was read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tier: Option<TierName>,
    },
    /// Every hold of a point was released.
    Release {
        /// How many there were.
        holds: u64,
        /// Point.
        point: RecoveryPointId,
    },
    /// A run begins.
    RunBegan {
        /// Plan.
        plan: Digest,
        /// Policy that the plan was made from.
        policy: Digest,
        /// Run.
        run: String,
    },
    /// A run has ended.
    RunEnded {
        /// Plan.
        plan: Digest,
        /// Run.
        run: String,
        /// What became of its steps.
        summary: Summary,
    },
    /// A signer approved a plan with a signature.
    Signature {
        /// The key, as `ssh-keygen -l` shows it.
        fingerprint: String,
        /// Id of the plan.
        plan: Digest,
        /// The armoured signature, so that it can be checked for ever.
        signature: String,
        /// Name in the policy.
        signer: String,
    },
    /// A key signs checkpoints from now on.
    SigningKey {
        /// `ed25519:` and the public key in hexadecimal digits.
        public_key: String,
    },
    /// A tier is used for the first time, or is another than before.
    TierUse {
        /// The identity that it showed before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        earlier: Option<String>,
        /// The identity that it shows.
        identity: String,
        /// Tier.
        tier: TierName,
    },
    /// A copy was read.
    Verification {
        /// How thoroughly.
        level: VerifyLevel,
        /// Whether it was as it should be.
        passed: bool,
        /// Point.
        point: RecoveryPointId,
        /// Tier.
        tier: TierName,
    },
    /// A tier takes the log of another server.
    WalAccept {
        /// Database.
        database: DatabaseName,
        /// Identifier of the server.
        #[serde(with = "crate::wal::decimal")]
        system_identifier: u64,
        /// Tier.
        tier: TierName,
    },
}

/// The deletion of one copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Who approved it, where it needed approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Stored bytes that are free now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteCount>,
    /// Moment that the point showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured_at: Option<Timestamp>,
    /// Points whose existence made it right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub justified_by: Vec<RecoveryPointId>,
    /// The retention rule that gave the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// The point that it was incremental to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RecoveryPointId>,
    /// The plan that ordered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
    /// Point.
    pub point: RecoveryPointId,
    /// The policy that the plan was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
    /// Why: `not-kept`, `purged` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonCode>,
    /// The run that carried it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When the copy had been stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_at: Option<Timestamp>,
    /// Tier.
    pub tier: TierName,
}

impl Deletion {
    /// The deletion of a copy of which nothing else is told.
    pub fn of(point: RecoveryPointId, tier: TierName) -> Self {
        Self {
            approved_by: None,
            bytes: None,
            captured_at: None,
            justified_by: Vec::new(),
            keep: None,
            parent: None,
            plan: None,
            point,
            policy: None,
            reason: None,
            run: None,
            stored_at: None,
            tier,
        }
    }
}

/// The deletion of archived log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDeletion {
    /// Who approved it, where it needed approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Stored bytes that are free now.
    pub bytes: ByteCount,
    /// Database.
    pub database: DatabaseName,
    /// Files that went.
    pub files: u64,
    /// Pieces of log that were to go.
    pub pieces: Vec<WalRange>,
    /// The plan that ordered it.
    pub plan: Digest,
    /// Why.
    pub reason: ReasonCode,
    /// The run that carried it out.
    pub run: String,
    /// Tier.
    pub tier: TierName,
}

/// A retention rule that is another than in the policy before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionChange {
    /// Database.
    pub database: DatabaseName,
    /// The rule now; `None`: it is no longer declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Keep>,
    /// The rule before; `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Keep>,
    /// Series.
    pub series: SeriesName,
    /// Tier.
    pub tier: TierName,
}

/// The newest signed checkpoint of another chain, as it was found on a tier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EarlierChain {
    /// Identity of the catalog that it belongs to.
    pub catalog: String,
    /// Digest of its last entry.
    pub digest: Digest,
    /// Key that signed it.
    pub public_key: String,
    /// Number of its last entry.
    pub sequence: u64,
    /// Where it was found.
    pub tier: TierName,
}
