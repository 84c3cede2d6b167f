//! Keys of a `[database.<name>]` with `engine = "files"` and of its series.

use super::super::compression_level;
use crate::api::{ProviderError, Result};
use globset::{GlobBuilder, GlobMatcher};
use model::{Disposition, MethodName, Severity, TableFinding, manifest::Compression};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// Configuration files and folders.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FilesDatabase {
    /// Files, folders (with everything below) and globs such as `/etc/app/*.yaml` or `conf/**/*.toml`. Relative paths start at the folder of the policy file. Each must match something.
    #[schemars(length(min = 1))]
    pub paths: Vec<String>,
    /// Globs of what is left out: a name such as `*.tmp` anywhere, or a path.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Names of fields, such as `*password*` or `db.credentials.*`. A readable copy of YAML, JSON, TOML and .env files is stored beside the encrypted one, for review; in it the values of these fields, and of those whose name always means a secret, are replaced. Other files are not in it.
    #[serde(default)]
    pub encrypt_fields: Vec<String>,
}

/// All files in one tar.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FilesArchive {
    /// How the tar is compressed. Default `zstd`.
    #[serde(default)]
    pub compression: Option<Compression>,
    /// How hard: 1 to 19 for zstd (default 3), 1 to 9 for gzip (default 6).
    #[serde(default)]
    #[schemars(range(min = 1, max = 19))]
    pub compression_level: Option<i32>,
}

fn unreadable(error: serde_json::Error) -> ProviderError {
    ProviderError::new(
        "mainstay::files::config",
        Disposition::Permanent,
        "the table of a set of files cannot be read",
    )
    .source(error)
}

impl FilesDatabase {
    /// Reads a table that has passed its schema.
    pub fn read(table: &Value) -> Result<Self> {
        serde_json::from_value(table.clone()).map_err(unreadable)
    }
}

impl FilesArchive {
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
    MethodName::new(super::METHOD).expect("`archive` is a name")
}

/// Whether a path is a pattern.
pub(super) fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

/// A pattern of whole paths: `*` stays within a folder, `**` does not.
pub(super) fn glob(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
}

/// A pattern of field names, whatever their case.
pub(super) fn field(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    GlobBuilder::new(pattern)
        .case_insensitive(true)
        .build()
        .map(|glob| glob.compile_matcher())
}

/// Checks the database table beyond its schema. Does not look for the files: policies are checked on other machines too.
pub(super) fn check_database(table: &Value, _base: &Path) -> Vec<TableFinding> {
    let Ok(config) = FilesDatabase::read(table) else {
        return Vec::new();
    };
    let finding = |key: &str, code, message: String, help: &str| TableFinding {
        code,
        severity: Severity::Error,
        path: vec![key.to_owned()],
        message,
        help: Some(help.to_owned()),
    };
    let mut findings = Vec::new();
    for path in &config.paths {
        if path.trim().is_empty() {
            findings.push(finding(
                "paths",
                "files::path-empty",
                "one of the `paths` is empty".to_owned(),
                "name a file, a folder or a glob, such as \"/etc/app/*.yaml\"",
            ));
        } else if path.starts_with('~') {
            findings.push(finding(
                "paths",
                "files::path-tilde",
                format!("`~` is not expanded in `{path}`"),
                "write the whole path: a service has another home than you",
            ));
        }
    }
    let paths = config.paths.iter().map(|path| ("paths", path));
    let excludes = config.exclude.iter().map(|path| ("exclude", path));
    for (key, pattern) in paths.filter(|(_, path)| is_glob(path)).chain(excludes) {
        if let Err(error) = glob(pattern) {
            findings.push(finding(
                key,
                "files::bad-glob",
                format!("`{pattern}` is not a glob: {}", error.kind()),
                "`*` matches within a folder, `**` across folders, `[…]` and `{a,b}` alternatives",
            ));
        }
    }
    for pattern in &config.encrypt_fields {
        if let Err(error) = field(pattern) {
            findings.push(finding(
                "encrypt-fields",
                "files::bad-glob",
                format!(
                    "`{pattern}` is not a pattern of field names: {}",
                    error.kind()
                ),
                "write a name such as \"*password*\", or a path such as \"db.credentials.*\"",
            ));
        }
    }
    findings
}

/// Checks a series table beyond its schema.
pub(super) fn check_series(table: &Value, _base: &Path) -> Vec<TableFinding> {
    let finding = compression_level::check("files::compression-level", table);
    finding.into_iter().collect()
}
