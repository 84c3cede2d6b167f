//! Keys of `[key.<name>]` with `kind = "local"`.

use crate::{
    api::Result,
    keys::{errors, path},
};
use model::{SecretRef, TableFinding};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// A key file, made by `mainstay key generate`. Keep a copy of it elsewhere: without it, what only it opens is lost.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LocalConfig {
    /// The key file. Relative paths start at the folder of the policy file; `~` is not expanded. Only its owner may be able to
    /// read it (mode 0600).
    #[schemars(length(min = 1))]
    pub path: String,
    /// Where the passphrase is that the key in the file is protected with. Left out for a file without one.
    #[serde(default)]
    pub passphrase: Option<SecretRef>,
    /// Earlier key files, which may still open what they have wrapped; nothing new is wrapped with them. Those with a
    /// passphrase share the one of this key.
    #[serde(default)]
    pub previous: Vec<String>,
}

impl LocalConfig {
    /// Reads a table that has passed its schema.
    pub fn read(table: &Value) -> Result<Self> {
        serde_json::from_value(table.clone()).map_err(|error| errors::config(super::KIND, error))
    }
}

/// Checks the table beyond its schema.
pub fn check(table: &Value, _base: &Path) -> Vec<TableFinding> {
    const EXAMPLE: &str = "keys/prod.key";
    let mut findings = Vec::new();
    if let Some(path) = table.get("path") {
        findings.extend(path::check(path, &["path"], EXAMPLE));
    }
    for path in table
        .get("previous")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        findings.extend(path::check(path, &["previous"], EXAMPLE));
        if Some(path) == table.get("path") {
            findings.push(TableFinding {
                code: "key::previous-is-current",
                severity: model::Severity::Error,
                path: vec!["previous".to_owned()],
                message: "`previous` names the file of `path`".to_owned(),
                help: Some("name only files of earlier keys".to_owned()),
            });
        }
    }
    findings.extend(path::check_reference(table, "passphrase"));
    findings
}

/// What makes two keys the same: the file.
pub fn place(table: &Value, base: &Path) -> Option<String> {
    path::place(table.get("path")?.as_str()?, base)
}
