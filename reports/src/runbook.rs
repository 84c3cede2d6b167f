//! The runbook of one database: what can be brought back, with what, and the exact commands for each disaster.
//!
//! Invariant: what stands in a block of commands can be pasted into a shell as it is; what must be replaced first is said beside it.
//! Not here: which disasters there are and their commands (`disasters.rs`), gathering the facts (the root package).

use crate::{
    disasters::disasters,
    format::{Format, ReportError, Templates, render},
    words,
};
use jiff::{Timestamp, tz::TimeZone};
use model::{ByteCount, recovery_record::Promise};
use serde::Serialize;

const TEMPLATES: Templates = Templates {
    markdown: include_str!("templates/runbook.md.hbs"),
    html: include_str!("templates/runbook.html.hbs"),
};

/// Everything that a runbook is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunbookFacts {
    /// Name in the policy.
    pub database: String,
    /// When the facts were gathered.
    pub at: Timestamp,
    /// Absolute path of the policy.
    pub policy: String,
    /// What engine it is, and how it is called where it lives.
    pub engine: EngineFacts,
    /// Tiers with copies, the fastest first.
    pub tiers: Vec<Copies>,
    /// Keys that its points are encrypted for; any one opens them.
    pub keys: Vec<KeyNeeded>,
    /// The newest point that can be read, and its instant.
    pub newest: Option<(String, Timestamp)>,
    /// The oldest one.
    pub oldest: Option<(String, Timestamp)>,
    /// Stretches of time every moment of which can be recovered.
    pub windows: Vec<Window>,
    /// What restores take, by way.
    pub measured: Vec<Measured>,
    /// When and how it was last proved that it can be restored; words.
    pub proved: Option<String>,
    /// Promised largest loss.
    pub rpo: Option<Promise>,
    /// Promised longest restore.
    pub rto: Option<Promise>,
}

/// What kind of database it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineFacts {
    /// Points are dumps: they go into any server.
    PostgresLogical {
        /// Name on its server.
        database: String,
        /// A table of it, for examples.
        table: String,
    },
    /// Points are whole clusters.
    PostgresPhysical(ClusterFacts),
    /// A file.
    Sqlite {
        /// Its path.
        path: String,
        /// A table of it, for examples.
        table: String,
    },
    /// Files and folders.
    Files,
    /// Another one.
    Other(String),
}

/// A cluster whose points are base backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// How its log is archived, so that moments can be recovered.
    pub log: LogArchive,
    /// The database that the policy names.
    pub database: String,
    /// A table of it, for examples.
    pub table: String,
    /// The series of its base backups, if there are points of another kind beside them.
    pub series: Option<String>,
}

/// How the log of a cluster is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogArchive {
    /// It is not.
    None,
    /// The server calls a command.
    Pushed,
    /// Mainstay receives it.
    Streamed,
}

/// The copies on one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    /// Tier.
    pub tier: String,
    /// Kind and place, in words.
    pub place: String,
    /// Readable copies.
    pub count: usize,
    /// The newest.
    pub newest: String,
    /// Stored size of it.
    pub bytes: ByteCount,
    /// How long its archive typically takes to make a copy readable.
    pub thaw_seconds: Option<u64>,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyNeeded {
    /// Name in the policy.
    pub name: String,
    /// Kind and place, in words; never the key.
    pub place: String,
}

/// A stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// First moment.
    pub from: Timestamp,
    /// Last moment; `None`: not known to the second, up to the end of what is archived.
    pub to: Option<Timestamp>,
}

/// What restores take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Tier.
    pub tier: String,
    /// Method.
    pub method: String,
    /// Estimate for the newest point.
    pub seconds: u64,
    /// Restores that it is made of.
    pub count: usize,
    /// The newest of them.
    pub at: Timestamp,
}

/// One thing that may happen, and what to do then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disaster {
    /// What has happened.
    pub title: String,
    /// How one knows, and what one will lose.
    pub when: String,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it does, and what must be replaced in its command.
    pub words: String,
    /// The command; empty: there is none.
    pub command: String,
}

