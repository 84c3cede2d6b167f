//! YAML with the line of each value, for the configuration of borgmatic and its like.

use super::{found::Problem, source::Text};
use saphyr::{LoadableYamlNode as _, MarkedYamlOwned, ScalarOwned, YamlDataOwned};

/// A value and its line.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// What stands there.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Nothing,
    Scalar(String),
    List(Vec<Node>),
    /// In the order of the file; the line is the key's.
    Table(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        let mut entries = self.entries().iter();
        entries.find(|(name, _)| name == key).map(|(_, node)| node)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads the first document; nothing at all is an empty table.
pub(crate) fn read(text: &Text) -> Result<Node, Problem> {
    let mut documents = MarkedYamlOwned::load_from_str(&text.text).map_err(|error| Problem {
        place: text.at(error.marker().line()),
        says: format!("this is not YAML: {}", error.info()),
    })?;
    Ok(if documents.is_empty() {
        Node {
            line: 1,
            value: Value::Nothing,
        }
    } else {
        node(documents.swap_remove(0))
    })
}

fn node(yaml: MarkedYamlOwned) -> Node {
    let line = yaml.span.start.line();
    let value = match yaml.data {
        YamlDataOwned::Value(scalar) => scalar_value(scalar),
        YamlDataOwned::Representation(text, ..) => Value::Scalar(text),
        YamlDataOwned::Sequence(items) => Value::List(items.into_iter().map(node).collect()),
        YamlDataOwned::Mapping(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let key = node(key);
                let mut value = node(value);
                value.line = key.line;
                (key.text().unwrap_or_default().to_owned(), value)
            });
            Value::Table(entries.collect())
        }
        YamlDataOwned::Tagged(tag, inner) => {
            let inner = node(*inner);
            // A tag of borgmatic such as `!include FILE` is kept visible, so that nobody takes the file's name for a value.
            Value::Scalar(format!(
                "!{} {}",
                tag.suffix,
                inner.text().unwrap_or_default()
            ))
        }
        YamlDataOwned::Alias(_) | YamlDataOwned::BadValue => Value::Nothing,
    };
    Node { line, value }
}

fn scalar_value(scalar: ScalarOwned) -> Value {
    match scalar {
        ScalarOwned::Null => Value::Nothing,
        ScalarOwned::Boolean(value) => Value::Scalar(value.to_string()),
        ScalarOwned::Integer(value) => Value::Scalar(value.to_string()),
        ScalarOwned::FloatingPoint(value) => Value::Scalar(value.to_string()),
        ScalarOwned::String(value) => Value::Scalar(value),
    }
}
