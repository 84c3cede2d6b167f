//! What an engine with a write-ahead log asks for and tells: rolling forward, receiving, how archiving stands.
//!
//! Not here: where the log is archived and how it gets there (the executor); names and positions (`model::wal`).

use super::error::Result;
use async_trait::async_trait;
use jiff::Timestamp;
use model::{ByteCount, RecoveryTarget, TimelineChoice, WalFileName, wal::WalSource};
use std::{collections::BTreeMap, fmt, io::Read, path::PathBuf, sync::Arc};

/// Gives archived files of the log of one cluster.
#[async_trait]
pub trait WalFetch: Send + Sync + fmt::Debug {
    /// The plain bytes of an archived file; `None` when every tier that may have it was read and none has it. A tier that cannot
    /// be read is an error, never `None`: a server takes `None` for the end of the log.
    async fn fetch(&self, file: &WalFileName) -> Result<Option<Box<dyn Read + Send>>>;
}

/// Is told while a recovered server runs.
#[async_trait]
pub trait RecoveryObserver: Send + Sync + fmt::Debug {
    /// The scratch server has reached its target, was checked, and runs until this returns.
    async fn running(&self, url: &str) -> Result<()>;
}

/// How far to roll a physical point forward, and with what.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Where to stop.
    pub target: RecoveryTarget,
    /// Which timeline to follow.
    pub timeline: TimelineChoice,
    /// The archive, for a server that the engine starts; `None`: the point carries the log that it needs.
    pub wal: Option<Arc<dyn WalFetch>>,
    /// `restore_command` for a server that a person starts, one argument an item; `%f` and `%p` stand for themselves.
    pub restore_command: Vec<String>,
    /// Where each tablespace goes, by its location at the source. Those that are not named go beside the target, into
    /// `<target>-tablespaces/<oid>`; never to where they were.
    pub tablespaces: BTreeMap<String, PathBuf>,
    /// What happens after the files are there.
    pub after: AfterRecovery,
    /// Whether tables and indexes are checked with `pg_amcheck`.
    pub amcheck: bool,
    /// Who is told that a scratch server runs; `None`: it is only checked.
    pub observer: Option<Arc<dyn RecoveryObserver>>,
}

/// What happens after the files are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterRecovery {
    /// Nothing: a person starts the server.
    #[default]
    Leave,
    /// The server is started apart from everything else, and replays up to the target.
    Start,
    /// The same, and then it is promoted.
    Promote,
}

/// What a server says of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalState {
    /// Which cluster, which timeline, where.
    pub source: WalSource,
    /// Size of a segment.
    pub segment_bytes: u64,
    /// `server_version_num`.
    pub server_version: u32,
    /// `archive_mode` as it is set.
    pub archive_mode: String,
    /// Whether an `archive_command` or `archive_library` is set.
    pub archive_command_set: bool,
    /// `archive_timeout`; 0: never.
    pub archive_timeout_seconds: u64,
    /// From when on the server surely keeps to `archive_timeout`: its start, and one `checkpoint_timeout` more, which its checkpointer
    /// may sleep through when it came up before the server took writes.
    pub keeps_timeout_from: Option<Timestamp>,
    /// `summarize_wal`; `None`: the server is too old to know it.
    pub summarizes: Option<bool>,
    /// What the archiver did.
    pub archiver: ArchiverState,
    /// Size of `pg_wal`; `None`: the role may not look.
    pub pg_wal: Option<ByteCount>,
    /// Room left on the disk that holds `pg_wal`; `None`: the server is elsewhere, or we may not look.
    pub free: Option<ByteCount>,
    /// Files that wait to be archived and since when the oldest does; `None`: the role may not look.
    pub waiting: Option<(u64, Option<Timestamp>)>,
    /// How many of them began to wait within the last [`RECENT_SECONDS`]; while older ones wait too, that is what the server wrote.
    pub waiting_recently: u64,
    /// Replication slots, physical and logical: both hold log back.
    pub slots: Vec<SlotState>,
}

/// What counts as recent in [`WalState`].
pub const RECENT_SECONDS: i64 = 300;

/// `pg_stat_archiver`. A command that ends by a signal or with 126, 127 counts in neither.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiverState {
    /// Files archived.
    pub archived: u64,
    /// The last of them, and when.
    pub last_archived: Option<(String, Timestamp)>,
    /// Failures.
    pub failed: u64,
    /// The last of them, and when.
    pub last_failed: Option<(String, Timestamp)>,
}

/// One replication slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState {
    /// Its name.
    pub name: String,
    /// Whether somebody streams from it.
    pub active: bool,
    /// Log that it holds back.
    pub behind: Option<ByteCount>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Log that can still be written before it is lost; `None`: without a limit, so it fills the disk.
    pub safe: Option<ByteCount>,
}

/// What to receive, and where to.
#[derive(Debug, Clone)]
pub struct WalReceive {
    /// Folder that gets the files.
    pub folder: PathBuf,
    /// Replication slot; made if it does not exist.
    pub slot: String,
}
