//! Who can read what is stored: keys against databases, once all of them are known.
//!
//! Not here: keys' own tables (`providers`), whether a named key is declared (`database`).

use crate::{
    policy::{DatabaseDeclaration, KeyDeclaration},
    providers::ProviderKinds,
    report::{Draft, Report},
    sections::Sections,
    tree::{Node, Place},
};
use model::{DatabaseName, KeyName};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Everything that was read, for checks of the policy as a whole.
pub(crate) struct Whole<'a> {
    pub(crate) sections: &'a Sections,
    pub(crate) kinds: &'a ProviderKinds,
    pub(crate) keys: &'a BTreeMap<KeyName, KeyDeclaration>,
    pub(crate) databases: &'a BTreeMap<DatabaseName, DatabaseDeclaration>,
    /// Databases with what they inherit.
    pub(crate) merged: &'a BTreeMap<String, Arc<Node>>,
}

impl Whole<'_> {
    /// Each database that could be read, with its table.
    pub(crate) fn databases(&self) -> impl Iterator<Item = (&DatabaseDeclaration, &Node)> {
        let node = |name: &DatabaseName| self.merged.get(name.as_str());
        self.databases
            .values()
            .filter_map(move |database| Some((database, node(&database.name)?.as_ref())))
    }

    /// What makes two keys the same: what their provider says, else their names.
    fn identity(&self, name: &KeyName) -> (String, String) {
        let place = self.keys.get(name).and_then(|key| {
            let kind = self.kinds.keys.get(&key.kind)?;
            Some((key.kind.clone(), (kind.place)(&key.table, &key.base)?))
        });
        place.unwrap_or_else(|| (String::new(), name.to_string()))
    }

    fn key_place(&self, name: &KeyName) -> Place {
        let item = self.sections.keys.get(name.as_str());
        item.map_or_else(Place::default, |item| item.key_place)
    }

    /// Every list of keys that is written anywhere, also where no database inherits it.
    fn lists(&self) -> Vec<&Node> {
        let sections = self.sections;
        let inheritable = sections.profiles.values().chain(&sections.defaults);
        let nodes = inheritable
            .map(|item| item.node.as_ref())
            .chain(self.merged.values().map(AsRef::as_ref));
        nodes
            .filter_map(|node| node.get("encrypt-with").map(AsRef::as_ref))
            .collect()
    }
}

/// Checks the keys of a whole policy.
pub(crate) fn check_recipients(report: &mut Report<'_>, whole: &Whole<'_>) {
    same_key(report, whole);
    one_recipient(report, whole);
    mixed_environments(report, whole);
    unused_key(report, whole);
}

fn same_key(report: &mut Report<'_>, whole: &Whole<'_>) {
    let mut names: BTreeMap<(String, String), Vec<&KeyName>> = BTreeMap::new();
    for name in whole.keys.keys() {
        names.entry(whole.identity(name)).or_default().push(name);
    }
    for same in names.values_mut().filter(|same| same.len() > 1) {
        same.sort_by_key(|name| whole.key_place(name));
        let mut together = false;
        for list in whole.lists() {
            let among = |item: &&Arc<Node>| {
                let text = item.text();
                text.is_some_and(|text| same.iter().any(|name| name.as_str() == text))
            };
            let items = list.list().unwrap_or_default();
            let found: Vec<&Arc<Node>> = items.iter().filter(among).collect();
            let [first, second, ..] = found[..] else {
                continue;
            };
            if first.text() == second.text() {
                continue;
            }
            together = true;
            let (one, other) = (first.text().unwrap_or(""), second.text().unwrap_or(""));
            let draft = Draft::error(
                "policy::same-key",
                format!(
                    "`{one}` and `{other}` are the same key: losing it loses the data all the same"
                ),
            )
            .at(second.place, "the same key again")
            .at(first.place, format!("key `{one}`"))
            .help(
                "name a second key that is kept elsewhere, such as an offline recovery certificate",
            );
            report.add(draft);
        }
        if let [first, second, ..] = same[..]
            && !together
        {
            let draft = Draft::warning(
                "policy::same-key",
                format!("keys `{first}` and `{second}` are the same key"),
            )
            .at(whole.key_place(second), "the same key again")
            .at(whole.key_place(first), format!("key `{first}`"))
            .help("keep one of the two names, or give each a key of its own");
            report.add(draft);
        }
    }
}

