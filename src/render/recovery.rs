//! A restore or drill for a terminal: the verdict first, then what was measured, then every failed check.

use super::{color, plan_text::local, progress::duration, status::span, table::table};
use jiff::tz::TimeZone;
use model::{
    RecoveryRecord,
    recovery_record::{Promise, Unjudged},
};
use std::fmt::Write as _;

/// One record.
pub(crate) fn text(record: &RecoveryRecord, zone: &TimeZone) -> String {
    let mut text = String::new();
    let (style, verdict) = verdict(record);
    let what = match &record.drill {
        Some(drill) => format!("drill {} of {}", drill.name, record.database),
        None => format!("restore of {}", record.database),
    };
    let _ = writeln!(
        text,
        "{}  {}",
        color::paint(color::BOLD, what),
        color::paint(style, verdict)
    );
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    let from = record.tier.as_ref();
    let from = from.map_or_else(|| "no tier".to_owned(), ToString::to_string);
    line("point", format!("{} from {from}", record.recovery_point));
    if let Some(target) = &record.target {
        line("recovered", target.to_string());
    }
    line("to", record.target_place.clone());
    line("began", local(record.started_at, zone));
    let phases = record.phases.iter().filter(|phase| phase.within.is_none());
    let phases: Vec<String> = phases
        .map(|phase| format!("{} {}", phase.name, duration(phase.milliseconds)))
        .collect();
    line(
        "took",
        format!(
            "{} ({}){}",
            duration(record.rto_measured_milliseconds),
            phases.join(", "),
            promise("RTO", record.rto_promised, record.rto_met())
        ),
    );
    let busy = record.phases.iter().filter(|phase| phase.within.is_some());
    let busy: Vec<String> = busy
        .map(|phase| format!("{} {}", phase.name, duration(phase.milliseconds)))
        .collect();
    if !busy.is_empty() {
        line(
            "meanwhile",
            format!("busy while loading: {}", busy.join(", ")),
        );
    }
    line(
        "state",
        format!(
            "{} old{}",
            span(record.rpo_measured_seconds),
            promise("RPO", record.rpo_promised, record.rpo_met())
        ),
    );
    line(
        "read",
        format!(
            "{} stored{}",
            record.stored_bytes,
            record
                .plain_bytes
                .map_or_else(String::new, |bytes| format!(", {bytes} plain"))
        ),
    );
    let passed = record.checks.iter().filter(|check| check.passed).count();
    line(
        "checks",
        format!("{passed} of {} passed", record.checks.len()),
    );
    for check in record.checks.iter().filter(|check| !check.passed) {
        let failed = color::paint(color::REMOVE, "FAILED");
        let _ = writeln!(text, "    {failed} {}: {}", check.what, check.detail);
    }
    for (tier, failure) in &record.given_up {
        let mark = color::paint(color::WARN, "!");
        let _ = writeln!(
            text,
            "  {mark} the copy on {tier} was given up: {}",
            failure.message
        );
    }
    if let Some(failure) = &record.failure {
        let mark = color::paint(color::REMOVE, "failed:");
        let _ = writeln!(text, "  {mark} {} [{}]", failure.message, failure.code);
        if let Some(help) = &failure.help {
            let _ = writeln!(text, "    help: {help}");
        }
    }
    for note in &record.notes {
        let _ = writeln!(text, "  {} {note}", color::paint(color::WARN, "!"));
    }
    let _ = writeln!(text, "  by         {}", record.who);
    if !record.why.is_empty() {
        let _ = writeln!(text, "  why        {}", record.why);
    }
    let _ = writeln!(text, "  record     {}", record.id);
    text
}

fn promise(name: &str, promised: Option<Promise>, met: Option<bool>) -> String {
    let (Some(promised), Some(met)) = (promised, met) else {
        return String::new();
    };
    let limit = span(i64::try_from(promised.maximum_seconds).unwrap_or(i64::MAX));
    if met {
        format!(", {name} of {limit} met")
    } else {
        let words = format!("{name} of {limit} NOT MET");
        format!(", {}", color::paint(color::REMOVE, words))
    }
}

fn verdict(record: &RecoveryRecord) -> (anstyle::Style, &'static str) {
    let broken = [record.rpo_met(), record.rto_met()].contains(&Some(false));
    match (record.passed, broken) {
        (false, _) if record.unjudged == Some(Unjudged::NotBegun) => (color::WARN, "did not begin"),
        (false, _) if record.unjudged == Some(Unjudged::Stopped) => (color::WARN, "stopped"),
        (false, _) => (color::REMOVE, "FAILED"),
        (true, true) => (color::WARN, "passed, but a promise was broken"),
        (true, false) => (color::ADD, "passed"),
    }
}

/// Many records, one a line.
pub(crate) fn list(records: &[RecoveryRecord], zone: &TimeZone) -> String {
    if records.is_empty() {
        return "No restore or drill is recorded.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            let (style, words) = verdict(record);
            let checks = record.checks.iter().filter(|check| check.passed).count();
            vec![
                local(record.finished_at, zone),
                match &record.drill {
                    Some(drill) => format!("drill {}", drill.name),
                    None => "restore".to_owned(),
                },
                record.recovery_point.to_string(),
                record
                    .tier
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), ToString::to_string),
                duration(record.rto_measured_milliseconds),
                format!("{checks}/{}", record.checks.len()),
                color::paint(style, words),
                record.id.clone(),
            ]
        })
        .collect();
    table(
        &[
            "ENDED", "WHAT", "POINT", "TIER", "TOOK", "CHECKS", "RESULT", "ID",
        ],
        &rows,
    )
}
