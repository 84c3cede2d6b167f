//! How the archive of one database's log stands: windows, holes, lag, and everything that will hurt later.
//!
//! [`judge`] is pure: facts in, a document out (`mainstay.wal-status.v1`, `docs/formats/wal-status.md`). A lag is an upper bound: what
//! cannot be shown to be archived counts as not archived. Counts of failures alone say nothing, because the server does not
//! count a command that ended by a signal or with 127; what waits, and since when, does.
//! Not here: looking (`observe`), words on a screen (the root package).

use super::{archive::WalStore, observe::WalLook, spool::Waiting};
use crate::wiring::DatabaseWiring;
use jiff::{SignedDuration, Timestamp};
use model::{
    ByteCount, DatabaseName, Lsn, TierName, WalFileName,
    event::Failure,
    recovery_record::Promise,
    wal::{
        LogEventKind, LogScanner, WalSource, WalTier,
        coverage::{Base, Coverage, Hole, coverage},
    },
};
use providers::api::{RECENT_SECONDS, Result, WalState};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// Value of [`WalStatus::format`].
pub const WAL_STATUS_FORMAT: &str = "mainstay.wal-status.v1";
/// Segments that are read backwards to find the newest commit.
const LOOK_BACK: usize = 4;
/// No commit fits into less; the end of a beginning is known only up to the zeros that its last record ends with.
const SMALLEST_COMMIT: u64 = 32;

/// The newest moment that an archived log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Newest {
    /// Valid log ends here.
    pub end: Lsn,
    /// Time of the last commit or abort; `None`: none was found near the end, or the version is not known.
    pub time: Option<Timestamp>,
}

/// Everything that is judged.
#[derive(Debug)]
pub struct WalFacts<'a> {
    /// Database.
    pub database: &'a DatabaseName,
    /// How it is archived, and what is promised.
    pub declared: &'a DatabaseWiring,
    /// What was seen.
    pub look: &'a WalLook,
    /// The bases that are readable on each tier.
    pub bases: BTreeMap<TierName, Vec<Base>>,
    /// The newest moment on each tier, if it could be read.
    pub newest: BTreeMap<TierName, Newest>,
    /// Since when every moment must be recoverable on each tier.
    pub wanted_since: BTreeMap<TierName, Timestamp>,
    /// What waits in the spool for each tier.
    pub spool: BTreeMap<TierName, Waiting>,
    /// Our clock.
    pub now: Timestamp,
}

/// How one database's archive stands.
#[derive(Debug, Clone, Serialize)]
pub struct WalStatus {
    /// What is wrong or will be, the worst first.
    pub concerns: Vec<Concern>,
    /// Database.
    pub database: DatabaseName,
    /// [`WAL_STATUS_FORMAT`].
    pub format: &'static str,
    /// What is promised.
    pub rpo: Option<Promise>,
    /// Where the server stands; `None`: it did not say.
    pub server: Option<ServerStatus>,
    /// Each tier that could be read.
    pub tiers: BTreeMap<TierName, TierStatus>,
    /// Tiers that could not, and why.
    pub unreachable: BTreeMap<TierName, String>,
}

/// The server's side.
#[derive(Debug, Clone, Serialize)]
pub struct ServerStatus {
    /// Files archived since the statistics began.
    pub archived: u64,
    /// Failures that the server has counted.
    pub failed: u64,
    /// Size of `pg_wal`.
    pub pg_wal_bytes: Option<ByteCount>,
    /// Where it writes, on which timeline of which cluster.
    pub position: WalSource,
    /// Slots by name: bytes held back, state.
    pub slots: BTreeMap<String, SlotStatus>,
    /// Files that wait.
    pub waiting: Option<u64>,
    /// How long the oldest has been waiting, in seconds.
    pub waiting_seconds: Option<i64>,
}

