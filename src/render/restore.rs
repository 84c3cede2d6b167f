//! What a restore did, for people and as JSON.

use super::reach::exact;
use super::{color, plan_text::local, progress::duration, status::span};
use executor::{RestoreReport, Way};
use jiff::tz::TimeZone;
use model::{RecoveryPointId, RecoveryTarget};
use serde_json::json;
use std::fmt::Write as _;

/// What is going to be restored.
pub(crate) enum Chosen<'a> {
    /// A point as it is.
    Point(&'a RecoveryPointId),
    /// A physical point, rolled forward.
    Recover(&'a RecoveryTarget, &'a Way),
    /// A point that its engine rolls forward by itself.
    OwnLog(&'a RecoveryTarget, &'a RecoveryPointId),
}

/// Which of the possible ways was chosen, before anything is done.
pub(crate) fn chosen(chosen: &Chosen<'_>, zone: &TimeZone) -> String {
    match chosen {
        Chosen::Point(point) => format!("Restoring {point} as it is.\n"),
        Chosen::OwnLog(RecoveryTarget::Immediate, point) => {
            format!("Restoring {point} as it was when it was complete.\n")
        }
        Chosen::OwnLog(target, point) => {
            let target = target_words(target, zone);
            format!("Restoring {point} and rolling it forward to {target}.\n")
        }
        Chosen::Recover(RecoveryTarget::Immediate, way) => format!(
            "Restoring {} as soon as it is consistent; `--latest` would go on to the end of the archived log.\n",
            way.base
        ),
        Chosen::Recover(target, way) => {
            let mut text = format!(
                "Restoring {} and rolling it forward to {}, over {} of log on timeline {}.\n",
                way.base,
                target_words(target, zone),
                files(way.files),
                way.timeline
            );
            // A moment that was asked for lies before the hole, or was refused; only the latest is cut off by it.
            if matches!(target, RecoveryTarget::Latest) && !way.missing.is_empty() {
                let missing = way.missing.join(", ");
                let _ = writeln!(
                    text,
                    "warning: this ends at a hole in the archived log: {missing} missing. What was committed after it cannot be rolled forward from this base; `mainstay wal status` says from which base on later moments can be."
                );
            }
            text
        }
    }
}

fn files(count: u64) -> String {
    match count {
        1 => "1 file".to_owned(),
        n => format!("{n} files"),
    }
}

fn target_words(target: &RecoveryTarget, zone: &TimeZone) -> String {
    match target {
        RecoveryTarget::Time(at) => exact(*at, zone),
        other => other.to_string(),
    }
}

/// In which state a data directory was left. Its server does not run.
pub(crate) enum Left {
    /// Nobody has started it.
    Unstarted {
        /// Whether it gets its log by a `restore_command`, and not from what the point carries.
        fetches: bool,
    },
    /// It was started, has reached its moment, and was stopped there.
    AtItsMoment,
    /// Its recovery has ended.
    Promoted,
}

/// What a person does next with it.
pub(crate) fn next_steps(database: &str, folder: &str, left: &Left) -> String {
    // The commands are typed wherever the server's user happens to be.
    let whole = std::path::absolute(folder);
    let folder = whole.map_or_else(|_| folder.to_owned(), |path| path.display().to_string());
    let quote = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let (data, log) = (quote(&folder), quote(&format!("{folder}.log")));
    let (head, started) = match left {
        Left::Unstarted { fetches: true } => (
            "Next",
            "replays up to the moment, fetching the log by `restore_command`, then takes writes",
        ),
        Left::Unstarted { fetches: false } => (
            "Next",
            "replays the log that the point carries, then takes writes",
        ),
        Left::AtItsMoment => (
            "The server was stopped at its moment. Next",
            "goes to the same moment again and stays there, read-only",
        ),
        Left::Promoted => (
            "The server was stopped; its recovery has ended. Next",
            "takes writes at once",
        ),
    };
    let mut text = format!(
        "{head}, as the server's user (another port while the source runs: -o '-p 5433'):\n  pg_ctl start -D {data} -l {log}   # {started}\n"
    );
    if matches!(left, Left::AtItsMoment) {
        text.push_str(
            "  psql -c 'select pg_wal_replay_resume()'   # when it is the right moment: ends the recovery\n",
        );
    }
    let _ = write!(
        text,
        "  psql -c 'select pg_is_in_recovery()'   # f: it takes writes\n  psql -c 'alter system reset archive_mode'   # only if it takes the source's place; then restart, and `mainstay wal status`\n  mainstay backup {database}      # a new base on the new timeline\n"
    );
    text
}

