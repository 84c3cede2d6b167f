//! The log of one restore or drill, as an auditor reads it: the verdict, the promises, the timeline, every check.
//!
//! Invariant: every field of the record is in the document, in both formats; a test changes each and looks.

use crate::{
    format::{Format, ReportError, Templates, render},
    words,
};
use jiff::tz::TimeZone;
use model::{
    RecoveryRecord,
    recovery_record::{Phase, Promise, Unjudged},
};
use serde::Serialize;

const TEMPLATES: Templates = Templates {
    markdown: include_str!("templates/recovery_log.md.hbs"),
    html: include_str!("templates/recovery_log.html.hbs"),
};

/// The document of a record; times in `zone`, and in UTC.
pub fn recovery_log(
    record: &RecoveryRecord,
    zone: &TimeZone,
    format: Format,
) -> Result<String, ReportError> {
    render(&TEMPLATES, format, &view(record, zone))
}

#[derive(Serialize)]
struct View {
    title: String,
    verdict: Verdict,
    facts: Vec<Fact>,
    promises: Vec<PromiseRow>,
    phases: Vec<PhaseRow>,
    total: String,
    overlaps: bool,
    checks: Vec<CheckRow>,
    checks_sentence: String,
    failure: Option<FailureView>,
    given_up: Vec<GivenUp>,
    notes: Vec<String>,
    id: String,
    format: String,
    version: String,
    policy_digest: String,
}

#[derive(Serialize)]
struct Verdict {
    word: &'static str,
    class: &'static str,
    sentence: String,
}

#[derive(Serialize)]
struct Fact {
    name: &'static str,
    value: String,
    code: bool,
}

#[derive(Serialize)]
struct PromiseRow {
    what: &'static str,
    promised: String,
    measured: String,
    result: &'static str,
    class: &'static str,
}

#[derive(Serialize)]
struct PhaseRow {
    name: String,
    meaning: &'static str,
    time: String,
    within: bool,
}

#[derive(Serialize)]
struct CheckRow {
    what: String,
    result: &'static str,
    class: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct FailureView {
    code: String,
    message: String,
    help: String,
    again: &'static str,
}

#[derive(Serialize)]
struct GivenUp {
    tier: String,
    code: String,
    message: String,
}

fn view(record: &RecoveryRecord, zone: &TimeZone) -> View {
    let title = match &record.drill {
        Some(drill) => format!("Drill {} of {}", drill.name, record.database),
        None => format!("Restore of {}", record.database),
    };
    View {
        title,
        verdict: verdict(record),
        facts: facts(record, zone),
        promises: promises(record),
        phases: record.phases.iter().map(phase).collect(),
        total: words::milliseconds(record.rto_measured_milliseconds),
        overlaps: record.phases.iter().any(|phase| phase.within.is_some()),
        checks: record
            .checks
            .iter()
            .map(|check| CheckRow {
                what: check.what.clone(),
                result: if check.passed { "passed" } else { "FAILED" },
                class: if check.passed { "good" } else { "bad" },
                detail: check.detail.clone(),
            })
            .collect(),
        checks_sentence: checks_sentence(record),
        failure: record.failure.as_ref().map(|failure| FailureView {
            code: failure.code.clone(),
            message: failure.message.clone(),
            help: failure.help.clone().unwrap_or_else(|| "–".to_owned()),
            again: match failure.disposition {
                model::Disposition::Retry => "may help",
                model::Disposition::NeedsOperator => "needs somebody to act first",
                model::Disposition::Permanent => "does not help",
            },
        }),
        given_up: record
            .given_up
            .iter()
            .map(|(tier, failure)| GivenUp {
                tier: tier.to_string(),
                code: failure.code.clone(),
                message: failure.message.clone(),
            })
            .collect(),
        notes: record.notes.clone(),
        id: record.id.clone(),
        format: record.format.clone(),
        version: record.mainstay_version.clone(),
        policy_digest: record
            .policy_digest
            .as_ref()
            .map_or_else(|| "not known".to_owned(), ToString::to_string),
    }
}

fn verdict(record: &RecoveryRecord) -> Verdict {
    let kind = match record.drill {
        Some(_) => "drill",
        None => "restore",
    };
    let took = words::milliseconds(record.rto_measured_milliseconds);
    let failed = record.checks.iter().filter(|check| !check.passed).count();
    let all = record.checks.len();
    let because = record
        .failure
        .as_ref()
        .map_or_else(String::new, |failure| format!(": {}", failure.message));
    match record.unjudged {
        Some(Unjudged::NotBegun) => {
            return Verdict {
                word: "DID NOT BEGIN",
                class: "warn",
                sentence: format!("The {kind} was refused before anything was read{because}."),
            };
        }
        Some(Unjudged::Stopped) => {
            return Verdict {
                word: "STOPPED",
                class: "warn",
                sentence: format!("The {kind} was stopped after {took}{because}."),
            };
        }
        None => {}
    }
    if let Some(failure) = &record.failure {
        return Verdict {
            word: "FAILED",
            class: "bad",
            sentence: format!("The {kind} failed after {took}: {}.", failure.message),
        };
    }
    if !record.passed {
        return Verdict {
            word: "FAILED",
            class: "bad",
            sentence: format!(
                "The recovery point was restored in {took}, but {failed} of {all} checks failed: what was restored is not what it should be."
            ),
        };
    }
    let missed: Vec<&str> = [("RPO", record.rpo_met()), ("RTO", record.rto_met())]
        .iter()
        .filter(|(_, met)| *met == Some(false))
        .map(|(name, _)| *name)
        .collect();
    if missed.is_empty() {
        return Verdict {
            word: "PASSED",
            class: "good",
            sentence: format!("Restored in {took}, and all {all} checks passed."),
        };
    }
    Verdict {
        word: "PASSED, PROMISE BROKEN",
        class: "warn",
        sentence: format!(
            "Restored in {took}, and all {all} checks passed, but the promise was not kept: {}.",
            missed.join(" and ")
        ),
    }
}

fn facts(record: &RecoveryRecord, zone: &TimeZone) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name, value: String, code| facts.push(Fact { name, value, code });
    add("Database", record.database.to_string(), true);
    add("Who", record.who.clone(), false);
    let why = if record.why.is_empty() {
        "no reason was given".to_owned()
    } else {
        record.why.clone()
    };
    add("Why", why, false);
    if let Some(drill) = &record.drill {
        add("Drill", drill.name.clone(), true);
        add("Slot of its schedule", words::time(drill.slot, zone), false);
        if let Some(seed) = drill.seed {
            add("Seed of the random choice", seed.to_string(), true);
        }
    }
    add("Began", words::time(record.started_at, zone), false);
    add("Ended", words::time(record.finished_at, zone), false);
    add("Recovery point", record.recovery_point.to_string(), true);
    let wanted = match &record.target {
        Some(target) => format!("the log replayed to: {target}"),
        None => "the recovery point as it is".to_owned(),
    };
    add("Wanted state", wanted, false);
    let mut reached = Vec::new();
    if let Some(at) = record.reached.time {
        reached.push(format!("last commit {}", words::time(at, zone)));
    }
    if let Some(position) = record.reached.position {
        reached.push(format!("position {position}"));
    }
    if let Some(timeline) = record.reached.timeline {
        reached.push(format!("timeline {timeline}"));
    }
    if !reached.is_empty() {
        add("Reached", reached.join(", "), false);
    }
    let part = if record.selection.is_empty() {
        "everything".to_owned()
    } else {
        record.selection.join(", ")
    };
    add("Restored part", part, false);
    add("Restored to", record.target_place.clone(), false);
    let tier = record.tier.as_ref();
    add(
        "Read from tier",
        tier.map_or_else(|| "none could be read".to_owned(), ToString::to_string),
        tier.is_some(),
    );
    let verified = match &record.verified_before {
        Some(verified) => format!("{} at {}", verified.level, words::time(verified.at, zone)),
        None => "not known".to_owned(),
    };
    add("Copy verified before", verified, false);
    add("Stored bytes read", words::size(record.stored_bytes), false);
    if let Some(bytes) = record.plain_bytes {
        add("Plain bytes restored", words::size(bytes), false);
    }
    add(
        "Engine and method",
        format!("{}, {}", record.engine, record.method),
        false,
    );
    facts
}

