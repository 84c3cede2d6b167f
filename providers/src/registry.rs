//! Every engine and tier that exists: one line each; what an entry holds is written in the provider's own folder.

use crate::{
    adopt::Recognition,
    api::{Engine, KeyProvider, ProviderError, Result, Tier},
};
use model::{Capabilities, Disposition, KeyName, MethodName, TableFinding, TierName};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// One engine as the registry knows it.
pub struct EngineEntry {
    /// `engine = "…"`.
    pub kind: &'static str,
    /// JSON Schema of its keys in a database table.
    pub database_schema: Value,
    /// JSON Schema of its keys in a series table, by method.
    pub methods: BTreeMap<MethodName, Value>,
    /// Method when a series names none.
    pub default_method: MethodName,
    /// Methods whose points may be incremental to the one before.
    pub incremental: Vec<MethodName>,
    /// Methods whose points are rolled forward over an archived log; empty: the engine has no log to archive.
    pub rolls_forward: Vec<MethodName>,
    /// Checks the database table beyond its schema.
    pub check_database: fn(&Value, &Path) -> Vec<TableFinding>,
    /// Checks a series table beyond its schema.
    pub check_series: fn(&Value, &Path) -> Vec<TableFinding>,
    /// The database table of an engine that shall only restore, into this target; `None` when the target does not say enough.
    pub restore_only: fn(target: &str) -> Option<Value>,
    /// Methods whose points can be made of existing files.
    pub adopts: &'static [&'static str],
    /// What a file is that begins with these plain bytes, if it is of this engine's world.
    pub recognise: fn(head: &[u8]) -> Option<Recognition>,
    /// Builds the engine of one declared database; no IO.
    pub build: fn(&Value, &Path) -> Result<Arc<dyn Engine>>,
}

/// One kind of tier as the registry knows it.
pub struct TierEntry {
    /// `kind = "…"`.
    pub kind: &'static str,
    /// JSON Schema of its own keys.
    pub schema: Value,
    /// Checks the table beyond its schema.
    pub check: fn(&Value, &Path) -> Vec<TableFinding>,
    /// What makes two of them the same place.
    pub place: fn(&Value, &Path) -> Option<String>,
    /// Whether it lies on this machine (or a share that is mounted on it), and not with somebody else.
    pub on_this_machine: bool,
    /// What a tier of this declaration can do.
    pub capabilities: fn(&Value, &Path) -> Capabilities,
    /// Builds a tier for reading what others have stored there: nobody need ever have used it as a tier. No IO.
    pub build_foreign: fn(&TierName, &Value, &Path) -> Result<Arc<dyn Tier>>,
    /// Builds the tier; no IO.
    pub build: fn(&TierName, &Value, &Path) -> Result<Arc<dyn Tier>>,
}

/// One kind of key as the registry knows it.
pub struct KeyEntry {
    /// `kind = "…"`.
    pub kind: &'static str,
    /// JSON Schema of its own keys.
    pub schema: Value,
    /// Checks the table beyond its schema.
    pub check: fn(&Value, &Path) -> Vec<TableFinding>,
    /// What makes two of them the same key.
    pub place: fn(&Value, &Path) -> Option<String>,
    /// Builds the key; no IO.
    pub build: fn(&KeyName, &Value, &Path) -> Result<Arc<dyn KeyProvider>>,
}

/// All engines.
pub fn engines() -> Vec<EngineEntry> {
    vec![
        crate::engines::barman::entry(),
        crate::engines::files::entry(),
        crate::engines::postgres::entry(),
        crate::engines::sqlite::entry(),
    ]
}

/// All kinds of tiers.
pub fn tiers() -> Vec<TierEntry> {
    vec![crate::tiers::filesystem::entry(), crate::tiers::s3::entry()]
}

/// All kinds of keys.
pub fn keys() -> Vec<KeyEntry> {
    vec![
        crate::keys::local::entry(),
        crate::keys::aws_kms::entry(),
        crate::keys::certificate::entry(),
    ]
}

/// Builds a declared key.
pub fn key(name: &KeyName, kind: &str, table: &Value, base: &Path) -> Result<Arc<dyn KeyProvider>> {
    let entry = keys().into_iter().find(|entry| entry.kind == kind);
    entry.map_or_else(
        || Err(unknown("key kind", kind)),
        |entry| (entry.build)(name, table, base),
    )
}

/// Builds the engine of one declared database.
pub fn engine(kind: &str, table: &Value, base: &Path) -> Result<Arc<dyn Engine>> {
    let entry = engines().into_iter().find(|entry| entry.kind == kind);
    entry.map_or_else(
        || Err(unknown("engine", kind)),
        |entry| (entry.build)(table, base),
    )
}

/// Builds an engine that shall only restore a point of a database that nobody has declared: what is left after the loss of
/// everything but a tier and a key. Its target must say all that is needed.
pub fn engine_for_restore(kind: &str, target: &str, base: &Path) -> Result<Arc<dyn Engine>> {
    let entry = engines()
        .into_iter()
        .find(|entry| entry.kind == kind)
        .ok_or_else(|| unknown("engine", kind))?;
    let table = (entry.restore_only)(target).ok_or_else(|| {
        ProviderError::new(
            "mainstay::restore::undeclared",
            Disposition::NeedsOperator,
            "the policy does not declare the database, and the target alone does not say where to restore to",
        )
        .help("give a whole URL, such as `--to postgres://user@host/name`, or declare the database in the policy")
    })?;
    (entry.build)(&table, base)
}

/// Builds a declared tier.
pub fn tier(name: &TierName, kind: &str, table: &Value, base: &Path) -> Result<Arc<dyn Tier>> {
    let entry = tiers().into_iter().find(|entry| entry.kind == kind);
    entry.map_or_else(
        || Err(unknown("tier kind", kind)),
        |entry| (entry.build)(name, table, base),
    )
}

/// Builds a declared tier for reading what others have stored there.
pub fn foreign_tier(
    name: &TierName,
    kind: &str,
    table: &Value,
    base: &Path,
) -> Result<Arc<dyn Tier>> {
    let entry = tiers().into_iter().find(|entry| entry.kind == kind);
    entry.map_or_else(
        || Err(unknown("tier kind", kind)),
        |entry| (entry.build_foreign)(name, table, base),
    )
}

fn unknown(what: &str, kind: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::registry::unknown",
        Disposition::Permanent,
        format!("there is no {what} `{kind}`"),
    )
}
