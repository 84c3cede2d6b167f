//! Objectives and proofs: how old the newest point is, when a restore was last proved, and how long it took.

use super::{
    asked::{Asked, Source},
    copies::newest,
    standing::Standing,
    verdict::{met, moment, number, subject},
};
use jiff::SignedDuration;
use model::{
    DatabaseName, RecoveryRecord,
    evidence::{
        ControlVerdict, CopyFact, ObjectiveRow, RecoveryRow, RetentionEvidence, SubjectResult,
    },
};
use policy_schema::policy::CheckId;

/// Restores and drills of one database in the period, oldest first.
fn of<'s>(
    standing: &'s Standing<'_>,
    database: &'s DatabaseName,
) -> impl Iterator<Item = &'s RecoveryRecord> {
    let from = standing.facts.from;
    all_of(standing, database).filter(move |record| record.finished_at >= from)
}

/// The same with the newest ones before the period.
fn all_of<'s>(
    standing: &'s Standing<'_>,
    database: &'s DatabaseName,
) -> impl Iterator<Item = &'s RecoveryRecord> {
    standing
        .facts
        .recoveries
        .iter()
        .filter(move |record| &record.database == database)
}

/// How old the newest good point of a database is.
fn age(standing: &Standing<'_>, database: &DatabaseName) -> Option<SignedDuration> {
    standing
        .good(database)
        .filter_map(|copy| copy.captured_at)
        .max()
        .map(|at| standing.age(at))
}

/// `recency.newest`.
pub(super) fn recency(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    standing
        .databases()
        .map(|(name, declared, _)| {
            let asked = Asked::new(&standing.facts.parameters, name, CheckId::NewestWithin);
            // With an archived log the loss is its lag, not the age of the newest base.
            let rpo = declared.rpo.filter(|_| declared.log.is_empty());
            let asked = match (rpo, asked.source) {
                (Some(rpo), Source::Default) => Asked::rpo(rpo),
                _ => asked.or_rpo(rpo),
            };
            let Some(age) = age(standing, name) else {
                let why = "it has no good recovery point";
                return subject(name, ControlVerdict::NotMet, why, &[]);
            };
            let why = format!(
                "newest good point is {} old, {} are allowed by {}",
                words(age),
                words(asked.length),
                asked.source
            );
            subject(
                name,
                met(age <= asked.length),
                why,
                &[
                    ("age-seconds", age.as_secs()),
                    ("allowed-seconds", asked.length.as_secs()),
                    asked.by_policy(),
                ],
            )
        })
        .collect()
}