fn one_recipient(report: &mut Report<'_>, whole: &Whole<'_>) {
    let mut alone: BTreeMap<Place, (&KeyName, Vec<&DatabaseName>)> = BTreeMap::new();
    for (database, node) in whole.databases() {
        let (Some(list), [only]) = (node.get("encrypt-with"), &database.encrypt_with[..]) else {
            continue;
        };
        let written = list.list().unwrap_or_default();
        // Another key is meant, but not declared or misspelled.
        if written
            .iter()
            .any(|item| item.text() != Some(only.as_str()))
        {
            continue;
        }
        let (_, databases) = alone.entry(list.place).or_insert((only, Vec::new()));
        databases.push(&database.name);
    }
    for (place, (only, databases)) in alone {
        let other = whole
            .keys
            .keys()
            .find(|name| whole.identity(name) != whole.identity(only))
            .map_or("offline", |name| name.as_str());
        let draft = Draft::warning(
            "policy::one-recipient",
            format!(
                "{} encrypted for key `{only}` alone: losing this key loses the data",
                named(&databases)
            ),
        )
        .at(place, "one recipient only")
        .help(format!(
            "add a second key that is kept elsewhere, such as an offline recovery certificate: `encrypt-with = [\"{only}\", \"{other}\"]`"
        ));
        report.add(draft);
    }
}

fn mixed_environments(report: &mut Report<'_>, whole: &Whole<'_>) {
    // By key, each environment with its first database.
    type Users<'a> = BTreeMap<&'a str, (&'a DatabaseName, Place)>;
    let mut keys: BTreeMap<(String, String), (&KeyName, Users<'_>)> = BTreeMap::new();
    for (database, node) in whole.databases() {
        let Some(environment) = database.labels.get("environment") else {
            continue;
        };
        let label = node.at(&["labels", "environment"]);
        let place = label.map_or_else(Place::default, |label| label.place);
        for key in &database.encrypt_with {
            let (_, users) = keys
                .entry(whole.identity(key))
                .or_insert_with(|| (key, BTreeMap::new()));
            users.entry(environment).or_insert((&database.name, place));
        }
    }
    for (key, users) in keys.into_values().filter(|(_, users)| users.len() > 1) {
        let environments: Vec<String> = users.keys().map(|name| format!("`{name}`")).collect();
        let draft = Draft::warning(
            "policy::mixed-environments",
            format!(
                "key `{key}` is shared by the environments {}",
                listed(&environments)
            ),
        )
        .at(whole.key_place(key), "one key for all of them")
        .help("give each environment a key of its own: who may open the backups of one could open those of the others");
        let draft = users.values().fold(draft, |draft, (database, place)| {
            draft.at(*place, format!("database `{database}`"))
        });
        report.add(draft);
    }
}

fn unused_key(report: &mut Report<'_>, whole: &Whole<'_>) {
    // A policy that only names tiers and keys is there to bring something back.
    if whole.databases.is_empty() {
        return;
    }
    let used: BTreeSet<&str> = whole
        .lists()
        .into_iter()
        .flat_map(|list| list.list().unwrap_or_default())
        .filter_map(|item| item.text())
        .collect();
    for name in whole.keys.keys() {
        if used.contains(name.as_str()) {
            continue;
        }
        let draft = Draft::warning(
            "policy::unused-key",
            format!("nothing is encrypted for key `{name}`"),
        )
        .at(whole.key_place(name), "no `encrypt-with` names it")
        .help(format!(
            "name it in an `encrypt-with`, or remove `[key.{name}]` once `mainstay key list` shows no point that needs it"
        ));
        report.add(draft);
    }
}

/// Databases as the beginning of a sentence: "database `a` is", "databases `a` and `b` are".
pub(crate) fn named(databases: &[&DatabaseName]) -> String {
    if let [only] = databases {
        return format!("database `{only}` is");
    }
    let mut names: Vec<String> = databases.iter().map(|name| format!("`{name}`")).collect();
    if names.len() > 4 {
        let more = names.len() - 3;
        names.truncate(3);
        names.push(format!("{more} more"));
    }
    format!("databases {} are", listed(&names))
}

fn listed(names: &[String]) -> String {
    match names {
        [before @ .., last] if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        all => all.concat(),
    }
}
