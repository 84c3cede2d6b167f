//! Keys of a `[database.<name>]` with `engine = "barman"` and of its series.

use crate::api::{ProviderError, Result};
use model::{Disposition, MethodName, Severity, TableFinding};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// A server of an existing Barman installation on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BarmanDatabase {
    /// Name of the server in Barman's configuration, as `barman list-servers` shows it.
    #[schemars(length(min = 1))]
    pub server: String,
    /// Barman's configuration file. Default: where Barman itself looks (`/etc/barman.conf`).
    #[serde(default)]
    pub config: Option<String>,
    /// The program, by name or path. Default `barman`.
    #[serde(default)]
    pub program: Option<String>,
    /// Barman's user: Mainstay runs as this user, or as root. Default `barman`.
    #[serde(default)]
    pub user: Option<String>,
    /// User that restored folders are given to, so that it can start them (needs root). Default: they stay Barman's.
    #[serde(default)]
    pub owner: Option<String>,
    /// Folder for servers that are started to check a restore; needs room for the whole cluster. Default `/var/tmp`.
    #[serde(default)]
    pub scratch: Option<String>,
    /// Folder of PostgreSQL's programs for such servers. Default: the installed ones of the cluster's major version.
    #[serde(default)]
    pub bin_dir: Option<String>,
    /// Database that checks are made in. Default `postgres`.
    #[serde(default)]
    pub database: Option<String>,
    /// Role that they are made as. Default `postgres`.
    #[serde(default)]
    pub role: Option<String>,
    /// Longest time that Barman waits for the log of a new backup, in minutes. Default 60.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub wait_for_wal_minutes: Option<u32>,
}

/// A backup that Barman makes and keeps; the recovery point is a small pointer to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BarmanBackup {
    /// A backup that exists already and shall be recorded instead of making a new one; never stands in a policy.
    #[serde(default)]
    #[schemars(skip)]
    pub existing: Option<String>,
}

fn unreadable(error: serde_json::Error) -> ProviderError {
    ProviderError::new(
        "mainstay::barman::config",
        Disposition::Permanent,
        "the table of a Barman server cannot be read",
    )
    .source(error)
}

impl BarmanDatabase {
    /// Reads a table that has passed its schema.
    pub fn read(table: &Value) -> Result<Self> {
        serde_json::from_value(table.clone()).map_err(unreadable)
    }
}

impl BarmanBackup {
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
    MethodName::new(super::METHOD).expect("`barman` is a name")
}

/// Checks the database table beyond its schema. Does not ask Barman: policies are checked on other machines too.
pub(super) fn check_database(table: &Value, _base: &Path) -> Vec<TableFinding> {
    let server = table.get("server").and_then(Value::as_str);
    // It stands in Barman's command line, where a dash would begin an option and `all` means every server.
    let Some(server) = server.filter(|name| {
        name.trim().is_empty()
            || name.starts_with('-')
            || *name == "all"
            || name.chars().any(char::is_whitespace)
    }) else {
        return Vec::new();
    };
    vec![TableFinding {
        code: "barman::server-name",
        severity: Severity::Error,
        path: vec!["server".to_owned()],
        message: format!("`{server}` is not the name of one server of Barman"),
        help: Some("write a name that `barman list-servers` shows".to_owned()),
    }]
}

/// Checks a series table beyond its schema.
pub(super) fn check_series(_table: &Value, _base: &Path) -> Vec<TableFinding> {
    Vec::new()
}