fn promises(record: &RecoveryRecord) -> Vec<PromiseRow> {
    let age = u64::try_from(record.rpo_measured_seconds).unwrap_or(0);
    let unjudged = match record.unjudged {
        Some(Unjudged::NotBegun) => "not judged: it did not begin",
        Some(Unjudged::Stopped) => "not judged: it was stopped",
        None => "not judged: the moment was chosen",
    };
    let row = |what, promise: Option<Promise>, measured: String, met: Option<bool>| PromiseRow {
        what,
        promised: promise.map_or_else(
            || "nothing".to_owned(),
            |promise| {
                if promise.target_seconds == promise.maximum_seconds {
                    format!("at most {}", words::seconds(promise.maximum_seconds))
                } else {
                    format!(
                        "target {}, at most {}",
                        words::seconds(promise.target_seconds),
                        words::seconds(promise.maximum_seconds)
                    )
                }
            },
        ),
        measured,
        result: match met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None if promise.is_some() => unjudged,
            None => "no promise",
        },
        class: match met {
            Some(true) => "good",
            Some(false) => "bad",
            None => "dim",
        },
    };
    vec![
        row(
            "RPO: largest loss (age of the restored state at the beginning)",
            record.rpo_promised,
            words::seconds(age),
            record.rpo_met(),
        ),
        row(
            "RTO: longest restore (wall time of the whole)",
            record.rto_promised,
            words::milliseconds(record.rto_measured_milliseconds),
            record.rto_met(),
        ),
    ]
}

fn phase(phase: &Phase) -> PhaseRow {
    let meaning = match phase.name.as_str() {
        "choose" => "looking for a good copy",
        "thaw" => "waiting for the archive to make the copy readable",
        "keys" => "opening the data keys",
        "fetch" => "reading the tier",
        "decrypt" => "opening what is encrypted",
        "decompress" => "unpacking",
        "create" | "prepare" => "making the target",
        "stage" => "putting files aside for the tool",
        "load" => "putting the data into the target",
        "combine" => "putting an incremental chain together",
        "start" => "starting the server",
        "replay" => "replaying the log up to the wanted moment",
        "promote" => "opening the server for writing",
        "checks" => "checking what was restored",
        "drop" | "drop-replaced" => "clearing away",
        "rename" | "swap" => "giving the target its name",
        "other" => "everything between these phases",
        _ => "",
    };
    PhaseRow {
        name: phase.name.clone(),
        meaning,
        time: words::milliseconds(phase.milliseconds),
        within: phase.within.is_some(),
    }
}

fn checks_sentence(record: &RecoveryRecord) -> String {
    let all = record.checks.len();
    let passed = record.checks.iter().filter(|check| check.passed).count();
    match (all, &record.failure) {
        (0, Some(_)) => "No check was made.".to_owned(),
        (0, None) => {
            "No check was made, so nothing is proved beyond the digests of the bytes.".to_owned()
        }
        _ => format!("{passed} of {all} passed."),
    }
}
