//! Retention replayed over the period: what each policy demanded, whether each deletion was due, and what stays although nothing
//! keeps it.
//!
//! A deletion is judged with the copies that were there at that moment and the policy that was in force then, by the same
//! function that decides what a plan deletes (`retention`). It is too early when a rule, a hold, a living increment or the
//! verified minimum wanted the copy.
//! Copies are walked in the order of time, so that judging many deletions costs no more than reading them.

use super::{
    slots,
    standing::{InForce, Life, Place, Standing},
    stock,
    verdict::moment,
};
use crate::retention::{Dated, Occupy, Verdict, evaluate_dated};
use jiff::Timestamp;
use model::{
    Keep, RecoveryPointId,
    evidence::{Deletion, DeletionVerdict, Demand, JudgedDeletion, Overdue, RetentionEvidence},
};
use policy_schema::Demands;
use std::collections::BTreeMap;

/// How far back the moment is looked for since when nothing keeps a copy.
const STEPS_BACK: usize = 400;

/// Copies that live at a moment, newest slot first.
type Living<'s> = BTreeMap<std::cmp::Reverse<(Timestamp, &'s RecoveryPointId)>, &'s Life<'s>>;

/// Everything of the period.
pub(super) fn retention(standing: &Standing<'_>) -> RetentionEvidence {
    RetentionEvidence {
        days: stock::days(standing),
        deletions: deletions(standing),
        demands: demands(standing),
        overdue: overdue(standing),
        slots: slots::slots(standing),
        stock: stock::stock(standing),
    }
}

/// What each policy demanded of each series on each tier, where that differs from the policy before.
fn demands(standing: &Standing<'_>) -> Vec<Demand> {
    let mut open: BTreeMap<Place, Demand> = BTreeMap::new();
    let mut done = Vec::new();
    for policy in &standing.policies {
        let Some(demands) = &policy.demands else {
            continue;
        };
        let mut next: BTreeMap<Place, Demand> = BTreeMap::new();
        for (database, declared) in &demands.databases {
            for (series, asked) in &declared.series {
                for (tier, keep) in &asked.keep {
                    let place = (database.clone(), series.clone(), tier.clone());
                    let demand = Demand {
                        database: database.clone(),
                        from: policy.fact.since,
                        keep: keep.to_string(),
                        policy: policy.fact.digest.clone(),
                        schedule: asked.schedule.to_string(),
                        series: series.clone(),
                        tier: tier.clone(),
                        until: None,
                        verify: asked.verify.to_string(),
                    };
                    let stays = match open.remove(&place) {
                        Some(before) if words(&before) == words(&demand) => before,
                        Some(before) => {
                            done.push(ended(before, policy));
                            demand
                        }
                        None => demand,
                    };
                    next.insert(place, stays);
                }
            }
        }
        done.extend(open.into_values().map(|gone| ended(gone, policy)));
        open = next;
    }
    done.extend(open.into_values());
    done.retain(|demand| {
        demand.from <= standing.facts.until
            && demand.until.is_none_or(|until| until > standing.facts.from)
    });
    done.sort_by(|a, b| {
        (&a.database, &a.series, &a.tier, a.from).cmp(&(&b.database, &b.series, &b.tier, b.from))
    });
    done
}

fn words(demand: &Demand) -> (&str, &str, &str) {
    (&demand.keep, &demand.schedule, &demand.verify)
}

fn ended(demand: Demand, by: &InForce<'_>) -> Demand {
    Demand {
        until: Some(by.fact.since),
        ..demand
    }
}

/// The rule of a place, if it is declared.
fn keep_of<'d>(demands: &'d Demands, (database, series, tier): &Place) -> Option<&'d Keep> {
    demands
        .databases
        .get(database)?
        .series
        .get(series)?
        .keep
        .get(tier)
}

/// What the rule says of living copies, newest first: whether either reading of it keeps each, and by which words.
fn kept(keep: &Keep, dated: &[Dated], demands: &Demands) -> Vec<Verdict> {
    let mut verdicts = evaluate_dated(keep, dated, &demands.zone, Occupy::Complete);
    let cautious = evaluate_dated(keep, dated, &demands.zone, Occupy::Verified);
    for (verdict, other) in verdicts.iter_mut().zip(cautious) {
        if !verdict.is_kept() {
            *verdict = other;
        }
    }
    verdicts
}

