//! How the archive of one database's log stands: windows, holes, lag, and everything that will hurt later.
//!
//! [`judge`] is pure: facts in, a document out (`mainstay.wal-status.v1`, `docs/formats/wal-status.md`). A lag is an upper bound: what
//! cannot be shown to be archived counts as not archived. Counts of failures alone say nothing, because the server does not
//! count a command that ended by a signal or with 127; what waits, and since when, does.
//! Not here: looking (`observe`), words on a screen (the root package).

mod newest;
mod server;

pub use newest::{Newest, newest_moment};

use super::{
    breaks::{Break, breaks},
    observe::WalLook,
    spool::Waiting,
};
use crate::wiring::DatabaseWiring;
use jiff::{SignedDuration, Timestamp};
use model::{
    ByteCount, DatabaseName, Lsn, TierName,
    event::Failure,
    recovery_record::Promise,
    wal::{
        WalSource,
        coverage::{Base, Coverage, coverage},
    },
};
use providers::api::WalState;
use serde::Serialize;
use std::collections::BTreeMap;

/// Value of [`WalStatus::format`].
pub const WAL_STATUS_FORMAT: &str = "mainstay.wal-status.v1";

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
    /// Where the server was at an earlier look, and when: what is archived up to there is behind by no more than that is ago.
    pub seen: Option<(Lsn, Timestamp)>,
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
    /// Why it did not.
    pub server_trouble: Option<String>,
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
    /// Stable word: `hole`, `lag`, `archiver-stuck`, `archiver-behind`, `slot-lost`, `slot-unlimited`, `archive-timeout`, `no-window`, `timeline-switch` …
    pub what: &'static str,
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
    let found = breaks(facts.look, &facts.bases, &facts.wanted_since, facts.now);
    concerns.extend(found.iter().map(|one| of_break(one, facts.database)));
    let mut tiers = BTreeMap::new();
    for (tier, log) in &facts.look.archive.tiers {
        let bases = facts.bases.get(tier).map_or(&[][..], Vec::as_slice);
        let coverage = coverage(log, bases);
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
        concerns.extend(server::concerns(facts, state));
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
        server: state.map(server::server),
        server_trouble: facts
            .look
            .state
            .as_ref()
            .err()
            .map(|failure| failure.message.clone()),
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

fn of_break(one: &Break, database: &DatabaseName) -> Concern {
    let help = match one.what {
        "hole" => format!(
            "look for the file on another tier and in the server's `pg_wal`; else take a base backup: mainstay apply, or mainstay backup {database}"
        ),
        "other-cluster" => format!(
            "look whether the address leads to the right server; if it does, take a base backup of it: mainstay apply, or mainstay backup {database}"
        ),
        _ => format!(
            "the next `mainstay apply` takes a new base backup, or: mainstay backup {database}"
        ),
    };
    Concern {
        gravity: one.gravity,
        help,
        text: format!("{}; {}", one.text, one.now),
        what: one.what,
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
    if bytes == 0 {
        return Some((0, Some(0)));
    }
    let seconds = |from: Timestamp| seconds_up(state.source.at.duration_since(from));
    let seen = facts
        .seen
        .filter(|(position, _)| *position <= newest.end)
        .map(|(_, at)| seconds(at));
    let all = [
        newest.time.map(seconds),
        by_timeout(facts, state, newest),
        seen,
    ];
    let at_most = all.into_iter().flatten().min();
    Some((bytes, at_most))
}

/// A server with `archive_timeout` gives a segment away before it is older than that, unless nothing was written into it. That bounds
/// the loss only where everything between the archive and the segment under way still waits at the server: what it believes to be
/// archived and is not here (a command that always succeeds, a spool) may be of any age. And not soon after its start: it begins to
/// measure then or later, and a crash before that may have left an older segment open.
fn by_timeout(facts: &WalFacts<'_>, state: &WalState, newest: Newest) -> Option<i64> {
    let wal = facts.declared.wal.as_ref();
    let streams = wal.is_some_and(|wal| wal.stream_slot.is_some());
    let timeout = i64::try_from(state.archive_timeout_seconds).ok()?;
    let (files, oldest) = state.waiting?;
    let size = state.segment_bytes.max(1);
    let between = (state.source.position.0 / size).saturating_sub(newest.end.0 / size);
    let age = |at: Timestamp| seconds_up(state.source.at.duration_since(at));
    let measures = state
        .keeps_timeout_from
        .is_some_and(|since| age(since) > timeout);
    (timeout > 0 && !streams && measures && between <= files)
        .then(|| oldest.map_or(0, age).saturating_add(timeout))
}

/// An upper bound must not be rounded down.
fn seconds_up(duration: SignedDuration) -> i64 {
    let part = i64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(part).max(0)
}
