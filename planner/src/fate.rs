//! What becomes of a copy under a plan: kept and why, not named by the policy at all, or let go.
//!
//! Read off a finished plan, never decided a second time. Not here: comparing two plans (`diff`), telling it (`explain`).

use model::{Action, DatabaseName, Plan, Reason, RecoveryPoint, SeriesName, Step, TierName};
use policy_schema::Policy;
use serde::Serialize;
use std::{collections::HashMap, sync::Arc};

/// What is gone from the policy, so that it names a copy no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gone {
    /// The database.
    Database,
    /// The series.
    Series,
    /// The tier's declaration: nothing there can be reached.
    Tier,
    /// The tier from the series' `keep`.
    Keep,
    /// The place of the tier: another one has its name now.
    Place,
}

/// What a policy does with a copy.
pub(crate) enum Fate<'a> {
    /// Something keeps it.
    Kept(&'a [Arc<str>]),
    /// No rule speaks of it, so nothing deletes it.
    Unnamed,
    /// It goes as soon as that is safe.
    NotKept,
}

/// A plan, to be asked for one copy after the other.
pub(crate) struct Fates<'a> {
    policy: &'a Policy,
    kept: HashMap<(&'a str, &'a str), &'a [Arc<str>]>,
    pruned: HashMap<(&'a str, &'a str), &'a Step>,
    waiting: HashMap<&'a str, &'a Reason>,
}

impl<'a> Fates<'a> {
    pub(crate) fn new(policy: &'a Policy, plan: &'a Plan) -> Self {
        let pruned = plan
            .steps
            .iter()
            .filter(|step| step.action == Action::Prune)
            .map(|step| ((step.recovery_point.as_str(), step.tier.as_str()), step));
        let kept = plan.kept.iter().map(|kept| {
            let key = (kept.recovery_point.as_str(), kept.tier.as_str());
            (key, kept.reasons.as_slice())
        });
        let waiting = plan
            .not_planned
            .iter()
            .map(|item| (item.what.as_str(), &item.reason));
        Self {
            policy,
            kept: kept.collect(),
            pruned: pruned.collect(),
            waiting: waiting.collect(),
        }
    }

    pub(crate) fn of(&self, point: &RecoveryPoint, tier: &TierName) -> Fate<'a> {
        if gone(self.policy, &point.database, &point.series, tier).is_some() {
            return Fate::Unnamed;
        }
        match self.kept.get(&(point.id.as_str(), tier.as_str())) {
            Some(reasons) => Fate::Kept(reasons),
            None => Fate::NotKept,
        }
    }

    pub(crate) fn step(&self, point: &RecoveryPoint, tier: &TierName) -> Option<&'a Step> {
        let key = (point.id.as_str(), tier.as_str());
        self.pruned.get(&key).copied()
    }

    /// Why a copy that nothing keeps is not deleted now.
    pub(crate) fn obstacle(&self, point: &RecoveryPoint, tier: &TierName) -> Option<Reason> {
        let one = format!("prune {}@{tier}", point.id);
        let reason = self.waiting.get(one.as_str()).copied();
        let reason = reason.or_else(|| {
            // Said once for all of them: `prune 5 of orders/daily@nas`.
            let all = format!(" of {}/{}@{tier}", point.database, point.series);
            let mut waiting = self.waiting.iter();
            let found =
                waiting.find(|(what, _)| what.starts_with("prune ") && what.ends_with(&all));
            found.map(|(_, reason)| *reason)
        });
        reason.cloned()
    }
}

/// What of the policy is missing that would name a copy; `None`: nothing.
pub(crate) fn gone(
    policy: &Policy,
    database: &DatabaseName,
    series: &SeriesName,
    tier: &TierName,
) -> Option<Gone> {
    let Some(declared) = policy.databases.get(database) else {
        return Some(Gone::Database);
    };
    let Some(declared) = declared.series.get(series) else {
        return Some(Gone::Series);
    };
    if declared.keep.iter().any(|(named, _)| named == tier) {
        return None;
    }
    Some(if policy.tiers.contains_key(tier) {
        Gone::Keep
    } else {
        Gone::Tier
    })
}