fn deletions(standing: &Standing<'_>) -> Vec<JudgedDeletion> {
    let mut judged = Vec::new();
    for (place, lives) in &standing.lives {
        let mut births: Vec<&Life<'_>> = lives.iter().collect();
        births.sort_by_key(|life| (life.from, &life.copy.recovery_point));
        let mut births = births.into_iter().peekable();
        let mut deaths: Vec<(&Life<'_>, &Deletion)> = lives
            .iter()
            .filter_map(|life| Some((life, life.copy.deletion()?)))
            .collect();
        deaths.sort_by_key(|(life, deletion)| (deletion.at, &life.copy.recovery_point));
        let mut living: Living<'_> = BTreeMap::new();
        for (life, deletion) in deaths {
            while let Some(born) = births.next_if(|born| born.from <= deletion.at) {
                // One whose completion is remembered later than its end was judged by now, and stands for nothing.
                if born.until.is_none_or(|until| until >= deletion.at) {
                    living.insert(key(born), born);
                }
            }
            // A completion that was remembered too late must not hide the copy from its own judgement.
            living.insert(key(life), life);
            if deletion.at >= standing.facts.from {
                judged.push(judge(standing, place, life, deletion, &living));
            }
            living.remove(&key(life));
        }
    }
    judged.sort_by(|a, b| {
        (a.deletion.at, &a.recovery_point, &a.tier).cmp(&(
            b.deletion.at,
            &b.recovery_point,
            &b.tier,
        ))
    });
    judged
}

fn key<'s>(life: &'s Life<'s>) -> std::cmp::Reverse<(Timestamp, &'s RecoveryPointId)> {
    std::cmp::Reverse((life.copy.slot, &life.copy.recovery_point))
}

fn judge(
    standing: &Standing<'_>,
    place: &Place,
    life: &Life<'_>,
    deletion: &Deletion,
    living: &Living<'_>,
) -> JudgedDeletion {
    let policy = standing.policy_at(deletion.at);
    let (verdict, why) = verdict(standing, place, life, deletion, living, policy);
    JudgedDeletion {
        deletion: deletion.clone(),
        policy: policy.map(|policy| policy.fact.digest.clone()),
        recovery_point: life.copy.recovery_point.clone(),
        tier: life.copy.tier.clone(),
        verdict,
        why,
    }
}

fn verdict(
    standing: &Standing<'_>,
    place: &Place,
    life: &Life<'_>,
    deletion: &Deletion,
    living: &Living<'_>,
    policy: Option<&InForce<'_>>,
) -> (DeletionVerdict, String) {
    let point = &life.copy.recovery_point;
    if let Some(hold) = standing.hold_at(point, deletion.at) {
        let why = format!("{} held it: {}", hold.who, hold.why);
        return (DeletionVerdict::TooEarly, why);
    }
    if let Some(child) = living
        .values()
        .find(|other| other.copy.parent.as_ref() == Some(point))
    {
        let why = format!(
            "{} could not be restored without it",
            child.copy.recovery_point
        );
        return (DeletionVerdict::TooEarly, why);
    }
    let Some(demands) = policy.and_then(|policy| policy.demands.as_ref()) else {
        let why = "which policy was in force is not known".to_owned();
        return (DeletionVerdict::CannotTell, why);
    };
    let Some(keep) = keep_of(demands, place) else {
        let why = "the policy in force did not declare this series on this tier".to_owned();
        return (DeletionVerdict::Purged, why);
    };
    let others: Vec<&Life<'_>> = living.values().copied().collect();
    let dated: Vec<Dated> = others
        .iter()
        .map(|other| standing.dated(other, deletion.at))
        .collect();
    let verdicts = kept(keep, &dated, demands);
    let own = others
        .iter()
        .position(|other| std::ptr::eq(*other, life))
        .unwrap_or_default();
    if let Some(reason) = verdicts[own].reasons.first() {
        return (
            DeletionVerdict::TooEarly,
            format!("the rule {reason} wanted it"),
        );
    }
    let remaining =
        dated.iter().filter(|dated| dated.verified).count() as u64 - u64::from(dated[own].verified);
    if dated[own].verified && remaining < demands.min_verified {
        let why = format!(
            "{remaining} verified copies remained where {} are the minimum",
            demands.min_verified
        );
        return (DeletionVerdict::TooEarly, why);
    }
    let why = format!(
        "no rule of {keep} wanted it beside {} others",
        others.len() - 1
    );
    (DeletionVerdict::Due, why)
}

