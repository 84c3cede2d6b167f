//! What has an old and a new value: verdicts, promises, recipients, locks and all other keys, split by whether less is protected.

use super::{Table, Weight, joined, nothing};
use crate::render::status::span;
use model::{LockMode, LockRule};
use planner::{
    diff::{EncryptionChange, LockChange, PolicyDiff, Promise, VerdictChange},
    prove::Verdict,
};
use serde_json::Value;

/// Characters of a value.
const MOST_OF_A_VALUE: usize = 80;

/// What protects less.
pub(super) fn weaker(diff: &PolicyDiff) -> Table {
    table("Weaker protection", Weight::Weaker, rows(diff, true))
}

/// All the rest.
pub(super) fn others(diff: &PolicyDiff) -> Table {
    table("Other changes", Weight::Change, rows(diff, false))
}

fn table(title: &'static str, weight: Weight, rows: Vec<Vec<String>>) -> Table {
    Table {
        title,
        weight,
        columns: &["what", "old", "new"],
        total: rows.len(),
        rows,
    }
}

fn rows(diff: &PolicyDiff, weaker: bool) -> Vec<Vec<String>> {
    let verdicts = diff.verdicts.iter().filter(|one| one.worse == weaker);
    let objectives = diff.objectives.iter().filter(|one| one.looser == weaker);
    let recipients = diff.encryption.iter();
    let recipients = recipients.filter(|one| one.removed.is_empty() != weaker);
    let locks = diff.locks.iter().filter(|one| one.weaker == weaker);
    let settings = diff.settings.iter().filter(|one| one.weaker == weaker);
    let mut rows: Vec<Vec<String>> = verdicts.map(judged).collect();
    rows.extend(objectives.map(|change| {
        vec![
            format!("{} of {}", change.objective, change.database),
            promise(change.from),
            promise(change.to),
        ]
    }));
    rows.extend(recipients.map(encrypted));
    rows.extend(locks.map(locked));
    rows.extend(settings.map(|setting| {
        vec![
            setting.path.clone(),
            value(setting.from.as_ref()),
            value(setting.to.as_ref()),
        ]
    }));
    rows
}

fn judged(change: &VerdictChange) -> Vec<String> {
    let why = change.why.as_ref();
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    vec![
        format!("verdict on {} of {}", change.check, change.database),
        verdict(change.from).to_owned(),
        format!("{}{why}", verdict(change.to)),
    ]
}

fn encrypted(change: &EncryptionChange) -> Vec<String> {
    vec![
        format!("recipients of {}", change.database),
        match change.removed.as_slice() {
            [] => String::new(),
            keys => format!("without {}", joined(keys)),
        },
        match change.added.as_slice() {
            [] if change.plain => "not encrypted".to_owned(),
            [] => String::new(),
            keys => format!("with {}", joined(keys)),
        },
    ]
}

fn locked(change: &LockChange) -> Vec<String> {
    let next = match change.locked_next {
        0 => String::new(),
        count => format!("; the next apply locks {count} of {} copies", change.copies),
    };
    vec![
        format!("lock of {}", change.tier),
        lock(change.from),
        format!("{}{next}", lock(change.to)),
    ]
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotAsked => "not asked",
        Verdict::Proved => "proved",
        Verdict::Unproven => "unproven",
        Verdict::Violated => "violated",
    }
}

fn promise(promise: Option<Promise>) -> String {
    promise.map_or_else(nothing, |promise| {
        let target = span(promise.target_seconds);
        if promise.target_seconds == promise.maximum_seconds {
            target
        } else {
            format!("{target}, at most {}", span(promise.maximum_seconds))
        }
    })
}

fn lock(rule: Option<LockRule>) -> String {
    let Some(rule) = rule else {
        return "none".to_owned();
    };
    let mode = match rule.mode {
        LockMode::Governance => "governance",
        LockMode::Compliance => "compliance",
    };
    match rule.length {
        Some(length) => format!("{mode}, {length}"),
        None => format!("{mode}, as long as kept"),
    }
}

fn value(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return nothing(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    // What somebody wrote into a label moves no cursor and breaks no table.
    let text: String = text
        .chars()
        .flat_map(|one| match one {
            one if one.is_control() => one.escape_default().collect::<Vec<char>>(),
            one => vec![one],
        })
        .collect();
    if text.chars().count() <= MOST_OF_A_VALUE {
        return text;
    }
    let short: String = text.chars().take(MOST_OF_A_VALUE).collect();
    format!("{short}…")
}
