//! What an engine promises: capture a consistent state, read it back by its own format's reader, restore it, check it.
//!
//! - A capture is consistent: data and expectations belong to the same snapshot.
//! - A capture whose tool failed, was killed or reported trouble ends in an error of [`Capture::finish`], even if bytes came.
//! - No secret ever stands in a program's arguments, an error, or [`SourceFacts`].
//! - Plain streams are blocking readers: programs' pipes and compressors are blocking, and the pipeline gives them threads.

use super::{
    error::{ProviderError, Result},
    wal::{Recovery, WalReceive, WalState},
};
use async_trait::async_trait;
use jiff::Timestamp;
use model::{
    Assertion, ByteCount, Disposition, Expectations, Manifest, MethodName, WalSpan,
    manifest::Compression, recovery_record::Reached,
};
use std::{collections::BTreeMap, fmt, io::Read, path::PathBuf};

/// How one kind of database is backed up, verified and restored. One instance serves one declared database.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug {
    /// Kind, as in `engine = "…"`.
    fn kind(&self) -> &'static str;

    /// Connects and looks: versions, identity, size. Errors say what an operator must do (password, missing programs …).
    async fn probe(&self) -> Result<SourceFacts>;

    /// Whether it rolls its points forward by itself, over a log that its own software archives: then a restore passes a
    /// [`Recovery`] although the manifest names no log.
    fn keeps_its_log(&self) -> bool {
        false
    }

    /// Complete backups that the engine's own software keeps, oldest first, whoever made them; most engines have no such software.
    /// Changes nothing.
    async fn existing_backups(&self) -> Result<Vec<ExistingBackup>> {
        Ok(Vec::new())
    }

    /// The name that dumps of this database carry, as far as its declaration tells; asks nobody.
    async fn name_in_dumps(&self) -> Option<String> {
        None
    }

    /// The databases of the server that holds this one; `None`: the engine knows no servers. Changes nothing.
    async fn neighbours(&self) -> Result<Option<Neighbours>> {
        Ok(None)
    }

    /// Starts to capture one recovery point. Repeats make a new, independent state.
    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>>;

    /// Reads plain objects of a manifest to their end with the format's own reader and checks what can be checked without a
    /// server (`full-read`). Returns each check; an unreadable stream is an error.
    async fn read_through(&self, request: ReadRequest) -> Result<Vec<Check>>;

    /// Restores. A new target is built under a temporary name and renamed when it is whole, so a failure or a cancellation
    /// leaves no half target under the asked name. Afterwards the expectations and assertions are checked in the target.
    async fn restore(&self, request: RestoreRequest) -> Result<Restored>;

    /// What the server says of its write-ahead log and of who takes it away. Changes nothing.
    async fn wal_state(&self) -> Result<WalState> {
        Err(no_log(self.kind()))
    }

    /// Receives the server's log into a folder until it is cancelled or fails: whole segments under their names, the one under way
    /// with `.partial`. Repeats go on where the folder and the slot say, without a gap.
    async fn receive_wal(&self, _request: WalReceive) -> Result<()> {
        Err(no_log(self.kind()))
    }

    /// Drops scratch databases or files that a crashed run of ours left behind (recognised by their name), and says which.
    async fn clean_leftovers(&self) -> Result<Vec<String>>;
}

fn no_log(engine: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::wal::no-log",
        Disposition::Permanent,
        format!("engine `{engine}` has no log that could be archived"),
    )
}

/// What a look at the source gave; goes into the manifest's `source`. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceFacts {
    /// `server_version`, `system_identifier`, `database`, `tool_version`, …
    pub facts: BTreeMap<String, String>,
    /// Size of the source, if it can be told cheaply.
    pub bytes: Option<ByteCount>,
}

/// What one server holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbours {
    /// Its databases by name, the asked one among them; without what belongs to the server itself.
    pub databases: Vec<String>,
    /// The asked one's name there.
    pub own: String,
    /// Tells the server from others; never a secret.
    pub server: String,
}

/// A backup that is there already, kept by other software, and can become a recovery point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingBackup {
    /// Its name there.
    pub name: String,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// When it was complete: what its point's `captured_at` will be.
    pub ended_at: Timestamp,
    /// Keys that make [`Engine::capture`] describe it instead of making a new one, when they are added to the series' own.
    pub options: serde_json::Value,
}

/// What to capture.
#[derive(Debug, Clone)]
pub struct CaptureRequest {
    /// Method of the engine.
    pub method: MethodName,
    /// The engine's own keys of the series table.
    pub options: serde_json::Value,
    /// Slot of the point that is made.
    pub slot: Timestamp,
    /// An empty folder of this step's own for files that must be staged; removed by the caller.
    pub scratch: PathBuf,
    /// Time of the call, for captures that cannot ask their server's clock.
    pub now: Timestamp,
    /// What this point shall be incremental to; `None`: a full one.
    pub parent: Option<ParentPoint>,
    /// Whether the log is archived, so that it need not be stored with the point.
    pub wal_is_archived: bool,
}

/// Roles of the small objects of a point that a capture incremental to it is given.
pub const PARENT_ROLES: &[&str] = &["backup-manifest"];

/// The point that another one is made incremental to.
#[derive(Debug, Clone)]
pub struct ParentPoint {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its objects of [`PARENT_ROLES`], plain, by role.
    pub files: BTreeMap<String, PathBuf>,
}

