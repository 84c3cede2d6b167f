//! The form of a policy: walks a tree against JSON Schemas and reports every mistake at its bytes.
//!
//! Understands the part of JSON Schema (draft 2020-12) that schemars writes: `$ref type properties required
//! additionalProperties items enum const anyOf oneOf allOf minimum maximum minLength minItems format`. The formats
//! `mainstay-duration`, `mainstay-size`, `mainstay-rate`, `mainstay-time-of-day` and `mainstay-count` are read by the very functions that later use them.
//! Not here: references, schedules and everything else that needs more than one value (`meaning`).

use crate::{
    checks::misplaced_parameter,
    report::{Draft, Report, near_or_all},
    secrets,
    tree::{Entry, Node, Value as Held},
};
use model::{Bandwidth, ByteCount, Period};
use serde_json::{Map, Value};
use std::fmt;

/// A schema and the document that its references start from.
#[derive(Clone, Copy)]
pub(crate) struct Schema<'a> {
    pub(crate) node: &'a Value,
    pub(crate) root: &'a Value,
}

/// Where the walk is; written only when a finding is made.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    parent: Option<&'a At<'a>>,
    key: &'a str,
    index: Option<usize>,
}

impl<'a> At<'a> {
    pub(crate) fn top(key: &'a str) -> Self {
        Self {
            parent: None,
            key,
            index: None,
        }
    }

    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Self {
            parent: Some(self),
            key,
            index: None,
        }
    }

    pub(crate) fn item(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            key: "",
            index: Some(index),
        }
    }
}

impl At<'_> {
    /// The last key of the path; of an item of a list, nothing.
    pub(crate) fn last_key(&self) -> &str {
        self.key
    }

    fn is_top(&self) -> bool {
        self.parent.is_none() && self.key.is_empty()
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match (self.index, self.parent) {
            (Some(index), _) => write!(f, "[{index}]"),
            (None, Some(parent)) if !parent.key.is_empty() || parent.parent.is_some() => {
                write!(f, ".{}", self.key)
            }
            _ => f.write_str(self.key),
        }
    }
}

impl<'a> Schema<'a> {
    pub(crate) fn of(root: &'a Value) -> Self {
        Self { node: root, root }.resolved()
    }

    fn with(self, node: &'a Value) -> Self {
        Self { node, ..self }.resolved()
    }

    fn resolved(self) -> Self {
        let mut node = self.node;
        // A circle of references ends after as many steps as anyone would write.
        for _ in 0..16 {
            let target = node
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| self.root.pointer(reference.trim_start_matches('#')));
            match target {
                Some(target) => node = target,
                None => break,
            }
        }
        Self { node, ..self }
    }

    fn properties(self) -> Option<&'a Map<String, Value>> {
        self.node.get("properties").and_then(Value::as_object)
    }

    /// The names of its keys.
    pub(crate) fn keys(self) -> impl Iterator<Item = &'a str> {
        self.properties()
            .into_iter()
            .flat_map(|map| map.keys().map(String::as_str))
    }

    /// The schema of a key.
    pub(crate) fn property(self, key: &str) -> Option<Self> {
        Some(self.with(self.properties()?.get(key)?))
    }

    fn required(self) -> impl Iterator<Item = &'a str> {
        let list = self.node.get("required").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }

    fn alternatives(self) -> Option<Vec<Self>> {
        let list = self
            .node
            .get("anyOf")
            .or_else(|| self.node.get("oneOf"))?
            .as_array()?;
        Some(list.iter().map(|one| self.with(one)).collect())
    }

    fn allows_null_only(self) -> bool {
        self.node.get("type").and_then(Value::as_str) == Some("null")
    }

    fn words(self) -> Option<Vec<&'a str>> {
        if let Some(list) = self.node.get("enum").and_then(Value::as_array) {
            return Some(list.iter().filter_map(Value::as_str).collect());
        }
        self.node
            .get("const")
            .and_then(Value::as_str)
            .map(|word| vec![word])
    }

    fn types(self) -> Vec<&'a str> {
        match self.node.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several
                .iter()
                .filter_map(Value::as_str)
                .filter(|one| *one != "null")
                .collect(),
            _ if self.node.get("properties").is_some() => vec!["object"],
            _ if self.words().is_some() => vec!["string"],
            _ => Vec::new(),
        }
    }

    fn accepts_type_of(self, node: &Node) -> bool {
        if let Some(alternatives) = self.alternatives() {
            return alternatives.iter().any(|one| one.accepts_type_of(node));
        }
        let types = self.types();
        types.is_empty() || types.iter().any(|one| fits(one, node, self.node))
    }
}

