//! What `prove` found broken, for people: the figure, its sum, a case, what to measure, and changes that were tried and mend it.
//!
//! Not here: the table of ages, checks, the sentence (`prove`).

use super::{color, plan_text::local, prove::verdict_words};
use jiff::tz::TimeZone;
use planner::prove::{
    AgeRange, DatabaseProof, Figure, Part, PartKind, Source, Suggestion, Verdict,
    words_for_seconds as words,
};
use policy_schema::policy::CheckId;
use std::fmt::Write as _;

/// Objectives with ages and figures.
pub(super) type Grouped<'p> = Vec<(&'static str, Vec<(String, &'p Figure)>)>;

type FigureOf = fn(&AgeRange) -> &Figure;

/// Figures that are not as they should be, with neighbouring ages of which the same is said in one.
pub(super) fn grouped(proof: &DatabaseProof) -> Grouped<'_> {
    let figure_of: [(&str, FigureOf); 2] =
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

/// Everything that is violated or unproven.
pub(super) fn broken(text: &mut String, proof: &DatabaseProof, zone: &TimeZone) {
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

/// What would mend it.
pub(super) fn suggestions(text: &mut String, proof: &DatabaseProof) {
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