/// For people.
pub(crate) fn text(report: &RestoreReport, zone: &TimeZone) -> String {
    let mut text = String::new();
    for (tier, failure) in &report.given_up {
        let _ = writeln!(
            text,
            "{} the copy on {tier} could not be used: {}",
            color::paint(color::WARN, "!"),
            failure.message
        );
    }
    let _ = writeln!(
        text,
        "{} {} from {} to {}",
        color::paint(color::BOLD, "Restored"),
        report.point,
        report.tier,
        report.target
    );
    let _ = writeln!(
        text,
        "  state of  {}, {} old",
        local(report.captured_at, zone),
        span(report.age_seconds)
    );
    if let Some(target) = &report.recovery {
        let _ = writeln!(text, "  asked for {}", target_words(target, zone));
    }
    let reached = &report.reached;
    let mut parts = Vec::new();
    parts.extend(reached.position.map(|lsn| format!("position {lsn}")));
    parts.extend(
        reached
            .time
            .map(|at| format!("last commit {}", exact(at, zone))),
    );
    parts.extend(reached.timeline.map(|n| format!("timeline {n}")));
    if !parts.is_empty() {
        let _ = writeln!(text, "  reached   {}", parts.join(", "));
    }
    for (link, tier) in &report.chain {
        let _ = writeln!(text, "  builds on {link} from {tier}");
    }
    let phases: Vec<String> = report
        .phases
        .iter()
        .map(|(phase, milliseconds)| format!("{phase} {}", duration(*milliseconds)))
        .collect();
    let total: u64 = report
        .phases
        .iter()
        .map(|(_, milliseconds)| milliseconds)
        .sum();
    let _ = writeln!(
        text,
        "  took      {} ({})",
        duration(total),
        phases.join(", ")
    );
    let passed = report.checks.iter().filter(|check| check.passed).count();
    if report.checks.is_empty() {
        text.push_str("  checks    none were made\n");
    } else {
        let _ = writeln!(
            text,
            "  checks    {passed} of {} passed",
            report.checks.len()
        );
    }
    for check in report.checks.iter().filter(|check| !check.passed) {
        let _ = writeln!(
            text,
            "    {} {}: {}",
            color::paint(color::REMOVE, "FAILED"),
            check.what,
            check.detail
        );
    }
    for note in &report.notes {
        let _ = writeln!(text, "  {} {note}", color::paint(color::WARN, "!"));
    }
    for gap in &report.gaps {
        let _ = writeln!(
            text,
            "  {} not recorded: {}",
            color::paint(color::WARN, "!"),
            gap.message
        );
    }
    text
}

/// `mainstay.restore.v1`.
pub(crate) fn as_json(report: &RestoreReport) -> serde_json::Value {
    let checks: Vec<_> = report
        .checks
        .iter()
        .map(|check| json!({"what": check.what, "passed": check.passed, "detail": check.detail}))
        .collect();
    let phases: Vec<_> = report
        .phases
        .iter()
        .map(|(phase, milliseconds)| json!({"phase": phase, "milliseconds": milliseconds}))
        .collect();
    let given_up: Vec<_> = report
        .given_up
        .iter()
        .map(|(tier, failure)| json!({"tier": tier, "failure": failure}))
        .collect();
    let chain: Vec<_> = report
        .chain
        .iter()
        .map(|(point, tier)| json!({"recovery_point": point, "tier": tier}))
        .collect();
    json!({
        "format": "mainstay.restore.v1", "recovery_target": report.recovery, "reached": report.reached, "log_bytes": report.log_bytes, "chain": chain, "recovery_point": report.point, "tier": report.tier, "target": report.target, "captured_at": report.captured_at,
        "age_seconds": report.age_seconds, "bytes": report.bytes, "phases": phases, "checks": checks, "passed": report.passed(), "notes": report.notes, "given_up": given_up,
    })
}
