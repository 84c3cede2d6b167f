//! What `import` says of another tool's settings and of the proof.

use super::color;
use crate::commands::import::{
    found::{Fate, Note},
    proof::Proof,
};
use jiff::Timestamp;
use model::Finding;
use planner::foreign::compare::{Comparison, Side};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Reasons that are listed on each side.
const MOST_GROUPS: usize = 5;

/// Everything, for programs.
pub(crate) struct Report<'a> {
    pub(crate) tool: &'a str,
    pub(crate) config: &'a str,
    pub(crate) policy: &'a str,
    pub(crate) notes: &'a [Note],
    pub(crate) proofs: &'a [Proof],
    pub(crate) findings: &'a [Finding],
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

pub(crate) fn json(report: &Report<'_>) -> Value {
    let proofs: Vec<Value> = report
        .proofs
        .iter()
        .map(|proof| {
            let mut value = serde_json::to_value(proof).unwrap_or_default();
            value["same"] = json!(proof.comparison.is_same());
            value["never_fewer"] = json!(proof.comparison.never_fewer());
            value
        })
        .collect();
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| json!({"code": finding.code, "message": finding.message}))
        .collect();
    json!({
        "format": "mainstay.import-policy.v1", "tool": report.tool, "config": report.config, "policy": report.policy,
        "settings": report.notes, "findings": findings, "simulated_from": report.from, "simulated_until": report.until, "proofs": proofs,
    })
}

/// What became of each setting, and what the simulation showed.
pub(crate) fn text(
    tool: &str,
    notes: &[Note],
    proofs: &[Proof],
    from: Timestamp,
    years: u16,
) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{}",
        color::paint(color::BOLD, format!("What {tool} has, and what it is now"))
    );
    let place = |note: &Note| {
        note.place
            .as_ref()
            .map_or(String::new(), |place| format!("{place}  "))
    };
    for note in notes {
        let (style, mark) = match note.fate {
            Fate::Taken => (color::ADD, "="),
            Fate::Changed => (color::MOVE, "~"),
            Fate::Assumed => (color::WARN, "?"),
            Fate::NotExpressed => (color::REMOVE, "!"),
        };
        let _ = writeln!(
            text,
            "{} {}{}: {}",
            color::paint(style, mark),
            place(note),
            note.setting,
            note.says
        );
    }
    text.push_str("  (= taken as it is, ~ said otherwise, ? assumed, ! cannot be said)\n");
    let title = format!(
        "{years} years from {} side by side",
        from.strftime("%Y-%m-%d")
    );
    let _ = writeln!(text, "\n{}", color::paint(color::BOLD, title));
    for proof in proofs {
        one(&mut text, tool, proof);
    }
    text
}

fn one(text: &mut String, tool: &str, proof: &Proof) {
    let comparison = &proof.comparison;
    let style = if comparison.is_same() {
        color::ADD
    } else if comparison.never_fewer() || proof.pointers {
        color::MOVE
    } else {
        color::REMOVE
    };
    let name = format!("{} on {}", proof.database, proof.tier);
    let _ = writeln!(
        text,
        "{}: {}",
        color::paint(style, name),
        verdict(tool, comparison, proof.pointers)
    );
    if comparison.fewer.runs > 0 {
        side(text, &format!("only {tool} still has"), &comparison.fewer);
    }
    if comparison.more.runs > 0 {
        side(text, "only the policy still has", &comparison.more);
    }
}

/// The verdict alone, for the header of the policy.
pub(crate) fn in_one_line(tool: &str, proof: &Proof, years: u16) -> String {
    format!(
        "Simulated for {years} years, {} on {}: {}.",
        proof.database,
        proof.tier,
        verdict(tool, &proof.comparison, proof.pointers)
    )
}

fn verdict(tool: &str, comparison: &Comparison, pointers: bool) -> String {
    let (runs, points) = (
        grouped(comparison.runs),
        grouped(comparison.points_compared),
    );
    if comparison.is_same() {
        return format!(
            "the same points after each of {runs} backups ({points} compared; {} at most at once)",
            comparison.most_points
        );
    }
    if comparison.never_fewer() {
        return format!(
            "everything that {tool} keeps, and after {} of {runs} backups more: {} at once at most",
            grouped(comparison.more.runs),
            points_of(comparison.more.most_at_once, "more")
        );
    }
    let (fewer, most) = (
        grouped(comparison.fewer.runs),
        comparison.fewer.most_at_once,
    );
    if pointers {
        return format!(
            "after {fewer} of {runs} backups fewer pointers, {most} at most; {tool} keeps the data all the same"
        );
    }
    format!(
        "FEWER points than {tool} after {fewer} of {runs} backups, up to {most} fewer at once{}",
        if comparison.more.runs > 0 {
            ", and others more"
        } else {
            ""
        }
    )
}

fn side(text: &mut String, title: &str, side: &Side) {
    let days = side.longest_seconds / 86_400;
    let longest = match days {
        0 => "for less than a day each".to_owned(),
        1 => "for up to 1 day".to_owned(),
        days => format!("for up to {days} days"),
    };
    let _ = writeln!(
        text,
        "  {title} {}, {longest}:",
        points_of(side.points, "different")
    );
    for group in side.groups.iter().take(MOST_GROUPS) {
        let _ = writeln!(
            text,
            "    {} kept by `{}`; first after the backup of {}: that of {}",
            grouped(group.points as u64),
            group.kept_by,
            day(group.first_run),
            day(group.first_point)
        );
    }
    if side.groups.len() > MOST_GROUPS {
        let rest = side.groups.len() - MOST_GROUPS;
        let _ = writeln!(text, "    and {rest} more reasons; `--json` lists all");
    }
}

/// Warnings of the validator.
pub(crate) fn findings(findings: &[Finding]) -> String {
    let mut text = String::from("\nThe policy is valid, with warnings:\n");
    for finding in findings {
        let _ = writeln!(
            text,
            "{} {} ({})",
            color::paint(color::WARN, "!"),
            finding.message,
            finding.code
        );
    }
    text
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

fn points_of(number: usize, more: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {more} point{s}", grouped(number as u64))
}

/// 12,345
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
