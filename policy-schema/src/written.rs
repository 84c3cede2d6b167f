//! The policy language as it is written: the types that the JSON Schema comes from and that sections deserialize into.
//!
//! Descriptions are what an editor shows while somebody types, so they are written for that reader. Every key may be
//! left out here, because it may be inherited; what is needed in the end is asked in `meaning`.
//! Not here: keys of engines, tiers and keys (`ProviderKinds`).

mod approval;
mod checks;

pub(crate) use approval::WrittenApproval;
pub(crate) use checks::{WrittenCheck, WrittenException, WrittenParameters};

use jiff::SignedDuration;
use model::{
    Period, VerifyLevel,
    retention::{Pick, RetentionModel},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap};

/// A Mainstay policy.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the top of a file for the schema; its sections are read one by one"
)]
pub(crate) struct WrittenPolicy {
    /// Version of this language. Always 1.
    #[schemars(extend("const" = 1))]
    mainstay: Option<i64>,
    /// Other policy files, relative to this one: a file, a folder, or `folder/*.toml`.
    include: Option<Vec<String>>,
    /// Zone of wall-clock schedules and of retention periods, such as `Europe/Prague`. Default: UTC.
    #[schemars(extend("examples" = ["UTC", "Europe/Prague", "America/New_York"]))]
    timezone: Option<String>,
    /// Places where copies are stored.
    tier: Option<BTreeMap<String, WrittenTier>>,
    /// Encryption keys.
    key: Option<BTreeMap<String, WrittenKey>>,
    /// What every database inherits.
    defaults: Option<WrittenDatabase>,
    /// Reusable parts of database tables.
    profile: Option<BTreeMap<String, WrittenDatabase>>,
    /// What is backed up.
    database: Option<BTreeMap<String, WrittenDatabase>>,
    /// Limits against accidents.
    safety: Option<WrittenSafety>,
    /// Who may approve plans that delete more than routine.
    approval: Option<WrittenApproval>,
    /// Checks that databases must pass, beside their objectives.
    check: Option<Vec<WrittenCheck>>,
    /// Checks that somebody lets a database fail for a while.
    exception: Option<Vec<WrittenException>>,
}

/// A place where copies are stored.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenTier {
    /// Kind of storage.
    pub(crate) kind: Option<String>,
    /// Steps that may use the tier at once. Default 2.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) concurrency: Option<u32>,
    /// The most that is sent to it and read from it. Default: no limit.
    pub(crate) bandwidth: Option<WrittenBandwidth>,
    /// Whether a fire where the databases are leaves it alone. Default: true for `s3`, false for `filesystem`.
    pub(crate) off_site: Option<bool>,
    /// What it is stored on; tiers with the same word fail together. Default: the kind.
    #[schemars(length(min = 1), extend("examples" = ["disk", "tape", "object-storage"]))]
    pub(crate) media: Option<String>,
}

/// Bytes per second such as `50MiB/s`, or limits by time of the day.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum WrittenBandwidth {
    Always(String),
    ByTime(Vec<WrittenBandwidthWindow>),
}

impl JsonSchema for WrittenBandwidth {
    fn schema_name() -> Cow<'static, str> {
        "Bandwidth".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let window = generator.subschema_for::<WrittenBandwidthWindow>();
        json_schema!({
            "description": "Bytes per second such as \"50MiB/s\", or a list of limits by time of the day.",
            "examples": ["50MiB/s"],
            "anyOf": [
                {"type": "string", "format": "mainstay-rate"},
                {"type": "array", "minItems": 1, "items": window}
            ]
        })
    }
}

/// A limit at a time of the day, or, without times, the limit of the rest of the day.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenBandwidthWindow {
    /// First moment, on the wall clock of `timezone`.
    #[schemars(extend("format" = "mainstay-time-of-day", "examples" = ["08:00"]))]
    pub(crate) from: Option<String>,
    /// The moment at which it is over; a time before `from` is on the next day.
    #[schemars(extend("format" = "mainstay-time-of-day", "examples" = ["18:00"]))]
    pub(crate) to: Option<String>,
    /// Bytes per second.
    #[schemars(extend("format" = "mainstay-rate", "examples" = ["10MiB/s"]))]
    pub(crate) limit: Option<String>,
}

