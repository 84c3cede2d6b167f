//! What the rules have decided so far for one series, and how a step is written down.
//!
//! Invariant: rules only add; a later rule reads what an earlier one decided, never changes it.

use crate::{
    facts::SeriesFacts,
    retention::{Verdict, Why, calendar::Moment},
};
use jiff::{SignedDuration, Timestamp};
use model::{
    Action, ByteCount, DatabaseName, Keep, Reason, ReasonCode, RecoveryPointId, SeriesName, Step,
    StepId, TierName, VerifyLevel,
    plan::{Kept, Missed, NextSlot, NotPlanned},
    step::{Limits, Precondition},
};
use policy_schema::policy::Window;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// Words of verdicts, shared: a million points have few different reasons.
#[derive(Default)]
pub(crate) struct Words(HashMap<Why, Arc<str>>);

impl Words {
    pub(crate) fn of(&mut self, why: Why) -> Arc<str> {
        Arc::clone(
            self.0
                .entry(why)
                .or_insert_with(|| Arc::from(why.to_string())),
        )
    }
}

/// What goes into the plan.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) steps: Vec<Step>,
    pub(crate) kept: Vec<Kept>,
    pub(crate) not_planned: Vec<NotPlanned>,
    pub(crate) missed: Vec<Missed>,
    pub(crate) next_slots: Vec<NextSlot>,
    pub(crate) approval: Vec<Reason>,
    /// Rules that stay in force although the policy has shortened them, because what they keep is still there.
    pub(crate) still_in_force: Vec<(DatabaseName, SeriesName, TierName, Keep)>,
}

impl Output {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.steps.append(&mut other.steps);
        self.kept.append(&mut other.kept);
        self.not_planned.append(&mut other.not_planned);
        self.missed.append(&mut other.missed);
        self.next_slots.append(&mut other.next_slots);
        self.approval.append(&mut other.approval);
        self.still_in_force.append(&mut other.still_in_force);
    }

    pub(crate) fn wait(&mut self, what: String, code: ReasonCode, text: impl Into<String>) {
        self.not_planned.push(NotPlanned {
            reason: Reason::new(code, text.into()),
            what,
        });
    }
}

/// A recovery point that this plan makes.
pub(crate) struct Candidate {
    pub(crate) id: RecoveryPointId,
    pub(crate) slot: Timestamp,
    pub(crate) moment: Moment,
    pub(crate) reason: Reason,
    pub(crate) bytes: Option<ByteCount>,
    /// Tier that it is made on, once one was found.
    pub(crate) primary: Option<usize>,
    /// What it is incremental to, the parent first; empty: it is a full one.
    pub(crate) chain: Vec<usize>,
}

/// What the plan does on one tier of the series.
#[derive(Default)]
pub(crate) struct TierDraft {
    /// Points that retention wants here, whether they are here or not.
    pub(crate) wanted: Vec<bool>,
    /// Whether retention wants the candidate here.
    pub(crate) wants_candidate: bool,
    /// Points that get a new copy here in this plan.
    pub(crate) made: BTreeSet<usize>,
    /// Whether the candidate gets a copy here in this plan.
    pub(crate) makes_candidate: bool,
    /// Points whose copy here is verified in this plan.
    pub(crate) verified_now: BTreeSet<usize>,
    /// Points whose copy here is thawed in this plan.
    pub(crate) thawed_now: BTreeSet<usize>,
    /// Until when retention is certain to keep each point here; empty where nothing is locked for as long as that.
    pub(crate) kept_until: Vec<Option<Timestamp>>,
    /// The same of the candidate.
    pub(crate) candidate_kept_until: Option<Timestamp>,
    /// The verdict on each point that is here; without reasons for all others.
    pub(crate) verdicts: Vec<Verdict>,
    /// The same while unverified points use up nothing: what it keeps is not deleted yet.
    pub(crate) cautious: Vec<Verdict>,
    /// Reasons beside the rules: newest, needed by a chain.
    pub(crate) also_kept: Vec<Vec<Arc<str>>>,
}

