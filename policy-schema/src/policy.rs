//! The validated policy: what the rest of Mainstay gets to see. Immutable once loaded; every reference resolves,
//! every schedule fires, every inherited value is in its place.
//!
//! Not here: TOML, spans and findings (`load`), provider tables' meaning (`providers`).

pub use crate::checks::{
    CheckDeclaration, CheckId, CheckRule, CheckSeverity, ExceptionDeclaration,
};
use crate::schedule::Schedule;
use jiff::{SignedDuration, tz::TimeZone};
pub use model::assertion::{Assertion, Expect};
use model::{
    ApprovalRules, Bandwidth, ByteCount, Capabilities, DatabaseName, DeletionLimits, Digest, Keep,
    KeyName, MethodName, Period, SeriesName, TierName, VerifyLevel,
};
use std::{collections::BTreeMap, path::PathBuf};

/// A validated policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// SHA-256 of the canonical JSON of the resolved policy: comments, order and layout of the files do not count.
    pub digest: Digest,
    /// Zone of wall-clock schedules and of retention periods.
    pub timezone: TimeZone,
    /// Its IANA name.
    pub timezone_name: String,
    /// Declared tiers.
    pub tiers: BTreeMap<TierName, TierDeclaration>,
    /// Declared keys.
    pub keys: BTreeMap<KeyName, KeyDeclaration>,
    /// Declared databases.
    pub databases: BTreeMap<DatabaseName, DatabaseDeclaration>,
    /// Limits against accidents.
    pub safety: Safety,
    /// Who may approve plans that delete more than routine; `None`: whoever runs `apply --approve`.
    pub approval: Option<ApprovalRules>,
    /// Declared checks, in the order of the files; what holds for a database tells [`Policy::check_of`].
    pub checks: Vec<CheckDeclaration>,
    /// Declared exceptions, in the order of the files.
    pub exceptions: Vec<ExceptionDeclaration>,
}

/// `[safety]`: limits against accidents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Safety {
    /// Verified points that a prune must leave per series and tier. Default 1.
    pub min_verified: u32,
    /// More prunes than this in one series and tier need approval. Default 25.
    pub max_prune_count: u32,
    /// A larger share of a series' points on a tier (percent) than this needs approval. Default 50.
    pub max_prune_percent: u32,
}

impl Safety {
    /// The same as part of the rules of approval.
    pub fn limits(&self) -> DeletionLimits {
        DeletionLimits {
            max_prune_count: self.max_prune_count,
            max_prune_percent: self.max_prune_percent,
            min_verified: self.min_verified,
        }
    }
}

/// `[tier.<name>]`.
#[derive(Debug, Clone)]
pub struct TierDeclaration {
    /// Name.
    pub name: TierName,
    /// `filesystem`, …
    pub kind: String,
    /// The provider's own keys (without `kind`, `concurrency`, `bandwidth`), shape-checked against its schema.
    pub table: serde_json::Value,
    /// Folder that relative paths in `table` start from: that of the declaring file.
    pub base: PathBuf,
    /// Steps that may use the tier at once. Default 2.
    pub concurrency: u32,
    /// The most that is sent to it and read from it; `None`: no limit.
    pub bandwidth: Option<Bandwidth>,
    /// What it can do, as its provider tells from `table`.
    pub capabilities: Capabilities,
    /// Whether a fire where the databases are leaves it alone. Default: whether its kind is not of this machine.
    pub off_site: bool,
    /// What it is stored on; tiers with the same word fail together. Default: the kind.
    pub media: String,
}

/// `[key.<name>]`.
#[derive(Debug, Clone)]
pub struct KeyDeclaration {
    /// Name.
    pub name: KeyName,
    /// `local`, `aws-kms`, …
    pub kind: String,
    /// The provider's own keys.
    pub table: serde_json::Value,
    /// Folder that relative paths start from.
    pub base: PathBuf,
}

/// `[database.<name>]` with everything inherited.
#[derive(Debug, Clone)]
pub struct DatabaseDeclaration {
    /// Name.
    pub name: DatabaseName,
    /// `postgres`, `sqlite`, …
    pub engine: String,
    /// The engine's own keys of the database table (`url`, `path`, …), shape-checked against its schema.
    pub table: serde_json::Value,
    /// Folder that relative paths in `table` start from.
    pub base: PathBuf,
    /// Free labels, for scopes and reports.
    pub labels: BTreeMap<String, String>,
    /// Promised largest loss and longest restore.
    pub objective: Objective,
    /// Keys that every object is encrypted for.
    pub encrypt_with: Vec<KeyName>,
    /// SQL checks after a restore.
    pub asserts: Vec<Assertion>,
    /// Its series, by name.
    pub series: BTreeMap<SeriesName, Series>,
    /// Its drills.
    pub drills: Vec<Drill>,
    /// How its write-ahead log is archived; `None`: it is not.
    pub wal: Option<WalDeclaration>,
    /// How long a whole restore takes, without thawing, as somebody says; counts where nothing was measured.
    pub declared_restore: Option<SignedDuration>,
}