/// One slot.
#[derive(Debug, Clone, Serialize)]
pub struct SlotStatus {
    /// Whether somebody streams from it.
    pub active: bool,
    /// Log that it holds back.
    pub behind_bytes: Option<ByteCount>,
    /// `wal_status`.
    pub state: Option<String>,
}

/// One tier.
#[derive(Debug, Clone, Serialize)]
pub struct TierStatus {
    /// Windows, holes, bases that cannot be used.
    #[serde(flatten)]
    pub coverage: Coverage,
    /// Bytes written by the server and not archived here.
    pub lag_bytes: Option<u64>,
    /// What would be lost, in seconds, at most.
    pub lag_seconds: Option<i64>,
    /// The newest moment.
    pub newest: Option<Newest>,
    /// Files that wait in the spool for it.
    pub spooled: u64,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gravity {
    /// The promise is broken now.
    Violated,
    /// It cannot be told.
    Unknown,
    /// It will hurt later.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Concern {
    /// How bad.
    pub gravity: Gravity,
    /// What to do.
    pub help: String,
    /// What it is.
    pub text: String,
    /// Stable word: `hole`, `lag`, `archiver-stuck`, `archiver-behind`, `slot-lost`, `slot-unlimited`, `archive-timeout`, `no-window` …
    pub what: &'static str,
}

/// The newest moment of a log on one tier: its last segments are read. `None`: nothing is there.
pub async fn newest_moment(
    store: &Arc<WalStore>,
    tier: &TierName,
    log: &WalTier,
    source: Option<&WalSource>,
) -> Result<Option<Newest>> {
    let runs = log
        .runs
        .iter()
        .map(|run| (run.system_identifier, run.timeline, run.end));
    let partials = log
        .partials
        .iter()
        .map(|p| (p.system_identifier, p.timeline, p.end));
    let ours = |cluster: u64| source.is_none_or(|source| source.system_identifier == cluster);
    let Some((cluster, timeline, end)) = runs
        .chain(partials)
        .filter(|(cluster, _, _)| ours(*cluster))
        .max_by_key(|(_, timeline, end)| (*timeline, *end))
    else {
        return Ok(None);
    };
    let size = log
        .runs
        .iter()
        .map(|run| run.segment_bytes)
        .chain(log.partials.iter().map(|p| p.segment_bytes))
        .next()
        .unwrap_or(model::wal::DEFAULT_SEGMENT_BYTES);
    let mut newest = Newest { end, time: None };
    let last = end.segment_before(size);
    for number in (last.saturating_sub(LOOK_BACK as u64 - 1)..=last).rev() {
        let name = WalFileName::of_segment(timeline, number, size);
        let bytes = match store.get_from(tier, cluster, name).await? {
            Some(bytes) => Some(bytes),
            None => store.get_beginning(cluster, name).await?,
        };
        let Some(bytes) = bytes else { break };
        let events = LogScanner::default().segment(Lsn::of_segment(number, size), &bytes);
        let ends = events
            .iter()
            .filter(|event| !matches!(event.kind, LogEventKind::RestorePoint(_)));
        newest.time = ends.map(|event| event.time).max();
        if newest.time.is_some() {
            break;
        }
    }
    Ok(Some(newest))
}

/// Judges.
pub fn judge(facts: &WalFacts<'_>) -> WalStatus {
    let mut concerns = Vec::new();
    let state = facts.look.state.as_ref().ok();
    if let Err(failure) = &facts.look.state {
        concerns.push(unknown(failure, "the server cannot be asked"));
    }
    for (tier, failure) in &facts.look.unreachable {
        concerns.push(unknown(failure, &format!("tier `{tier}` cannot be read")));
    }
    let mut tiers = BTreeMap::new();
    for (tier, log) in &facts.look.archive.tiers {
        let bases = facts.bases.get(tier).map_or(&[][..], Vec::as_slice);
        let coverage = coverage(log, bases);
        let since = facts.wanted_since.get(tier).copied();
        for hole in coverage.holes.iter().filter(|hole| matters(hole, since)) {
            concerns.push(of_hole(tier, hole, facts.database));
        }
        if coverage.windows.is_empty() {
            concerns.push(Concern {
                gravity: Gravity::Warning,
                what: "no-window",
                text: format!("no moment can be recovered from tier `{tier}` alone: no base backup there with its log"),
                help: format!("a series with method `physical` makes one: mainstay backup {}", facts.database),
            });
        }
        let newest = facts.newest.get(tier).copied();
        let lag = lag(facts, state, newest);
        tiers.insert(
            tier.clone(),
            TierStatus {
                coverage,
                lag_bytes: lag.map(|(bytes, _)| bytes),
                lag_seconds: lag.and_then(|(_, seconds)| seconds),
                newest,
                spooled: facts.spool.get(tier).map_or(0, |waiting| waiting.files),
            },
        );
    }
    // What is durable on one tier is not lost.
    let least = tiers.values().filter_map(|tier| tier.lag_seconds).min();
    if let (Some(lag), Some(rpo)) = (least, facts.declared.rpo)
        && u64::try_from(lag).unwrap_or(0) > rpo.maximum_seconds
    {
        concerns.push(Concern {
            gravity: Gravity::Violated,
            what: "lag",
            text: format!(
                "up to {lag} s would be lost now, {} s are promised at most",
                rpo.maximum_seconds
            ),
            help: "the concerns below say what keeps the log from the archive".to_owned(),
        });
    }
    if let Some(state) = state {
        concerns.extend(of_server(facts, state));
    }
    concerns.extend(facts.spool.iter().filter(|(_, waiting)| waiting.files > 0).map(|(tier, waiting)| Concern {
        gravity: Gravity::Warning,
        what: "spool",
        text: format!("{} files ({}) wait in the spool for tier `{tier}`", waiting.files, waiting.bytes),
        help: "they are sent when the tier is back; until then they are on fewer tiers than wanted".to_owned(),
    }));
    concerns.sort_by_key(|concern| concern.gravity);
    WalStatus {
        concerns,
        database: facts.database.clone(),
        format: WAL_STATUS_FORMAT,
        rpo: facts.declared.rpo,
        server: state.map(server),
        tiers,
        unreachable: facts
            .look
            .unreachable
            .iter()
            .map(|(tier, failure)| (tier.clone(), failure.message.clone()))
            .collect(),
    }
}

impl WalStatus {
    /// Whether the promise is broken.
    pub fn is_violated(&self) -> bool {
        self.has(Gravity::Violated)
    }