/// An encryption key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenKey {
    /// Kind of key.
    pub(crate) kind: Option<String>,
}

/// A database, or what databases inherit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenDatabase {
    /// How it is backed up, verified and restored.
    pub(crate) engine: Option<String>,
    /// The profile that this table inherits from; it wins over `inherits`.
    pub(crate) profile: Option<String>,
    /// Profiles that this table inherits from; a later one wins over an earlier one.
    pub(crate) inherits: Option<Vec<String>>,
    /// Free labels, for scopes and reports.
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// Promised largest loss and longest restore.
    pub(crate) objective: Option<WrittenObjective>,
    /// Keys that every object is encrypted for. With more than one, losing a key does not lose the data.
    pub(crate) encrypt_with: Option<Vec<String>>,
    /// SQL checks in the restored database.
    pub(crate) assert: Option<Vec<WrittenAssertion>>,
    /// Streams of recovery points.
    pub(crate) series: Option<Vec<WrittenSeries>>,
    /// Restores for practice.
    pub(crate) drill: Option<Vec<WrittenDrill>>,
    /// The continuous archive of the write-ahead log: any moment back, not only the points.
    pub(crate) wal: Option<WrittenWal>,
    /// How long a whole restore takes, without thawing, as somebody says. Counts where nothing was measured.
    pub(crate) declared_restore: Option<Period>,
}

/// Promised largest loss and longest restore.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenObjective {
    /// Recovery point objective: the largest loss.
    pub(crate) rpo: Option<WrittenTarget>,
    /// Recovery time objective: the longest restore.
    pub(crate) rto: Option<WrittenTarget>,
    /// What is promised of older states: from an age on, the largest gap between states and the longest restore.
    pub(crate) at_age: Option<Vec<WrittenAtAge>>,
    /// Failed runs in a row that the promises survive. Default 0.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) failures: Option<u32>,
}

/// What is promised of states from an age on.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenAtAge {
    /// The age; the next entry takes over at its own.
    pub(crate) from: Option<Period>,
    /// Largest gap between two states of that age.
    pub(crate) rpo: Option<WrittenTarget>,
    /// Longest restore of a state of that age.
    pub(crate) rto: Option<WrittenTarget>,
}

/// A duration, or `{ target = "1h", maximum = "4h" }`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum WrittenTarget {
    /// Target and maximum in one.
    One(Period),
    /// Target and maximum apart.
    Both(WrittenTargets),
}

/// Where one wants to be, and what must never be exceeded.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct WrittenTargets {
    /// Where one wants to be; missing it is a warning.
    pub(crate) target: Option<Period>,
    /// What must never be exceeded; missing it is an error.
    pub(crate) maximum: Option<Period>,
}

/// A stream of recovery points.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenSeries {
    /// Its name, unique in the database.
    pub(crate) name: Option<String>,
    /// The engine's method. Default: the engine's own.
    pub(crate) method: Option<String>,
    /// Cron on the wall clock: minute, hour, day of month, month, day of week.
    #[schemars(extend("examples" = ["0 2 * * *", "@daily", "30 3 * * sun"]))]
    pub(crate) schedule: Option<String>,
    /// A fixed interval in UTC, instead of `schedule`.
    pub(crate) every: Option<Period>,
    /// An instant at which `every` is due. Default: 1970-01-01T00:00:00Z.
    #[schemars(extend("format" = "date-time"))]
    pub(crate) anchor: Option<String>,
    /// Starts are spread over this time; each series has its own fixed delay.
    pub(crate) jitter: Option<Period>,
    /// Which tiers, and what stays there. The first is the primary.
    pub(crate) keep: Option<BTreeMap<String, WrittenKeep>>,
    /// How thoroughly each copy is verified after it was made. Default `checksum`.
    pub(crate) verify: Option<VerifyLevel>,
    /// Time and tries.
    pub(crate) window: Option<WrittenWindow>,
    /// Points hold only what changed since the one before. Default false.
    pub(crate) incremental: Option<bool>,
    /// With `incremental`: a new full point when the last one is as old as this. Default 7d.
    pub(crate) full_every: Option<Period>,
}

