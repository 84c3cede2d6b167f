//! Gathers the sections of all files: tiers, keys, profiles, databases by name, and what may occur only once.
//!
//! Not here: the insides of the sections.

use crate::{
    report::{Draft, Report},
    tree::{Entry, Node, Place},
};
use std::{collections::BTreeMap, sync::Arc};

/// One declared thing.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) key_place: Place,
    pub(crate) node: Arc<Node>,
}

/// Everything that the files declare.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    pub(crate) version: Option<Item>,
    pub(crate) timezone: Option<Item>,
    pub(crate) defaults: Option<Item>,
    pub(crate) safety: Option<Item>,
    pub(crate) approval: Option<Item>,
    pub(crate) tiers: BTreeMap<String, Item>,
    pub(crate) keys: BTreeMap<String, Item>,
    pub(crate) profiles: BTreeMap<String, Item>,
    pub(crate) databases: BTreeMap<String, Item>,
    /// Entries of `[[check]]` of all files.
    pub(crate) checks: Vec<Arc<Node>>,
    /// Entries of `[[exception]]` of all files.
    pub(crate) exceptions: Vec<Arc<Node>>,
}

impl Sections {
    /// Takes over one file.
    pub(crate) fn take(&mut self, report: &mut Report<'_>, root: &Node) {
        let Some(table) = root.table() else { return };
        for entry in &table.entries {
            match entry.key.as_str() {
                "mainstay" => {
                    self.version.get_or_insert_with(|| item(entry));
                    check_version(report, entry);
                }
                "timezone" => once(report, &mut self.timezone, entry),
                "defaults" => once(report, &mut self.defaults, entry),
                "safety" => once(report, &mut self.safety, entry),
                "approval" => once(report, &mut self.approval, entry),
                "tier" => named(report, "tier", &mut self.tiers, entry),
                "key" => named(report, "key", &mut self.keys, entry),
                "profile" => named(report, "profile", &mut self.profiles, entry),
                "database" => named(report, "database", &mut self.databases, entry),
                "check" => self.checks.extend(items(entry)),
                "exception" => self.exceptions.extend(items(entry)),
                _ => {}
            }
        }
    }
}

fn item(entry: &Entry) -> Item {
    Item {
        key_place: entry.key_place,
        node: entry.node.clone(),
    }
}

fn items(entry: &Entry) -> impl Iterator<Item = Arc<Node>> {
    entry.node.list().into_iter().flatten().cloned()
}

fn check_version(report: &mut Report<'_>, entry: &Entry) {
    if let crate::tree::Value::Integer(version) = entry.node.value
        && version != Some(1)
    {
        let draft = Draft::error(
            "policy::version-unknown",
            "this version of the policy language is not known",
        )
        .at(entry.node.place, "only 1 is known")
        .help("write `mainstay = 1`, or use a newer Mainstay");
        report.reject(entry.node.place, draft);
    }
}

fn once(report: &mut Report<'_>, slot: &mut Option<Item>, entry: &Entry) {
    match slot {
        None => *slot = Some(item(entry)),
        Some(first) => twice(report, &format!("`{}`", entry.key), first, entry),
    }
}

fn named(report: &mut Report<'_>, kind: &str, into: &mut BTreeMap<String, Item>, section: &Entry) {
    for entry in section
        .node
        .table()
        .into_iter()
        .flat_map(|table| &table.entries)
    {
        match into.get(&entry.key) {
            None => {
                into.insert(entry.key.clone(), item(entry));
            }
            Some(first) => twice(report, &format!("{kind} `{}`", entry.key), first, entry),
        }
    }
}

fn twice(report: &mut Report<'_>, what: &str, first: &Item, entry: &Entry) {
    let draft = Draft::error(
        "policy::declared-twice",
        format!("{what} is declared twice"),
    )
    .at(entry.key_place, "declared again here")
    .at(first.key_place, "first declared here")
    .help("rename one of them, or move its keys into the other");
    report.add(draft);
}
