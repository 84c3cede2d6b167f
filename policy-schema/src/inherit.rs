//! Inheritance: a database's own table over its profiles over `[defaults]`.
//!
//! Order, strongest first: own keys, `profile`, `inherits` (a later one wins over an earlier one), `[defaults]`. Labels,
//! objectives, windows, keeps and the archive of the log merge key by key and series by name; everything else is replaced whole, because half of
//! a secret reference from here and half from there would be neither. Every value keeps the place it was written at.
//!
//! Not here: whether the merged table is right (`shape`, `meaning`).

use crate::{
    report::{Draft, Report, near_or_all},
    sections::Item,
    tree::{Entry, Node, Table, Value},
};
use std::{collections::BTreeMap, sync::Arc};

/// How a table is merged with the one that it inherits from.
#[derive(Clone, Copy)]
enum Merge {
    Database,
    Series,
    Wal,
    /// Its values are tables that merge key by key.
    Nested,
    /// Its keys merge; their values are replaced.
    Keys,
}

impl Merge {
    fn of(self, key: &str) -> Option<Self> {
        match (self, key) {
            (Self::Database, "objective") | (Self::Series, "keep") => Some(Self::Nested),
            (Self::Database, "wal") => Some(Self::Wal),
            (Self::Database, "labels")
            | (Self::Series, "window")
            | (Self::Wal, "keep")
            | (Self::Nested, _) => Some(Self::Keys),
            _ => None,
        }
    }
}

/// Resolves what databases inherit; every profile once.
pub(crate) struct Inheritance<'a> {
    profiles: &'a BTreeMap<String, Item>,
    defaults: Option<Arc<Node>>,
    resolved: BTreeMap<String, Option<Arc<Node>>>,
}

impl<'a> Inheritance<'a> {
    pub(crate) fn new(profiles: &'a BTreeMap<String, Item>, defaults: Option<Arc<Node>>) -> Self {
        Self {
            profiles,
            defaults,
            resolved: BTreeMap::new(),
        }
    }

    /// A database's table with everything inherited.
    pub(crate) fn database(&mut self, report: &mut Report<'_>, own: &Arc<Node>) -> Arc<Node> {
        let merged = self.over_parents(report, own, &mut Vec::new());
        match self.defaults.clone() {
            Some(defaults) => {
                // `[defaults]` may itself name profiles.
                let defaults = self.over_parents(report, &defaults, &mut Vec::new());
                Arc::new(merge(&merged, &defaults, Merge::Database))
            }
            None => merged,
        }
    }

    /// A profile with everything inherited; reports its cycles and undeclared parents.
    pub(crate) fn profile(
        &mut self,
        report: &mut Report<'_>,
        name: &str,
        trail: &mut Vec<String>,
    ) -> Option<Arc<Node>> {
        if let Some(done) = self.resolved.get(name) {
            return done.clone();
        }
        let item = self.profiles.get(name)?;
        trail.push(name.to_owned());
        let merged = self.over_parents(report, &item.node, trail);
        trail.pop();
        self.resolved.insert(name.to_owned(), Some(merged.clone()));
        Some(merged)
    }

    fn over_parents(
        &mut self,
        report: &mut Report<'_>,
        own: &Arc<Node>,
        trail: &mut Vec<String>,
    ) -> Arc<Node> {
        let mut merged = own.clone();
        for parent in parents(own) {
            let Some(name) = parent.text() else { continue };
            if let Some(start) = trail.iter().position(|seen| seen == name) {
                self.report_cycle(report, &trail[start..], &parent);
                continue;
            }
            if !self.profiles.contains_key(name) {
                let declared: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
                let draft = Draft::error(
                    "policy::undeclared-profile",
                    format!("profile `{name}` is not declared"),
                )
                .at(parent.place, "no [profile.…] of this name")
                .help(near_or_all(name, &declared, "profiles"));
                report.reject(parent.place, draft);
                continue;
            }
            if let Some(base) = self.profile(report, name, trail) {
                merged = Arc::new(merge(&merged, &base, Merge::Database));
            }
        }
        merged
    }

    fn report_cycle(&self, report: &mut Report<'_>, members: &[String], closing: &Node) {
        let mut circle: Vec<&str> = members.iter().map(String::as_str).collect();
        circle.push(&members[0]);
        let mut draft = Draft::error(
            "policy::inheritance-cycle",
            format!("profiles inherit in a circle: {}", circle.join(" → ")),
        )
        .at(closing.place, "this closes the circle")
        .help("remove one of these references");
        for name in members {
            if let Some(item) = self.profiles.get(name) {
                draft = draft.at(item.key_place, format!("profile `{name}`"));
            }
        }
        report.add(draft);
    }
}

/// The references to profiles, strongest first.
fn parents(node: &Node) -> Vec<Arc<Node>> {
    let profile = node.get("profile").cloned();
    let inherits = node
        .get("inherits")
        .and_then(|list| list.list().map(<[_]>::to_vec));
    profile
        .into_iter()
        .chain(inherits.unwrap_or_default().into_iter().rev())
        .collect()
}

fn merge(own: &Node, base: &Node, how: Merge) -> Node {
    let (Some(strong), Some(weak)) = (own.table(), base.table()) else {
        return own.clone();
    };
    let mut entries: Vec<Entry> = Vec::with_capacity(strong.entries.len() + weak.entries.len());
    for entry in &strong.entries {
        let node = match weak.get(&entry.key) {
            Some(below) if matches!(how, Merge::Database) && entry.key == "series" => {
                Arc::new(merge_series(&entry.node, below))
            }
            Some(below) => match how.of(&entry.key) {
                Some(inner) => Arc::new(merge(&entry.node, below, inner)),
                None => entry.node.clone(),
            },
            None => entry.node.clone(),
        };
        entries.push(Entry {
            node,
            ..entry.clone()
        });
    }
    let own_rhythm = matches!(how, Merge::Series)
        && (strong.get("schedule").is_some() || strong.get("every").is_some());
    for entry in &weak.entries {
        let already = strong.get(&entry.key).is_some();
        // Who inherits has read the parents; its descendants inherit from it, not from them again.
        let reference =
            matches!(how, Merge::Database) && matches!(entry.key.as_str(), "profile" | "inherits");
        // A series' own rhythm replaces the inherited one, whichever of the two ways either is written in.
        let other_rhythm =
            own_rhythm && matches!(entry.key.as_str(), "schedule" | "every" | "anchor");
        if !already && !reference && !other_rhythm {
            entries.push(entry.clone());
        }
    }
    Node {
        place: own.place,
        value: Value::Table(Table { entries }),
    }
}

/// The name of a series, if it has one.
pub(crate) fn series_name(node: &Node) -> Option<&str> {
    node.get("name")?.text()
}

fn same_name(one: &Node, other: &Node) -> bool {
    series_name(one).is_some_and(|name| series_name(other) == Some(name))
}

fn merge_series(own: &Node, base: &Node) -> Node {
    let (Some(strong), Some(weak)) = (own.list(), base.list()) else {
        return own.clone();
    };
    let mut items: Vec<Arc<Node>> = strong
        .iter()
        .map(|series| {
            let same = weak.iter().find(|below| same_name(below, series));
            same.map_or_else(
                || series.clone(),
                |below| Arc::new(merge(series, below, Merge::Series)),
            )
        })
        .collect();
    for below in weak {
        if !strong.iter().any(|series| same_name(series, below)) {
            items.push(below.clone());
        }
    }
    Node {
        place: own.place,
        value: Value::List(items),
    }
}
