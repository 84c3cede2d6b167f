//! What the reports on retention and compliance share: their head and foot, and how they show times, lengths and verdicts.

use crate::{document::Fact, table::Cell, words};
use jiff::{Timestamp, tz::TimeZone};
use model::evidence::{Assessment, ControlVerdict, EvidenceFacts};

/// `2026-01-01 00:00 to 2026-04-01 00:00 (Europe/Prague)`.
pub(crate) fn period(facts: &EvidenceFacts, zone: &TimeZone) -> String {
    let name = zone.iana_name().unwrap_or("UTC");
    let show = |at: Timestamp| {
        at.to_zoned(zone.clone())
            .strftime("%Y-%m-%d %H:%M")
            .to_string()
    };
    format!("{} to {} ({name})", show(facts.from), show(facts.until))
}

/// A time in a table, in the zone that the report names at its head; a CSV, which has no head, gets the offset too.
pub(crate) fn time(at: Timestamp, zone: &TimeZone) -> Cell {
    let zoned = at.to_zoned(zone.clone());
    Cell {
        tight: true,
        exact: Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()),
        ..Cell::text(zoned.strftime("%Y-%m-%d %H:%M:%S").to_string())
    }
}

pub(crate) fn maybe_time(at: Option<Timestamp>, zone: &TimeZone, nothing: &str) -> Cell {
    at.map_or_else(|| Cell::text(nothing), |at| time(at, zone))
}

/// Where the numbers come from, and how to compute them again.
pub(crate) fn footer(facts: &EvidenceFacts, assessment: &Assessment) -> String {
    format!(
        "Computed by Mainstay {} from facts {}. With --bundle the facts are kept, and every verdict can be computed again elsewhere.",
        facts.mainstay_version, assessment.facts
    )
}

/// What both reports say of themselves.
pub(crate) fn about(facts: &EvidenceFacts, assessment: &Assessment) -> Vec<Fact> {
    let policies = facts
        .policies
        .iter()
        .filter(|policy| policy.until.is_none_or(|until| until > facts.from))
        .count();
    let in_force = facts.policies.last().map_or_else(
        || "none is known".to_owned(),
        |policy| policy.digest.to_string(),
    );
    let unreachable: Vec<&str> = facts
        .unreachable_tiers
        .iter()
        .map(model::TierName::as_str)
        .collect();
    let mut about = vec![
        Fact {
            name: "Databases",
            value: format!(
                "{} declared, {} of them with a good copy",
                assessment.coverage.declared, assessment.coverage.protected
            ),
        },
        Fact {
            name: "Policies in force",
            value: format!("{policies} in the period; at its end {in_force}"),
        },
        Fact {
            name: "Runs",
            value: facts.runs.len().to_string(),
        },
    ];
    if !unreachable.is_empty() {
        about.push(Fact {
            name: "Could not be observed",
            value: format!("tiers {}", unreachable.join(", ")),
        });
    }
    about
}

/// The colour of a verdict.
pub(crate) fn tone(verdict: ControlVerdict) -> &'static str {
    match verdict {
        ControlVerdict::NotMet => "bad",
        ControlVerdict::CannotTell | ControlVerdict::Exception => "warn",
        ControlVerdict::Met => "good",
        ControlVerdict::NotApplicable => "dim",
    }
}

/// The beginning of a digest: enough to find it.
pub(crate) fn short(digest: &model::Digest) -> String {
    digest.hex().chars().take(12).collect()
}

/// `3 d 4 h` of seconds that may be unknown.
pub(crate) fn length(seconds: Option<i64>) -> String {
    seconds.map_or_else(
        || "–".to_owned(),
        |seconds| words::seconds(u64::try_from(seconds).unwrap_or(0)),
    )
}
