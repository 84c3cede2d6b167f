//! What was computed of the controls: verdicts with the numbers behind them. Format `mainstay.assessment.v1`.

use crate::{DatabaseName, Digest, RecoveryPointId, evidence::RetentionEvidence};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};

/// Everything that was computed from the facts. Fields in alphabetical order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// Every control, in the order of the catalogue.
    pub controls: Vec<ControlResult>,
    /// How much is covered.
    pub coverage: Coverage,
    /// SHA-256 of the canonical JSON of the facts.
    pub facts: Digest,
    /// `mainstay.assessment.v1`.
    pub format: String,
    /// Objectives, by database.
    pub objectives: Vec<ObjectiveRow>,
    /// Restores and drills of the period, by database.
    pub recoveries: Vec<RecoveryRow>,
    /// What was computed of retention.
    pub retention: RetentionEvidence,
    /// The points that an auditor's seed chose; empty: no sample was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<SampledPoint>,
    /// The seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_seed: Option<String>,
}

impl Assessment {
    /// Value of `format`.
    pub const FORMAT: &'static str = "mainstay.assessment.v1";

    /// How many controls have a verdict.
    pub fn count(&self, verdict: ControlVerdict) -> usize {
        self.controls
            .iter()
            .filter(|control| control.verdict == verdict)
            .count()
    }
}

/// The verdict of a control; sorts by how much attention it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlVerdict {
    /// It is not met.
    NotMet,
    /// The facts do not tell.
    CannotTell,
    /// It is not met, and somebody has accepted that until a date.
    Exception,
    /// It is met.
    Met,
    /// There is nothing that it applies to.
    NotApplicable,
}

impl ControlVerdict {
    /// The words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotMet => "not met",
            Self::CannotTell => "cannot tell",
            Self::Exception => "exception",
            Self::Met => "met",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// One control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlResult {
    /// What it demands, one sentence.
    pub demands: Cow<'static, str>,
    /// Stable id.
    pub id: Cow<'static, str>,
    /// Controls of frameworks that it gives evidence for.
    pub maps_to: Vec<FrameworkControl>,
    /// Each thing that was judged, those that need attention first.
    pub subjects: Vec<SubjectResult>,
    /// Title.
    pub title: Cow<'static, str>,
    /// Verdict.
    pub verdict: ControlVerdict,
    /// In one sentence, with numbers.
    pub why: String,
}

/// A control of a framework.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkControl {
    /// Id there.
    pub control: Cow<'static, str>,
    /// Framework.
    pub framework: Cow<'static, str>,
}

/// One thing that was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectResult {
    /// The numbers behind the verdict.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<Cow<'static, str>, i64>,
    /// What was judged: a database, a copy, a key.
    pub subject: String,
    /// Verdict.
    pub verdict: ControlVerdict,
    /// In words.
    pub why: String,
}

/// How much is covered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Databases that the policy declares.
    pub declared: u64,
    /// Declared databases with at least one good copy.
    pub protected: u64,
    /// Databases found on the same servers that nothing declares.
    pub undeclared: Vec<String>,
    /// Servers that could not be asked, and why.
    pub unknown: Vec<String>,
}

/// How a database stands against what was promised of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectiveRow {
    /// Age of the newest good point.
    pub age_seconds: Option<i64>,
    /// Database.
    pub database: DatabaseName,
    /// The newest good point.
    pub newest: Option<RecoveryPointId>,
    /// Largest loss that is promised.
    pub rpo_seconds: Option<i64>,
    /// Verdict.
    pub rpo: ControlVerdict,
    /// Longest restore that is promised.
    pub rto_seconds: Option<i64>,
    /// Verdict.
    pub rto: ControlVerdict,
    /// The longest of the restores and drills of the period that ended well.
    pub slowest_milliseconds: Option<u64>,
}

/// One restore or drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRow {
    /// When it ended.
    pub at: Timestamp,
    /// Checks that were made.
    pub checks: u64,
    /// Database.
    pub database: DatabaseName,
    /// Checks that failed.
    pub failed_checks: u64,
    /// Its record.
    pub id: String,
    /// What it took.
    pub milliseconds: u64,
    /// Whether it ended well.
    pub passed: bool,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// Longest restore that was promised then.
    pub rto_seconds: Option<u64>,
    /// `drill …` or `restore`.
    pub what: String,
    /// Who did it.
    pub who: String,
}

/// A point that the auditor's seed chose, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampledPoint {
    /// Its place in the draw.
    pub draw: u64,
    /// Its evidence, oldest first, in words.
    pub evidence: Vec<String>,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// Digest that decided its place.
    pub rank: Digest,
}