#[derive(Serialize)]
struct View {
    title: String,
    sentence: String,
    made: String,
    facts: Vec<(&'static str, String)>,
    tiers: Vec<TierRow>,
    keys: Vec<(String, String)>,
    measured: Vec<MeasuredRow>,
    disasters: Vec<Disaster>,
}

#[derive(Serialize)]
struct TierRow {
    tier: String,
    place: String,
    count: usize,
    newest: String,
    size: String,
    readable: String,
}

#[derive(Serialize)]
struct MeasuredRow {
    way: String,
    time: String,
    count: usize,
    at: String,
}

/// The document; times in `zone`, and in UTC.
pub fn runbook(
    facts: &RunbookFacts,
    zone: &TimeZone,
    format: Format,
) -> Result<String, ReportError> {
    render(&TEMPLATES, format, &view(facts, zone))
}

fn view(facts: &RunbookFacts, zone: &TimeZone) -> View {
    // Any moment takes a base and its log: a dump that loads faster leads to no moment but its own.
    let counts = |one: &&Measured| facts.windows.is_empty() || one.method == "physical";
    let measured = facts.measured.iter().filter(counts);
    let fastest = measured.min_by_key(|one| one.seconds);
    let to_where = match (&facts.newest, facts.windows.as_slice()) {
        (_, [.., last]) => format!(
            "can be restored to any moment from {} to {}",
            words::time(last.from, zone),
            last.to.map_or_else(
                || "the end of its archived log".to_owned(),
                |to| words::time(to, zone)
            )
        ),
        (Some((_, at)), []) => format!(
            "can be restored to the moments of its recovery points, the newest being {}",
            words::time(*at, zone)
        ),
        (None, []) => "has no recovery point that can be read: nothing can be restored".to_owned(),
    };
    let how_long = match fastest {
        Some(one) => format!(
            "within about {} (from {})",
            words::seconds(one.seconds),
            one.tier
        ),
        None => "in a time that was never measured".to_owned(),
    };
    let proved = match &facts.proved {
        Some(proved) => format!("last proved {proved}"),
        None => "which was never proved by a restore or drill".to_owned(),
    };
    let promise = |promise: Option<Promise>| match promise {
        Some(promise) => format!("at most {}", words::seconds(promise.maximum_seconds)),
        None => "nothing is promised".to_owned(),
    };
    let point = |point: &Option<(String, Timestamp)>| match point {
        Some((id, at)) => format!("{id}, the state of {}", words::time(*at, zone)),
        None => "none".to_owned(),
    };
    View {
        title: format!("Runbook: {}", facts.database),
        sentence: format!("{} {to_where}, {how_long}, {proved}.", facts.database),
        made: words::time(facts.at, zone),
        facts: vec![
            ("Newest recovery point", point(&facts.newest)),
            ("Oldest recovery point", point(&facts.oldest)),
            ("Largest loss promised (RPO)", promise(facts.rpo)),
            ("Longest restore promised (RTO)", promise(facts.rto)),
            ("Policy", facts.policy.clone()),
        ],
        tiers: facts.tiers.iter().map(tier).collect(),
        keys: facts
            .keys
            .iter()
            .map(|key| (key.name.clone(), key.place.clone()))
            .collect(),
        measured: facts
            .measured
            .iter()
            .map(|one| MeasuredRow {
                way: format!("{} from {}", one.method, one.tier),
                time: words::seconds(one.seconds),
                count: one.count,
                at: words::time(one.at, zone),
            })
            .collect(),
        disasters: disasters(facts),
    }
}

fn tier(copies: &Copies) -> TierRow {
    TierRow {
        tier: copies.tier.clone(),
        place: copies.place.clone(),
        count: copies.count,
        newest: copies.newest.clone(),
        size: words::size(copies.bytes),
        readable: match copies.thaw_seconds {
            Some(seconds) => format!("after a thaw, typically {}", words::seconds(seconds)),
            None => "at once".to_owned(),
        },
    }
}
