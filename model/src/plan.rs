//! The plan: the interface between deciding and doing.
//!
//! Format `mainstay.plan.v1` (design.md §6, `docs/formats/plan.md`). The same policy, inventory and `now` give the same bytes.
//! `id` is the SHA-256 of the canonical JSON of the plan without `id` (see `canonical`).

use crate::{
    approval::ApprovalRules,
    canonical,
    names::{DatabaseName, SeriesName, TierName},
    policy_source::PolicySource,
    reason::Reason,
    recovery_point_id::RecoveryPointId,
    retention::Keep,
    step::Step,
    units::Digest,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Value of [`Plan::format`].
pub const FORMAT: &str = "mainstay.plan.v1";

/// What is to be done, what is kept, what waits, and why. Fields in alphabetical order: it is digested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Whether there is anything that `apply` could do.
    pub applyable: bool,
    /// Why the plan as a whole needs approval; empty when it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approval: Vec<Reason>,
    /// Who may approve, as the policy says; in force once it was applied, and then only changed with the approval of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_rules: Option<ApprovalRules>,
    /// `now` of the planner.
    pub evaluated_at: Timestamp,
    /// [`FORMAT`].
    pub format: String,
    /// Digest of all the rest; `None` only while it is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Digest>,
    /// Digest of the inventory that it was made from.
    pub inventory_digest: Digest,
    /// Every copy that a rule, a hold or a chain keeps, and why.
    pub kept: Vec<Kept>,
    /// Slots that passed without a point and will not be made up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<Missed>,
    /// Whether a step in it needs `apply --approve <id>`.
    pub needs_approval: bool,
    /// When each series runs next.
    pub next_slots: Vec<NextSlot>,
    /// What is waiting or blocked, and why.
    pub not_planned: Vec<NotPlanned>,
    /// Digest of the policy that it was made from.
    pub policy_digest: Digest,
    /// Where the policy comes from, if it lies in a Git repository and the plan was made from reality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_source: Option<PolicySource>,
    /// Retention rules of every declared series and tier, recorded as in force after a complete apply.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retention: BTreeMap<DatabaseName, BTreeMap<SeriesName, BTreeMap<TierName, Keep>>>,
    /// The nodes of the DAG in an order that respects `after`.
    pub steps: Vec<Step>,
}

/// A copy that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// `daily 1 of 7`, `held`, `needed by …`; shared, because a million points have few different reasons.
    pub reasons: Vec<Arc<str>>,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// Tier.
    pub tier: TierName,
}

/// Something a reader may expect but that is not in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotPlanned {
    /// Why not.
    pub reason: Reason,
    /// What: a step in words, `prune orders/daily/…@nas`.
    pub what: String,
}

/// Slots that are lost: a backup shows only now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// How many.
    pub count: u32,
    /// Database.
    pub database: DatabaseName,
    /// The oldest of them.
    pub first: Timestamp,
    /// The newest of them.
    pub last: Timestamp,
    /// Series.
    pub series: SeriesName,
}

/// The next time a series runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextSlot {
    /// When.
    pub at: Timestamp,
    /// Database.
    pub database: DatabaseName,
    /// Series.
    pub series: SeriesName,
}

impl Plan {
    /// Leaves these steps and nothing else: such a plan tells nothing of what is kept, brings no retention into force and asks nobody.
    /// What was not planned is left out too. It is not sealed.
    pub fn narrow_to(&mut self, steps: Vec<Step>) {
        self.applyable = !steps.is_empty();
        self.steps = steps;
        self.not_planned.clear();
        self.kept.clear();
        self.missed.clear();
        self.approval.clear();
        self.needs_approval = false;
        self.approval_rules = None;
        self.retention.clear();
    }

    /// Computes the id over everything else and sets it.
    pub fn seal(mut self) -> serde_json::Result<Self> {
        self.id = None;
        self.id = Some(canonical::digest(&self)?);
        Ok(self)
    }

    /// Whether `id` is the digest of the rest: a saved plan that somebody edited is not.
    pub fn is_intact(&self) -> serde_json::Result<bool> {
        let bare = Self {
            id: None,
            ..self.clone()
        };
        Ok(self.id == Some(canonical::digest(&bare)?))
    }
}