fn fits(kind: &str, node: &Node, schema: &Value) -> bool {
    match &node.value {
        Held::Text(_) => kind == "string",
        Held::Integer(_) => matches!(kind, "integer" | "number"),
        Held::Float(_) => kind == "number",
        Held::Boolean(_) => kind == "boolean",
        Held::Date(_) => {
            let format = schema.get("format").and_then(Value::as_str);
            kind == "string" && matches!(format, Some("date-time" | "date"))
        }
        Held::List(_) => kind == "array",
        Held::Table(_) => kind == "object",
    }
}

fn type_words(schema: Schema<'_>, out: &mut Vec<&'static str>) {
    if let Some(alternatives) = schema.alternatives() {
        for one in alternatives
            .into_iter()
            .filter(|one| !one.allows_null_only())
        {
            type_words(one, out);
        }
        return;
    }
    for kind in schema.types() {
        let word = match kind {
            "object" => "a table",
            "array" => "an array",
            "integer" => "an integer",
            "number" => "a number",
            "boolean" => "true or false",
            _ => match schema.node.get("format").and_then(Value::as_str) {
                Some("mainstay-duration") => "a duration such as \"15m\"",
                Some("mainstay-size") => "a size such as \"64MiB\"",
                Some("mainstay-rate") => "a rate such as \"50MiB/s\"",
                Some("mainstay-time-of-day") => "a time in quotes, such as \"08:00\"",
                Some("mainstay-count") => "a window such as \"14d\"",
                _ => "a string",
            },
        };
        if !out.contains(&word) {
            out.push(word);
        }
    }
}

/// Reports everything in `node` that `schema` does not allow.
pub(crate) fn walk(report: &mut Report<'_>, node: &Node, at: At<'_>, schema: Schema<'_>) {
    if report.wrong.contains(&node.place) {
        return;
    }
    let schema = schema.resolved();
    if let Some(every) = schema.node.get("allOf").and_then(Value::as_array) {
        for one in every {
            walk(report, node, at, schema.with(one));
        }
    }
    if !schema.accepts_type_of(node) {
        return wrong_type(report, node, at, schema);
    }
    if let Some(alternatives) = schema.alternatives() {
        return walk_alternatives(report, node, at, &alternatives);
    }
    match &node.value {
        Held::Text(text) => check_text(report, node, at, text, schema),
        Held::Integer(number) => check_number(report, node, at, *number, schema),
        Held::List(items) => {
            let least = schema
                .node
                .get("minItems")
                .and_then(Value::as_u64)
                .unwrap_or(0);
            if (items.len() as u64) < least {
                let draft = Draft::error("policy::out-of-range", format!("`{at}` is too short"))
                    .at(node.place, format!("at least {least} needed"));
                report.reject(node.place, draft);
            }
            if let Some(inner) = schema.node.get("items") {
                for (index, item) in items.iter().enumerate() {
                    walk(report, item, at.item(index), schema.with(inner));
                }
            }
        }
        Held::Table(table) => {
            for entry in &table.entries {
                walk_entry(report, entry, at, schema);
            }
            check_required(report, node, at, schema);
        }
        _ => {}
    }
}

