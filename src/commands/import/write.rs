//! The text of the policy: a header that says where each rule comes from, then the tables.
//!
//! Not here: layout, which is `policy_schema::fmt`'s.

use super::found::{Database, Fate, Found, Note, Tier};
use std::fmt::Write as _;

/// What the header says besides what was found.
pub(crate) struct Heading<'a> {
    /// `restic`, …
    pub(crate) tool: &'a str,
    /// The file that was read.
    pub(crate) config: &'a str,
    /// IANA name of the zone.
    pub(crate) zone: &'a str,
    /// What the simulation showed, once it was made.
    pub(crate) proof: &'a [String],
}

/// The whole policy, as `fmt` likes it as far as that is easy.
pub(crate) fn policy(found: &Found, notes: &[Note], heading: &Heading<'_>) -> String {
    let mut text = String::new();
    comment(
        &mut text,
        &format!(
            "The retention of {} as `{}` has it, written by `mainstay import {}`.",
            heading.tool, heading.config, heading.tool
        ),
    );
    for remark in found
        .remarks
        .iter()
        .map(String::as_str)
        .chain(heading.proof.iter().map(String::as_str))
    {
        comment(&mut text, remark);
    }
    for (fate, title) in [
        (Fate::Taken, "Taken as it is:"),
        (Fate::Changed, "Said otherwise:"),
        (Fate::Assumed, "Assumed, because nothing says it:"),
        (
            Fate::NotExpressed,
            "Not in this policy, because it cannot be said:",
        ),
    ] {
        let mut of_fate = notes.iter().filter(|note| note.fate == fate).peekable();
        if of_fate.peek().is_some() {
            text.push_str("#\n");
            comment(&mut text, title);
        }
        for note in of_fate {
            let place = note
                .place
                .as_ref()
                .map_or(String::new(), |place| format!("{place}: "));
            item(
                &mut text,
                &format!("{place}{}: {}", note.setting, note.says),
            );
        }
    }
    let _ = writeln!(text, "mainstay = 1\ntimezone = \"{}\"", heading.zone);
    for tier in &found.tiers {
        table(&mut text, tier);
    }
    if found.encrypted {
        text.push_str(
            "\n# Make it with `mainstay key generate main`, and keep a copy elsewhere; a second recipient would be better.\n[key.main]\nkind = \"local\"\npath = \"keys/main.key\"\n",
        );
    }
    for one in &found.databases {
        database(&mut text, one, found.encrypted);
    }
    text
}

fn table(text: &mut String, tier: &Tier) {
    let _ = writeln!(text, "\n[tier.{}]", tier.name);
    lines(text, &tier.table);
}

fn database(text: &mut String, database: &Database, encrypted: bool) {
    let _ = writeln!(text, "\n[database.{}]", database.name);
    lines(text, &database.table);
    if encrypted {
        text.push_str("encrypt-with = [\"main\"]\n");
    }
    if !database.log.is_empty() {
        let _ = writeln!(
            text,
            "\n[database.{}.wal]\nmode = \"archive\"",
            database.name
        );
        for (tier, keep) in &database.log {
            let _ = writeln!(text, "keep.{tier} = \"{keep}\"");
        }
    }
    for series in &database.series {
        let _ = writeln!(
            text,
            "\n[[database.{}.series]]\nname = \"{}\"",
            database.name, series.name
        );
        lines(text, &series.table);
        let _ = writeln!(text, "schedule = \"{}\"", series.schedule);
        for (tier, keep) in &series.keeps {
            let _ = writeln!(text, "keep.{tier} = {keep}");
        }
    }
}

fn lines(text: &mut String, lines: &[String]) {
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
}

/// A comment, folded; whatever was read must not end it early.
fn comment(text: &mut String, words: &str) {
    folded(text, words, "# ", "# ");
}

fn item(text: &mut String, words: &str) {
    folded(text, words, "# - ", "#   ");
}

fn folded(text: &mut String, words: &str, first: &str, next: &str) {
    const WIDTH: usize = 110;
    let words: String = words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut line = first.to_owned();
    let mut is_fresh = true;
    for word in words.split_whitespace() {
        if !is_fresh && line.chars().count() + word.chars().count() >= WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            next.clone_into(&mut line);
        }
        line.push_str(word);
        line.push(' ');
        is_fresh = false;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}
