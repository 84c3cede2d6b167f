//! What a run works with: the engines, tiers and keys that the root package built from the policy.
//!
//! Invariant: nothing in here is a decision; which step uses what stands in the plan. Not here: building any of it
//! (`providers::registry`, called by the root package).

use model::{
    Assertion, ByteCount, DatabaseName, KeyName, SeriesName, TierName, recovery_record::Promise,
};
use providers::api::{Engine, KeyProvider, Tier};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Everything that steps can touch besides the catalog.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// The resolved policy as canonical JSON, for the history of policies; `None`: there is none, as in a rescue without a policy.
    pub policy: Option<Arc<str>>,
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
    /// Promised largest loss.
    pub rpo: Option<Promise>,
    /// Promised longest restore.
    pub rto: Option<Promise>,
    /// How its log is archived; `None`: it is not.
    pub wal: Option<WalWiring>,
}

/// How the log of one database is archived.
#[derive(Debug, Clone)]
pub struct WalWiring {
    /// Tiers, the primary first.
    pub tiers: Vec<TierName>,
    /// Keys that every file is encrypted for; empty: they are stored plain.
    pub encrypt_for: Vec<KeyName>,
    /// Whether we bring the log ourselves, through this replication slot; `None`: the server's `archive_command` does.
    pub stream_slot: Option<String>,
    /// zstd level.
    pub compression_level: i32,
    /// Files that are sent ahead at once.
    pub parallel: usize,
    /// Where files wait for a tier that is away; `None`: they do not.
    pub spool: Option<PathBuf>,
    /// The most that waits there.
    pub spool_limit: ByteCount,
}

/// One declared tier.
#[derive(Debug, Clone)]
pub struct TierWiring {
    /// The tier.
    pub tier: Arc<dyn Tier>,
    /// Steps that may use it at the same time.
    pub concurrency: usize,
}
