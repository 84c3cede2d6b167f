//! What differs between two policies, key by key, in the words of the language.
//!
//! Compares what the policies mean (`resolved`): comments, order and the layout of files make no difference, so two policies
//! differ here exactly when their digests differ. Not here: what a difference does to recovery points (`planner`).

use crate::{policy::Policy, resolved};
use serde_json::{Map, Value};

/// One key whose value differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path, as `explain` understands it: `database.orders.series.daily.verify`.
    pub path: String,
    /// The old value; `None`: it was not there.
    pub from: Option<Value>,
    /// The new value; `None`: it is not there any more.
    pub to: Option<Value>,
}

/// Every key that differs, sorted by path; a table that only one policy has is one change.
pub fn changes(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut found = Vec::new();
    if old.digest == new.digest {
        return found;
    }
    let outside = (
        resolved::outside_databases(old),
        resolved::outside_databases(new),
    );
    compare("", &outside.0, &outside.1, &mut found);
    // Database by database: the whole tree would be large.
    let mut names: Vec<_> = old.databases.keys().chain(new.databases.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let path = format!("database.{name}");
        let json = |policy: &Policy| policy.databases.get(name).map(resolved::database_json);
        match (json(old), json(new)) {
            (Some(from), Some(to)) => compare(&path, &from, &to, &mut found),
            (from, to) => found.push(Change { path, from, to }),
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn compare(path: &str, from: &Value, to: &Value, found: &mut Vec<Change>) {
    if from == to {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        found.push(Change {
            path: path.to_owned(),
            from: Some(from.clone()).filter(|value| !value.is_null()),
            to: Some(to.clone()).filter(|value| !value.is_null()),
        });
        return;
    };
    let keys = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
    let mut names = [keys(old), keys(new)].concat();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let inner = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        match (old.get(&name), new.get(&name)) {
            (Some(from), Some(to)) => compare(&inner, from, to, found),
            (from, to) => found.push(Change {
                path: inner,
                from: from.cloned(),
                to: to.cloned(),
            }),
        }
    }
}
