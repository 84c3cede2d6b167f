//! The keys of a PostgreSQL database and of its `logical` series, with what a schema cannot say.
//!
//! Not here: connecting; nothing in this file does IO, so a policy can be checked on any machine.

use super::{super::compression_level, physical, url};
use crate::api::{ProviderError, Result};
use model::{
    ByteCount, Disposition, Secret, SecretRef, Severity, TableFinding, manifest::Compression,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Tables up to this size are counted exactly when a series says nothing else.
const COUNT_EXACT_BELOW: ByteCount = ByteCount(1 << 30);

/// Keys of a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct DatabaseTable {
    /// Where the database is: a libpq URL without a password, or a reference to one (`{ env = "…" }`, `{ file = "…" }`, `{ command = ["…"] }`).
    pub(super) url: UrlSetting,
    /// Folder with PostgreSQL's programs; without it the installed versions are searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bin_dir: Option<PathBuf>,
    /// Database to connect to when databases are created, renamed and dropped; default `postgres`, then `template1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) maintenance_database: Option<String>,
}

/// A URL in the policy, or a reference to one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum UrlSetting {
    /// Written in the policy; must not hold a password.
    Text(String),
    /// Found elsewhere.
    Reference(SecretRef),
}

impl fmt::Debug for UrlSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // It must hold no password, but nobody may have checked it yet.
            Self::Text(_) => f.write_str("Text(***)"),
            Self::Reference(reference) => fmt::Debug::fmt(reference, f),
        }
    }
}

/// Keys of a `logical` series.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct SeriesTable {
    /// Format of the dump; `custom` by default.
    pub(super) format: Format,
    /// Parallel workers; only for `format = "directory"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub(super) jobs: Option<u8>,
    /// What is dumped; `all` by default.
    pub(super) content: Content,
    /// Tables to dump, as patterns of `pg_dump --table`; each must match something.
    pub(super) include_tables: Vec<String>,
    /// Tables to leave out, as patterns of `pg_dump --exclude-table`.
    pub(super) exclude_tables: Vec<String>,
    /// Schemas to dump, as patterns of `pg_dump --schema`; each must match something.
    pub(super) include_schemas: Vec<String>,
    /// Schemas to leave out, as patterns of `pg_dump --exclude-schema`.
    pub(super) exclude_schemas: Vec<String>,
    /// Whether the server's roles and tablespaces are stored beside the data (`pg_dumpall --globals-only`).
    pub(super) globals: bool,
    /// How rows are counted in the snapshot; without it small tables are counted and large ones estimated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count_rows: Option<CountRows>,
    /// Size up to which a table is counted and not estimated; default `1GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "size"))]
    pub(super) count_exact_below: Option<String>,
    /// Compression of the stored dump; `zstd` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compression: Option<Compression>,
    /// Level: zstd 1 to 19 (default 3), gzip 1 to 9 (default 6).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 19))]
    pub(super) compression_level: Option<i32>,
}

/// Format of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Format {
    /// `pg_dump`'s custom format: one stream, selected tables can be restored.
    #[default]
    Custom,
    /// SQL statements, readable by people and by psql.
    Plain,
    /// `pg_dump`'s directory format, written in parallel, stored as one tar file.
    Directory,
}

impl Format {
    /// The word in the policy and in a manifest's facts.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Plain => "plain",
            Self::Directory => "directory",
        }
    }
}

/// What is dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Content {
    /// Definitions and rows.
    #[default]
    All,
    /// Definitions only.
    Schema,
    /// Rows only.
    Data,
}

impl Content {
    /// The word in the policy and in a manifest's facts.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Schema => "schema",
            Self::Data => "data",
        }
    }

    /// Reads the word back; older manifests without it hold everything.
    pub(super) fn of_word(word: Option<&str>) -> Self {
        match word {
            Some("schema") => Self::Schema,
            Some("data") => Self::Data,
            _ => Self::All,
        }
    }
}

/// How rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CountRows {
    /// Every table is read.
    Exact,
    /// The server's estimates are noted; a restore is not compared with them.
    Estimate,
    /// Only the tables' names are noted.
    Off,
}