impl TierDraft {
    pub(crate) fn keeps(&self, index: usize) -> bool {
        self.verdicts[index].is_kept() || !self.also_kept[index].is_empty()
    }
}

/// The decisions about one series.
pub(crate) struct Draft<'w> {
    pub(crate) output: Output,
    pub(crate) candidate: Option<Candidate>,
    pub(crate) tiers: Vec<TierDraft>,
    pub(crate) words: &'w mut Words,
}

impl<'w> Draft<'w> {
    pub(crate) fn new(facts: &SeriesFacts<'_>, words: &'w mut Words) -> Self {
        let points = facts.points.len();
        Self {
            output: Output::default(),
            candidate: None,
            tiers: facts
                .tiers
                .iter()
                .map(|_| TierDraft {
                    wanted: vec![false; points],
                    also_kept: vec![Vec::new(); points],
                    ..TierDraft::default()
                })
                .collect(),
            words,
        }
    }
}

/// Time and tries of a window.
pub(crate) fn limits(window: &Window) -> Limits {
    let seconds = |duration: SignedDuration| u64::try_from(duration.as_secs()).unwrap_or(0);
    Limits {
        retries: window.retries,
        retry_after_seconds: seconds(window.retry_after),
        timeout_seconds: seconds(window.timeout),
    }
}

/// Whom a step concerns.
pub(crate) struct Subject<'a> {
    pub(crate) database: &'a DatabaseName,
    pub(crate) series: &'a SeriesName,
    pub(crate) point: &'a RecoveryPointId,
    pub(crate) tier: &'a TierName,
    pub(crate) limits: Limits,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(
        facts: &SeriesFacts<'a>,
        tier: &'a TierName,
        point: &'a RecoveryPointId,
    ) -> Self {
        Self {
            database: &facts.database.name,
            series: &facts.series.name,
            point,
            tier,
            limits: limits(&facts.series.window),
        }
    }

    /// A step with nothing special about it.
    pub(crate) fn step(&self, action: Action, reason: Reason) -> Step {
        Step {
            drill: None,
            parent: None,
            wal: Vec::new(),
            action,
            after: Vec::new(),
            bytes: None,
            database: self.database.clone(),
            destructive: false,
            encrypt_for: Vec::new(),
            from: None,
            id: StepId::new(action, self.point, self.tier),
            justified_by: Vec::new(),
            level: None,
            limits: self.limits,
            lock: None,
            method: None,
            min_verified: None,
            needs_approval: false,
            reason,
            recovery_point: self.point.clone(),
            requires: Vec::new(),
            retention: None,
            series: self.series.clone(),
            slot: None,
            thaw: None,
            tier: self.tier.clone(),
        }
    }

    /// A verification of the copy, after `made_by` if this plan makes it.
    pub(crate) fn verify(
        &self,
        level: VerifyLevel,
        bytes: Option<ByteCount>,
        reason: Reason,
        made_by: Option<StepId>,
    ) -> Step {
        Step {
            after: made_by.into_iter().collect(),
            bytes,
            level: Some(level),
            requires: vec![self.present()],
            ..self.step(Action::Verify, reason)
        }
    }

    pub(crate) fn absent(&self) -> Precondition {
        Precondition::Absent {
            recovery_point: self.point.clone(),
            tier: self.tier.clone(),
        }
    }

    pub(crate) fn present(&self) -> Precondition {
        Precondition::Present {
            recovery_point: self.point.clone(),
            tier: self.tier.clone(),
        }
    }
}

/// The precondition that the copy of `point` on `tier` has passed a verification.
pub(crate) fn verified(point: &RecoveryPointId, tier: &TierName) -> Precondition {
    Precondition::Verified {
        recovery_point: point.clone(),
        tier: tier.clone(),
    }
}
