//! Deletions, policies, approvals, holds and exceptions of the period.

use super::{
    standing::Standing,
    verdict::{met, moment, number, subject},
};
use model::{
    Digest, TierName, canonical,
    evidence::{ControlVerdict, DeletionVerdict, RetentionEvidence, SubjectResult},
};
use std::collections::{BTreeMap, BTreeSet};

/// `orders/daily@nas` of a point and a tier.
fn place(point: &model::RecoveryPointId, tier: &model::TierName) -> String {
    format!("{}/{}@{tier}", point.database(), point.series())
}

/// `retention.not-too-early`.
pub(super) fn not_too_early(_: &Standing<'_>, retention: &RetentionEvidence) -> Vec<SubjectResult> {
    let mut by_place: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for judged in &retention.deletions {
        by_place
            .entry(place(&judged.recovery_point, &judged.tier))
            .or_default()
            .push(judged);
    }
    by_place
        .into_iter()
        .map(|(place, judged)| {
            let count = |verdict| judged.iter().filter(|one| one.verdict == verdict).count();
            let (early, unknown) = (
                count(DeletionVerdict::TooEarly),
                count(DeletionVerdict::CannotTell),
            );
            let (verdict, why) = if let Some(first) = judged
                .iter()
                .find(|one| one.verdict == DeletionVerdict::TooEarly)
            {
                let why = format!(
                    "{early} of {} deletions, the first of {}: {}",
                    judged.len(),
                    first.recovery_point,
                    first.why
                );
                (ControlVerdict::NotMet, why)
            } else if unknown > 0 {
                let why = format!(
                    "of {unknown} of {} deletions the policy in force is not known",
                    judged.len()
                );
                (ControlVerdict::CannotTell, why)
            } else {
                let why = format!("all {} deletions were due", judged.len());
                (ControlVerdict::Met, why)
            };
            subject(
                place,
                verdict,
                why,
                &[
                    ("deletions", number(judged.len())),
                    ("too-early", number(early)),
                    ("purged", number(count(DeletionVerdict::Purged))),
                ],
            )
        })
        .collect()
}

/// `retention.not-too-long`.
pub(super) fn not_too_long(
    standing: &Standing<'_>,
    retention: &RetentionEvidence,
) -> Vec<SubjectResult> {
    let allowed = i64::from(standing.facts.parameters.overkeep_days);
    retention
        .stock
        .iter()
        .filter(|stock| stock.at_end > 0)
        .map(|stock| {
            let here: Vec<_> = retention
                .overdue
                .iter()
                .filter(|overdue| {
                    overdue.tier == stock.tier
                        && overdue.recovery_point.database() == stock.database.as_str()
                        && overdue.recovery_point.series() == stock.series.as_str()
                })
                .collect();
            let late: Vec<_> = here
                .iter()
                .filter(|overdue| overdue.excuse.is_none() && overdue.days > allowed)
                .collect();
            let why = match late.iter().max_by_key(|overdue| overdue.days) {
                Some(worst) => format!(
                    "{} copies should be gone, {} for {} days",
                    late.len(),
                    worst.recovery_point,
                    worst.days
                ),
                None if here.is_empty() => format!("rules keep all {} copies", stock.at_end),
                None => format!(
                    "{} copies that no rule keeps are excused or due within {allowed} days",
                    here.len()
                ),
            };
            subject(
                format!("{}/{}@{}", stock.database, stock.series, stock.tier),
                met(late.is_empty()),
                why,
                &[
                    ("copies", i64::try_from(stock.at_end).unwrap_or(i64::MAX)),
                    ("no-rule-keeps", number(here.len())),
                    ("too-long", number(late.len())),
                    ("allowed-days", allowed),
                ],
            )
        })
        .collect()
}

/// `changes.recorded`.
pub(super) fn recorded(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    let facts = standing.facts;
    let mut subjects: Vec<SubjectResult> = standing
        .policies
        .iter()
        .map(|policy| {
            let fact = policy.fact;
            let digest = canonical::digest(&canonical::sorted(&fact.policy)).ok();
            let (verdict, why) = if digest.as_ref() != Some(&fact.digest) {
                (
                    ControlVerdict::NotMet,
                    "the record does not agree with its digest".to_owned(),
                )
            } else if policy.demands.is_none() {
                (
                    ControlVerdict::CannotTell,
                    "this version of Mainstay cannot read it".to_owned(),
                )
            } else {
                (
                    ControlVerdict::Met,
                    format!("in force from {}, by {}", moment(fact.since), fact.who),
                )
            };
            subject(short(&fact.digest), verdict, why, &[])
        })
        .collect();
    // Nothing was asked of anybody before the first run, so only what was done without a known policy counts.
    let first = standing.policies.first().map(|policy| policy.fact.since);
    let before = facts
        .runs
        .iter()
        .filter(|run| first.is_none_or(|first| run.started_at < first))
        .count();
    if facts
        .policies
        .iter()
        .all(|policy| policy.since >= facts.until)
    {
        let why = "no policy was in force in this period, as far as anything remembers";
        subjects.push(subject("the period", ControlVerdict::CannotTell, why, &[]));
    } else if let Some(given) = &facts.unknown_policy {
        let why = "tiers, keys, exceptions and parameters of this report are those of a policy that no run was ever planned from";
        subjects.push(subject(short(given), ControlVerdict::CannotTell, why, &[]));
    }
    if before > 0 {
        let why = format!("{before} runs took place before the first policy on record");
        subjects.push(subject(
            "before the record",
            ControlVerdict::CannotTell,
            why,
            &[("runs", number(before))],
        ));
    }
    subjects
}