/// `[database.<name>.wal]`: the continuous archive of the write-ahead log.
#[derive(Debug, Clone)]
pub struct WalDeclaration {
    /// Who brings the log.
    pub mode: WalMode,
    /// Which of the series are base backups that the log rolls forward.
    pub bases: Vec<SeriesName>,
    /// Which tiers, and for how long every moment stays recoverable there; in the order in which the policy names them: the first is the primary.
    pub keep: Vec<(TierName, Period)>,
    /// Replication slot of a stream. Default `mainstay_<database>`.
    pub slot: String,
    /// Compression level (zstd). Default 1.
    pub compression_level: i32,
    /// Files that are sent ahead at once. Default 4.
    pub parallel: u32,
    /// Where files wait for a tier that is away; `None`: they do not, PostgreSQL keeps them.
    pub spool: Option<PathBuf>,
    /// The most that waits there. Default 1 GiB.
    pub spool_limit: ByteCount,
}

/// Who brings the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalMode {
    /// The server, by its `archive_command`.
    Archive,
    /// We, through a replication slot.
    Stream,
}

/// Promised largest loss and longest restore.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Objective {
    /// Largest loss.
    pub rpo: Option<Target>,
    /// Longest restore, of a state of any age unless `at_age` says otherwise.
    pub rto: Option<Target>,
    /// What is promised of older states, youngest first.
    pub at_age: Vec<AtAge>,
    /// Failed runs in a row that the promises survive. Default 0.
    pub failures: u32,
}

/// What is promised of states from an age on, until the next entry takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtAge {
    /// The age.
    pub from: Period,
    /// Largest gap between two states of that age; `None`: as an earlier entry says.
    pub rpo: Option<Target>,
    /// Longest restore; `None`: as for younger ones.
    pub rto: Option<Target>,
}

impl Objective {
    /// The largest gap that is promised between states of an age, and the longest restore of one. At age zero the former is the
    /// largest loss; of older states only `at_age` promises one.
    pub fn at(&self, age: SignedDuration) -> (Option<Target>, Option<Target>) {
        let reached = self
            .at_age
            .iter()
            .filter(|one| one.from.approximate() <= age);
        let (rpo, rto) = reached.fold((None, self.rto), |(rpo, rto), one| {
            (one.rpo.or(rpo), one.rto.or(rto))
        });
        let rpo = if age.is_zero() { self.rpo } else { rpo };
        (rpo, rto)
    }
}

/// One objective: where one wants to be, and what must never be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Where one wants to be.
    pub target: SignedDuration,
    /// What must not be exceeded; equal to `target` when only one is given.
    pub maximum: SignedDuration,
}

/// `[[database.<name>.series]]`.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name.
    pub name: SeriesName,
    /// The engine's method.
    pub method: MethodName,
    /// The engine's own keys of the series table (`format`, `content`, …), shape-checked against its schema.
    pub table: serde_json::Value,
    /// When it runs.
    pub schedule: Schedule,
    /// Which tiers, and what stays there; in the order in which the policy names them: the first is the primary.
    pub keep: Vec<(TierName, Keep)>,
    /// How thoroughly each copy is verified after it was made. Default `checksum`.
    pub verify: VerifyLevel,
    /// Time and tries.
    pub window: Window,
    /// Whether points are incremental to the one before, as far as the chain is good.
    pub incremental: bool,
    /// A new full point when the last one is as old as this. Default 7 days.
    pub full_every: SignedDuration,
}

/// `window = { … }` of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// A slot that could not start within this is missed. `None`: the newest is always made up.
    pub start_within: Option<SignedDuration>,
    /// Longest duration of one try. Default 2 h.
    pub timeout: SignedDuration,
    /// Further tries. Default 3.
    pub retries: u32,
    /// Pause between tries. Default 5 min.
    pub retry_after: SignedDuration,
}

/// `[[database.<name>.drill]]`.
#[derive(Debug, Clone)]
pub struct Drill {
    /// Name, unique in the database. Default `drill`, `drill-2`, …
    pub name: String,
    /// When.
    pub schedule: Schedule,
    /// Which point.
    pub pick: DrillPick,
    /// What must hold in the restored database.
    pub asserts: Vec<Assertion>,
    /// Tier to restore from; `None`: the fastest that has the point.
    pub from: Option<TierName>,
    /// Whether tables and indexes are checked with `pg_amcheck`.
    pub amcheck: bool,
}

impl Drill {
    /// Name of a drill that has none of its own, by its number in the list: `drill`, `drill-2`, …
    pub(crate) fn default_name(index: usize) -> String {
        match index {
            0 => "drill".to_owned(),
            earlier => format!("drill-{}", earlier + 1),
        }
    }
}

/// Which point a drill restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrillPick {
    /// The newest.
    Newest,
    /// The oldest kept.
    OldestKept,
    /// A random one of the last period.
    RandomWithin(Period),
    /// A random moment of the last period that the archived log covers.
    RandomMoment(Period),
}
