//! `prove` for people: of each database first the sentence that matters, then ages and figures, then the checks.
//!
//! Not here: what is broken and what would mend it (`prove_trouble`).

use super::{
    color,
    markdown::escape,
    plan_text::local,
    prove_trouble::{broken, grouped, suggestions},
    table::table,
};
use anstyle::Style;
use jiff::{Timestamp, tz::TimeZone};
use model::recovery_record::Promise;
use planner::prove::{
    AgeRange, CheckResult, DatabaseProof, Figure, Proof, Statement, Verdict,
    words_for_seconds as words,
};
use policy_schema::policy::CheckSeverity;
use std::fmt::Write as _;

/// Everything.
pub(crate) fn proof(proof: &Proof, zone: &TimeZone) -> String {
    if proof.databases.is_empty() {
        return "The policy declares no database.\n".to_owned();
    }
    let mut text = String::new();
    for database in &proof.databases {
        let checks = proof
            .checks
            .iter()
            .filter(|check| check.database == database.database);
        one(
            &mut text,
            database,
            &checks.collect::<Vec<_>>(),
            (proof.evaluated_at, zone),
        );
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "{}",
        color::paint(
            color::DIM,
            format!(
                "Schedules and retention were followed until {}, as if this policy had always been in force.",
                local(proof.until, zone)
            )
        )
    );
    text
}

/// Databases that are told before the rest is only counted.
const MOST_TOLD: usize = 10;

/// `2 proved, 1 VIOLATED`.
fn counted(proof: &Proof) -> String {
    let count = |verdict| {
        let all = proof.databases.iter();
        all.filter(|database| database.verdict == verdict).count()
    };
    let parts: Vec<String> = [Verdict::Proved, Verdict::Violated, Verdict::Unproven]
        .into_iter()
        .filter(|verdict| count(*verdict) > 0)
        .map(|verdict| format!("{} {}", count(verdict), verdict_words(verdict).1))
        .collect();
    parts.join(", ")
}

/// What is violated of the first few databases, as `orders: RPO now: …`, and how many databases more there are.
fn violated(proof: &Proof) -> (Vec<String>, usize) {
    let broken = || {
        let all = proof.databases.iter();
        all.filter(|database| database.verdict == Verdict::Violated)
    };
    let mut lines = Vec::new();
    for database in broken().take(MOST_TOLD) {
        for (name, figures) in grouped(database) {
            let figures = figures.into_iter();
            let bad = figures.filter(|(_, figure)| figure.verdict == Verdict::Violated);
            lines.extend(bad.map(|(ages, figure)| {
                format!("{}: {name} {ages}: {}", database.database, figure.why)
            }));
        }
    }
    (lines, broken().count().saturating_sub(MOST_TOLD))
}

/// A few lines for `plan` and `validate`.
pub(crate) fn briefly(proof: &Proof) -> String {
    let mut text = format!(
        "\n{} {}; `mainstay prove` tells more\n",
        color::paint(color::BOLD, "Objectives:"),
        counted(proof)
    );
    let (lines, more) = violated(proof);
    for line in lines {
        let _ = writeln!(text, "  {} {line}", color::paint(color::REMOVE, "!"));
    }
    if more > 0 {
        let _ = writeln!(text, "  and {more} more databases");
    }
    text
}

/// The same for a pull request.
pub(crate) fn briefly_markdown(proof: &Proof) -> String {
    let mut text = format!(
        "**Objectives:** {}; `mainstay prove` tells more\n",
        counted(proof)
    );
    let (lines, more) = violated(proof);
    for line in lines {
        let _ = writeln!(text, "- {}", escape(&line));
    }
    if more > 0 {
        let _ = writeln!(text, "- and {more} more databases");
    }
    text.push('\n');
    text
}

/// The same for programs: verdicts by database, and what is violated.
pub(crate) fn briefly_json(proof: &Proof) -> serde_json::Value {
    let all = proof.databases.iter().map(|database| {
        let violated: Vec<serde_json::Value> = grouped(database)
            .into_iter()
            .flat_map(|(name, figures)| figures.into_iter().map(move |one| (name, one)))
            .filter(|(_, (_, figure))| figure.verdict == Verdict::Violated)
            .map(|(name, (ages, figure))| {
                serde_json::json!({"objective": name.to_lowercase(), "ages": ages, "why": figure.why})
            })
            .collect();
        serde_json::json!({"database": database.database, "verdict": database.verdict, "violated": violated})
    });
    all.collect()
}

