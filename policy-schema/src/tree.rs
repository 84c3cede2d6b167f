//! A policy file as a tree whose every value knows its bytes and the layer that it comes from.
//!
//! Own type instead of the parser's: it lives without the text, merges across files, and shares what is inherited.
//! Not here: what values mean (`shape` for their form, `meaning` for the rest).

use serde_json::Value as Json;
use std::{collections::HashSet, sync::Arc};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Bytes of a file, by the file's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// One value.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    /// `None` when it does not fit 64 bits.
    Integer(Option<i64>),
    Float(f64),
    Boolean(bool),
    Date(String),
    List(Vec<Arc<Node>>),
    Table(Table),
}

/// Keys with their places, in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
}

/// One key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) node: Arc<Node>,
}

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Node>> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl Node {
    pub(crate) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Arc<Node>]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Node>> {
        self.table()?.get(key)
    }

    /// The node at a path of keys.
    pub(crate) fn at<'a>(&'a self, path: &[&str]) -> Option<&'a Node> {
        path.iter()
            .try_fold(self, |node, key| node.get(key).map(AsRef::as_ref))
    }

    /// The word people use for its type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a boolean",
            Value::Date(_) => "a date",
            Value::List(_) => "an array",
            Value::Table(_) => "a table",
        }
    }

    /// As JSON, without the nodes that are known to be wrong.
    pub(crate) fn to_json(&self, wrong: &HashSet<Place>) -> Json {
        match &self.value {
            Value::Text(text) | Value::Date(text) => Json::String(text.clone()),
            Value::Integer(number) => number.map_or(Json::Null, Json::from),
            Value::Float(number) => Json::from(*number),
            Value::Boolean(value) => Json::Bool(*value),
            Value::List(items) => items
                .iter()
                .filter(|item| !wrong.contains(&item.place))
                .map(|item| item.to_json(wrong))
                .collect(),
            Value::Table(table) => table
                .entries
                .iter()
                .filter(|entry| {
                    !wrong.contains(&entry.node.place) && !wrong.contains(&entry.key_place)
                })
                .map(|entry| (entry.key.clone(), entry.node.to_json(wrong)))
                .collect(),
        }
    }

    /// Whether it or anything in it is known to be wrong.
    pub(crate) fn holds_any(&self, wrong: &HashSet<Place>) -> bool {
        if wrong.is_empty() {
            return false;
        }
        wrong.contains(&self.place)
            || match &self.value {
                Value::List(items) => items.iter().any(|item| item.holds_any(wrong)),
                Value::Table(table) => table
                    .entries
                    .iter()
                    .any(|entry| wrong.contains(&entry.key_place) || entry.node.holds_any(wrong)),
                _ => false,
            }
    }
}

/// A syntax error of the TOML parser.
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) place: Place,
}

/// Parses one file: its tree as far as it can be read, and all of its syntax errors.
pub(crate) fn parse(file: u32, text: &str) -> (Node, Vec<SyntaxError>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let errors = errors
        .iter()
        .map(|error| SyntaxError {
            message: error.message().trim().replace('\n', ", "),
            place: place(file, error.span().unwrap_or(0..0)),
        })
        .collect();
    let root = Node {
        place: place(file, 0..0),
        value: Value::Table(table(file, document.get_ref())),
    };
    (root, errors)
}

fn place(file: u32, bytes: std::ops::Range<usize>) -> Place {
    Place {
        file,
        start: u32::try_from(bytes.start).unwrap_or(u32::MAX),
        end: u32::try_from(bytes.end).unwrap_or(u32::MAX),
    }
}

fn table(file: u32, source: &DeTable<'_>) -> Table {
    let entries = source
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_place: place(file, key.span()),
            node: Arc::new(node(file, value)),
        })
        .collect();
    Table { entries }
}

fn node(file: u32, source: &Spanned<DeValue<'_>>) -> Node {
    let value = match source.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Arc::new(node(file, item)))
                .collect(),
        ),
        DeValue::Table(inner) => Value::Table(table(file, inner)),
    };
    Node {
        place: place(file, source.span()),
        value,
    }
}