/// Reports keys that a schema requires and `node` lacks.
pub(crate) fn check_required(report: &mut Report<'_>, node: &Node, at: At<'_>, schema: Schema<'_>) {
    for key in schema.required() {
        if node.get(key).is_none() {
            missing(report, node, at, key);
        }
    }
}

/// Reports one missing key.
pub(crate) fn missing(report: &mut Report<'_>, node: &Node, at: At<'_>, key: &str) {
    let draft = Draft::error("policy::missing-key", format!("`{at}` lacks `{key}`"))
        .at(node.place, format!("`{key}` is needed here"));
    // Several missing keys of one table are several findings, although they have one place.
    report.add_absence(draft, key);
}

fn walk_entry(report: &mut Report<'_>, entry: &Entry, at: At<'_>, schema: Schema<'_>) {
    let here = at.key(&entry.key);
    if let Some(inner) = schema.property(&entry.key) {
        return walk(report, &entry.node, here, inner);
    }
    match schema.node.get("additionalProperties") {
        Some(Value::Bool(false)) => {
            unknown_key(report, entry, at, &schema.keys().collect::<Vec<_>>());
        }
        Some(inner @ Value::Object(_)) => walk(report, &entry.node, here, schema.with(inner)),
        _ => {}
    }
}

/// Reports a key that its table does not have.
pub(crate) fn unknown_key(report: &mut Report<'_>, entry: &Entry, at: At<'_>, allowed: &[&str]) {
    // A secret in the wrong place was reported as a secret; after a syntax error, a key may have slid to the top.
    let slid = report.is_broken(entry.key_place) && at.is_top();
    if slid || report.wrong.contains(&entry.node.place) {
        return;
    }
    let here = at.key(&entry.key);
    let of_check = allowed
        .contains(&"parameters")
        .then(|| misplaced_parameter(&entry.key));
    let help = of_check
        .flatten()
        .unwrap_or_else(|| near_or_all(&entry.key, allowed, "keys of this table"));
    let draft = Draft::error("policy::unknown-key", format!("unknown key `{here}`"))
        .at(entry.key_place, "not a key of this table")
        .help(help);
    report.reject(entry.key_place, draft);
}

fn wrong_type(report: &mut Report<'_>, node: &Node, at: At<'_>, schema: Schema<'_>) {
    let mut words = Vec::new();
    type_words(schema, &mut words);
    let mut draft = Draft::error(
        "policy::wrong-type",
        format!("`{at}` must be {}", words.join(" or ")),
    )
    .at(node.place, format!("this is {}", node.type_name()));
    if words == ["a table"] && node.text().is_some() && schema.keys().any(|key| key == "env") {
        draft = draft.help("refer to the secret: `{ env = \"NAME\" }`, `{ file = \"path\" }` or `{ command = [\"program\"] }`");
    }
    report.reject(node.place, draft);
}