/// A verdict as it is said, and its colour.
pub(super) fn verdict_words(verdict: Verdict) -> (Style, &'static str) {
    match verdict {
        Verdict::NotAsked => (color::DIM, "not asked"),
        Verdict::Proved => (color::ADD, "proved"),
        Verdict::Unproven => (color::WARN, "unproven"),
        Verdict::Violated => (color::REMOVE, "VIOLATED"),
    }
}

fn one(
    text: &mut String,
    proof: &DatabaseProof,
    checks: &[&CheckResult],
    (now, zone): (Timestamp, &TimeZone),
) {
    let (style, verdict) = match proof.verdict {
        Verdict::NotAsked => (color::DIM, "no objective"),
        other => verdict_words(other),
    };
    let failed: Vec<&str> = checks
        .iter()
        .filter(|check| check.fails() && !check.id.is_objective())
        .map(|check| check.id.as_str())
        .collect();
    let failed = if failed.is_empty() {
        String::new()
    } else {
        color::paint(color::REMOVE, format!(", but not {}", failed.join(", ")))
    };
    let _ = writeln!(
        text,
        "{}  {}{failed}",
        color::paint(color::BOLD, &proof.database),
        color::paint(style, verdict)
    );
    let _ = writeln!(text, "  {}", sentence(proof, zone));
    if let Some(late) = late(proof, now, zone) {
        let _ = writeln!(text, "  {}", color::paint(color::REMOVE, late));
    }
    text.push('\n');
    ages(text, proof);
    broken(text, proof, zone);
    suggestions(text, proof);
    check_lines(text, checks, zone);
}

/// What follows from schedules is no comfort today when they were not followed.
fn late(proof: &DatabaseProof, now: Timestamp, zone: &TimeZone) -> Option<String> {
    let now_rpo = &proof.ranges.first()?.rpo;
    let promised = now_rpo.promised?.maximum_seconds.cast_signed();
    let newest = proof.newest_state?;
    let age = now.duration_since(newest).as_secs();
    // Where the schedule itself is too slow, that is said already.
    (age > promised.max(now_rpo.most_seconds.unwrap_or(0))).then(|| {
        format!(
            "But today the newest state that can be relied upon is {} old, of {}: see `mainstay status`.",
            words(age),
            local(newest, zone)
        )
    })
}

/// What a tired person wants to know.
fn sentence(proof: &DatabaseProof, zone: &TimeZone) -> String {
    let Some(statement) = &proof.statement else {
        return match (&proof.last_tested, proof.failed_drills.first()) {
            (_, Some(drill)) => format!(
                "How this database comes back is not proven: drill {drill} failed; `mainstay drill list {}` shows why.",
                proof.database
            ),
            (None, None) => format!(
                "How this database comes back is not proven: no restore and no drill was ever done; `mainstay drill {}` does one now.",
                proof.database
            ),
            (Some(tested), None) => format!(
                "Restoring was last tested on {}, but not everything below can be relied upon.",
                local(tested.at, zone)
            ),
        };
    };
    let Statement {
        apart_seconds,
        from,
        tested,
        to,
        within_seconds,
    } = statement;
    let what = if *apart_seconds == 0 {
        "to any time".to_owned()
    } else if from == to {
        "to one state".to_owned()
    } else {
        format!(
            "to a state at most {} before any time",
            words(*apart_seconds)
        )
    };
    let window = if from == to {
        format!("of {}", local(*from, zone))
    } else {
        format!("from {} to {}", local(*from, zone), local(*to, zone))
    };
    let how = match &tested.drill {
        Some(drill) => format!("drill {drill}"),
        None => "a restore".to_owned(),
    };
    format!(
        "This database can be restored {what} {window}, within {}, last proven on {} by {how} from {}.",
        minutes(*within_seconds),
        local(tested.at, zone),
        tested.tier
    )
}

