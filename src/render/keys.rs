//! Keys and rotations, for people and as JSON. Never key material: only names and ids.

use crate::render::{color, table::table};
use executor::{KeyReport, KeyUse, RotateReport};
use jiff::Timestamp;
use model::event::Failure;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Points or copies that are named before the rest is only counted.
const EXAMPLES: usize = 5;

/// The report as a table, with what would be lost below it.
pub(crate) fn report_text(report: &KeyReport) -> String {
    let mut text = String::new();
    if report.keys.is_empty() {
        text.push_str("No keys are declared, and nothing is encrypted.\n");
    } else {
        let rows: Vec<Vec<String>> = report.keys.iter().map(row).collect();
        text.push_str(&table(
            &["KEY", "KIND", "STATE", "OPENS", "ONLY IT OPENS", "ID"],
            &rows,
        ));
    }
    for key in report.keys.iter().filter(|key| is_in_trouble(key)) {
        let trouble = trouble(key).unwrap_or_default();
        if key.only.is_empty() {
            let _ = writeln!(
                text,
                "{} {}: {trouble}. What it opens is opened by another key too, as far as the key rings tell",
                color::paint(color::WARN, "!"),
                name(key)
            );
            continue;
        }
        let shown: Vec<String> = key
            .only
            .iter()
            .take(EXAMPLES)
            .map(ToString::to_string)
            .collect();
        let more = key.only.len().saturating_sub(EXAMPLES);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "{} {}: {}. Without it nobody opens {}{more}",
            color::paint(color::REMOVE, "!"),
            name(key),
            trouble,
            shown.join(", ")
        );
    }
    for (point, tier, failure) in &report.unread {
        let _ = writeln!(
            text,
            "{} the keys of {point} on {tier} could not be read: {}",
            color::paint(color::WARN, "!"),
            failure.message
        );
    }
    for (tier, left) in &report.unreachable {
        let _ = writeln!(
            text,
            "{} {} of {tier} not looked at: {}",
            color::paint(color::WARN, "!"),
            copies(left.points.len()),
            left.failure.message
        );
    }
    text
}

/// A key that something is encrypted for, and that cannot be used: declared and bad, or not declared and without a substitute.
pub(crate) fn is_in_trouble(key: &KeyUse) -> bool {
    let matters = if key.declared.is_empty() {
        !key.only.is_empty()
    } else {
        !key.points.is_empty()
    };
    matters && !key.is_usable()
}

fn row(key: &KeyUse) -> Vec<String> {
    let state = match trouble(key) {
        None => {
            let ends =
                valid_until(key).map(|at| format!(", valid until {}", at.strftime("%Y-%m-%d")));
            color::paint(color::ADD, format!("usable{}", ends.unwrap_or_default()))
        }
        Some(why) if key.declared.is_empty() => color::paint(color::WARN, &why),
        Some(why) => color::paint(color::REMOVE, &why),
    };
    let only = if key.only.is_empty() {
        "-".to_owned()
    } else {
        color::paint(color::WARN, key.only.len().to_string())
    };
    vec![
        name(key),
        key.kind.clone(),
        state,
        format!(
            "{} in {}",
            points(key.points.len()),
            copies(usize::try_from(key.copies).unwrap_or(usize::MAX))
        ),
        only,
        key.key_id.clone().unwrap_or_else(|| "unknown".to_owned()),
    ]
}

/// Names under which it is declared, else under which it was used.
fn name(key: &KeyUse) -> String {
    let names: Vec<&str> = if key.declared.is_empty() {
        key.names.iter().map(model::KeyName::as_str).collect()
    } else {
        key.declared.iter().map(|look| look.name.as_str()).collect()
    };
    names.join(", ")
}

/// When its certificate ends; it can be opened all the same then.
fn valid_until(key: &KeyUse) -> Option<Timestamp> {
    let mut looks = key.declared.iter();
    looks.find_map(|look| look.facts.as_ref().ok()?.valid_until)
}

/// What is wrong with it; `None`: nothing.
fn trouble(key: &KeyUse) -> Option<String> {
    if key.is_usable() {
        return None;
    }
    match key.declared.first() {
        Some(look) => look.trouble(),
        None => Some("not declared".to_owned()),
    }
}

