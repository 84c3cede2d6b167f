//! The JSON Schema of whole policy files, for editors: our language with the tables of every provider composed into it.
//!
//! The walk of `shape` does not use this document: it looks at `engine` and `kind` itself, which gives better findings
//! than conditions do.

use crate::{
    providers::{EngineKind, OwnTable, ProviderKinds},
    written::Language,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The JSON Schema (draft 2020-12) of a policy file, tables of providers included.
pub fn json_schema(kinds: &ProviderKinds) -> Value {
    let mut schema = Language::new().policy;
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Mainstay policy");
    let mut definitions = match schema["$defs"].take() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    compose_kinds("WrittenTier", &kinds.tiers, &mut definitions);
    compose_kinds("WrittenKey", &kinds.keys, &mut definitions);
    if let Some(mut own) = definitions.remove("WrittenDatabase") {
        compose_engines(&mut own, &kinds.engines, &mut definitions);
        definitions.insert("WrittenDatabase".to_owned(), own);
    }
    if let Some(mut own) = definitions.remove("WrittenSeries") {
        compose_methods(&mut own, &kinds.engines, &mut definitions);
        definitions.insert("WrittenSeries".to_owned(), own);
    }
    schema["$defs"] = Value::Object(definitions);
    without_null(&mut schema);
    rename(&mut schema);
    schema
}

fn compose_kinds<K: OwnTable>(
    scope: &str,
    kinds: &BTreeMap<String, K>,
    definitions: &mut Map<String, Value>,
) {
    let Some(mut own) = definitions.remove(scope) else {
        return;
    };
    let names: Vec<&str> = kinds.keys().map(String::as_str).collect();
    let properties = take_properties(&mut own);
    let branches = kinds.iter().map(|(name, kind)| {
        let theirs = embed(kind.schema(), &format!("{scope}_{name}"), definitions);
        (name.as_str(), theirs)
    });
    let mut own = conditional(&own, &properties, "kind", &names, branches.collect());
    own["required"] = json!(["kind"]);
    definitions.insert(scope.to_owned(), own);
}

fn compose_engines(
    own: &mut Value,
    engines: &BTreeMap<String, EngineKind>,
    definitions: &mut Map<String, Value>,
) {
    let names: Vec<&str> = engines.keys().map(String::as_str).collect();
    let properties = take_properties(own);
    let branches = engines.iter().map(|(name, kind)| {
        let mut theirs = embed(
            &kind.database_schema,
            &format!("Database_{name}"),
            definitions,
        );
        // A profile may give what this table leaves out.
        theirs
            .as_object_mut()
            .map(|theirs| theirs.remove("required"));
        (name.as_str(), theirs)
    });
    *own = conditional(own, &properties, "engine", &names, branches.collect());
}

fn compose_methods(
    own: &mut Value,
    engines: &BTreeMap<String, EngineKind>,
    definitions: &mut Map<String, Value>,
) {
    let mut properties = take_properties(own);
    let mut names: Vec<&str> = Vec::new();
    // A series does not say its engine, so it may have the keys of any method.
    for (engine, kind) in engines {
        for (method, schema) in &kind.methods {
            names.push(method.as_str());
            let theirs = embed(schema, &format!("Series_{engine}_{method}"), definitions);
            for (key, value) in theirs["properties"].as_object().into_iter().flatten() {
                properties
                    .entry(key.clone())
                    .or_insert_with(|| value.clone());
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    properties["method"]["enum"] = json!(names);
    own["properties"] = Value::Object(properties);
    own["additionalProperties"] = json!(false);
    own["required"] = json!(["name"]);
}

fn take_properties(own: &mut Value) -> Map<String, Value> {
    match own["properties"].take() {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A table with one shape for each value of `key`, and one that knows all keys while that value is not yet typed.
fn conditional(
    own: &Value,
    properties: &Map<String, Value>,
    key: &str,
    names: &[&str],
    branches: Vec<(&str, Value)>,
) -> Value {
    let mut any = properties.clone();
    let mut conditions = Vec::new();
    for (name, theirs) in branches {
        let mut all = properties.clone();
        for (key, value) in theirs["properties"].as_object().into_iter().flatten() {
            any.entry(key.clone()).or_insert_with(|| value.clone());
            all.insert(key.clone(), value.clone());
        }
        all.insert(key.to_owned(), json!({"const": name}));
        let mut then = json!({"properties": all, "additionalProperties": false});
        if let Some(required) = theirs.get("required") {
            then["required"] = required.clone();
        }
        conditions.push(
            json!({"if": {"properties": {key: {"const": name}}, "required": [key]}, "then": then}),
        );
    }
    any[key]["enum"] = json!(names);
    json!({
        "type": "object",
        "description": own["description"],
        "properties": any,
        "allOf": conditions,
    })
}

/// A provider's schema with its definitions moved into ours under names of their own.
fn embed(schema: &Value, prefix: &str, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = schema.clone();
    prefix_references(&mut schema, prefix);
    if let Some(Value::Object(theirs)) = schema.as_object_mut().and_then(|map| map.remove("$defs"))
    {
        for (name, value) in theirs {
            definitions.insert(format!("{prefix}_{name}"), value);
        }
    }
    schema
}

fn prefix_references(value: &mut Value, prefix: &str) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("#/$defs/{prefix}_{name}");
            }
            map.values_mut()
                .for_each(|inner| prefix_references(inner, prefix));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|inner| prefix_references(inner, prefix)),
        _ => {}
    }
}

/// TOML has no null: what schemars writes for optional keys becomes the plain type, and unfolds for completion.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = &types[..] {
                    let one = one.clone();
                    map.insert("type".to_owned(), one);
                }
            }
            for key in ["anyOf", "oneOf"] {
                let Some(Value::Array(alternatives)) = map.get_mut(key) else {
                    continue;
                };
                alternatives.retain(|one| one["type"] != "null");
                if let [Value::Object(only)] = &alternatives[..] {
                    let only = only.clone();
                    map.remove(key);
                    for (key, inner) in only {
                        map.entry(key).or_insert(inner);
                    }
                }
            }
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            // A word of Rust, not of JSON Schema.
            map.retain(|key, inner| {
                key != "format"
                    || !matches!(
                        inner.as_str(),
                        Some("uint32" | "int64" | "uint64" | "uint16" | "uint8")
                    )
            });
            map.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// `WrittenTier` is a name of this crate; editors show `Tier`.
fn rename(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref") {
                *reference = reference.replace("/Written", "/");
            }
            if let Some(Value::Object(definitions)) = map.get_mut("$defs") {
                *definitions = std::mem::take(definitions)
                    .into_iter()
                    .map(|(name, inner)| {
                        (
                            name.strip_prefix("Written")
                                .map_or(name.clone(), str::to_owned),
                            inner,
                        )
                    })
                    .collect();
            }
            if let Some(Value::String(title)) = map.get_mut("title") {
                *title = title.replace("Written", "");
            }
            map.values_mut().for_each(rename);
        }
        Value::Array(items) => items.iter_mut().for_each(rename),
        _ => {}
    }
}
