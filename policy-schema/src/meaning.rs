//! The meaning of what stands outside databases: zone, limits, tiers, keys; and the rules for names.

use crate::{
    bandwidth,
    policy::{KeyDeclaration, Safety, TierDeclaration},
    providers::{OwnTable, ProviderKinds},
    report::{Draft, Report, near, near_or_all},
    sections::Item,
    shape::{self, At, Schema},
    tree::{Node, Place},
    written::{Language, WrittenSafety, WrittenTier},
};
use jiff::tz::{self, TimeZone};
use model::{KeyName, TableFinding, TierName};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Checks a name and reports what is wrong with it.
pub(crate) fn check_name(report: &mut Report<'_>, kind: &str, name: &str, place: Place) -> bool {
    let Err(error) = model::DatabaseName::new(name) else {
        return true;
    };
    let draft = Draft::error(
        "policy::bad-name",
        format!("`{name}` is not a valid {kind} name: {}", error.why),
    )
    .at(place, "this name")
    .help("names are part of paths and ids: use lower-case letters, digits, `-` and `_`");
    report.add(draft);
    false
}

/// The policy's zone; UTC when none or a wrong one is given.
pub(crate) fn timezone(report: &mut Report<'_>, item: Option<&Item>) -> (TimeZone, String) {
    let utc = || (TimeZone::UTC, "UTC".to_owned());
    let Some((node, name)) = item.and_then(|item| Some((&item.node, item.node.text()?))) else {
        return utc();
    };
    if let Ok(zone) = TimeZone::get(name) {
        let written = zone.iana_name().unwrap_or(name).to_owned();
        return (zone, written);
    }
    let known: Vec<String> = tz::db().available().map(|zone| zone.to_string()).collect();
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let same_city = known
        .iter()
        .find(|zone| last(zone) == last(name))
        .map(|zone| format!("did you mean `{zone}`?"));
    let draft = Draft::error(
        "policy::unknown-timezone",
        format!("`{name}` is not a time zone"),
    )
    .at(node.place, "not an IANA name")
    .help(
        near(name, known.iter().map(String::as_str))
            .or(same_city)
            .unwrap_or_else(|| "use an IANA name such as `Europe/Prague`".to_owned()),
    );
    report.reject(node.place, draft);
    utc()
}

/// `[safety]`.
pub(crate) fn safety(report: &mut Report<'_>, item: Option<&Item>, language: &Language) -> Safety {
    let written: WrittenSafety = item
        .map(|item| {
            shape::walk(
                report,
                &item.node,
                At::top("safety"),
                Schema::of(&language.safety),
            );
            read(report, &item.node, Schema::of(&language.safety), &[])
        })
        .unwrap_or_default();
    Safety {
        min_verified: written.min_verified.unwrap_or(1),
        max_prune_count: written.max_prune_count.unwrap_or(25),
        max_prune_percent: written.max_prune_percent.unwrap_or(50),
    }
}

/// `[tier.…]`.
pub(crate) fn tiers(
    report: &mut Report<'_>,
    items: &BTreeMap<String, Item>,
    language: &Language,
    kinds: &ProviderKinds,
) -> BTreeMap<TierName, TierDeclaration> {
    let mut places: BTreeMap<String, (String, Place)> = BTreeMap::new();
    let mut tiers = BTreeMap::new();
    for (name, item) in items {
        let good = check_name(report, "tier", name, item.key_place);
        let top = At::top("tier");
        let Some(provided) = provided(
            report,
            &item.node,
            top.key(name),
            &language.tier,
            &kinds.tiers,
        ) else {
            continue;
        };
        let written: WrittenTier = read(report, &item.node, Schema::of(&language.tier), &[]);
        if let Some(place) = (provided.kind.place)(&provided.table, &provided.base) {
            same_place(report, &mut places, &place, name, item);
        }
        let bandwidth = bandwidth::read_bandwidth(report, &item.node, written.bandwidth.as_ref());
        let capabilities = (provided.kind.capabilities)(&provided.table, &provided.base);
        let off_site = written.off_site.unwrap_or(!provided.kind.on_this_machine);
        let media = written.media.unwrap_or_else(|| provided.kind_name.clone());
        if good && let Ok(name) = TierName::new(name) {
            tiers.insert(
                name.clone(),
                TierDeclaration {
                    name,
                    kind: provided.kind_name,
                    table: provided.table,
                    base: provided.base,
                    concurrency: written.concurrency.unwrap_or(2),
                    bandwidth,
                    capabilities,
                    off_site,
                    media,
                },
            );
        }
    }
    tiers
}

