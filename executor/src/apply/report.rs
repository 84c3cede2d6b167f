//! What became of a run: one outcome for each step, and what that means as a whole.

use crate::{
    audit::ExportReport, rewrap::NEEDS_APPROVAL, schedule::GraphError, steps::error::chain,
};
use catalog::CatalogError;
use jiff::Timestamp;
use model::{
    ByteCount, Digest, Disposition, StepId,
    approval::ApprovalVerdict,
    event::{Failure, Outcome, Summary},
};
use std::{collections::BTreeSet, io};

/// A run that has ended, well or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// Names the run.
    pub run: String,
    /// Plan that was carried out.
    pub plan: Digest,
    /// Counts of outcomes.
    pub summary: Summary,
    /// Every step of the plan, in its order.
    pub steps: Vec<StepReport>,
    /// What crashed runs had left behind and is settled now.
    pub cleaned: Vec<String>,
    /// Deletions that only the plan itself calls routine, and that nobody who may has approved.
    pub not_routine: BTreeSet<StepId>,
    /// What the signatures of a plan that needs approval are worth, where signatures count.
    pub approval: Option<ApprovalVerdict>,
    /// Whether the policy wants weaker rules of approval than are in force, and nobody who may has agreed.
    pub rules_withheld: bool,
    /// Why the run stopped before its end, if it did.
    pub stopped: Option<Failure>,
    /// What was done but could not be recorded in the catalog's journal.
    pub gaps: Vec<Failure>,
    /// What became of the exports of the audit; no part of how the run ended.
    pub audit: ExportReport,
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// The step.
    pub step: StepId,
    /// How it ended.
    pub outcome: Outcome,
    /// Wall time of all its tries.
    pub milliseconds: u64,
    /// Stored bytes written, read or freed.
    pub bytes: Option<ByteCount>,
}

/// What a run means as a whole, worst first; the root package gives each its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// It was stopped before its end, or lost its lease (exit 1).
    Stopped,
    /// Steps failed and nothing was done (exit 1).
    Failed,
    /// Some steps failed, others were done (exit 9).
    SomeFailed,
    /// Destructive steps wait for approval (exit 3).
    NeedsApproval,
    /// Steps were refused because the world has changed since the plan (exit 7).
    Stale,
    /// Steps are forbidden by the guard, a hold or a lock (exit 10).
    Blocked,
    /// Everything is done (exit 0).
    Done,
}

impl RunReport {
    /// What the run means as a whole.
    pub fn end(&self) -> RunEnd {
        let Summary {
            done,
            already_done,
            failed,
            stale,
            blocked,
            needs_approval,
            ..
        } = self.summary;
        if self.stopped.is_some() {
            RunEnd::Stopped
        } else if failed > 0 {
            if done + already_done > 0 {
                RunEnd::SomeFailed
            } else {
                RunEnd::Failed
            }
        } else if needs_approval > 0 || self.rules_withheld {
            RunEnd::NeedsApproval
        } else if stale > 0 {
            RunEnd::Stale
        } else if blocked > 0 {
            RunEnd::Blocked
        } else {
            RunEnd::Done
        }
    }
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The plan's id is not the digest of its content.
    #[error("the plan is not as it was made: its id does not agree with its content")]
    PlanEdited,
    /// The plan is of another version.
    #[error("the plan's format is `{0}`, which this version cannot carry out")]
    PlanFormat(String),
    /// The steps are no DAG.
    #[error("the plan cannot be carried out")]
    PlanInvalid(#[from] GraphError),
    /// Another run holds the lease (exit 8).
    #[error("another run is under way: {holder}, since {since}")]
    Locked {
        /// Who, in words.
        holder: String,
        /// Since when.
        since: Timestamp,
        /// When its lease ends unless it is renewed.
        expires: Timestamp,
    },
    /// The scratch folder cannot be used.
    #[error("cannot use the scratch folder")]
    Scratch(#[source] io::Error),
    /// What a crashed run left behind could not be settled.
    #[error("cannot clean up after a crashed run")]
    CleanUp(Failure),
    /// Rules of approval are in force, and too few have signed (exit 3).
    #[error("{what} needs approval: {verdict}")]
    NeedsApproval {
        /// The act, in words.
        what: String,
        /// What is to be signed.
        id: Digest,
        /// What the signatures are worth.
        verdict: Box<ApprovalVerdict>,
    },
    /// What would be signed has no digest.
    #[error("cannot say what is to be signed")]
    Unsignable(#[source] serde_json::Error),
    /// The catalog could not be read or written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What to do where a request lacks signatures.
pub fn how_to_sign(id: &Digest) -> String {
    format!(
        "nothing was changed; those who may, sign with `mainstay approve {id} --key FILE`, then give this command again"
    )
}

impl RunError {
    /// Every code, for the test that each has its page in `docs/errors/`.
    pub const CODES: &'static [&'static str] = &[
        NEEDS_APPROVAL,
        "mainstay::run::clean-up",
        "mainstay::run::locked",
        "mainstay::run::plan-edited",
        "mainstay::run::plan-format",
        "mainstay::run::plan-invalid",
        "mainstay::run::scratch",
    ];

    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PlanEdited => "mainstay::run::plan-edited",
            Self::PlanFormat(_) => "mainstay::run::plan-format",
            Self::PlanInvalid(_) => "mainstay::run::plan-invalid",
            Self::Locked { .. } => "mainstay::run::locked",
            Self::Scratch(_) => "mainstay::run::scratch",
            Self::CleanUp(_) => "mainstay::run::clean-up",
            Self::NeedsApproval { .. } | Self::Unsignable(_) => NEEDS_APPROVAL,
            Self::Catalog(error) => error.code(),
        }
    }

    /// One sentence that an operator can act on.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::PlanEdited | Self::PlanInvalid(_) => {
                "make the plan again with `mainstay plan --out FILE` and do not edit it"
            }
            Self::PlanFormat(_) => "make the plan again with this version of mainstay",
            Self::Locked { expires, .. } => {
                return Some(format!(
                    "wait for the other run, or give `--lease-wait`; if it has died, its lease ends by itself at {expires}"
                ));
            }
            Self::Scratch(_) => {
                "give this user a writable folder with free space for scratch files, then run `mainstay apply` again"
            }
            Self::CleanUp(failure) => return failure.help.clone(),
            Self::NeedsApproval { id, .. } => return Some(how_to_sign(id)),
            Self::Unsignable(_) => return None,
            Self::Catalog(error) => return error.help(),
        };
        Some(text.to_owned())
    }

    /// Whether another try could help.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::PlanEdited | Self::PlanFormat(_) | Self::PlanInvalid(_) => Disposition::Permanent,
            Self::Locked { .. } => Disposition::Retry,
            Self::Scratch(_) | Self::NeedsApproval { .. } | Self::Unsignable(_) => {
                Disposition::NeedsOperator
            }
            Self::CleanUp(failure) => failure.disposition,
            Self::Catalog(error) => error.disposition(),
        }
    }

    /// The same as plain data.
    pub fn to_failure(&self) -> Failure {
        let message = match self {
            Self::CleanUp(failure) => format!("{self}: {}", failure.message),
            other => chain(other),
        };
        Failure {
            code: self.code().to_owned(),
            message,
            help: self.help(),
            disposition: self.disposition(),
        }
    }
}
