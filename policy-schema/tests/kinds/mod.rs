//! Small stand-ins for engines, tiers and keys, and a way to show findings as text.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "shared by several test programs, each using a part"
)]

use mainstay_policy_schema::{
    Loaded, ProviderKinds, Source, load,
    providers::{EngineKind, KeyKind, TierKind},
};
use model::{
    Capabilities, LockMode, LockRule, MethodName, Period, RetrievalSpeed, Severity, TableFinding,
    ThawOrder,
};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

fn fine(_: &Value, _: &Path) -> Vec<TableFinding> {
    Vec::new()
}

fn check_sqlite(table: &Value, _: &Path) -> Vec<TableFinding> {
    let path = table["path"].as_str().unwrap_or("");
    if path.starts_with(':') {
        return vec![TableFinding {
            code: "sqlite::in-memory",
            severity: Severity::Error,
            path: vec!["path".to_owned()],
            message: "a database in memory cannot be backed up".to_owned(),
            help: Some("name a file".to_owned()),
        }];
    }
    Vec::new()
}

fn path_place(table: &Value, base: &Path) -> Option<String> {
    Some(base.join(table["path"].as_str()?).display().to_string())
}

/// As the real one tells, for the classes and locks that tests write.
fn s3_capabilities(table: &Value, _: &Path) -> Capabilities {
    let (minimum_storage_days, hours) = match table["storage-class"].as_str() {
        Some("standard-ia") => (30, 0),
        Some("glacier") => (90, 5),
        Some("deep-archive") => (180, 48),
        _ => (0, 0),
    };
    let thaw = (hours > 0).then_some(ThawOrder {
        speed: RetrievalSpeed::Bulk,
        days: 7,
        typical_seconds: hours * 3_600,
    });
    let lock = &table["object-lock"];
    let mode = match lock["mode"].as_str() {
        Some("governance") => Some(LockMode::Governance),
        Some("compliance") => Some(LockMode::Compliance),
        _ => None,
    };
    Capabilities {
        minimum_storage_days,
        thaw,
        lock: mode.map(|mode| LockRule {
            mode,
            length: lock["for"]
                .as_str()
                .and_then(|text| Period::parse(text).ok()),
        }),
        ..Capabilities::PLAIN
    }
}

fn method(name: &str) -> MethodName {
    MethodName::new(name).unwrap_or_else(|error| panic!("{error}"))
}

