//! What a proof says, as data: verdicts with their figures, where each figure comes from, and a counter-example where there is one.
//!
//! Format `mainstay.proof.v1` (`docs/formats/proof.md`). Invariant: there is no verdict without the figures that it was made of;
//! what is not known is a bound that is missing, never a number. Not here: how any of it is found.

use jiff::Timestamp;
use model::{
    DatabaseName, Digest, MethodName, RecoveryPointId, SeriesName, TierName,
    recovery_record::Promise,
};
use policy_schema::policy::{CheckId, CheckRule, CheckSeverity, ExceptionDeclaration};
use serde::{Deserialize, Serialize};

/// Value of [`Proof::format`].
pub const FORMAT: &str = "mainstay.proof.v1";

/// What can be proved of a policy. Fields in alphabetical order, here and below: it is digested (`canonical`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The checks of every database, in the order of databases and checks.
    pub checks: Vec<CheckResult>,
    /// Every database, by name.
    pub databases: Vec<DatabaseProof>,
    /// The instant for which it was made.
    pub evaluated_at: Timestamp,
    /// [`FORMAT`].
    pub format: String,
    /// What was known to exist.
    pub inventory_digest: Digest,
    /// What was wished.
    pub policy_digest: Digest,
    /// The schedules were followed up to here.
    pub until: Timestamp,
}

impl Proof {
    /// Whether who asks for a proof has none: something of severity `error` is violated or unproven, and nobody excepted it.
    pub fn fails(&self) -> bool {
        self.checks.iter().any(CheckResult::fails)
    }
}

/// How something stands, best first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is promised.
    #[default]
    NotAsked,
    /// It holds whatever happens within the assumptions.
    Proved,
    /// It may hold; something that would tell was never measured.
    Unproven,
    /// There is a counter-example.
    Violated,
}

/// One database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseProof {
    /// Its name.
    pub database: DatabaseName,
    /// Drills whose newest run failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_drills: Vec<String>,
    /// The last restore or drill that ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_tested: Option<Tested>,
    /// When the newest state was captured that exists and can be relied upon when it was asked; `None`: there is none, or the log goes on from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_state: Option<Timestamp>,
    /// Ages, youngest first; the first is that of what is lost when the database is lost now.
    pub ranges: Vec<AgeRange>,
    /// How old the oldest state is at least, once the policy has been followed for that long; `None`: there is no end.
    pub reach_seconds: Option<i64>,
    /// What can be said in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Statement>,
    /// Changes that were tried and help, cheapest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<Suggestion>,
    /// The worst of its promises.
    pub verdict: Verdict,
}

/// A restore or drill that ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// When.
    pub at: Timestamp,
    /// The drill; `None`: a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
    /// From which tier.
    pub tier: TierName,
}

/// Ages of which the same can be said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgeRange {
    /// First age.
    pub from_seconds: i64,
    /// Largest gap between states of that age; of age zero, what is lost.
    pub rpo: Figure,
    /// Longest restore of a state of that age.
    pub rto: Figure,
    /// The age at which the next range begins; `None`: it has no end. Of age zero it is zero.
    pub to_seconds: Option<i64>,
}

impl AgeRange {
    /// Whether it is that of what is lost when the database is lost now.
    pub fn is_now(&self) -> bool {
        self.from_seconds == 0 && self.to_seconds == Some(0)
    }
}

/// A figure and what was promised of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figure {
    /// Where it is broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter_example: Option<CounterExample>,
    /// It is not less than this, as far as is known.
    pub least_seconds: i64,
    /// What to do so that it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<String>,
    /// It is not more than this; `None`: that is not known.
    pub most_seconds: Option<i64>,
    /// What it is the sum of.
    pub parts: Vec<Part>,
    /// What was promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promised: Option<Promise>,
    /// Where a state of that age comes from; `None`: from nowhere, or it does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// How it stands.
    pub verdict: Verdict,
    /// The verdict in words.
    pub why: String,
}

/// Where a state comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Whether the log is rolled forward from there.
    pub log: bool,
    /// Method.
    pub method: MethodName,
    /// Series.
    pub series: SeriesName,
    /// Tier.
    pub tier: TierName,
}

/// A part of a sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How much; `None`: it is not known.
    pub seconds: Option<i64>,
    /// Where the figure comes from.
    pub source: Source,
    /// Of what.
    pub what: PartKind,
}

/// What takes time, or lets states be apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartKind {
    /// The largest time between two states, by schedule and retention.
    Gap,
    /// Failed runs in a row that shall be survived.
    Failures,
    /// Until a new state is stored and verified.
    Run,
    /// How far the archived log is behind.
    Lag,
    /// Until archived data can be read.
    Thaw,
    /// Transfer, decryption, decompression, load, replay and checks.
    Restore,
}

/// Where a figure comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// From schedules and retention rules.
    Policy,
    /// It was really done.
    Measured {
        /// The newest of those that count.
        at: Timestamp,
        /// Stored bytes that were read by it; 0 where that says nothing.
        bytes: u64,
        /// How many count.
        count: usize,
    },
    /// Somebody says so in the policy.
    Declared,
    /// The vendor says that it typically takes so long: an assumption.
    VendorTypical,
    /// Nobody knows.
    Unknown {
        /// It cannot be more than this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most_seconds: Option<i64>,
    },
}

/// One case in which a promise is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterExample {
    /// Somebody needs it then.
    pub at: Timestamp,
    /// The state that there is instead; `None`: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point: Option<RecoveryPointId>,
    /// Where it would be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<TierName>,
    /// The moment that is wanted.
    pub wanted: Timestamp,
}

/// The sentence: any time in this window, within this time, last proven then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The states are at most so far apart; 0: any time.
    pub apart_seconds: i64,
    /// The oldest of them.
    pub from: Timestamp,
    /// The test that proved it.
    pub tested: Tested,
    /// The newest of them.
    pub to: Timestamp,
    /// A restore takes no longer than this.
    pub within_seconds: i64,
}

/// A change of the policy that helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggestion {
    /// Stored bytes that it adds once it has been in force for long; `None`: sizes are not known.
    pub adds_bytes: Option<u64>,
    /// Copies that it adds.
    pub adds_copies: i64,
    /// What is still to be measured then; `None`: it proves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<String>,
    /// What the promise is that it mends.
    pub mends: CheckId,
    /// What is then proved, or at least no more violated.
    pub then: Verdict,
    /// To be pasted.
    pub toml: String,
    /// What it is, in words.
    pub what: String,
    /// Where: the table that the lines belong to, and what they replace there.
    pub place: String,
}

/// How a database stands against one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The database.
    pub database: DatabaseName,
    /// An exception that holds now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<ExceptionDeclaration>,
    /// Recovery points that are concerned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<RecoveryPointId>,
    /// Which check.
    pub id: CheckId,
    /// What was asked.
    pub parameters: CheckRule,
    /// What a failure means.
    pub severity: CheckSeverity,
    /// How it stands.
    pub verdict: Verdict,
    /// The verdict in words.
    pub why: String,
}

impl CheckResult {
    /// Whether it keeps a proof from being one.
    pub fn fails(&self) -> bool {
        self.severity == CheckSeverity::Error
            && self.exception.is_none()
            && matches!(self.verdict, Verdict::Violated | Verdict::Unproven)
    }
}