impl SeriesTable {
    /// Tables up to this size are counted exactly; `None`: rows are not even estimated.
    pub(super) fn count_limit(&self) -> Option<ByteCount> {
        match self.count_rows {
            Some(CountRows::Off) => None,
            Some(CountRows::Estimate) => Some(ByteCount(0)),
            Some(CountRows::Exact) => Some(ByteCount(u64::MAX)),
            None => {
                let size = self.count_exact_below.as_deref();
                let size = size.and_then(|text| ByteCount::parse(text).ok());
                Some(size.unwrap_or(COUNT_EXACT_BELOW))
            }
        }
    }
}

/// Reads a table that `policy-schema` has already checked.
pub(super) fn read<T: DeserializeOwned>(table: &Value, what: &str) -> Result<T> {
    serde_json::from_value(table.clone()).map_err(|error| {
        ProviderError::new(
            "mainstay::postgres::policy",
            Disposition::NeedsOperator,
            format!("cannot use the {what} table of the policy"),
        )
        .help("run mainstay validate")
        .source(error)
    })
}

fn finding(code: &'static str, key: &str, message: String, help: &str) -> TableFinding {
    TableFinding {
        code,
        severity: Severity::Error,
        path: vec![key.to_owned()],
        message,
        help: Some(help.to_owned()),
    }
}

/// What the schema of a database table cannot say.
pub(super) fn check_database(table: &Value, _base: &Path) -> Vec<TableFinding> {
    let text = match table.get("url") {
        Some(Value::String(text)) => text,
        Some(Value::Object(reference)) => return check_reference(reference),
        _ => return Vec::new(),
    };
    match url::parse(text) {
        Err(error) => vec![finding(
            "postgres::bad-url",
            "url",
            error.to_string(),
            error.help(),
        )],
        Ok(parts) if parts.password.is_some() => vec![finding(
            "postgres::password-in-policy",
            "url",
            "the URL holds a password, and policies are kept in Git".to_owned(),
            "write url = { env = \"ORDERS_URL\" } (or file, or command), or leave the password to ~/.pgpass",
        )],
        Ok(_) => Vec::new(),
    }
}

/// A reference that names nothing, or several places, would be found out only when the first backup is due.
fn check_reference(reference: &serde_json::Map<String, Value>) -> Vec<TableFinding> {
    let empty = |value: &Value| {
        value.as_str().is_some_and(str::is_empty)
            || value.as_array().is_some_and(|command| {
                command
                    .first()
                    .and_then(Value::as_str)
                    .is_none_or(str::is_empty)
            })
    };
    let problem = if reference.len() != 1 {
        "a URL is referred to by exactly one of `env`, `file` and `command`"
    } else if reference.values().any(empty) {
        "the reference to the URL is empty"
    } else {
        return Vec::new();
    };
    vec![finding(
        "postgres::bad-url",
        "url",
        problem.to_owned(),
        "write one of url = { env = \"NAME\" }, { file = \"path\" } or { command = [\"program\"] }",
    )]
}

/// What the schema of a series table cannot say. Reads single keys, so that one mistake does not hide another.
pub(super) fn check_series(table: &Value, _base: &Path) -> Vec<TableFinding> {
    let mut findings = Vec::new();
    let text = |key: &str| table.get(key).and_then(Value::as_str);
    let format = text("format").unwrap_or("custom");
    if table.get("jobs").is_some() && format != "directory" {
        findings.push(finding(
            "postgres::jobs-need-directory",
            "jobs",
            format!("`jobs` has no effect with format `{format}`: only the directory format is dumped in parallel"),
            "add format = \"directory\", or remove `jobs`",
        ));
    }
    if let Some(size) = text("count-exact-below") {
        if let Err(why) = ByteCount::parse(size) {
            findings.push(finding(
                "postgres::size",
                "count-exact-below",
                why,
                "write a size such as 1GiB",
            ));
        }
        if text("count-rows").is_some() {
            findings.push(finding(
                "postgres::count-rows-twice",
                "count-exact-below",
                "`count-rows` already decides for all tables".to_owned(),
                "keep one of `count-rows` and `count-exact-below`",
            ));
        }
    }
    findings.extend(compression_level::check(
        "postgres::compression-level",
        table,
    ));
    findings.extend(physical::check_series(table));
    let filled = |key: &str| {
        table
            .get(key)
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty())
    };
    if filled("include-tables") && (filled("include-schemas") || filled("exclude-schemas")) {
        findings.push(finding(
            "postgres::schemas-without-effect",
            "include-tables",
            "pg_dump ignores the schemas when tables are named".to_owned(),
            "write the schema into the table patterns: include-tables = [\"sales.*\"]",
        ));
    }
    findings
}