    /// Whether something could not be told.
    pub fn is_unknown(&self) -> bool {
        self.has(Gravity::Unknown)
    }

    fn has(&self, gravity: Gravity) -> bool {
        self.concerns
            .iter()
            .any(|concern| concern.gravity == gravity)
    }
}

fn unknown(failure: &Failure, what: &str) -> Concern {
    Concern {
        gravity: Gravity::Unknown,
        what: "unreachable",
        text: format!("{what}: {}", failure.message),
        help: failure.help.clone().unwrap_or_default(),
    }
}

/// Log that aged out between old bases is no fault: only moments that are still promised count.
fn matters(hole: &Hole, since: Option<Timestamp>) -> bool {
    let cuts = !hole.cuts.is_empty() || !hole.keeps_unusable.is_empty();
    let behind = hole.next_base.as_ref().map(|(_, at)| *at);
    cuts && since.is_none_or(|since| behind.is_none_or(|behind| behind > since))
}

fn of_hole(tier: &TierName, hole: &Hole, database: &DatabaseName) -> Concern {
    let missing: Vec<String> = hole.missing.iter().map(ToString::to_string).collect();
    let next = hole.next_base.as_ref().map_or_else(
        || "no base backup lies behind it".to_owned(),
        |(base, at)| format!("later moments are recoverable from {at} on (`{base}`)"),
    );
    Concern {
        gravity: Gravity::Violated,
        what: "hole",
        text: format!(
            "tier `{tier}` lacks {} between {} and {}; {next}",
            missing.join(", "),
            hole.after,
            hole.before
        ),
        help: format!(
            "look for the file on another tier and in the server's `pg_wal`; else take a base backup: mainstay apply, or mainstay backup {database}"
        ),
    }
}

/// Bytes and, at most, seconds that the archive is behind.
fn lag(
    facts: &WalFacts<'_>,
    state: Option<&WalState>,
    newest: Option<Newest>,
) -> Option<(u64, Option<i64>)> {
    let (state, newest) = (state?, newest?);
    let bytes = state.source.position.since(newest.end);
    if bytes < SMALLEST_COMMIT {
        return Some((0, Some(0)));
    }
    let since_commit = newest
        .time
        .map(|time| seconds_up(state.source.at.duration_since(time)));
    let at_most = match (since_commit, by_timeout(facts, state, newest)) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    Some((bytes, at_most))
}

/// A server with `archive_timeout` gives a segment away before it is older than that, unless nothing was written into it. That bounds
/// the loss only where everything between the archive and the segment under way still waits at the server: what it believes to be
/// archived and is not here (a command that always succeeds, a spool) may be of any age. And only when it has been running
/// for longer: it begins to measure when it starts, and a crash before that may have left an older segment open.
fn by_timeout(facts: &WalFacts<'_>, state: &WalState, newest: Newest) -> Option<i64> {
    let wal = facts.declared.wal.as_ref();
    let streams = wal.is_some_and(|wal| wal.stream_slot.is_some());
    let timeout = i64::try_from(state.archive_timeout_seconds).ok()?;
    let (files, oldest) = state.waiting?;
    let size = state.segment_bytes.max(1);
    let between = (state.source.position.0 / size).saturating_sub(newest.end.0 / size);
    let age = |at: Timestamp| seconds_up(state.source.at.duration_since(at));
    let measures = state.started_at.is_some_and(|since| age(since) > timeout);
    (timeout > 0 && !streams && measures && between <= files)
        .then(|| oldest.map_or(0, age).saturating_add(timeout))
}

/// An upper bound must not be rounded down.
fn seconds_up(duration: SignedDuration) -> i64 {
    let part = i64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(part).max(0)
}

fn server(state: &WalState) -> ServerStatus {
    let age = |at: Timestamp| state.source.at.duration_since(at).as_secs().max(0);
    ServerStatus {
        archived: state.archiver.archived,
        failed: state.archiver.failed,
        pg_wal_bytes: state.pg_wal,
        position: state.source.clone(),
        slots: state
            .slots
            .iter()
            .map(|slot| {
                let status = SlotStatus {
                    active: slot.active,
                    behind_bytes: slot.behind,
                    state: slot.wal_status.clone(),
                };
                (slot.name.clone(), status)
            })
            .collect(),
        waiting: state.waiting.map(|(files, _)| files),
        waiting_seconds: state.waiting.and_then(|(_, oldest)| oldest).map(age),
    }
}

fn of_server(facts: &WalFacts<'_>, state: &WalState) -> Vec<Concern> {
    let mut concerns = Vec::new();
    let mut warn = |what, text: String, help: String| {
        concerns.push(Concern {
            gravity: Gravity::Warning,
            help,
            text,
            what,
        });
    };
    let wal = facts.declared.wal.as_ref();
    let rpo = facts.declared.rpo.map(|rpo| rpo.maximum_seconds);
    let slot = wal.and_then(|wal| wal.stream_slot.as_ref());
    if let Some(name) = slot {
        match state.slots.iter().find(|found| &found.name == name) {
            None => warn(
                "slot-gone",
                format!(
                    "the replication slot `{name}` is not there: nothing holds the log back for the stream"
                ),
                format!(
                    "is the stream running? mainstay wal run --database {}",
                    facts.database
                ),
            ),
            Some(found) if !found.active => warn(
                "slot-idle",
                format!("nobody receives from the replication slot `{name}`"),
                format!(
                    "start the stream: mainstay wal run --database {}",
                    facts.database
                ),
            ),
            Some(_) => {}
        }
    } else {
        if state.archive_mode == "off" || !state.archive_command_set {
            warn(
                "archiver-off",
                "the server archives nothing: `archive_mode` is off or `archive_command` is empty"
                    .to_owned(),
                format!(
                    "archive_mode = on, archive_command = 'mainstay wal push --database {} %p'",
                    facts.database
                ),
            );
        }
        let timeout = state.archive_timeout_seconds;
        if let Some(rpo) = rpo.filter(|rpo| timeout == 0 || timeout > *rpo) {
            warn(
                "archive-timeout",
                format!(
                    "`archive_timeout` is {timeout} s: on a quiet server a segment can stay longer than the {rpo} s that may be lost"
                ),
                format!(
                    "ALTER SYSTEM SET archive_timeout = '{}s'; SELECT pg_reload_conf()",
                    (rpo / 2).max(1)
                ),
            );
        }
    }
    for lost in state
        .slots
        .iter()
        .filter(|s| s.wal_status.as_deref() == Some("lost"))
    {
        warn(
            "slot-lost",
            format!(
                "the replication slot `{}` has lost log that it should hold",
                lost.name
            ),
            format!(
                "who used it has a hole: SELECT pg_drop_replication_slot('{}') and begin anew",
                lost.name
            ),
        );
    }
    for open in state
        .slots
        .iter()
        .filter(|s| s.safe.is_none() && s.wal_status.as_deref() != Some("lost"))
    {
        warn(
            "slot-unlimited",
            format!(
                "the replication slot `{}` may hold back log without a limit, until the server's disk is full",
                open.name
            ),
            "set `max_slot_wal_keep_size` to what the disk can bear".to_owned(),
        );
    }
    let age = |at: Timestamp| state.source.at.duration_since(at).as_secs().max(0);
    if let Some((files, Some(oldest))) = state.waiting
        && slot.is_none()
    {
        let waits = age(oldest);
        let limit = rpo
            .map_or(RECENT_SECONDS, |rpo| {
                i64::try_from(rpo / 2).unwrap_or(i64::MAX)
            })
            .clamp(10, RECENT_SECONDS);
        if waits > limit {
            let counted = state.archiver.failed;
            let pg_wal = state
                .pg_wal
                .map_or_else(String::new, |size| format!("; `pg_wal` has {size}"));
            let last = facts.look.archive.tiers.values().flat_map(|log| &log.runs);
            let still = last
                .map(|run| run.last_stored_at)
                .max()
                .is_some_and(|at| age(at) < limit);
            if still {
                let rate = u64::try_from(RECENT_SECONDS).unwrap_or(1);
                let grows = state.waiting_recently.saturating_mul(state.segment_bytes) / rate;
                let full = state.free.filter(|_| grows > 0).map_or_else(String::new, |free| {
                    format!("; at that rate the disk ({free} free) is full in {} min at the earliest", free.0 / grows / 60)
                });
                warn(
                    "archiver-behind",
                    format!("archiving is slower than writing: {files} files wait, the oldest for {waits} s, {} of them came within {RECENT_SECONDS} s{pg_wal}{full}", state.waiting_recently),
                    "run `mainstay wal run` beside the server, or raise `parallel` in `[database.NAME.wal]`".to_owned(),
                );
            } else {
                warn(
                    "archiver-stuck",
                    format!("{files} files wait, the oldest for {waits} s, and none is archived; the server has counted {counted} failures (it does not count a command that ends by a signal or with 126 and more){pg_wal}"),
                    "the server's log says what `archive_command` printed; run it by hand as the server's user with the oldest file".to_owned(),
                );
            }
        }
    }
    concerns
}
