//! How long a restore would take, from restores that were really done: the estimate behind the RTO, with its date and its count.
//!
//! An estimate is the median of the newest few restores by the same method from the same tier, each scaled up to the size of what
//! would be restored now. It is never scaled down, and of each the first seconds are taken for what does not grow with the size: so it
//! errs to the long side. Nothing is estimated that was never measured: not proved is said, and is no number.
//! What a proof counts with is stricter, and beside it (`measured`): the slowest of twenty, and no long way from one size to another.
//! Not here: measuring (`executor`), words on a screen (root package).

pub(crate) mod measured;

use crate::{draft::Output, facts::BySeries};
use jiff::Timestamp;
use measured::{chain_bytes, scaled};
use model::{
    DatabaseName, Inventory, MethodName, PointState, ReasonCode, RecoveryPoint, RecoveryPointId,
    TierName,
    inventory::{DrillFact, MeasuredRestore},
};
use policy_schema::policy::DatabaseDeclaration;
use serde::Serialize;
use std::collections::BTreeMap;

/// Restores that an estimate is made of, the newest.
const COUNTED: usize = 5;

/// How a database stands against its RTO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RtoStatus {
    /// What a restore would take now on the fastest measured way; `None`: not proved yet.
    pub estimate: Option<Estimate>,
    /// The estimate of every way that was measured and could be gone now.
    pub estimates: Vec<Estimate>,
    /// Drills whose newest run failed.
    pub failed_drills: Vec<FailedDrill>,
    /// The last restore or drill that ended well.
    pub last_proof: Option<Proof>,
    /// What must not be exceeded.
    pub maximum_seconds: Option<i64>,
    /// Where one wants to be.
    pub target_seconds: Option<i64>,
    /// How it stands.
    pub verdict: RtoVerdict,
    /// The verdict in words.
    pub why: String,
}

/// What a restore would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Stored bytes that would be read.
    pub bytes: u64,
    /// Restores that it was made of.
    pub measured: usize,
    /// The newest of them.
    pub measured_at: Timestamp,
    /// Method.
    pub method: MethodName,
    /// The point that would be restored.
    pub recovery_point: RecoveryPointId,
    /// What it would take.
    pub seconds: u64,
    /// Tier.
    pub tier: TierName,
}

/// A restore or drill that ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// When.
    pub at: Timestamp,
    /// The drill; `None`: a restore.
    pub drill: Option<String>,
    /// Method.
    pub method: MethodName,
    /// What it took.
    pub milliseconds: u64,
    /// Tier.
    pub tier: TierName,
}

/// A drill whose newest run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedDrill {
    /// When.
    pub at: Timestamp,
    /// Its name.
    pub name: String,
    /// What it tried to restore.
    pub recovery_point: RecoveryPointId,
}

/// How a database stands against its RTO, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RtoVerdict {
    /// The estimate is within the target.
    Met,
    /// Nothing was promised.
    NoObjective,
    /// Nothing was measured yet: not a violation, and not a proof.
    NotProved,
    /// Over the target, within the maximum.
    Late,
    /// Over the maximum.
    Violated,
    /// The newest run of a drill failed.
    DrillFailed,
}

impl RtoVerdict {
    /// Whether `mainstay status` ends with exit 6.
    pub fn fails(self) -> bool {
        matches!(self, Self::Violated | Self::DrillFailed)
    }
}

/// How a declared database stands; `points` are its complete ones.
pub(crate) fn of_database(
    inventory: &Inventory,
    database: &DatabaseDeclaration,
    points: &[&RecoveryPoint],
) -> RtoStatus {
    let none = Vec::new();
    let measured = inventory.restores.get(&database.name).unwrap_or(&none);
    let estimates = estimates(inventory, measured, points);
    let estimate = estimates.iter().min_by_key(|one| one.seconds).cloned();
    let failed_drills = failed_drills(inventory, database);
    let objective = database.objective.rto;
    let (verdict, why) = judge(
        estimate.as_ref(),
        &failed_drills,
        objective.map(|rto| (rto.target.as_secs(), rto.maximum.as_secs())),
    );
    RtoStatus {
        estimate,
        estimates,
        failed_drills,
        last_proof: last_proof(inventory, &database.name, measured),
        maximum_seconds: objective.map(|rto| rto.maximum.as_secs()),
        target_seconds: objective.map(|rto| rto.target.as_secs()),
        verdict,
        why,
    }
}

fn estimates(
    inventory: &Inventory,
    measured: &[MeasuredRestore],
    points: &[&RecoveryPoint],
) -> Vec<Estimate> {
    let mut ways: BTreeMap<(&MethodName, &TierName), Vec<&MeasuredRestore>> = BTreeMap::new();
    for one in measured {
        ways.entry((&one.method, &one.tier)).or_default().push(one);
    }
    let by_id: BTreeMap<&RecoveryPointId, &RecoveryPoint> =
        points.iter().map(|point| (&point.id, *point)).collect();
    let mut estimates = Vec::new();
    for ((method, tier), mut restores) in ways {
        if inventory.unreachable_tiers.contains(tier) {
            continue;
        }
        let there = points.iter().filter(|point| {
            let copy = point.copy_on(tier);
            point.method == *method && copy.is_some_and(model::Copy::is_present)
        });
        let Some(newest) = there.max_by_key(|point| (point.captured_at, &point.id)) else {
            continue;
        };
        restores.sort_by_key(|one| std::cmp::Reverse(one.at));
        restores.truncate(COUNTED);
        let bytes = chain_bytes(&by_id, newest);
        let mut times: Vec<u64> = restores.iter().map(|one| scaled(one, bytes)).collect();
        times.sort_unstable();
        // The upper of two middle ones: the long side.
        let Some(median) = times.get(times.len() / 2) else {
            continue;
        };
        estimates.push(Estimate {
            bytes,
            measured: restores.len(),
            measured_at: restores.first().map_or(newest.captured_at, |one| one.at),
            method: method.clone(),
            recovery_point: newest.id.clone(),
            seconds: median.div_ceil(1000),
            tier: tier.clone(),
        });
    }
    estimates
}