fn same_place(
    report: &mut Report<'_>,
    places: &mut BTreeMap<String, (String, Place)>,
    place: &str,
    name: &str,
    item: &Item,
) {
    let label = item
        .node
        .get("path")
        .map_or(item.key_place, |node| node.place);
    let Some((other, other_label)) = places.get(place) else {
        places.insert(place.to_owned(), (name.to_owned(), label));
        return;
    };
    // Names come in the order of the alphabet; people read from top to bottom.
    let ((first, first_label), (second, second_label)) = if *other_label < label {
        ((other.as_str(), *other_label), (name, label))
    } else {
        ((name, label), (other.as_str(), *other_label))
    };
    let draft = Draft::error(
        "policy::same-place",
        format!("tiers `{first}` and `{second}` are the same place"),
    )
    .at(second_label, "the same place again")
    .at(first_label, format!("tier `{first}`"))
    .help("give each tier a place of its own: two copies in one place are lost together");
    report.add(draft);
}

/// `[key.…]`.
pub(crate) fn keys(
    report: &mut Report<'_>,
    items: &BTreeMap<String, Item>,
    language: &Language,
    kinds: &ProviderKinds,
) -> BTreeMap<KeyName, KeyDeclaration> {
    let mut keys = BTreeMap::new();
    for (name, item) in items {
        let good = check_name(report, "key", name, item.key_place);
        let top = At::top("key");
        let Some(provided) = provided(
            report,
            &item.node,
            top.key(name),
            &language.key,
            &kinds.keys,
        ) else {
            continue;
        };
        if good && let Ok(name) = KeyName::new(name) {
            keys.insert(
                name.clone(),
                KeyDeclaration {
                    name,
                    kind: provided.kind_name,
                    table: provided.table,
                    base: provided.base,
                },
            );
        }
    }
    keys
}

struct Provided<'a, K> {
    kind_name: String,
    kind: &'a K,
    table: Value,
    base: PathBuf,
}

/// A table whose `kind` says whose keys it holds.
fn provided<'a, K: OwnTable>(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    own: &Value,
    kinds: &'a BTreeMap<String, K>,
) -> Option<Provided<'a, K>> {
    node.table()?;
    let own = Schema::of(own);
    let known: Vec<&str> = kinds.keys().map(String::as_str).collect();
    let mut alien = false;
    let kind = match node.get("kind") {
        None => {
            shape::missing(report, node, at, "kind");
            None
        }
        Some(kind) => kind.text().and_then(|text| {
            let found = kinds.get_key_value(text);
            if found.is_none() {
                alien = near(text, known.iter().copied()).is_none();
                shape::unknown_value(report, kind, at.key("kind"), text, &known);
            }
            found
        }),
    };
    let foreign: Vec<Schema<'_>> = match kind {
        Some((_, kind)) => vec![Schema::of(kind.schema())],
        None => kinds
            .values()
            .map(|kind| Schema::of(kind.schema()))
            .collect(),
    };
    let before = report.len();
    let skip = if alien {
        strangers(node, own, &foreign)
    } else {
        Vec::new()
    };
    walk_shared(report, node, at, own, &foreign, &skip);
    let (kind_name, kind) = kind?;
    if let [schema] = foreign[..] {
        shape::check_required(report, node, at, schema);
    }
    let table = foreign_table(report, node, own);
    let base = base_of(report, node.place);
    if report.len() == before {
        let findings = (kind.check())(&table, &base);
        provider_findings(report, node, findings);
    }
    Some(Provided {
        kind_name: kind_name.clone(),
        kind,
        table,
        base,
    })
}

/// Keys that are like none of those known: of a kind or an engine that is unknown and no slip of the pen, they are no further
/// mistakes.
pub(crate) fn strangers<'n>(
    node: &'n Node,
    own: Schema<'_>,
    foreign: &[Schema<'_>],
) -> Vec<&'n str> {
    let known = || {
        own.keys()
            .chain(foreign.iter().flat_map(|schema| schema.keys()))
    };
    let entries = node.table().into_iter().flat_map(|table| &table.entries);
    entries
        .map(|entry| entry.key.as_str())
        .filter(|key| near(key, known()).is_none())
        .collect()
}

