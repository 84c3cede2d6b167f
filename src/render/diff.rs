//! A diff of two policies, for people and as a pull-request comment: the worst first.
//!
//! Both are made of the same tables (`diff/tables.rs`), in the same order. Invariant: the Markdown stays under [`MARKDOWN_LIMIT`]; what
//! is cut is counted.

mod tables;

use super::{
    color,
    markdown::{Heading, escape, section},
    plan_text::local,
    table::table,
};
use crate::arguments::MARKDOWN_LIMIT;
use jiff::tz::TimeZone;
use model::ByteCount;
use planner::{
    Gone,
    diff::{LostPoint, PolicyDiff, Side},
};
use std::fmt::Write as _;
use tables::{Table, Weight, tables};

/// Rows of one table on a screen before the rest is only counted.
const ROWS: usize = 20;

/// Reasons for approval in a comment before the rest is only counted.
const REASONS: usize = 20;

/// Room that headings and closing lines of a comment may need.
const MARGIN: usize = 6_000;

/// Where what is cut can be seen.
const REST: &str = "`mainstay diff … --json`";

/// For a terminal.
pub(crate) fn text(diff: &PolicyDiff, zone: &TimeZone) -> String {
    let mut text = String::new();
    let (headline, weight) = headline(diff, zone);
    let _ = writeln!(text, "{}", color::paint(style(weight), headline));
    for table in tables(diff, zone) {
        on_screen(&mut text, &table);
    }
    if let Some(id) = &diff.id {
        let _ = writeln!(
            text,
            "\n{}",
            color::paint(color::WARN, "Somebody must agree to this change:")
        );
        for approval in diff.approval.iter().take(ROWS) {
            let code = approval.code.as_str();
            let _ = writeln!(
                text,
                "  ! {} {}",
                approval.text,
                color::paint(color::DIM, format!("[{code}]"))
            );
        }
        more(&mut text, diff.approval.len());
        let _ = writeln!(text, "  agree with:  mainstay diff … --accept {id}");
    }
    let _ = writeln!(text, "\n{}", color::paint(color::DIM, compared(diff)));
    text
}

fn on_screen(text: &mut String, of: &Table) {
    let _ = writeln!(
        text,
        "\n{}",
        color::paint(style(of.weight), format!("{} ({})", of.title, of.total))
    );
    let rows: Vec<Vec<String>> = of.rows.iter().take(ROWS).cloned().collect();
    for line in table(of.columns, &rows).lines() {
        let _ = writeln!(text, "  {line}");
    }
    more(text, of.total);
}

fn more(text: &mut String, total: usize) {
    if total > ROWS {
        let _ = writeln!(text, "  … and {} more (see --json)", total - ROWS);
    }
}

fn style(weight: Weight) -> anstyle::Style {
    match weight {
        Weight::Loss => color::REMOVE,
        Weight::Weaker => color::WARN,
        Weight::Change => color::BOLD,
    }
}

/// For a pull request.
pub(crate) fn markdown(diff: &PolicyDiff, zone: &TimeZone) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "### Mainstay diff: {}\n", headline(diff, zone).0);
    if let Some(id) = &diff.id {
        let _ = writeln!(text, "> [!CAUTION]\n> Somebody must agree to this change:");
        for approval in diff.approval.iter().take(REASONS) {
            let code = approval.code.as_str();
            let _ = writeln!(text, "> - {} (`{code}`)", escape(&approval.text));
        }
        if diff.approval.len() > REASONS {
            let _ = writeln!(text, "> - … and {} more", diff.approval.len() - REASONS);
        }
        let _ = writeln!(
            text,
            ">\n> Agree with `mainstay diff … --accept {id}`; nothing is deleted before `mainstay apply` was approved too.\n"
        );
    }
    let room = usize::try_from(MARKDOWN_LIMIT.0)
        .unwrap_or(usize::MAX)
        .saturating_sub(MARGIN);
    for of in tables(diff, zone) {
        let rows = of.rows.iter().map(|cells| {
            let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
            format!("| {} |\n", cells.join(" | "))
        });
        let heading = Heading {
            title: of.title,
            columns: of.columns,
            total: of.total,
        };
        section(&mut text, room, heading, rows, REST);
    }
    let _ = writeln!(text, "<sub>{}</sub>", escape(&compared(diff)));
    text
}

