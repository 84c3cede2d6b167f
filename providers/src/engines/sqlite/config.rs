//! Keys of a `[database.<name>]` with `engine = "sqlite"` and of its series.

use super::super::compression_level;
use crate::api::{ProviderError, Result};
use model::{Disposition, MethodName, Severity, TableFinding, manifest::Compression};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// One SQLite database file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SqliteDatabase {
    /// The database file. Relative paths start at the folder of the policy file; `~` is not expanded.
    #[schemars(length(min = 1))]
    pub path: String,
}

/// A consistent copy of the whole file, taken while it may be written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SqliteSnapshot {
    /// How the copy is compressed. Default `zstd`.
    #[serde(default)]
    pub compression: Option<Compression>,
    /// How hard: 1 to 19 for zstd (default 3), 1 to 9 for gzip (default 6).
    #[serde(default)]
    #[schemars(range(min = 1, max = 19))]
    pub compression_level: Option<i32>,
}

fn unreadable(error: serde_json::Error) -> ProviderError {
    ProviderError::new(
        "mainstay::sqlite::config",
        Disposition::Permanent,
        "the table of an sqlite database cannot be read",
    )
    .source(error)
}

impl SqliteDatabase {
    /// Reads a table that has passed its schema.
    pub fn read(table: &Value) -> Result<Self> {
        serde_json::from_value(table.clone()).map_err(unreadable)
    }
}

impl SqliteSnapshot {
    /// Reads a table that has passed its schema; `null` means no keys.
    pub fn read(table: &Value) -> Result<Self> {
        if table.is_null() {
            return Ok(Self::default());
        }
        serde_json::from_value(table.clone()).map_err(unreadable)
    }
}

pub(super) fn method() -> MethodName {
    #[expect(clippy::expect_used, reason = "a constant that a test reads")]
    MethodName::new(super::METHOD).expect("`snapshot` is a name")
}

/// Checks the database table beyond its schema. Does not look for the file: policies are checked on other machines too.
pub(super) fn check_database(table: &Value, _base: &Path) -> Vec<TableFinding> {
    let Some(path) = table.get("path").and_then(Value::as_str) else {
        return Vec::new();
    };
    let finding = |code, message: &str, help: &str| TableFinding {
        code,
        severity: Severity::Error,
        path: vec!["path".to_owned()],
        message: message.to_owned(),
        help: Some(help.to_owned()),
    };
    if path.trim().is_empty() {
        vec![finding(
            "sqlite::path-empty",
            "the `path` of this database is empty",
            "name the database file, such as \"/var/lib/app/data.db\"",
        )]
    } else if path.starts_with('~') {
        vec![finding(
            "sqlite::path-tilde",
            "`~` is not expanded",
            "write the whole path: a service has another home than you",
        )]
    } else if path.starts_with("file:") || path == ":memory:" {
        vec![finding(
            "sqlite::path-uri",
            "an SQLite URI or `:memory:` is not a file's path",
            "write the path of the database file alone",
        )]
    } else {
        Vec::new()
    }
}

/// Checks a series table beyond its schema.
pub(super) fn check_series(table: &Value, _base: &Path) -> Vec<TableFinding> {
    let finding = compression_level::check("sqlite::compression-level", table);
    finding.into_iter().collect()
}