fn words(length: SignedDuration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..10 => format!("{} ms", length.as_millis()),
        10..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `recovery.proved`.
pub(super) fn proved(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    standing
        .databases()
        .map(|(name, declared, _)| {
            let id = CheckId::RestoreTestedWithin;
            let asked = Asked::new(&standing.facts.parameters, name, id);
            let records: Vec<_> = all_of(standing, name).collect();
            let newest = records.iter().max_by_key(|record| record.finished_at);
            let passed = records
                .iter()
                .filter(|record| record.passed)
                .map(|record| record.finished_at)
                .max();
            let age = passed.map(|at| standing.age(at));
            let mut numbers = vec![
                ("scheduled-drills", number(declared.drills)),
                ("allowed-days", asked.length.as_hours() / 24),
                asked.by_policy(),
            ];
            numbers.extend(age.map(|age| ("days-since-proof", age.as_hours() / 24)));
            let (verdict, why) = match (age, newest) {
                (_, Some(last)) if !last.passed => (
                    ControlVerdict::NotMet,
                    format!("the last one failed at {}", moment(last.finished_at)),
                ),
                (Some(age), _) => (
                    // What was proved on the last day that is allowed was proved in time.
                    met(age < asked.length.saturating_add(SignedDuration::from_hours(24))),
                    format!(
                        "last proved {} ago, {} are allowed by {}",
                        words(age),
                        words(asked.length),
                        asked.source
                    ),
                ),
                (None, _) => (
                    ControlVerdict::NotMet,
                    "no restore of it was ever proved".to_owned(),
                ),
            };
            subject(name, verdict, why, &numbers)
        })
        .collect()
}

/// `objectives.proved`.
pub(super) fn objectives_proved(
    standing: &Standing<'_>,
    _: &RetentionEvidence,
) -> Vec<SubjectResult> {
    standing
        .databases()
        .map(|(name, declared, _)| {
            let proofs: Vec<_> = standing
                .facts
                .proofs
                .iter()
                .filter(|proof| &proof.database == name)
                .collect();
            if declared.rpo.is_none() && declared.rto.is_none() && proofs.is_empty() {
                let why = "nothing is promised";
                return subject(name, ControlVerdict::NotApplicable, why, &[]);
            }
            let of = |verdict: &str| proofs.iter().find(|proof| proof.verdict == verdict);
            let (verdict, why) = match (of("violated"), of("unproven"), proofs.first()) {
                (Some(worst), _, _) => (ControlVerdict::NotMet, worst.why.clone()),
                (None, Some(worst), _) => (ControlVerdict::CannotTell, worst.why.clone()),
                (None, None, Some(_)) => (
                    ControlVerdict::Met,
                    format!("{} promises are proved", proofs.len()),
                ),
                (None, None, None) => (
                    ControlVerdict::CannotTell,
                    "nothing was proved for the end of this period".to_owned(),
                ),
            };
            subject(name, verdict, why, &[("promises", number(proofs.len()))])
        })
        .collect()
}

/// `recovery.time`.
pub(super) fn time(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    standing
        .databases()
        .map(|(name, declared, _)| {
            let Some(rto) = declared.rto else {
                let why = "no RTO is declared";
                return subject(name, ControlVerdict::NotApplicable, why, &[]);
            };
            let Some(slowest) = slowest(standing, name) else {
                let why = "nothing of the period measured a restore";
                return subject(name, ControlVerdict::CannotTell, why, &[]);
            };
            let took = SignedDuration::from_millis(i64::try_from(slowest).unwrap_or(i64::MAX));
            let why = format!(
                "the slowest took {}, {} are allowed",
                words(took),
                words(rto)
            );
            subject(
                name,
                met(took <= rto),
                why,
                &[
                    (
                        "slowest-milliseconds",
                        i64::try_from(slowest).unwrap_or(i64::MAX),
                    ),
                    ("allowed-seconds", rto.as_secs()),
                ],
            )
        })
        .collect()
}

/// The longest of the whole restores and drills of the period that ended well.
fn slowest(standing: &Standing<'_>, database: &DatabaseName) -> Option<u64> {
    of(standing, database)
        .filter(|record| record.passed && record.selection.is_empty())
        .map(|record| record.rto_measured_milliseconds)
        .max()
}

/// How every database stands against what was promised of it.
pub(super) fn objectives(standing: &Standing<'_>) -> Vec<ObjectiveRow> {
    standing
        .databases()
        .map(|(name, declared, _)| {
            let age = age(standing, name);
            let slowest = slowest(standing, name);
            let rpo = match (declared.rpo, age) {
                (None, _) => ControlVerdict::NotApplicable,
                (Some(rpo), Some(age)) if age <= rpo => ControlVerdict::Met,
                // How far the log reaches is not among the facts.
                (Some(_), Some(_)) if !declared.log.is_empty() => ControlVerdict::CannotTell,
                // Also when there is no point at all.
                (Some(_), _) => ControlVerdict::NotMet,
            };
            let rto = match (declared.rto, slowest) {
                (None, _) => ControlVerdict::NotApplicable,
                (Some(_), None) => ControlVerdict::CannotTell,
                (Some(rto), Some(took)) => met(i128::from(took) <= rto.as_millis()),
            };
            let good: Vec<&CopyFact> = standing.good(name).collect();
            ObjectiveRow {
                age_seconds: age.map(|age| age.as_secs()),
                database: name.clone(),
                newest: newest(&good).cloned(),
                rpo,
                rpo_seconds: declared.rpo.map(|rpo| rpo.as_secs()),
                rto,
                rto_seconds: declared.rto.map(|rto| rto.as_secs()),
                slowest_milliseconds: slowest,
            }
        })
        .collect()
}

/// Restores and drills of the period, the newest first.
pub(super) fn rows(standing: &Standing<'_>) -> Vec<RecoveryRow> {
    let mut rows: Vec<RecoveryRow> = standing
        .facts
        .recoveries
        .iter()
        .filter(|record| record.finished_at >= standing.facts.from)
        .map(|record| RecoveryRow {
            at: record.finished_at,
            checks: record.checks.len() as u64,
            database: record.database.clone(),
            failed_checks: record.checks.iter().filter(|check| !check.passed).count() as u64,
            id: record.id.clone(),
            milliseconds: record.rto_measured_milliseconds,
            passed: record.passed,
            recovery_point: record.recovery_point.clone(),
            rto_seconds: record.rto_promised.map(|promise| promise.maximum_seconds),
            what: match &record.drill {
                Some(drill) => format!("drill {}", drill.name),
                None => "restore".to_owned(),
            },
            who: record.who.clone(),
        })
        .collect();
    rows.sort_by(|a, b| (b.at, &a.id).cmp(&(a.at, &b.id)));
    rows
}