/// Reports what none of several schemas allows.
pub(crate) fn walk_any(report: &mut Report<'_>, node: &Node, at: At<'_>, schemas: &[Schema<'_>]) {
    if schemas.iter().any(|one| one.accepts_type_of(node)) {
        walk_alternatives(report, node, at, schemas);
    } else if let [first, ..] = schemas {
        wrong_type(report, node, at, *first);
    }
}

fn walk_alternatives(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    alternatives: &[Schema<'_>],
) {
    let fitting: Vec<Schema<'_>> = alternatives
        .iter()
        .copied()
        .filter(|one| !one.allows_null_only() && one.accepts_type_of(node))
        .collect();
    if let [only] = fitting[..] {
        return walk(report, node, at, only);
    }
    if let Some(text) = node.text() {
        let words: Option<Vec<Vec<&str>>> = fitting.iter().map(|one| one.words()).collect();
        if let Some(words) = words {
            let words = words.concat();
            if !words.contains(&text) {
                unknown_value(report, node, at, text, &words);
            }
            return;
        }
    }
    // Several fit by type: the one with the fewest mistakes is the one that was meant.
    let mut best: Option<Report<'_>> = None;
    for one in fitting {
        let mut attempt = report.attempt();
        walk(&mut attempt, node, at, one);
        if best.as_ref().is_none_or(|best| attempt.len() < best.len()) {
            best = Some(attempt);
        }
    }
    if let Some(best) = best {
        report.absorb(best);
    }
}

/// Reports a value that is not one of those allowed.
pub(crate) fn unknown_value(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    text: &str,
    allowed: &[&str],
) {
    // A secret was reported as one; its text must not be repeated.
    if report.wrong.contains(&node.place) {
        return;
    }
    let shown = if secrets::is_secret_key(at.key) {
        String::new()
    } else {
        format!(" `{text}`")
    };
    let help = near_or_all(text, allowed, "allowed values");
    let draft = Draft::error(
        "policy::unknown-value",
        format!("`{at}` has the unknown value{shown}"),
    )
    .at(node.place, "not one of the allowed values")
    .help(help);
    report.reject(node.place, draft);
}

fn check_text(report: &mut Report<'_>, node: &Node, at: At<'_>, text: &str, schema: Schema<'_>) {
    if let Some(words) = schema.words() {
        if !words.contains(&text) {
            unknown_value(report, node, at, text, &words);
        }
        return;
    }
    let length = text.chars().count() as u64;
    let least = schema.node.get("minLength").and_then(Value::as_u64);
    if let Some(least) = least.filter(|&least| length < least) {
        let message = match least {
            1 => format!("`{at}` must not be empty"),
            _ => format!("`{at}` must have {least} characters at least"),
        };
        let draft = Draft::error("policy::out-of-range", message).at(node.place, "too short");
        return report.reject(node.place, draft);
    }
    let (code, problem) = match schema.node.get("format").and_then(Value::as_str) {
        Some("mainstay-duration") => ("policy::bad-duration", Period::parse(text).err()),
        Some("mainstay-size") => ("policy::bad-size", ByteCount::parse(text).err()),
        Some("mainstay-rate") => ("policy::bad-bandwidth", Bandwidth::parse_rate(text).err()),
        Some("mainstay-time-of-day") => {
            ("policy::bad-bandwidth", Bandwidth::parse_time(text).err())
        }
        Some("mainstay-count") if text != "all" => (
            "policy::bad-duration",
            Period::parse(text)
                .err()
                .map(|why| format!("{why}; or give a number, or \"all\"")),
        ),
        _ => return,
    };
    if let Some(problem) = problem {
        let (what, how) = problem.split_once("; ").unwrap_or((problem.as_str(), ""));
        let mut draft =
            Draft::error(code, format!("`{at}`: {what}")).at(node.place, "cannot be read");
        if !how.is_empty() {
            draft = draft.help(how);
        }
        report.reject(node.place, draft);
    }
}

fn check_number(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    number: Option<i64>,
    schema: Schema<'_>,
) {
    let mut most = schema.node.get("maximum").and_then(Value::as_f64);
    if most.is_none() && schema.node.get("format").and_then(Value::as_str) == Some("uint32") {
        most = Some(f64::from(u32::MAX));
    }
    let least = schema.node.get("minimum").and_then(Value::as_f64);
    #[expect(
        clippy::cast_precision_loss,
        reason = "bounds of policies are far below 2^53"
    )]
    let value = number.map(|number| number as f64);
    let wanted = match (value, least, most) {
        (None, ..) => "fits no 64-bit integer".to_owned(),
        (Some(value), Some(least), _) if value < least => format!("must be at least {least}"),
        (Some(value), _, Some(most)) if value > most => format!("must be at most {most}"),
        _ => return,
    };
    let draft = Draft::error("policy::out-of-range", format!("`{at}` is out of range"))
        .at(node.place, wanted);
    report.reject(node.place, draft);
}