/// What stays on a tier; a point is kept if any rule wants it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenKeep {
    /// The newest points.
    pub(crate) last: Option<WrittenCount>,
    /// One point an hour.
    pub(crate) hourly: Option<WrittenCount>,
    /// One point a day.
    pub(crate) daily: Option<WrittenCount>,
    /// One point an ISO week.
    pub(crate) weekly: Option<WrittenCount>,
    /// One point a month.
    pub(crate) monthly: Option<WrittenCount>,
    /// One point a quarter.
    pub(crate) quarterly: Option<WrittenCount>,
    /// One point a year.
    pub(crate) yearly: Option<WrittenCount>,
    /// Every point younger than this, measured back from the newest.
    pub(crate) within: Option<Period>,
    /// One point an hour of this window.
    pub(crate) within_hourly: Option<Period>,
    /// One point a day of this window.
    pub(crate) within_daily: Option<Period>,
    /// One point a week of this window.
    pub(crate) within_weekly: Option<Period>,
    /// One point a month of this window.
    pub(crate) within_monthly: Option<Period>,
    /// One point a quarter of this window.
    pub(crate) within_quarterly: Option<Period>,
    /// One point a year of this window.
    pub(crate) within_yearly: Option<Period>,
    /// Keep every point for ever.
    pub(crate) forever: Option<bool>,
    /// `overlap` (default): a point counts for every rule. `additive`: for the finest only.
    pub(crate) model: Option<RetentionModel>,
    /// Which point represents a period: `first` (default) or `last`.
    pub(crate) pick: Option<Pick>,
}

/// How many: a number, a window, or `"all"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum WrittenCount {
    Number(u32),
    Text(String),
}

impl JsonSchema for WrittenCount {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "How many: a number, a window such as \"14d\", or \"all\".",
            "examples": [7, "14d", "all"],
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": u32::MAX},
                {"type": "string", "format": "mainstay-count"}
            ]
        })
    }
}

/// Time and tries of a step.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenWindow {
    /// A slot that could not start within this time is missed. Default: the newest slot is always made up.
    pub(crate) start_within: Option<Period>,
    /// Longest duration of one try. Default 2h.
    pub(crate) timeout: Option<Period>,
    /// Further tries after a failure. Default 3.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) retries: Option<u32>,
    /// Pause between tries. Default 5m.
    pub(crate) retry_after: Option<Period>,
}

/// The continuous archive of the write-ahead log.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenWal {
    /// Who brings the log: the server by its `archive_command` (default), or Mainstay through a replication slot.
    pub(crate) mode: Option<WrittenWalMode>,
    /// Which tiers, and for how long any moment stays recoverable there. The first is the primary.
    pub(crate) keep: Option<BTreeMap<String, Period>>,
    /// With `mode = "stream"`: the replication slot. Default `mainstay_<database>`.
    #[schemars(length(min = 1))]
    pub(crate) slot: Option<String>,
    /// Compression level (zstd). Default 1.
    #[schemars(range(min = 1, max = 22))]
    pub(crate) compression_level: Option<i32>,
    /// Files that are sent ahead at once. Default 4.
    #[schemars(range(min = 1, max = 64))]
    pub(crate) parallel: Option<u32>,
    /// A folder beside the policy where files wait for a tier that is away. Default: none, the server keeps them.
    #[schemars(length(min = 1))]
    pub(crate) spool: Option<String>,
    /// The most that waits in the spool. Default 1GiB.
    #[schemars(extend("format" = "mainstay-size", "examples" = ["1GiB"]))]
    pub(crate) spool_limit: Option<String>,
}

