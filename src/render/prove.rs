//! `prove` for people: of each database first the sentence that matters, then ages and figures, then what is broken and what would mend it.

use super::{color, plan_text::local, table::table};
use anstyle::Style;
use jiff::tz::TimeZone;
use model::recovery_record::Promise;
use planner::prove::{
    AgeRange, CheckResult, DatabaseProof, Figure, Part, PartKind, Proof, Source, Statement,
    Suggestion, Verdict, words_for_seconds as words,
};
use policy_schema::policy::{CheckId, CheckSeverity};
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
        one(&mut text, database, &checks.collect::<Vec<_>>(), zone);
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

/// A few lines for `plan` and `validate`.
pub(crate) fn briefly(proof: &Proof) -> String {
    let count = |verdict| {
        let all = proof.databases.iter();
        all.filter(|database| database.verdict == verdict).count()
    };
    let parts: Vec<String> = [Verdict::Proved, Verdict::Violated, Verdict::Unproven]
        .into_iter()
        .filter(|verdict| count(*verdict) > 0)
        .map(|verdict| format!("{} {}", count(verdict), verdict_words(verdict).1))
        .collect();
    let mut text = format!(
        "\n{} {}; `mainstay prove` tells more\n",
        color::paint(color::BOLD, "Objectives:"),
        parts.join(", ")
    );
    let broken = proof
        .databases
        .iter()
        .filter(|database| database.verdict == Verdict::Violated);
    for database in broken.clone().take(10) {
        for (name, figures) in grouped(database) {
            for (ages, figure) in figures {
                if figure.verdict == Verdict::Violated {
                    let _ = writeln!(
                        text,
                        "  {} {}: {name} {ages}: {}",
                        color::paint(color::REMOVE, "!"),
                        database.database,
                        figure.why
                    );
                }
            }
        }
    }
    let more = broken.count().saturating_sub(10);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more databases");
    }
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

fn verdict_words(verdict: Verdict) -> (Style, &'static str) {
    match verdict {
        Verdict::NotAsked => (color::DIM, "not asked"),
        Verdict::Proved => (color::ADD, "proved"),
        Verdict::Unproven => (color::WARN, "unproven"),
        Verdict::Violated => (color::REMOVE, "VIOLATED"),
    }
}