pub fn kinds() -> ProviderKinds {
    let secret = schemars::schema_for!(model::SecretRef).to_value();
    let postgres = EngineKind {
        database_schema: json!({
            "type": "object",
            "properties": {
                "url": {"$ref": "#/$defs/SecretRef", "description": "Connection URL."},
                "jobs": {"type": ["integer", "null"], "minimum": 1, "maximum": 64}
            },
            "required": ["url"],
            "additionalProperties": false,
            "$defs": {"SecretRef": secret}
        }),
        methods: [
            (
                method("physical"),
                json!({
                    "type": "object",
                    "properties": {"checkpoint": {"type": "string", "enum": ["fast", "spread"]}},
                    "additionalProperties": false
                }),
            ),
            (
            method("logical"),
            json!({
                "type": "object",
                "properties": {
                    "format": {"oneOf": [{"const": "custom"}, {"const": "plain"}, {"const": "directory"}]},
                    "content": {"type": "string", "enum": ["all", "schema", "data"]},
                    "buffer": {"type": "string", "format": "mainstay-size"},
                    "exclude-tables": {"type": "array", "items": {"type": "string"}}
                },
                "additionalProperties": false
            }),
        )]
        .into(),
        default_method: method("logical"),
        incremental: vec![method("physical")],
        rolls_forward: vec![method("physical")],
        check_database: fine,
        check_series: fine,
    };
    let sqlite = EngineKind {
        database_schema: json!({
            "type": "object",
            "properties": {"path": {"type": "string", "minLength": 1}},
            "required": ["path"]
        }),
        methods: [(
            method("snapshot"),
            json!({"type": "object", "properties": {}}),
        )]
        .into(),
        default_method: method("snapshot"),
        incremental: Vec::new(),
        rolls_forward: Vec::new(),
        check_database: check_sqlite,
        check_series: fine,
    };
    let filesystem = TierKind {
        schema: json!({
            "type": "object",
            "properties": {"path": {"type": "string"}, "min-free": {"type": "string"}},
            "required": ["path"],
            "additionalProperties": false
        }),
        check: fine,
        place: path_place,
        on_this_machine: true,
        capabilities: |_, _| Capabilities::PLAIN,
    };
    let s3 = TierKind {
        schema: json!({
            "type": "object",
            "properties": {
                "bucket": {"type": "string"},
                "region": {"type": "string"},
                "storage-class": {"type": "string", "enum": ["standard", "standard-ia", "glacier", "deep-archive"]},
                "object-lock": {
                    "type": "object",
                    "properties": {
                        "mode": {"type": "string", "enum": ["governance", "compliance"]},
                        "for": {"type": "string"}
                    },
                    "required": ["mode", "for"],
                    "additionalProperties": false
                },
                "credentials": {
                    "type": "object",
                    "properties": {
                        "access-key-id": {"$ref": "#/$defs/SecretRef"},
                        "secret-access-key": {"$ref": "#/$defs/SecretRef"}
                    },
                    "additionalProperties": false
                }
            },
            "required": ["bucket"],
            "additionalProperties": false,
            "$defs": {"SecretRef": secret}
        }),
        check: fine,
        place: |table, _| Some(table["bucket"].as_str()?.to_owned()),
        on_this_machine: false,
        capabilities: s3_capabilities,
    };
    let key = |properties: Value| KeyKind {
        schema: json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
            "$defs": {"SecretRef": secret}
        }),
        check: fine,
        place: path_place,
    };
    let local = key(json!({
        "path": {"type": "string"},
        "passphrase": {"$ref": "#/$defs/SecretRef"}
    }));
    let certificate = key(json!({
        "path": {"type": "string"},
        "private-key": {"$ref": "#/$defs/SecretRef"}
    }));
    ProviderKinds {
        engines: [
            ("postgres".to_owned(), postgres),
            ("sqlite".to_owned(), sqlite),
        ]
        .into(),
        tiers: [("filesystem".to_owned(), filesystem), ("s3".to_owned(), s3)].into(),
        keys: [
            ("local".to_owned(), local),
            ("certificate".to_owned(), certificate),
        ]
        .into(),
    }
}

pub fn load_texts(files: &[(&str, &str)]) -> Loaded {
    let sources = files
        .iter()
        .map(|(path, text)| Source {
            path: PathBuf::from(path),
            text: (*text).to_owned(),
        })
        .collect();
    load(sources, &kinds())
}

/// Findings as people would see them, with the secrets masked.
pub fn show(loaded: &Loaded) -> String {
    let mut out = String::new();
    for finding in &loaded.findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let _ = writeln!(out, "{severity}[{}] {}", finding.code, finding.message);
        for label in &finding.labels {
            let text = loaded.shown_text(&label.file).unwrap_or_default();
            let start = label.bytes.start.min(text.len());
            let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
            let line = text[line_start..].lines().next().unwrap_or("");
            let number = text[..start].matches('\n').count() + 1;
            let column = start - line_start;
            let width = label
                .bytes
                .len()
                .clamp(1, line.len().saturating_sub(column).max(1));
            let _ = writeln!(out, "  {}:{number}: {line}", label.file.display());
            let pad =
                label.file.display().to_string().len() + number.to_string().len() + 5 + column;
            let _ = writeln!(out, "{:pad$}{} {}", "", "^".repeat(width), label.text);
        }
        if let Some(help) = &finding.help {
            let _ = writeln!(out, "  help: {help}");
        }
    }
    out
}