/// Whole minutes, rounded up.
fn minutes(seconds: i64) -> String {
    words((seconds.max(1) + 59) / 60 * 60)
}

/// `now`, `up to 7 d`, `7 d to 35 d`, `from 1 y`.
fn age(from: i64, to: Option<i64>) -> String {
    match (from, to) {
        (0, Some(0)) => "now".to_owned(),
        (0, Some(to)) => format!("up to {}", words(to)),
        (from, Some(to)) => format!("{} to {}", words(from), words(to)),
        (0, None) => "any".to_owned(),
        (from, None) => format!("from {}", words(from)),
    }
}

fn ages(text: &mut String, proof: &DatabaseProof) {
    let rows: Vec<Vec<String>> = proof.ranges.iter().map(row).collect();
    let rows = table(
        &[
            "age of the state",
            "lost or apart",
            "promised",
            "restore",
            "promised",
            "from",
        ],
        &rows,
    );
    for line in rows.lines() {
        let _ = writeln!(text, "  {line}");
    }
}

fn row(range: &AgeRange) -> Vec<String> {
    let from = range.rto.way.as_ref().map_or_else(String::new, |way| {
        if way.log {
            format!("{} on {} and the log", way.series, way.tier)
        } else {
            format!("{} on {}", way.series, way.tier)
        }
    });
    vec![
        age(range.from_seconds, range.to_seconds),
        bounds(&range.rpo),
        promised(&range.rpo),
        bounds(&range.rto),
        promised(&range.rto),
        from,
    ]
}

fn bounds(figure: &Figure) -> String {
    match figure.most_seconds {
        Some(most) if most == figure.least_seconds => words(most),
        Some(most) if figure.least_seconds == 0 => format!("up to {}", words(most)),
        Some(most) => format!("{} to {}", words(figure.least_seconds), words(most)),
        None if figure.parts.is_empty() => "nothing kept".to_owned(),
        None if figure.least_seconds > 0 => format!("over {}", words(figure.least_seconds)),
        None => "unknown".to_owned(),
    }
}

fn promised(figure: &Figure) -> String {
    let Some(promise) = figure.promised else {
        return String::new();
    };
    let (style, mut verdict) = verdict_words(figure.verdict);
    let seconds = |seconds: u64| words(i64::try_from(seconds).unwrap_or(i64::MAX));
    let late = |promise: Promise| {
        let most = figure
            .most_seconds
            .unwrap_or(i64::MAX)
            .max(0)
            .unsigned_abs();
        figure.verdict == Verdict::Proved && most > promise.target_seconds
    };
    if late(promise) {
        verdict = "proved, over the target";
    }
    format!(
        "{} {}",
        seconds(promise.maximum_seconds),
        color::paint(style, verdict)
    )
}

fn check_lines(text: &mut String, checks: &[&CheckResult], zone: &TimeZone) {
    let rows: Vec<Vec<String>> = checks
        .iter()
        .filter(|check| !check.id.is_objective() && check.verdict != Verdict::NotAsked)
        .map(|check| {
            let (style, verdict) = match (check.verdict, check.severity) {
                (Verdict::Violated, CheckSeverity::Info) => (color::WARN, "not passed"),
                (Verdict::Violated, CheckSeverity::Warning) => (color::WARN, "VIOLATED (warning)"),
                (other, _) => verdict_words(other),
            };
            let excepted = check.exception.as_ref().map_or_else(String::new, |one| {
                format!(
                    "; excepted until {} by {}: {}",
                    local(one.until, zone),
                    one.owner,
                    one.why
                )
            });
            vec![
                check.id.to_string(),
                color::paint(style, verdict),
                format!("{}{excepted}", check.why),
            ]
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    text.push('\n');
    for line in table(&["check", "verdict", ""], &rows).lines() {
        let _ = writeln!(text, "  {line}");
    }
    for check in checks.iter().filter(|check| !check.points.is_empty()) {
        let points: Vec<&str> = check
            .points
            .iter()
            .map(model::RecoveryPointId::as_str)
            .collect();
        let _ = writeln!(text, "    {}: {}", check.id, points.join(", "));
    }
}