/// Walks a table whose keys are partly ours and partly a provider's; with several providers, any of them may know a key.
pub(crate) fn walk_shared(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    own: Schema<'_>,
    foreign: &[Schema<'_>],
    skip: &[&str],
) {
    for entry in node.table().into_iter().flat_map(|table| &table.entries) {
        if skip.contains(&entry.key.as_str()) {
            continue;
        }
        let here = at.key(&entry.key);
        if let Some(property) = own.property(&entry.key) {
            shape::walk(report, &entry.node, here, property);
            continue;
        }
        let known: Vec<Schema<'_>> = foreign
            .iter()
            .filter_map(|schema| schema.property(&entry.key))
            .collect();
        match known[..] {
            [] => {
                let allowed: Vec<&str> = own
                    .keys()
                    .chain(foreign.iter().flat_map(|schema| schema.keys()))
                    .collect();
                shape::unknown_key(report, entry, at, &allowed);
            }
            [only] => shape::walk(report, &entry.node, here, only),
            _ => shape::walk_any(report, &entry.node, here, &known),
        }
    }
}

/// The provider's keys of a table.
pub(crate) fn foreign_table(report: &Report<'_>, node: &Node, own: Schema<'_>) -> Value {
    let entries = node.table().into_iter().flat_map(|table| &table.entries);
    let pairs: Map<String, Value> = entries
        .filter(|entry| own.property(&entry.key).is_none())
        .filter(|entry| {
            !report.wrong.contains(&entry.node.place) && !report.wrong.contains(&entry.key_place)
        })
        .map(|entry| (entry.key.clone(), entry.node.to_json(&report.wrong)))
        .collect();
    Value::Object(pairs)
}

/// The folder of the file that a place is in.
pub(crate) fn base_of(report: &Report<'_>, place: Place) -> PathBuf {
    report
        .source_path(place.file)
        .parent()
        .unwrap_or(Path::new(""))
        .to_owned()
}

/// Puts a provider's findings at their bytes.
pub(crate) fn provider_findings(report: &mut Report<'_>, node: &Node, findings: Vec<TableFinding>) {
    for finding in findings {
        let path: Vec<&str> = finding.path.iter().map(String::as_str).collect();
        // The deepest part of the path that is written; a finding about a missing key lands on its table.
        let place = (0..=path.len())
            .rev()
            .find_map(|length| node.at(&path[..length]))
            .map_or(node.place, |found| found.place);
        let draft = Draft {
            severity: finding.severity,
            ..Draft::error(finding.code, finding.message)
        }
        .at(place, "here")
        .maybe_help(finding.help);
        report.add_each(draft, &finding.path.join("."));
    }
}

/// Our own keys of a table, as their type.
pub(crate) fn read<T: DeserializeOwned + Default>(
    report: &mut Report<'_>,
    node: &Node,
    own: Schema<'_>,
    skip: &[&str],
) -> T {
    let entries = node.table().into_iter().flat_map(|table| &table.entries);
    let pairs: Map<String, Value> = entries
        .filter(|entry| own.property(&entry.key).is_some() && !skip.contains(&entry.key.as_str()))
        .filter(|entry| {
            !report.wrong.contains(&entry.node.place) && !report.wrong.contains(&entry.key_place)
        })
        .map(|entry| (entry.key.clone(), entry.node.to_json(&report.wrong)))
        .collect();
    match serde_json::from_value(Value::Object(pairs)) {
        Ok(value) => value,
        Err(error) => {
            // The schema and the types come from the same source, so this should not happen; it must never be silent.
            let draft = Draft::error(
                "policy::wrong-type",
                format!("this table cannot be read: {error}"),
            );
            report.add(draft.at(node.place, "here"));
            T::default()
        }
    }
}

/// Help for a name that is not declared.
pub(crate) fn declared_help(given: &str, declared: &BTreeMap<String, Item>, what: &str) -> String {
    let names: Vec<&str> = declared.keys().map(String::as_str).collect();
    near_or_all(given, &names, what)
}