/// The beginning of a digest, for people.
fn short(digest: &Digest) -> String {
    digest.as_str().chars().take(19).collect()
}

/// `changes.approved`.
pub(super) fn approved(
    standing: &Standing<'_>,
    retention: &RetentionEvidence,
) -> Vec<SubjectResult> {
    let facts = standing.facts;
    let purging: BTreeSet<&str> = retention
        .deletions
        .iter()
        .filter(|judged| judged.verdict == DeletionVerdict::Purged)
        .filter(|judged| judged.deletion.approved_by.is_none())
        .filter_map(|judged| judged.deletion.run.as_deref())
        .collect();
    facts
        .runs
        .iter()
        .filter(|run| run.approval_needed || purging.contains(run.id.as_str()))
        .map(|run| {
            let (verdict, why) = match (run.approval_needed, &run.approved_by) {
                (true, _) if run.approval_refused => (
                    ControlVerdict::Met,
                    "it asked for an approval and, without one, did not do what needs it"
                        .to_owned(),
                ),
                (true, Some(by)) => (
                    ControlVerdict::Met,
                    format!("its plan {} was approved by {by}", short(&run.plan)),
                ),
                // A run that died has not said what became of the steps that waited.
                (true, None) => (
                    ControlVerdict::CannotTell,
                    format!(
                        "its plan {} needed an approval, and the audit has none of it",
                        short(&run.plan)
                    ),
                ),
                (false, _) => (
                    ControlVerdict::NotMet,
                    "it purged without an approval".to_owned(),
                ),
            };
            subject(&run.id, verdict, why, &[])
        })
        .collect()
}

/// `audit.intact`.
pub(super) fn audit(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    let name = "the audit of the catalog";
    let Some(audit) = &standing.facts.audit else {
        let why = "nobody has walked it";
        return vec![subject(name, ControlVerdict::CannotTell, why, &[])];
    };
    let whole = || {
        format!(
            "{} entries without a gap, the last has the digest {}",
            audit.entries,
            short(&audit.digest)
        )
    };
    let (verdict, why) = if let Some(first) = audit.flaws.first() {
        let why = format!("{} places are wrong, the first: {first}", audit.flaws.len());
        (ControlVerdict::NotMet, why)
    } else if audit.signed_until == 0 {
        // A chain that was cut, brought back or computed anew is as whole as any other.
        let why = format!(
            "{}; no signed checkpoint on a tier was compared with it, so nothing tells whether it was cut short or computed anew",
            whole()
        );
        (ControlVerdict::CannotTell, why)
    } else {
        let tiers: Vec<&str> = audit.compared.iter().map(TierName::as_str).collect();
        let why = format!(
            "{}; the signed checkpoints on {} say the same up to entry {}",
            whole(),
            tiers.join(", "),
            audit.signed_until
        );
        (ControlVerdict::Met, why)
    };
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    vec![subject(
        name,
        verdict,
        why,
        &[
            ("entries", count(audit.entries)),
            ("signed-until", count(audit.signed_until)),
            ("wrong", number(audit.flaws.len())),
        ],
    )]
}

/// `holds.respected`.
pub(super) fn holds(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    standing
        .facts
        .holds
        .iter()
        .map(|hold| {
            let broken = standing
                .facts
                .copies
                .iter()
                .filter(|copy| copy.recovery_point == hold.recovery_point)
                .filter_map(|copy| Some((copy, copy.deletion()?)))
                .find(|(_, deletion)| hold.is_active(deletion.at));
            let why = match (broken, hold.released_at, hold.until) {
                (Some((copy, deletion)), _, _) => {
                    format!(
                        "its copy on {} was deleted at {}",
                        copy.tier,
                        moment(deletion.at)
                    )
                }
                (None, Some(at), _) => format!(
                    "ordered by {}, released at {} by {}",
                    hold.who,
                    moment(at),
                    hold.released_by.as_deref().unwrap_or("somebody")
                ),
                (None, None, Some(until)) => {
                    format!("ordered by {}, until {}", hold.who, moment(until))
                }
                (None, None, None) => format!("ordered by {}, until it is released", hold.who),
            };
            subject(&hold.recovery_point, met(broken.is_none()), why, &[])
        })
        .collect()
}

/// `exceptions.current`.
pub(super) fn exceptions(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    standing
        .facts
        .exceptions
        .iter()
        .map(|exception| {
            let current = exception.expires > standing.facts.until;
            let owned = !exception.owner.is_empty();
            let why = format!(
                "{} until {}: {}",
                if owned { &exception.owner } else { "nobody" },
                moment(exception.expires),
                exception.why
            );
            let name = match &exception.subject {
                Some(subject) => format!("{} for {subject}", exception.control),
                None => exception.control.clone(),
            };
            subject(name, met(current && owned), why, &[])
        })
        .collect()
}
