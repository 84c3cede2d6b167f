//! Population and schedule: what is declared, what is protected, how often, for how long.

use super::{
    standing::Standing,
    verdict::{met, moment, number, subject},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{
    Keep,
    evidence::{ControlVerdict, Coverage, RetentionEvidence, SubjectResult},
    retention::{Each, KeepCount},
};
use policy_schema::{DatabaseDemands, SeriesDemands};

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
    let asked = SignedDuration::from_hours(i64::from(standing.facts.parameters.frequency_hours));
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
            let allowed = declared.rpo.map_or(asked, |rpo| rpo.min(asked));
            let Some(gap) = gap else {
                let why = "it has no series, so nothing makes a recovery point";
                return subject(name, ControlVerdict::NotMet, why, &[]);
            };
            let why = format!(
                "at most {} apart, {} are asked for",
                hours(gap),
                hours(allowed)
            );
            // A day with 25 hours is a day.
            let an_hour = SignedDuration::from_hours(1);
            subject(
                name,
                met(gap <= allowed.saturating_add(an_hour)),
                why,
                &[
                    ("largest-gap-seconds", gap.as_secs()),
                    ("asked-seconds", allowed.as_secs()),
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
    let asked = i64::from(standing.facts.parameters.retention_days);
    let until = standing.facts.until;
    standing
        .databases()
        .map(|(name, declared, demands)| {
            let reach = declared
                .series
                .values()
                .flat_map(|series| {
                    series
                        .keep
                        .values()
                        .map(|keep| days(keep, series, until, &demands.zone))
                })
                .max();
            let Some(days) = reach else {
                let why = "it has no series, so nothing is kept";
                return subject(name, ControlVerdict::NotMet, why, &[]);
            };
            let why = match days {
                i64::MAX => "something is kept for ever".to_owned(),
                days => format!("something is kept for {days} days, {asked} are asked for"),
            };
            subject(
                name,
                met(days >= asked),
                why,
                &[("kept-days", days), ("asked-days", asked)],
            )
        })
        .collect()
}

/// For how many days a rule keeps something, by its longest part; rough where months have no fixed length.
fn days(keep: &Keep, series: &SeriesDemands, until: Timestamp, zone: &TimeZone) -> i64 {
    if keep.forever {
        return i64::MAX;
    }
    let gap = series.schedule.largest_gap(until, zone).as_hours();
    keep.rules
        .iter()
        .map(|rule| {
            let unit_hours = match rule.each {
                Each::Point => gap,
                Each::Hour => 1,
                Each::Day => 24,
                Each::Week => 7 * 24,
                Each::Month => 30 * 24,
                Each::Quarter => 91 * 24,
                Each::Year => 365 * 24,
            };
            match rule.count {
                KeepCount::All => i64::MAX,
                KeepCount::Window(period) => period.approximate().as_hours() / 24,
                // Of units that the schedule does not fill each one is as long as the gap.
                KeepCount::Count(count) => i64::from(count) * unit_hours.max(gap) / 24,
            }
        })
        .max()
        .unwrap_or(0)
}