pub(crate) fn failed_drills(
    inventory: &Inventory,
    database: &DatabaseDeclaration,
) -> Vec<FailedDrill> {
    let mut newest: BTreeMap<&str, &DrillFact> = BTreeMap::new();
    for fact in &inventory.drills {
        let declared = database.drills.iter().any(|drill| drill.name == fact.name);
        // What was tried by hand counts where nothing is declared that could prove more.
        if fact.database != database.name || !(declared || database.drills.is_empty()) {
            continue;
        }
        let known = newest.entry(&fact.name).or_insert(fact);
        if (known.at, known.slot) < (fact.at, fact.slot) {
            *known = fact;
        }
    }
    newest
        .into_values()
        .filter(|fact| !fact.passed)
        .map(|fact| FailedDrill {
            at: fact.at,
            name: fact.name.clone(),
            recovery_point: fact.recovery_point.clone(),
        })
        .collect()
}

pub(crate) fn last_proof(
    inventory: &Inventory,
    database: &DatabaseName,
    measured: &[MeasuredRestore],
) -> Option<Proof> {
    let newest = measured.iter().max_by_key(|one| one.at)?;
    let drill = inventory
        .drills
        .iter()
        .find(|fact| fact.passed && fact.database == *database && fact.at == newest.at);
    Some(Proof {
        at: newest.at,
        drill: drill.map(|fact| fact.name.clone()),
        method: newest.method.clone(),
        milliseconds: newest.milliseconds,
        tier: newest.tier.clone(),
    })
}

fn judge(
    estimate: Option<&Estimate>,
    failed: &[FailedDrill],
    promised: Option<(i64, i64)>,
) -> (RtoVerdict, String) {
    let words = |seconds: i64| format!("{:#}", jiff::SignedDuration::from_secs(seconds));
    if let Some(drill) = failed.first() {
        let why = format!(
            "drill {} failed at {}: what it proves is not proved",
            drill.name, drill.at
        );
        return (RtoVerdict::DrillFailed, why);
    }
    let Some((target, maximum)) = promised else {
        return (RtoVerdict::NoObjective, "no RTO is declared".to_owned());
    };
    let Some(estimate) = estimate else {
        let why = format!(
            "not proved yet: no restore or drill was measured; at most {} is promised",
            words(maximum)
        );
        return (RtoVerdict::NotProved, why);
    };
    let seconds = i64::try_from(estimate.seconds).unwrap_or(i64::MAX);
    let would = format!(
        "a restore from {} would take about {}",
        estimate.tier,
        words(seconds)
    );
    if seconds > maximum {
        let why = format!("{would}; at most {} is promised", words(maximum));
        return (RtoVerdict::Violated, why);
    }
    if seconds > target {
        let why = format!(
            "{would}; the target is {}, the maximum {}",
            words(target),
            words(maximum)
        );
        return (RtoVerdict::Late, why);
    }
    (
        RtoVerdict::Met,
        format!("{would}, within {}", words(target)),
    )
}

/// Puts into the plan that a restore would take longer than promised: nothing in it mends that, somebody has to know.
pub(crate) fn a_broken_promise_is_said(
    inventory: &Inventory,
    database: &DatabaseDeclaration,
    groups: &BySeries<'_>,
    output: &mut Output,
) {
    // Most plans know of no restore: a million points must not be walked for nothing.
    if inventory.drills.is_empty() && !inventory.restores.contains_key(&database.name) {
        return;
    }
    let points: Vec<&RecoveryPoint> = database
        .series
        .keys()
        .filter_map(|series| groups.get(&(&database.name, series)))
        .flatten()
        .filter(|point| point.state == PointState::Complete)
        .copied()
        .collect();
    let status = of_database(inventory, database, &points);
    if matches!(
        status.verdict,
        RtoVerdict::Late | RtoVerdict::Violated | RtoVerdict::DrillFailed
    ) {
        let what = format!("restore of {} in the promised time", database.name);
        output.wait(what, ReasonCode::RtoNotMet, status.why);
    }
}

/// Complete points of each database.
pub(crate) fn complete_points(
    inventory: &Inventory,
) -> BTreeMap<&DatabaseName, Vec<&RecoveryPoint>> {
    let mut points: BTreeMap<&DatabaseName, Vec<&RecoveryPoint>> = BTreeMap::new();
    for point in &inventory.recovery_points {
        if point.state == PointState::Complete {
            points.entry(&point.database).or_default().push(point);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_drill_is_worse_than_any_time() {
        let failed = [FailedDrill {
            at: "2026-11-20T02:00:00Z".parse().unwrap(),
            name: "monthly".to_owned(),
            recovery_point: RecoveryPointId::parse("orders/daily/20261120T020000Z").unwrap(),
        }];
        let verdicts = [
            judge(None, &failed, Some((60, 60))).0,
            judge(None, &[], Some((60, 60))).0,
            judge(None, &[], None).0,
        ];
        assert_eq!(
            verdicts.map(|verdict| (verdict, verdict.fails())),
            [
                (RtoVerdict::DrillFailed, true),
                (RtoVerdict::NotProved, false),
                (RtoVerdict::NoObjective, false)
            ]
        );
    }
}