/// Copies that are there at the end of the period and that nothing keeps.
fn overdue(standing: &Standing<'_>) -> Vec<Overdue> {
    let until = standing.facts.until;
    let Some(policy) = standing.policy_at(until) else {
        return Vec::new();
    };
    let Some(demands) = &policy.demands else {
        return Vec::new();
    };
    let mut overdue = Vec::new();
    for (place, lives) in &standing.lives {
        let mut living: Vec<&Life<'_>> = lives
            .iter()
            .filter(|life| life.is_alive(until) && life.copy.is_present())
            .collect();
        living.sort_by_key(|life| std::cmp::Reverse((life.copy.slot, &life.copy.recovery_point)));
        let Some(keep) = keep_of(demands, place) else {
            overdue.extend(living.iter().map(|life| {
                late(
                    standing,
                    life,
                    policy.fact.since.max(life.from),
                    Some("it is no longer declared, and waits for a purge".to_owned()),
                )
            }));
            continue;
        };
        for (life, since) in let_go(standing, demands, keep, lives) {
            // A rule that is younger than what displaced the copy let it go when it came into force.
            let since = since.max(policy.fact.since.min(until));
            let excuse = excuse(standing, life, &living);
            overdue.push(late(standing, life, since, excuse));
        }
    }
    overdue
}

fn late(
    standing: &Standing<'_>,
    life: &Life<'_>,
    since: Timestamp,
    excuse: Option<String>,
) -> Overdue {
    Overdue {
        days: standing.age(since).as_hours() / 24,
        excuse,
        recovery_point: life.copy.recovery_point.clone(),
        since,
        tier: life.copy.tier.clone(),
    }
}

/// The copies that are there and that the rule does not keep, and when each lost its last reason: when the copy came that took its
/// place, judged with what was there at that moment.
fn let_go<'l>(
    standing: &Standing<'_>,
    demands: &Demands,
    keep: &Keep,
    lives: &'l [Life<'l>],
) -> Vec<(&'l Life<'l>, Timestamp)> {
    let until = standing.facts.until;
    let at = |moment: Timestamp, wanted: bool| -> Vec<&'l Life<'l>> {
        let mut there: Vec<&'l Life<'l>> =
            lives.iter().filter(|life| life.is_alive(moment)).collect();
        there.sort_by_key(|life| std::cmp::Reverse((life.copy.slot, &life.copy.recovery_point)));
        let dated: Vec<Dated> = there
            .iter()
            .map(|life| standing.dated(life, moment))
            .collect();
        let verdicts = kept(keep, &dated, demands);
        there
            .into_iter()
            .zip(verdicts)
            .filter(|(_, verdict)| verdict.is_kept() == wanted)
            .map(|(life, _)| life)
            .collect()
    };
    let mut gone = at(until, false);
    gone.retain(|life| life.copy.is_present());
    let mut arrivals: Vec<Timestamp> = lives
        .iter()
        .map(|life| life.from)
        .filter(|from| *from <= until)
        .collect();
    arrivals.sort_unstable_by(|a, b| b.cmp(a));
    let mut found = Vec::new();
    for arrival in arrivals.into_iter().take(STEPS_BACK) {
        if gone.is_empty() {
            break;
        }
        let kept_before = at(arrival - jiff::SignedDuration::from_nanos(1), true);
        gone.retain(|life| {
            let was_kept = kept_before.iter().any(|kept| std::ptr::eq(*kept, *life));
            let newborn = life.from == arrival;
            if was_kept || newborn {
                found.push((*life, arrival));
            }
            !(was_kept || newborn)
        });
    }
    found.extend(gone.into_iter().map(|life| (life, life.from)));
    found
}

/// What forbids the deletion of a copy that no rule keeps.
fn excuse(standing: &Standing<'_>, life: &Life<'_>, living: &[&Life<'_>]) -> Option<String> {
    let until = standing.facts.until;
    let point = &life.copy.recovery_point;
    if let Some(hold) = standing.hold_at(point, until) {
        return Some(format!("{} holds it: {}", hold.who, hold.why));
    }
    if let Some(locked) = life.copy.locked_until.filter(|locked| *locked > until) {
        return Some(format!("the storage locks it until {}", moment(locked)));
    }
    let child = living
        .iter()
        .find(|other| other.copy.parent.as_ref() == Some(point));
    if let Some(child) = child {
        return Some(format!("{} needs it", child.copy.recovery_point));
    }
    if standing.facts.unreachable_tiers.contains(&life.copy.tier) {
        return Some("the tier cannot be reached".to_owned());
    }
    None
}
