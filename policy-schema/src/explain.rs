//! Where a value comes from: the value in force, and the file and line of every part that it is made of.
//!
//! Works also on a policy with errors, without the value then. Not here: drawing it.

use crate::{
    inherit::series_name,
    load::Loaded,
    report::near,
    resolved,
    tree::{Node, Place, Value as Held},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

/// What is shown in place of a secret.
const HIDDEN: &str = "***";

/// What `explain` found.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The path as it was understood.
    pub path: String,
    /// The value in force; `None` when the policy has errors or the key was left out and has no default.
    pub value: Option<Value>,
    /// Where its parts are written; empty when all of it is a built-in default.
    pub contributions: Vec<Contribution>,
}

/// One written part of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// Full path of the part.
    pub path: String,
    /// The value as it is written; `"***"` for a secret.
    pub value: Value,
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// `None` when it is written in the thing itself; otherwise "profile `critical`" or "defaults".
    pub via: Option<String>,
}

/// Why nothing can be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy has nothing at `{path}`")]
pub struct NothingThere {
    /// The path that was asked for.
    pub path: String,
    /// What it could have meant.
    pub help: Option<String>,
}

impl Loaded {
    /// Explains a path such as `database.orders.series.daily.keep.nas`; series go by name, other list items by number.
    pub fn explain(&self, path: &str) -> Result<Explanation, NothingThere> {
        let keys: Vec<&str> = path
            .split(['.', '[', ']'])
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .collect();
        let value = self
            .policy
            .as_ref()
            .and_then(|policy| value_at(resolved::to_json(policy), &keys))
            .map(|mut value| {
                self.secrets().hide(&mut value);
                value
            });
        let mut contributions = Vec::new();
        let mut siblings = Vec::new();
        let mut unknown = None;
        let siblings_of_root = self.root_of(&keys).is_none();
        if let Some((root, inner, name)) = self.root_of(&keys) {
            match node_at(&root, inner, &mut siblings) {
                Ok(found) => {
                    let vias = self.vias();
                    self.collect(found, &name_path(&name, inner), &vias, &mut contributions);
                }
                Err(key) => unknown = Some(key),
            }
        } else {
            siblings = self.names(keys.first().copied().unwrap_or(""));
        }
        let value = value.filter(|value| !value.is_null());
        if value.is_none() && contributions.is_empty() {
            let last = if siblings_of_root {
                keys.get(1)
            } else {
                keys.last()
            };
            let last = last.or(keys.first()).copied().unwrap_or("");
            let help =
                near(unknown.unwrap_or(last), siblings.iter().map(String::as_str)).or_else(|| {
                    (!siblings.is_empty()).then(|| format!("there is: {}", siblings.join(", ")))
                });
            return Err(NothingThere {
                path: keys.join("."),
                help,
            });
        }
        Ok(Explanation {
            path: keys.join("."),
            value,
            contributions,
        })
    }

    /// The secrets that stand in the policy, to be taken out of values of it.
    pub fn secrets(&self) -> Secrets {
        Secrets(self.secret_texts())
    }

