//! JSON, TOML and YAML as one kind of tree, so that what is secret in one of them is secret in all.
//!
//! Not here: what is secret (`redact.rs`, `suspect.rs`), reading and writing the formats.

use saphyr::{ScalarOwned, YamlOwned};

/// What a value is.
pub(super) enum Node<'a, D> {
    /// Values by key, in their order.
    Map(Vec<(String, &'a mut D)>),
    /// Values in their order.
    List(Vec<&'a mut D>),
    /// A text.
    Text(&'a mut String),
    /// A number, a time, true or false: as text.
    Scalar(String),
    /// Nothing: there is nothing to hide.
    Null,
    /// Structure that cannot be judged.
    Unjudged,
}

/// A value of a parsed file.
pub(super) trait Document: Sized {
    /// What it is.
    fn node(&mut self) -> Node<'_, Self>;
    /// Its text, if it is one.
    fn text(&self) -> Option<&str>;
    /// A value that is this text.
    fn of_text(text: &str) -> Self;
}

impl Document for serde_json::Value {
    fn node(&mut self) -> Node<'_, Self> {
        match self {
            Self::Object(map) => Node::Map(map.iter_mut().map(|(k, v)| (k.clone(), v)).collect()),
            Self::Array(items) => Node::List(items.iter_mut().collect()),
            Self::String(text) => Node::Text(text),
            Self::Number(number) => Node::Scalar(number.to_string()),
            Self::Bool(value) => Node::Scalar(value.to_string()),
            Self::Null => Node::Null,
        }
    }

    fn text(&self) -> Option<&str> {
        self.as_str()
    }

    fn of_text(text: &str) -> Self {
        text.into()
    }
}

impl Document for toml::Value {
    fn node(&mut self) -> Node<'_, Self> {
        match self {
            Self::Table(map) => Node::Map(map.iter_mut().map(|(k, v)| (k.clone(), v)).collect()),
            Self::Array(items) => Node::List(items.iter_mut().collect()),
            Self::String(text) => Node::Text(text),
            other => Node::Scalar(other.to_string()),
        }
    }

    fn text(&self) -> Option<&str> {
        self.as_str()
    }

    fn of_text(text: &str) -> Self {
        text.into()
    }
}

impl Document for YamlOwned {
    fn node(&mut self) -> Node<'_, Self> {
        match self {
            Self::Mapping(map) => map
                .iter_mut()
                .map(|(key, value)| Some((key_text(key)?, value)))
                .collect::<Option<_>>()
                .map_or(Node::Unjudged, Node::Map),
            Self::Sequence(items) => Node::List(items.iter_mut().collect()),
            Self::Value(ScalarOwned::String(text)) => Node::Text(text),
            Self::Value(ScalarOwned::Integer(number)) => Node::Scalar(number.to_string()),
            Self::Value(ScalarOwned::FloatingPoint(number)) => Node::Scalar(number.to_string()),
            Self::Value(ScalarOwned::Boolean(value)) => Node::Scalar(value.to_string()),
            Self::Value(ScalarOwned::Null) => Node::Null,
            // Tags may carry meaning of their own (vaults, binary data).
            _ => Node::Unjudged,
        }
    }

    fn text(&self) -> Option<&str> {
        self.as_str()
    }

    fn of_text(text: &str) -> Self {
        Self::Value(ScalarOwned::String(text.to_owned()))
    }
}

/// Texts and whole numbers are keys that a person can name in a policy.
fn key_text(key: &YamlOwned) -> Option<String> {
    let number = || key.as_integer().map(|number| number.to_string());
    key.as_str().map(str::to_owned).or_else(number)
}