fn one(text: &mut String, proof: &DatabaseProof, checks: &[&CheckResult], zone: &TimeZone) {
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
    let _ = writeln!(text, "  {}\n", sentence(proof, zone));
    ages(text, proof);
    broken(text, proof, zone);
    suggestions(text, proof);
    check_lines(text, checks, zone);
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

type Grouped<'p> = Vec<(&'static str, Vec<(String, &'p Figure)>)>;

/// Figures that are not as they should be, with neighbouring ages of which the same is said in one.
fn grouped(proof: &DatabaseProof) -> Grouped<'_> {
    let figure_of: [(&str, fn(&AgeRange) -> &Figure); 2] =
        [("RPO", |range| &range.rpo), ("RTO", |range| &range.rto)];
    figure_of
        .into_iter()
        .map(|(name, of)| {
            let mut found: Vec<(i64, Option<i64>, &Figure)> = Vec::new();
            for range in &proof.ranges {
                let figure = of(range);
                match found.last_mut() {
                    Some((_, to, known))
                        if (known.why == figure.why
                            || name == "RTO" && known.way == figure.way)
                            && known.verdict == figure.verdict
                            && known.promised == figure.promised =>
                    {
                        *to = range.to_seconds;
                    }
                    _ => found.push((range.from_seconds, range.to_seconds, figure)),
                }
            }
            let bad =
                |figure: &Figure| matches!(figure.verdict, Verdict::Violated | Verdict::Unproven);
            let bad = found.into_iter().filter(|(_, _, figure)| bad(figure));
            let bad = bad.map(|(from, to, figure)| {
                let ages = match (from, to) {
                    (0, Some(0)) => "now".to_owned(),
                    (0, Some(to)) => format!("of states up to {} old", words(to)),
                    (from, Some(to)) => format!("of states {} to {} old", words(from), words(to)),
                    (from, None) => format!("of states {} old and older", words(from)),
                };
                (ages, figure)
            });
            (name, bad.collect())
        })
        .collect()
}

fn broken(text: &mut String, proof: &DatabaseProof, zone: &TimeZone) {
    let mut drill_shown = false;
    for (name, figures) in grouped(proof) {
        for (ages, figure) in figures {
            let (style, _) = verdict_words(figure.verdict);
            let mark = if figure.verdict == Verdict::Violated {
                "✗"
            } else {
                "?"
            };
            let _ = writeln!(
                text,
                "\n  {} {name} {ages}: {}",
                color::paint(style, mark),
                figure.why
            );
            let unknown = |part: &Part| {
                matches!(
                    part.source,
                    Source::Unknown {
                        at_most_seconds: None
                    }
                )
            };
            if !figure.parts.iter().all(unknown) {
                let parts: Vec<String> = figure
                    .parts
                    .iter()
                    .map(|part| self::part(part, zone))
                    .collect();
                let _ = writeln!(
                    text,
                    "      the sum      {}",
                    parts.join("\n                   + ")
                );
            }
            if let Some(example) = &figure.counter_example {
                let instead = match (&example.recovery_point, &example.tier) {
                    (Some(point), Some(tier)) => format!("there is {point}, on {tier}"),
                    _ => "there is none".to_owned(),
                };
                let _ = writeln!(
                    text,
                    "      for example  on {} somebody needs the state of {}: {instead}",
                    local(example.at, zone),
                    local(example.wanted, zone)
                );
            }
            if let Some(measure) = &figure.measure {
                // The lines of one drill are enough to see how a drill is written.
                let (words, toml) = measure.split_once('\n').unwrap_or((measure, ""));
                let _ = writeln!(text, "      to be sure   {words}");
                if !drill_shown {
                    for line in toml.lines() {
                        let _ = writeln!(text, "                     {line}");
                    }
                    drill_shown = !toml.is_empty();
                }
            }
        }
    }
}

/// `12 h to thaw (as the vendor says: typically)`.
fn part(part: &Part, zone: &TimeZone) -> String {
    let what = match part.what {
        PartKind::Gap => "between two states, by schedule and retention",
        PartKind::Failures => "for runs that fail",
        PartKind::Run => "until the new state is stored and verified",
        PartKind::Lag => "that the log is behind",
        PartKind::Thaw => "to thaw",
        PartKind::Restore => "to read, decrypt, load and check",
    };
    let seconds = part.seconds.map(words);
    match &part.source {
        Source::Policy => format!("{} {what}", seconds.unwrap_or_default()),
        Source::Measured { at, bytes, count } => {
            let size = match bytes {
                0 => String::new(),
                bytes => format!(" of {}", model::ByteCount(*bytes)),
            };
            format!(
                "{} {what} (measured {count} times, last {}{size})",
                seconds.unwrap_or_default(),
                local(*at, zone)
            )
            .replace("measured 1 times, last", "measured")
        }
        Source::Declared => format!(
            "{} {what} (declared, never measured)",
            seconds.unwrap_or_default()
        ),
        Source::VendorTypical => {
            format!(
                "{} {what} (assumed: what the vendor says is typical)",
                seconds.unwrap_or_default()
            )
        }
        Source::Unknown {
            at_most_seconds: Some(most),
        } => format!("up to {} {what} (never measured)", words(*most)),
        Source::Unknown { .. } => format!("an unknown time {what} (never measured)"),
    }
}

fn suggestions(text: &mut String, proof: &DatabaseProof) {
    let mut last: Option<CheckId> = None;
    for (number, one) in proof.suggestions.iter().enumerate() {
        if last != Some(one.mends) {
            let name = one.mends.as_str().to_uppercase();
            let _ = writeln!(
                text,
                "\n  {}",
                color::paint(
                    color::BOLD,
                    format!("What would mend the {name}, each tried on this policy:")
                )
            );
            last = Some(one.mends);
        }
        suggestion(text, number + 1, one);
    }
}

fn suggestion(text: &mut String, number: usize, one: &Suggestion) {
    let cost = match (one.adds_copies, one.adds_bytes) {
        (0, _) => String::new(),
        (copies, Some(bytes)) if bytes > 0 => {
            format!(" ({copies} copies more, about {})", model::ByteCount(bytes))
        }
        (copies, _) if copies > 0 => format!(" ({copies} copies more)"),
        (copies, _) => format!(" ({} copies fewer)", -copies),
    };
    let then = match one.then {
        Verdict::Proved => color::paint(color::ADD, "then it is proved"),
        _ => color::paint(
            color::WARN,
            "then it is no longer violated, and has to be measured",
        ),
    };
    let _ = writeln!(
        text,
        "  {number}. {}{cost}: {then}\n     {}:",
        one.what, one.place
    );
    for line in one.toml.lines() {
        let line = if line.is_empty() {
            String::new()
        } else {
            format!("       {line}")
        };
        let _ = writeln!(text, "{line}");
    }
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
