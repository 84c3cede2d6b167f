//! Population and schedule: what is declared, what is protected, how often, for how long.

use super::{
    asked::{Asked, kept_hours},
    standing::Standing,
    verdict::{met, moment, number, subject},
};
use jiff::SignedDuration;
use model::evidence::{ControlVerdict, Coverage, RetentionEvidence, SubjectResult};
use policy_schema::{DatabaseDemands, policy::CheckId};

/// How much is covered.
pub(super) fn coverage(standing: &Standing<'_>) -> Coverage {
    let mut coverage = Coverage::default();
    for (name, _, _) in standing.databases() {
        coverage.declared += 1;
        coverage.protected += u64::from(standing.good(name).next().is_some());
    }
    for look in &standing.facts.discovered {
        coverage.undeclared.extend(look.undeclared.iter().cloned());
        let via = look.via.first().map(ToString::to_string);
        let failed = look
            .failure
            .as_ref()
            .map(|why| format!("the server of {}: {why}", via.unwrap_or_default()));
        coverage.unknown.extend(failed);
    }
    coverage.undeclared.sort();
    coverage
}

/// `coverage.declared`.
pub(super) fn declared(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    let mut subjects = Vec::new();
    for look in &standing.facts.discovered {
        subjects.extend(look.undeclared.iter().map(|name| {
            subject(
                name,
                ControlVerdict::NotMet,
                "it is on a server with declared databases, and no policy declares it",
                &[],
            )
        }));
    }
    for (name, declared, _) in standing.databases() {
        let look = standing
            .facts
            .discovered
            .iter()
            .find(|look| look.via.contains(name));
        subjects.push(match look {
            Some(look) => match &look.failure {
                Some(why) => subject(
                    name,
                    ControlVerdict::CannotTell,
                    format!("its server could not be asked for its neighbours: {why}"),
                    &[],
                ),
                None => subject(
                    name,
                    ControlVerdict::Met,
                    "declared; its server was asked for its neighbours",
                    &[("undeclared-beside-it", number(look.undeclared.len()))],
                ),
            },
            None if has_neighbours(declared) => subject(
                name,
                ControlVerdict::CannotTell,
                "declared; nobody has asked its server for its neighbours",
                &[],
            ),
            None => subject(name, ControlVerdict::Met, "declared", &[]),
        });
    }
    subjects
}

/// Whether databases of this engine live on servers that may hold others.
fn has_neighbours(declared: &DatabaseDemands) -> bool {
    !matches!(declared.engine.as_str(), "sqlite" | "files")
}

/// `coverage.protected`.
pub(super) fn protected(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    standing
        .databases()
        .map(|(name, _, _)| {
            let present = standing.present(name).count();
            let good = standing.good(name).count();
            let why = match (present, good) {
                (0, _) => "there is no copy".to_owned(),
                (_, 0) => "no copy is verified on a tier that can be reached".to_owned(),
                _ => format!("{good} of {present} copies are good"),
            };
            subject(
                name,
                met(good > 0),
                why,
                &[("copies", number(present)), ("good", number(good))],
            )
        })
        .collect()
}

/// `schedule.frequency`.
pub(super) fn frequency(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    let until = standing.facts.until;
    standing
        .databases()
        .map(|(name, declared, demands)| {
            if !declared.log.is_empty() {
                return subject(
                    name,
                    ControlVerdict::Met,
                    "its log is archived continuously",
                    &[],
                );
            }
            let gap = declared
                .series
                .values()
                .map(|series| series.schedule.largest_gap(until, &demands.zone))
                .min();
            let id = CheckId::MinimumFrequency;
            let asked = Asked::new(&standing.facts.parameters, name, id).or_rpo(declared.rpo);
            let Some(gap) = gap else {
                let why = "it has no series, so nothing makes a recovery point";
                return subject(name, ControlVerdict::NotMet, why, &[]);
            };
            let why = format!(
                "at most {} apart, {} are asked for by {}",
                hours(gap),
                hours(asked.length),
                asked.source
            );
            // A day with 25 hours is a day.
            let an_hour = SignedDuration::from_hours(1);
            subject(
                name,
                met(gap <= asked.length.saturating_add(an_hour)),
                why,
                &[
                    ("largest-gap-seconds", gap.as_secs()),
                    ("asked-seconds", asked.length.as_secs()),
                    asked.by_policy(),
                ],
            )
        })
        .collect()
}

fn hours(length: SignedDuration) -> String {
    match length.as_mins() {
        minutes if minutes < 120 => format!("{minutes} min"),
        minutes if minutes < 48 * 60 || minutes % 1440 != 0 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}

/// Whole days where there are two or more.
fn days(length: SignedDuration) -> String {
    match length.as_hours() {
        0..48 => hours(length),
        all => format!("{} days", all / 24),
    }
}

/// `schedule.slots`.
pub(super) fn slots(_: &Standing<'_>, retention: &RetentionEvidence) -> Vec<SubjectResult> {
    retention
        .slots
        .iter()
        .map(|series| {
            let missed = series.missed_count();
            let why = match series.missed.last() {
                _ if series.demanded == 0 => "no slot in the period".to_owned(),
                None => format!("{} of {} slots made", series.made, series.demanded),
                Some(last) => format!(
                    "{missed} of {} slots missed, the last at {}: {}",
                    series.demanded,
                    moment(last.last),
                    last.why
                ),
            };
            let verdict = match series.demanded {
                0 => ControlVerdict::NotApplicable,
                _ => met(missed == 0),
            };
            let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            subject(
                format!("{}/{}", series.database, series.series),
                verdict,
                why,
                &[
                    ("demanded", count(series.demanded)),
                    ("made", count(series.made)),
                    ("missed", count(missed)),
                    ("open", count(series.open)),
                ],
            )
        })
        .collect()
}

/// `retention.minimum`.
pub(super) fn retention(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    let until = standing.facts.until;
    standing
        .databases()
        .map(|(name, declared, demands)| {
            let id = CheckId::MinimumRetention;
            let asked = Asked::new(&standing.facts.parameters, name, id);
            let reach = declared
                .series
                .values()
                .flat_map(|series| {
                    series
                        .keep
                        .values()
                        .map(|keep| kept_hours(keep, &series.schedule, until, &demands.zone))
                })
                .max();
            let Some(kept) = reach else {
                let why = "it has no series, so nothing is kept";
                return subject(name, ControlVerdict::NotMet, why, &[]);
            };
            let for_ever = kept == i64::MAX;
            let kept_words = if for_ever {
                "for ever".to_owned()
            } else {
                format!("for {}", days(SignedDuration::from_hours(kept)))
            };
            let why = format!(
                "something is kept {kept_words}, {} are asked for by {}",
                days(asked.length),
                asked.source
            );
            let kept_days = if for_ever { kept } else { kept / 24 };
            subject(
                name,
                met(for_ever || SignedDuration::from_hours(kept) >= asked.length),
                why,
                &[
                    ("kept-days", kept_days),
                    ("asked-days", asked.length.as_hours() / 24),
                    asked.by_policy(),
                ],
            )
        })
        .collect()
}
