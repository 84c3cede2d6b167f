//! What a run works with: the engines, tiers and keys that the root package built from the policy.
//!
//! Invariant: nothing in here is a decision; which step uses what stands in the plan. Not here: building any of it
//! (`providers::registry`, called by the root package).

use model::{Assertion, DatabaseName, KeyName, SeriesName, TierName};
use providers::api::{Engine, KeyProvider, Tier};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Everything that steps can touch besides the catalog.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// Declared databases.
    pub databases: BTreeMap<DatabaseName, DatabaseWiring>,
    /// Declared keys.
    pub keys: BTreeMap<KeyName, Arc<dyn KeyProvider>>,
    /// Declared tiers.
    pub tiers: BTreeMap<TierName, TierWiring>,
    /// Folder for files that must be staged; each run has a folder of its own in it.
    pub scratch: PathBuf,
    /// Version of Mainstay, for manifests.
    pub mainstay_version: String,
}

/// One declared database.
#[derive(Debug, Clone)]
pub struct DatabaseWiring {
    /// Its engine.
    pub engine: Arc<dyn Engine>,
    /// A person's checks of a restored copy.
    pub asserts: Vec<Assertion>,
    /// The engine's own keys of each series table.
    pub series: BTreeMap<SeriesName, serde_json::Value>,
    /// Steps that may load this database at the same time.
    pub concurrency: usize,
}

/// One declared tier.
#[derive(Debug, Clone)]
pub struct TierWiring {
    /// The tier.
    pub tier: Arc<dyn Tier>,
    /// Steps that may use it at the same time.
    pub concurrency: usize,
}