/// Who brings the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WrittenWalMode {
    /// The server, by its `archive_command`.
    Archive,
    /// Mainstay, through a replication slot.
    Stream,
}

/// A restore for practice.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenDrill {
    /// Its name, unique in the database. Default `drill`, `drill-2`, …
    pub(crate) name: Option<String>,
    /// Cron on the wall clock.
    pub(crate) schedule: Option<String>,
    /// A fixed interval in UTC, instead of `schedule`.
    pub(crate) every: Option<Period>,
    /// Which point is restored. Default `newest`.
    pub(crate) pick: Option<WrittenPick>,
    /// What must hold in the restored database.
    pub(crate) assert: Option<Vec<WrittenAssertion>>,
    /// Tier to restore from. Default: the fastest that has the point.
    pub(crate) from: Option<String>,
    /// Whether tables and indexes are checked with `pg_amcheck`. Default false.
    pub(crate) amcheck: Option<bool>,
}

/// Which point a drill restores.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum WrittenPick {
    /// `newest` or `oldest-kept`.
    Named(NamedPick),
    /// A random one of the last period.
    Random(RandomPick),
}

/// A point with a name.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NamedPick {
    /// The newest.
    Newest,
    /// The oldest kept.
    OldestKept,
}

/// A random point or moment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RandomPick {
    /// A random point of the last period.
    pub(crate) random_within: Option<Period>,
    /// A random moment of the last period that the archived log covers.
    pub(crate) random_moment_within: Option<Period>,
}

/// A SQL check: the statement gives one value.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenAssertion {
    /// The statement.
    #[schemars(length(min = 1))]
    pub(crate) sql: Option<String>,
    /// The value is a number not below this.
    pub(crate) at_least: Option<i64>,
    /// The value is exactly this.
    #[schemars(schema_with = "scalar")]
    pub(crate) equals: Option<Value>,
    /// The value is a time not older than this before the point's capture.
    pub(crate) newer_than: Option<Period>,
}

fn scalar(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}]})
}

/// Limits against accidents.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenSafety {
    /// Verified points that a prune must leave per series and tier. Default 1.
    #[schemars(range(min = 1))]
    pub(crate) min_verified: Option<u32>,
    /// More prunes than this in one series and tier need approval. Default 25.
    pub(crate) max_prune_count: Option<u32>,
    /// A larger share of a series' points on a tier, in percent, needs approval. Default 50.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) max_prune_percent: Option<u32>,
}

/// The fixed length of a duration that has no months or years.
pub(crate) fn fixed(period: Option<Period>, default: SignedDuration) -> SignedDuration {
    period.and_then(Period::fixed).unwrap_or(default)
}

/// The schemas of the language, each ready to be walked.
pub(crate) struct Language {
    pub(crate) policy: Value,
    pub(crate) tier: Value,
    pub(crate) key: Value,
    pub(crate) database: Value,
    pub(crate) series: Value,
    pub(crate) safety: Value,
    pub(crate) approval: Value,
    pub(crate) check: Value,
    pub(crate) exception: Value,
}

impl Language {
    pub(crate) fn new() -> Self {
        Self {
            policy: schema::<WrittenPolicy>(),
            tier: schema::<WrittenTier>(),
            key: schema::<WrittenKey>(),
            database: schema::<WrittenDatabase>(),
            series: schema::<WrittenSeries>(),
            safety: schema::<WrittenSafety>(),
            approval: schema::<WrittenApproval>(),
            check: schema::<WrittenCheck>(),
            exception: schema::<WrittenException>(),
        }
    }
}

fn schema<T: JsonSchema>() -> Value {
    SchemaGenerator::default()
        .into_root_schema_for::<T>()
        .to_value()
}
