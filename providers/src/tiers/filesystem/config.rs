//! Keys of `[tier.<name>]` with `kind = "filesystem"`.

use super::space::MinFree;
use crate::api::{ProviderError, Result};
use model::{Disposition, Severity, TableFinding};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Component, Path, PathBuf};

/// A folder on a local disk or a NAS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FilesystemConfig {
    /// Folder that holds the copies. Relative paths start at the folder of the policy file; `~` is not expanded.
    #[schemars(length(min = 1))]
    pub path: String,
    /// Room that must stay free: a share of the file system (`20%`) or a size (`50GiB`). Default `5%`.
    #[serde(default)]
    #[schemars(
        with = "Option<String>",
        regex(pattern = r"^\s*[0-9]+(\.[0-9]+)?\s*(%|[A-Za-z]*)\s*$")
    )]
    pub min_free: Option<MinFree>,
}

impl FilesystemConfig {
    /// Reads a table that has passed its schema.
    pub fn read(table: &Value) -> Result<Self> {
        serde_json::from_value(table.clone()).map_err(|error| {
            ProviderError::new(
                "mainstay::tier::config",
                Disposition::Permanent,
                "the table of a filesystem tier cannot be read",
            )
            .source(error)
        })
    }

    /// The folder, absolute when `base` is.
    pub fn root(&self, base: &Path) -> PathBuf {
        base.join(&self.path)
    }
}

/// Checks the table beyond its schema. Does not look whether the folder is there: policies are checked on other machines too.
pub fn check(table: &Value, _base: &Path) -> Vec<TableFinding> {
    let mut findings = Vec::new();
    if let Some(path) = table.get("path").and_then(Value::as_str) {
        if path.trim().is_empty() {
            findings.push(TableFinding {
                code: "filesystem::path-empty",
                severity: Severity::Error,
                path: vec!["path".to_owned()],
                message: "the `path` of this tier is empty".to_owned(),
                help: Some("name a folder, such as \"/mnt/nas/mainstay\"".to_owned()),
            });
        } else if path.starts_with('~') {
            findings.push(TableFinding {
                code: "filesystem::path-tilde",
                severity: Severity::Error,
                path: vec!["path".to_owned()],
                message: "`~` is not expanded".to_owned(),
                help: Some("write the whole path: a service has another home than you".to_owned()),
            });
        }
    }
    if let Some(text) = table.get("min-free").and_then(Value::as_str)
        && let Err(why) = MinFree::parse(text)
    {
        findings.push(TableFinding {
            code: "filesystem::min-free",
            severity: Severity::Error,
            path: vec!["min-free".to_owned()],
            message: why,
            help: Some("write a share such as \"20%\" or a size such as \"50GiB\"".to_owned()),
        });
    }
    findings
}

/// What makes two tiers the same place: the folder, with links and `..` resolved as far as it exists.
pub fn place(table: &Value, base: &Path) -> Option<String> {
    let config = FilesystemConfig::read(table).ok()?;
    let root = std::path::absolute(config.root(base)).ok()?;
    let mut existing = root.as_path();
    let mut missing = PathBuf::new();
    let real = loop {
        if let Ok(real) = existing.canonicalize() {
            break real.join(&missing);
        }
        let (Some(parent), Some(Component::Normal(name))) =
            (existing.parent(), existing.components().next_back())
        else {
            break root.clone();
        };
        missing = if missing.as_os_str().is_empty() {
            PathBuf::from(name)
        } else {
            Path::new(name).join(&missing)
        };
        existing = parent;
    };
    Some(format!("file:{}", real.display()))
}