    /// The tree that a path leads into, the rest of the path, and the name of the tree.
    fn root_of<'k>(&self, keys: &'k [&'k str]) -> Option<(Node, &'k [&'k str], String)> {
        let sections = &self.sections;
        let single = |item: &Option<crate::sections::Item>| {
            let node = item.as_ref()?.node.as_ref().clone();
            Some((node, &keys[1..], keys[0].to_owned()))
        };
        let named = |items: &BTreeMap<String, crate::sections::Item>| {
            let node = items.get(*keys.get(1)?)?.node.as_ref().clone();
            Some((node, &keys[2..], keys[..2].join(".")))
        };
        let listed = |entries: &[Arc<Node>]| {
            let node = Node {
                place: Place::default(),
                value: Held::List(entries.to_vec()),
            };
            (!entries.is_empty()).then(|| (node, &keys[1..], keys[0].to_owned()))
        };
        match *keys.first()? {
            "check" => listed(&sections.checks),
            "exception" => listed(&sections.exceptions),
            "timezone" => single(&sections.timezone),
            "defaults" => single(&sections.defaults),
            "safety" => single(&sections.safety),
            "approval" => single(&sections.approval),
            "mainstay" => single(&sections.version),
            "tier" => named(&sections.tiers),
            "key" => named(&sections.keys),
            "profile" => named(&sections.profiles),
            "database" => {
                let node = self.merged.get(*keys.get(1)?)?.as_ref().clone();
                Some((node, &keys[2..], keys[..2].join(".")))
            }
            _ => None,
        }
    }

    fn names(&self, section: &str) -> Vec<String> {
        let sections = &self.sections;
        let of = |items: &BTreeMap<String, crate::sections::Item>| items.keys().cloned().collect();
        match section {
            "tier" => of(&sections.tiers),
            "key" => of(&sections.keys),
            "profile" => of(&sections.profiles),
            "database" => of(&sections.databases),
            _ => [
                "approval", "database", "defaults", "key", "profile", "safety", "tier", "timezone",
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }

    /// Which inheritable table a place belongs to.
    fn vias(&self) -> BTreeMap<Place, String> {
        let mut vias = BTreeMap::new();
        if let Some(defaults) = &self.sections.defaults {
            mark(&defaults.node, "defaults", &mut vias);
        }
        for (name, item) in &self.sections.profiles {
            mark(&item.node, &format!("profile `{name}`"), &mut vias);
        }
        vias
    }

    /// Whether a value holds bytes that are masked.
    fn is_masked(&self, node: &Node) -> bool {
        let (start, end) = (node.place.start as usize, node.place.end as usize);
        self.sources
            .get(node.place.file as usize)
            .and_then(|source| self.masked.get(&source.path))
            .into_iter()
            .flatten()
            .any(|range| range.start < end && start < range.end)
    }

    /// A value as it is written, with `***` for what is masked in the text.
    fn shown_value(&self, node: &Node) -> Value {
        match &node.value {
            Held::List(items) => items.iter().map(|item| self.shown_value(item)).collect(),
            _ if self.is_masked(node) => Value::from(HIDDEN),
            _ => node.to_json(&HashSet::new()),
        }
    }

    /// Every masked text: the value in force has no places any more to mask it by.
    fn secret_texts(&self) -> HashSet<String> {
        let sections = &self.sections;
        let items = [
            &sections.tiers,
            &sections.keys,
            &sections.profiles,
            &sections.databases,
        ];
        let items = items.into_iter().flat_map(BTreeMap::values);
        let mut texts = HashSet::new();
        for item in items.chain(&sections.defaults) {
            self.add_secret_texts(&item.node, &mut texts);
        }
        texts
    }

    fn add_secret_texts(&self, node: &Node, texts: &mut HashSet<String>) {
        match &node.value {
            Held::Table(table) => table
                .entries
                .iter()
                .for_each(|entry| self.add_secret_texts(&entry.node, texts)),
            Held::List(items) => items
                .iter()
                .for_each(|item| self.add_secret_texts(item, texts)),
            Held::Text(text) if self.is_masked(node) => {
                texts.insert(text.clone());
            }
            _ => {}
        }
    }

    fn collect(
        &self,
        node: &Node,
        path: &str,
        vias: &BTreeMap<Place, String>,
        out: &mut Vec<Contribution>,
    ) {
        match &node.value {
            Held::Table(table) => {
                for entry in &table.entries {
                    self.collect(&entry.node, &format!("{path}.{}", entry.key), vias, out);
                }
            }
            Held::List(items) if items.iter().any(|item| item.table().is_some()) => {
                for (index, item) in items.iter().enumerate() {
                    let name = series_name(item).map_or_else(|| index.to_string(), str::to_owned);
                    self.collect(item, &format!("{path}.{name}"), vias, out);
                }
            }
            _ => {
                let Some(source) = self.sources.get(node.place.file as usize) else {
                    return;
                };
                let start = node.place.start as usize;
                let before = source.text.get(..start).unwrap_or("");
                let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                out.push(Contribution {
                    path: path.to_owned(),
                    value: self.shown_value(node),
                    file: source.path.clone(),
                    line: before.matches('\n').count() + 1,
                    column: before[line_start..].chars().count() + 1,
                    via: vias.get(&node.place).cloned(),
                });
            }
        }
    }
}

/// Secrets that stand in a policy; never shown themselves.
pub struct Secrets(HashSet<String>);

impl Secrets {
    /// Replaces them in a value of the policy.
    pub fn hide(&self, value: &mut Value) {
        hide(value, &self.0);
    }
}

/// Replaces secret texts in a value.
fn hide(value: &mut Value, secrets: &HashSet<String>) {
    match value {
        Value::String(text) if secrets.contains(text) => HIDDEN.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, secrets)),
        Value::Object(map) => map.values_mut().for_each(|item| hide(item, secrets)),
        _ => {}
    }
}

fn name_path(name: &str, inner: &[&str]) -> String {
    let parts: Vec<&str> = std::iter::once(name).chain(inner.iter().copied()).collect();
    parts.join(".")
}

fn mark(node: &Node, name: &str, vias: &mut BTreeMap<Place, String>) {
    vias.insert(node.place, name.to_owned());
    match &node.value {
        Held::Table(table) => table
            .entries
            .iter()
            .for_each(|entry| mark(&entry.node, name, vias)),
        Held::List(items) => items.iter().for_each(|item| mark(item, name, vias)),
        _ => {}
    }
}

/// The node at a path; or the first key that leads nowhere, with those that would have led on.
fn node_at<'a, 'k>(
    root: &'a Node,
    path: &[&'k str],
    siblings: &mut Vec<String>,
) -> Result<&'a Node, &'k str> {
    let mut node = root;
    for key in path {
        let next = match &node.value {
            Held::Table(table) => table.get(key).map(AsRef::as_ref),
            Held::List(items) => items
                .iter()
                .find(|item| series_name(item) == Some(key))
                .or_else(|| items.get(key.parse::<usize>().ok()?))
                .map(AsRef::as_ref),
            _ => None,
        };
        let Some(next) = next else {
            *siblings = match &node.value {
                Held::Table(table) => table
                    .entries
                    .iter()
                    .map(|entry| entry.key.clone())
                    .collect(),
                Held::List(items) => items
                    .iter()
                    .filter_map(|item| series_name(item).map(str::to_owned))
                    .collect(),
                _ => Vec::new(),
            };
            return Err(key);
        };
        node = next;
    }
    Ok(node)
}

fn value_at(mut value: Value, keys: &[&str]) -> Option<Value> {
    for key in keys {
        value = match value {
            Value::Object(mut map) => map.remove(*key)?,
            Value::Array(mut items) => {
                let index = key
                    .parse::<usize>()
                    .ok()
                    .filter(|index| *index < items.len())?;
                items.swap_remove(index)
            }
            _ => return None,
        };
    }
    Some(value)
}