fn points(number: usize) -> String {
    if number == 1 {
        "1 point".to_owned()
    } else {
        format!("{number} points")
    }
}

fn copies(number: usize) -> String {
    if number == 1 {
        "1 copy".to_owned()
    } else {
        format!("{number} copies")
    }
}

/// The same for programs.
pub(crate) fn report_json(report: &KeyReport) -> Value {
    let keys: Vec<Value> = report
        .keys
        .iter()
        .map(|key| {
            let declared: Vec<&str> = key.declared.iter().map(|look| look.name.as_str()).collect();
            let valid_until = valid_until(key);
            json!({
                "declared_as": declared, "used_as": key.names, "kind": key.kind, "key_id": key.key_id, "usable": key.is_usable(),
                "trouble": trouble(key), "valid_until": valid_until, "copies": key.copies, "opens": key.points, "only_it_opens": key.only,
            })
        })
        .collect();
    let unread: Vec<Value> = report
        .unread
        .iter()
        .map(|(point, tier, failure)| json!({"recovery_point": point, "tier": tier, "failure": failure}))
        .collect();
    json!({"format": "mainstay.keys-report.v1", "keys": keys, "copies": report.copies, "unread": unread, "unreachable": unreachable(report.unreachable.iter().map(|(tier, left)| (tier, &left.failure, left.points.len())))})
}

fn unreachable<'a>(
    tiers: impl Iterator<Item = (&'a model::TierName, &'a Failure, usize)>,
) -> Vec<Value> {
    tiers
        .map(|(tier, failure, copies)| json!({"tier": tier, "failure": failure, "copies": copies}))
        .collect()
}

/// What a rotation did.
pub(crate) fn rotation_text(report: &RotateReport) -> String {
    let mut text = String::new();
    for (tier, done) in &report.tiers {
        let _ = writeln!(
            text,
            "{tier}: the keys of {} wrapped anew, {} fine already; no data was touched",
            copies(done.rewrapped.len()),
            done.already_fine.len()
        );
        for (point, failure) in &done.failed {
            let _ = writeln!(
                text,
                "  {} {point} keeps its old recipients: {}",
                color::paint(color::REMOVE, "!"),
                failure.message
            );
            if let Some(help) = &failure.help {
                let _ = writeln!(text, "    {help}");
            }
        }
    }
    for (tier, left) in &report.unreachable {
        let _ = writeln!(
            text,
            "{} {tier} was not reached, and {} there keep their old recipients: {}",
            color::paint(color::REMOVE, "!"),
            copies(left.points.len()),
            left.failure.message
        );
    }
    if !report.without_recipients.is_empty() {
        let _ = writeln!(
            text,
            "{} {} of databases without `encrypt-with` were left as they are",
            color::paint(color::WARN, "!"),
            report.without_recipients.len()
        );
    }
    for gap in &report.gaps {
        let _ = writeln!(
            text,
            "{} not recorded: {}",
            color::paint(color::WARN, "!"),
            gap.message
        );
    }
    if report.is_complete() {
        text.push_str("Keys that are not recipients any more can be put away once `mainstay key list` shows that they open nothing alone.\n");
    } else {
        text.push_str("Keep every old key: not all copies have their new recipients. Run `mainstay key rotate` again when the trouble is mended.\n");
    }
    if text.is_empty() {
        text.push_str("Nothing is encrypted yet.\n");
    }
    text
}

/// The same for programs.
pub(crate) fn rotation_json(report: &RotateReport) -> Value {
    let tiers: serde_json::Map<String, Value> = report
        .tiers
        .iter()
        .map(|(tier, done)| {
            let failed: Vec<Value> = done
                .failed
                .iter()
                .map(|(point, failure)| json!({"recovery_point": point, "failure": failure}))
                .collect();
            (tier.to_string(), json!({"rewrapped": done.rewrapped, "already_fine": done.already_fine, "failed": failed}))
        })
        .collect();
    json!({
        "format": "mainstay.rotation.v1", "complete": report.is_complete(), "tiers": tiers,
        "unreachable": unreachable(report.unreachable.iter().map(|(tier, left)| (tier, &left.failure, left.points.len()))),
        "without_recipients": report.without_recipients, "approved_by": report.approved_by,
    })
}
