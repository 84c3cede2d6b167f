//! Every other key that differs, so that nothing of a change goes unsaid; and which of them certainly protect less.
//!
//! Not here: keys that have a list of their own in the document.

use super::{PolicyDiff, Setting, checks};
use model::VerifyLevel;
use policy_schema::{Change, Policy};
use serde_json::Value;

/// Keys of a database that stand elsewhere in the document.
const ELSEWHERE_OF_DATABASE: &[&str] = &["encrypt-with"];

/// Keys of a series that stand elsewhere in the document.
const ELSEWHERE_OF_SERIES: &[&str] = &["keep", "schedule"];

pub(super) fn compare(changes: Vec<Change>, policies: &[Policy; 2], diff: &mut PolicyDiff) {
    for change in changes {
        if is_elsewhere(&change) {
            continue;
        }
        diff.settings.push(Setting {
            weaker: is_weaker(&change, policies),
            from: change.from,
            path: change.path,
            to: change.to,
        });
    }
}

/// Whether another list of the document has it: new and removed databases and series, and what these lists are made for.
fn is_elsewhere(change: &Change) -> bool {
    let path: Vec<&str> = change.path.split('.').collect();
    match path.as_slice() {
        ["database", _]
        | ["database", _, "series", _]
        | ["database", _, "objective", "rpo" | "rto", ..]
        | ["database", _, "wal", "keep", ..] => true,
        ["database", .., "tiers"] => !is_reordered(change),
        ["database", _, key] => ELSEWHERE_OF_DATABASE.contains(key),
        ["database", _, "series", _, key, ..] => ELSEWHERE_OF_SERIES.contains(key),
        _ => false,
    }
}

/// Whether the same tiers stand in another order: the first is the primary.
fn is_reordered(change: &Change) -> bool {
    let sorted = |value: &Option<Value>| {
        let list = value.as_ref().and_then(Value::as_array);
        let mut names: Vec<String> = list.into_iter().flatten().map(Value::to_string).collect();
        names.sort();
        names
    };
    sorted(&change.from) == sorted(&change.to)
}

fn is_weaker(change: &Change, policies: &[Policy; 2]) -> bool {
    let path: Vec<&str> = change.path.split('.').collect();
    let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_u64);
    match path.as_slice() {
        ["database", _, "series", _, "verify"] => {
            let level = |value: &Option<Value>| {
                let text = value.as_ref().and_then(Value::as_str);
                text.and_then(|text| text.parse::<VerifyLevel>().ok())
            };
            level(&change.to) < level(&change.from)
        }
        ["safety", "min-verified"] | ["approval", "quorum"] => {
            number(&change.to) < number(&change.from)
        }
        ["safety", _] => number(&change.to) > number(&change.from),
        // Drills and checks that went; a list that only changed is for people to judge.
        ["database", _, "drill" | "assert"] => {
            let count = |value: &Option<Value>| {
                value.as_ref().and_then(Value::as_array).map_or(0, Vec::len)
            };
            count(&change.to) < count(&change.from)
        }
        ["database", _, "wal"] | ["approval"] => change.to.is_none(),
        // Whoever may sign alone, and whoever is excepted, was not before.
        ["approval", "exclude-author"] => change.from == Some(Value::Bool(true)),
        ["approval", "signers", ..] => change.to.is_some(),
        ["exception"] => exceptions(change).1 > exceptions(change).0,
        // Another label may be another entry.
        ["database", _, "labels", ..] => checks::ask_less(policies),
        ["check"] => {
            demands(change.to.as_ref()) < demands(change.from.as_ref())
                || checks::ask_less(policies)
        }
        ["database", _, "objective", "at-age"] => {
            let promised = |value: &Option<Value>| {
                value.as_ref().and_then(Value::as_array).map_or(0, Vec::len)
            };
            promised(&change.to) < promised(&change.from)
        }
        ["database", _, "objective", "failures"] => number(&change.to) < number(&change.from),
        _ => false,
    }
}

/// How many exceptions there were and are.
fn exceptions(change: &Change) -> (usize, usize) {
    let count =
        |value: &Option<Value>| value.as_ref().and_then(Value::as_array).map_or(0, Vec::len);
    (count(&change.from), count(&change.to))
}

/// How many checks fail something.
fn demands(checks: Option<&Value>) -> usize {
    let checks = checks.and_then(Value::as_array).into_iter().flatten();
    let fails =
        |check: &&Value| check["severity"] == "error" && check["enabled"] != Value::Bool(false);
    checks.filter(fails).count()
}