/// The URL that a person wrote as text.
pub(super) fn text_url(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(findings: &[TableFinding]) -> String {
        let lines: Vec<_> = findings
            .iter()
            .map(|f| {
                format!(
                    "{} at {}: {}\n  {}",
                    f.code,
                    f.path.join("."),
                    f.message,
                    f.help.as_deref().unwrap_or("")
                )
            })
            .collect();
        lines.join("\n")
    }

    #[test]
    fn a_password_in_the_policy_and_a_bad_url_are_findings() {
        let check = |url: &str| check_database(&json!({ "url": url }), Path::new(""));
        let all = [
            check("postgresql://u:pw@h/d"),
            check("postgresql://a,b/d"),
            check("h/d"),
        ]
        .concat();
        insta::assert_snapshot!(shown(&all), @r#"
        postgres::password-in-policy at url: the URL holds a password, and policies are kept in Git
          write url = { env = "ORDERS_URL" } (or file, or command), or leave the password to ~/.pgpass
        postgres::bad-url at url: the URL names more than one host
          name the one server that shall be backed up; declare a database for each of several
        postgres::bad-url at url: a PostgreSQL URL starts with `postgres://` or `postgresql://`
          write it as `postgresql://user@host:5432/database`
        "#);
        assert!(check("postgresql://u@h/d").is_empty());
    }

    #[test]
    fn a_reference_names_exactly_one_place() {
        let check = |url: Value| check_database(&json!({ "url": url }), Path::new(""));
        for wrong in [
            json!({}),
            json!({ "env": "A", "file": "b" }),
            json!({ "env": "" }),
            json!({ "command": [] }),
            json!({ "command": [""] }),
        ] {
            let findings = check(wrong.clone());
            assert_eq!(findings.len(), 1, "{wrong}");
            assert_eq!(findings[0].code, "postgres::bad-url");
        }
        assert!(check(json!({ "file": "b" })).is_empty());
        assert!(check(json!({ "command": ["pass", "show", "db"] })).is_empty());
        assert!(check_database(&json!({ "url": { "env": "X" } }), Path::new("")).is_empty());
    }

    #[test]
    fn keys_of_a_series_that_contradict_each_other_are_findings() {
        let table = json!({
            "format": "plain", "jobs": 4, "count-rows": "exact", "count-exact-below": "1 apple", "compression": "gzip",
            "compression-level": 12, "include-tables": ["a"], "exclude-schemas": ["b"],
        });
        insta::assert_snapshot!(shown(&check_series(&table, Path::new(""))), @r#"
        postgres::jobs-need-directory at jobs: `jobs` has no effect with format `plain`: only the directory format is dumped in parallel
          add format = "directory", or remove `jobs`
        postgres::size at count-exact-below: `apple` is not a unit of size; use KiB, MiB, GiB, TiB
          write a size such as 1GiB
        postgres::count-rows-twice at count-exact-below: `count-rows` already decides for all tables
          keep one of `count-rows` and `count-exact-below`
        postgres::compression-level at compression-level: level 12 does not exist for this compression
          choose 1 to 9
        postgres::schemas-without-effect at include-tables: pg_dump ignores the schemas when tables are named
          write the schema into the table patterns: include-tables = ["sales.*"]
        "#);
    }

    #[test]
    fn a_series_without_keys_has_useful_defaults() {
        let series: SeriesTable = read(&json!({}), "series").unwrap();
        assert_eq!(series.format, Format::Custom);
        assert_eq!(series.count_limit(), Some(ByteCount(1 << 30)));
        let series: SeriesTable = read(&json!({ "count-exact-below": "64MiB" }), "series").unwrap();
        assert_eq!(series.count_limit(), Some(ByteCount(64 << 20)));
    }
}