/// The worst in one sentence.
fn headline(diff: &PolicyDiff, zone: &TimeZone) -> (String, Weight) {
    if diff.is_empty() {
        let same = "nothing changes, both policies mean the same".to_owned();
        return (same, Weight::Change);
    }
    let mut parts = Vec::new();
    if !diff.destroyed.is_empty() {
        parts.push(format!(
            "{} would be destroyed ({})",
            span(&diff.destroyed, zone),
            size(&diff.destroyed)
        ));
    }
    if !diff.destroyed_later.is_empty() {
        parts.push(format!(
            "{} would be destroyed as soon as nothing is in the way ({})",
            span(&diff.destroyed_later, zone),
            size(&diff.destroyed_later)
        ));
    }
    if !diff.removed.is_empty() {
        let names: Vec<String> = diff
            .removed
            .iter()
            .take(3)
            .map(ToString::to_string)
            .collect();
        let more = diff.removed.len().saturating_sub(names.len());
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        parts.push(format!("{}{more} not backed up any more", names.join(", ")));
    }
    if !diff.copies_lost.is_empty() {
        let words = points(diff.copies_lost.len());
        parts.push(format!("{words} would lose copies"));
    }
    if !diff.expires_earlier.is_empty() {
        let count = diff.expires_earlier.len();
        let words = if count == 1 {
            "copy expires"
        } else {
            "copies expire"
        };
        parts.push(format!("{count} {words} earlier"));
    }
    let behind = diff.orphaned.iter().filter(|one| one.why == Gone::Place);
    let behind: usize = behind.map(|one| one.copies).sum();
    if behind > 0 {
        let words = if behind == 1 {
            "copy stays"
        } else {
            "copies stay"
        };
        parts.push(format!(
            "{behind} {words} behind on a tier that is another place now"
        ));
    }
    if !parts.is_empty() {
        return (parts.join("; "), Weight::Loss);
    }
    if diff.needs_approval() {
        let words = "no recovery point is lost now, but less is kept from now on".to_owned();
        return (words, Weight::Weaker);
    }
    (
        "no recovery point is lost or expires earlier".to_owned(),
        Weight::Change,
    )
}

fn points(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} recovery point{plural}")
}

/// `60 recovery points of 2026-06-24 02:00 CEST to 2026-08-22 02:00 CEST`.
fn span(lost: &[LostPoint], zone: &TimeZone) -> String {
    let slots = || lost.iter().map(|point| point.slot);
    let words = points(lost.len());
    match (slots().min(), slots().max()) {
        (Some(oldest), Some(newest)) if oldest != newest => format!(
            "{words} of {} to {}",
            local(oldest, zone),
            local(newest, zone)
        ),
        (Some(only), _) => format!("{words} of {}", local(only, zone)),
        _ => words,
    }
}

fn size(lost: &[LostPoint]) -> ByteCount {
    let sizes = lost.iter().map(LostPoint::bytes);
    sizes.fold(ByteCount(0), ByteCount::saturating_add)
}

fn compared(diff: &PolicyDiff) -> String {
    let side = |side: &Side| {
        let digest: String = side.digest.as_str().chars().take(19).collect();
        let name = side.source.as_deref().unwrap_or("policy");
        match &side.revision {
            Some(commit) => format!(
                "{name} at {} ({digest})",
                commit.get(..12).unwrap_or(commit)
            ),
            None => format!("{name} ({digest})"),
        }
    };
    format!(
        "old {}, new {}, over {} observed {}, evaluated at {}",
        side(&diff.old_policy),
        side(&diff.new_policy),
        points(diff.inventory.recovery_points),
        diff.inventory.observed_at,
        diff.evaluated_at
    )
}