/// A capture under way. Objects are taken one after the other and each is read to its end before the next is taken.
#[async_trait]
pub trait Capture: Send {
    /// Next object, the data first; `None` when there is no more.
    async fn next_object(&mut self) -> Result<Option<CaptureObject>>;

    /// Checks every program's exit status and every trailer, ends the snapshot. Only after this may a manifest be written.
    async fn finish(self: Box<Self>) -> Result<CaptureSummary>;
}

/// One object of a capture.
pub struct CaptureObject {
    /// `data`, or the engine's word for an extra, such as `globals`.
    pub role: String,
    /// File name without the compression's ending, such as `data.dump`.
    pub file_stem: String,
    /// What the plain bytes are: `pg-custom`, `pg-plain`, `pg-directory-tar`, `sqlite`, `sql`, `tar`.
    pub content: String,
    /// How they shall be compressed.
    pub compression: Compression,
    /// Compression level; `None`: the default (zstd 3, gzip 6).
    pub level: Option<i32>,
    /// Expected plain size, for progress and the free-space check.
    pub expected: Option<ByteCount>,
    /// Stored unencrypted even when the point is encrypted: the engine has made sure that nothing secret is in it.
    pub readable: bool,
    /// The plain bytes.
    pub stream: Box<dyn Read + Send>,
}

impl CaptureObject {
    /// An object that is compressed by default, of an unknown size, and sealed where the point is.
    pub fn new(
        role: impl Into<String>,
        file_stem: impl Into<String>,
        content: impl Into<String>,
        stream: impl Read + Send + 'static,
    ) -> Self {
        Self {
            role: role.into(),
            file_stem: file_stem.into(),
            content: content.into(),
            compression: Compression::Zstd,
            level: None,
            expected: None,
            readable: false,
            stream: Box::new(stream),
        }
    }

    /// With what a series says of the compression; `None` leaves the default.
    #[must_use]
    pub fn compressed(self, compression: Option<Compression>, level: Option<i32>) -> Self {
        Self {
            compression: compression.unwrap_or(self.compression),
            level,
            ..self
        }
    }

    /// With the plain size, as far as it is known.
    #[must_use]
    pub fn expecting(self, expected: Option<ByteCount>) -> Self {
        Self { expected, ..self }
    }
}

/// What is known when a capture has ended well.
#[derive(Debug, Clone)]
pub struct CaptureSummary {
    /// Instant of the snapshot.
    pub captured_at: Timestamp,
    /// Identity of the source and versions of the tools.
    pub source: BTreeMap<String, String>,
    /// What a restore must find again.
    pub expectations: Expectations,
    /// For a physical point: the log that it needs to be consistent.
    pub wal: Option<WalSpan>,
}

/// A plain object of a stored point: decompressed, and failing at its end if a digest does not agree.
pub struct PlainObject {
    /// Role in the manifest.
    pub role: String,
    /// What the bytes are.
    pub content: String,
    /// The bytes.
    pub stream: Box<dyn Read + Send>,
}

/// What to read through.
pub struct ReadRequest {
    /// Manifest of the point.
    pub manifest: Manifest,
    /// Its plain objects, to be read in this order.
    pub objects: Vec<PlainObject>,
    /// An empty folder of this step's own.
    pub scratch: PathBuf,
}

/// What to restore, and where to.
pub struct RestoreRequest {
    /// Manifest of the point.
    pub manifest: Manifest,
    /// Its plain objects, to be read in this order.
    pub objects: Vec<PlainObject>,
    /// Where to.
    pub target: RestoreTarget,
    /// Whether an existing target may be replaced. Without it an existing target is an error and stays as it is.
    pub replace: bool,
    /// Which part; empty means all.
    pub selection: Selection,
    /// A person's checks, evaluated after the expectations.
    pub asserts: Vec<Assertion>,
    /// For an incremental point: what it builds on, the full point first, its parent last.
    pub chain: Vec<ChainLink>,
    /// For a physical point: how far to roll forward, and with what.
    pub recovery: Option<Recovery>,
    /// An empty folder of this step's own.
    pub scratch: PathBuf,
}

/// One point that an incremental one builds on.
pub struct ChainLink {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its plain objects, to be read in this order.
    pub objects: Vec<PlainObject>,
}

/// Where to restore to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreTarget {
    /// As the person wrote it: for postgres a URL or a database name on the source's server, for sqlite a path.
    Named(String),
    /// A scratch database or file that the engine makes, checks and always drops.
    Scratch,
}

/// A part of a point.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Tables, as `schema.table` or `table`.
    pub tables: Vec<String>,
    /// Schemas.
    pub schemas: Vec<String>,
    /// Paths of files and folders inside the point.
    pub paths: Vec<String>,
}

impl Selection {
    /// Whether everything is meant.
    pub fn is_all(&self) -> bool {
        self.tables.is_empty() && self.schemas.is_empty() && self.paths.is_empty()
    }
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// The target in words, without a secret.
    pub target: String,
    /// Phases with their wall time in milliseconds, in order (`create`, `load`, `checks`, `rename`, …).
    pub phases: Vec<(String, u64)>,
    /// How far the log was replayed.
    pub reached: Reached,
    /// Every check that was made.
    pub checks: Vec<Check>,
    /// What a person must know of it, such as what was left out on purpose.
    pub notes: Vec<String>,
}

/// One check with its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked: `rows of public.orders`.
    pub what: String,
    /// Whether it holds.
    pub passed: bool,
    /// Found and expected, in words.
    pub detail: String,
}
