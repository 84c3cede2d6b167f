//! What happens in a run, typed: for operators, the journal and progress bars. `tracing` is for developers.
//!
//! Format `mainstay.event.v1`: one JSON object a line (`apply --json`); described in `docs/formats/events.md`.

use crate::{
    disposition::Disposition,
    reason::Reason,
    step::StepId,
    units::{ByteCount, Digest},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Value of [`RunEvent::format`].
pub const FORMAT: &str = "mainstay.event.v1";

/// One event of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEvent {
    /// [`FORMAT`].
    pub format: String,
    /// Run it belongs to.
    pub run: String,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// The run begins.
    RunStarted {
        /// Plan that is carried out.
        plan: Digest,
        /// How many steps it has.
        steps: usize,
    },
    /// Something that a crashed run left behind was removed.
    CleanedUp {
        /// What it was.
        what: String,
    },
    /// A step begins its n-th try.
    StepStarted {
        /// The step.
        step: StepId,
        /// 1 for the first try.
        attempt: u32,
    },
    /// Bytes moved so far; not journaled.
    StepProgress {
        /// The step.
        step: StepId,
        /// Plain bytes so far.
        bytes: ByteCount,
        /// Expected total, if known.
        total: Option<ByteCount>,
    },
    /// A try failed and another will follow.
    StepRetried {
        /// The step.
        step: StepId,
        /// What went wrong.
        error: Failure,
        /// Pause before the next try.
        after_seconds: u64,
    },
    /// A step has ended.
    StepFinished {
        /// The step.
        step: StepId,
        /// How; `outcome` and what belongs to it stand beside the other fields.
        #[serde(flatten)]
        outcome: Outcome,
        /// Wall time of all tries.
        milliseconds: u64,
        /// Stored bytes written, read or freed.
        bytes: Option<ByteCount>,
    },
    /// The run has ended.
    RunFinished {
        /// Counts of outcomes.
        summary: Summary,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Done now.
    Done,
    /// It had been done before.
    AlreadyDone,
    /// It was tried and failed.
    Failed {
        /// What went wrong.
        error: Failure,
    },
    /// Not tried: something that it needs did not happen, or the run was stopped.
    Skipped {
        /// Why.
        why: String,
    },
    /// Not tried: its precondition no longer holds (exit 7).
    Stale {
        /// What changed.
        why: String,
    },
    /// Not tried: the guard, a hold or a lock forbids it (exit 10).
    Blocked {
        /// What forbids it.
        reason: Reason,
    },
    /// Not tried: needs approval (exit 3).
    NeedsApproval,
}

/// An error as it is reported: code, words, way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `mainstay::<area>::<name>`, with a page in `docs/errors/`.
    pub code: String,
    /// The message with its causes, joined by `: `.
    pub message: String,
    /// One sentence an operator can act on.
    pub help: Option<String>,
    /// Whether another try could help.
    pub disposition: Disposition,
}

/// Counts of a finished run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Steps done in this run.
    pub done: u32,
    /// Steps that had been done before.
    pub already_done: u32,
    /// Steps that failed.
    pub failed: u32,
    /// Steps not tried.
    pub skipped: u32,
    /// Steps refused because their precondition no longer holds.
    pub stale: u32,
    /// Steps that the guard, a hold or a lock forbids.
    pub blocked: u32,
    /// Steps that wait for approval.
    pub needs_approval: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, RecoveryPointId, TierName};

    #[test]
    fn an_event_is_one_flat_object_and_reads_back() {
        let point = RecoveryPointId::parse("orders/daily/20261121T020000Z").unwrap();
        let event = RunEvent {
            format: FORMAT.to_owned(),
            run: "run-1".to_owned(),
            at: "2026-11-21T02:00:00Z".parse().unwrap(),
            what: What::StepFinished {
                step: StepId::new(Action::Backup, &point, &TierName::new("nas").unwrap()),
                outcome: Outcome::Skipped {
                    why: "stopped".to_owned(),
                },
                milliseconds: 12,
                bytes: Some(ByteCount(7)),
            },
        };
        let text = serde_json::to_string(&event).unwrap();
        insta::assert_snapshot!(text, @r#"{"format":"mainstay.event.v1","run":"run-1","at":"2026-11-21T02:00:00Z","event":"step-finished","step":"backup:orders/daily/20261121T020000Z@nas","outcome":"skipped","why":"stopped","milliseconds":12,"bytes":7}"#);
        assert_eq!(serde_json::from_str::<RunEvent>(&text).unwrap(), event);
    }
}
