//! What the policy must know of engines, tiers and keys without depending on them: their kinds, schemas and own checks.
//!
//! The root package fills this from the registry in `providers`.

use model::{Capabilities, MethodName, TableFinding};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// Every kind that a policy may name.
#[derive(Debug, Clone, Default)]
pub struct ProviderKinds {
    /// By `engine = "…"`.
    pub engines: BTreeMap<String, EngineKind>,
    /// By `kind = "…"` of a tier.
    pub tiers: BTreeMap<String, TierKind>,
    /// By `kind = "…"` of a key.
    pub keys: BTreeMap<String, KeyKind>,
}

/// Checks one provider table (its own keys only) beyond its schema; `base` is where relative paths start.
pub type CheckTable = fn(table: &Value, base: &Path) -> Vec<TableFinding>;

/// One engine.
#[derive(Debug, Clone)]
pub struct EngineKind {
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
    /// Its own check of the database table.
    pub check_database: CheckTable,
    /// Its own check of a series table.
    pub check_series: CheckTable,
}

/// A table whose `kind` says whose keys it holds.
pub(crate) trait OwnTable {
    /// JSON Schema of its own keys.
    fn schema(&self) -> &Value;
    /// Its own check.
    fn check(&self) -> CheckTable;
}

impl OwnTable for TierKind {
    fn schema(&self) -> &Value {
        &self.schema
    }
    fn check(&self) -> CheckTable {
        self.check
    }
}

impl OwnTable for KeyKind {
    fn schema(&self) -> &Value {
        &self.schema
    }
    fn check(&self) -> CheckTable {
        self.check
    }
}

/// One kind of key.
#[derive(Debug, Clone)]
pub struct KeyKind {
    /// JSON Schema of its own keys.
    pub schema: Value,
    /// Its own check.
    pub check: CheckTable,
    /// What makes two of them the same key, so that two names for one are a finding.
    pub place: fn(table: &Value, base: &Path) -> Option<String>,
}

/// One kind of tier.
#[derive(Debug, Clone)]
pub struct TierKind {
    /// JSON Schema of its own keys.
    pub schema: Value,
    /// Its own check.
    pub check: CheckTable,
    /// What makes two of them the same place (`path`), so that two tiers on it are a finding.
    pub place: fn(table: &Value, base: &Path) -> Option<String>,
    /// Whether it lies on this machine, or a share that is mounted on it.
    pub on_this_machine: bool,
    /// What a tier of this declaration can do.
    pub capabilities: fn(table: &Value, base: &Path) -> Capabilities,
}
