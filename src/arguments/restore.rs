//! What `restore` takes. Which of these fit together is said here; what they mean for a database is decided in `commands/restore`.

use super::{instant, point, seconds};
use clap::{ArgGroup, Args, ValueEnum, ValueHint};
use jiff::Timestamp;
use model::{Lsn, RecoveryPointId, RecoveryTarget, TimelineChoice};
use std::path::PathBuf;

/// Shown below the options.
pub(super) const EXAMPLES: &str = "Examples:
  mainstay restore orders --to orders_check
  mainstay restore orders --at '2026-11-20 12:00+01' --to postgres://other.example.com/orders
  mainstay restore shop --to ./restored.db
  mainstay restore orders --table public.invoices --to orders_rescue
  mainstay restore orders --to orders --replace

With physical points and an archived log:
  mainstay restore cluster --at '2026-11-20 12:00:00+01' --to /srv/restored
  mainstay restore cluster --latest --to /srv/restored --promote
  mainstay restore cluster --at '2026-11-20 12:00:00+01' --scratch --for 1h
  mainstay restore cluster --at '2026-11-20 12:00:00+01' --table public.invoices --to postgres://db.example.com/orders";

/// `restore`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("moment").args(["at", "xid", "name", "latest", "immediate", "lsn"])))]
#[command(group(ArgGroup::new("where").args(["to", "scratch"]).required(true).multiple(true)))]
pub(crate) struct RestoreArguments {
    /// Database, as named in the policy; one that only the catalog or the tiers know needs a target that says everything
    pub(crate) database: String,
    /// Recovery point [default: the newest]; with a moment: the one to roll forward
    #[arg(long, value_name = "POINT", value_parser = point)]
    pub(crate) point: Option<RecoveryPointId>,
    /// Only points of this series
    #[arg(long, value_name = "SERIES", conflicts_with = "point")]
    pub(crate) series: Option<String>,
    /// This time: exactly where physical points and an archived log reach it, else the newest point at or before it; give a zone
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) at: Option<Timestamp>,
    /// After the commit of this transaction
    #[arg(long, value_name = "XID", value_parser = transaction)]
    pub(crate) xid: Option<u64>,
    /// At this named restore point (`pg_create_restore_point`)
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// At the end of what is archived
    #[arg(long)]
    pub(crate) latest: bool,
    /// A physical point as soon as it is consistent [the default for one]
    #[arg(long)]
    pub(crate) immediate: bool,
    /// At this position in the log, like 16/B374D848
    #[arg(long, value_name = "LSN", value_parser = lsn)]
    pub(crate) lsn: Option<Lsn>,
    /// Which timeline to follow: latest, current (that of the point), or a number
    #[arg(long, value_name = "TIMELINE", default_value = "latest", value_parser = timeline, requires = "moment")]
    pub(crate) timeline: TimelineChoice,
    /// Read the copy on this tier [default: the best one]
    #[arg(long, value_name = "TIER")]
    pub(crate) from: Option<String>,
    /// Where to: a database name or URL for PostgreSQL, a folder for a physical point of it, a file for SQLite
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: Option<String>,
    /// Start a temporary server with this state, print its URL, and remove it at Ctrl-C (physical points)
    #[arg(long, conflicts_with_all = ["to", "replace", "start", "promote"])]
    pub(crate) scratch: bool,
    /// With --scratch: remove it after so long
    #[arg(long = "for", value_name = "TIME", value_parser = seconds, requires = "scratch")]
    pub(crate) run_for: Option<u64>,
    /// With --scratch: only check it and end
    #[arg(long, requires = "scratch", conflicts_with = "run_for")]
    pub(crate) check: bool,
    /// Start the restored server, let it replay up to the moment, check it, and stop it there; started again it is read-only
    #[arg(long, conflicts_with = "promote")]
    pub(crate) start: bool,
    /// As --start, and make it writable on a new timeline before it is stopped
    #[arg(long)]
    pub(crate) promote: bool,
    /// Where a tablespace goes (repeatable) [default: below the target folder]
    #[arg(long, value_name = "OLD=NEW", value_parser = tablespace)]
    pub(crate) tablespace_map: Vec<TablespaceMove>,
    /// Check tables and indexes with `pg_amcheck` (physical points that are started)
    #[arg(long)]
    pub(crate) amcheck: bool,
    /// Replace what is there
    #[arg(long)]
    pub(crate) replace: bool,
    /// Only this table (repeatable)
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: Vec<String>,
    /// Only this schema (repeatable)
    #[arg(long, value_name = "SCHEMA")]
    pub(crate) schema: Vec<String>,
    /// Only this file or folder of the engine `files` (repeatable)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) path: Vec<String>,
    /// When only an archived copy is left: ask the archive and end, or ask and wait; takes hours and is paid for
    #[arg(long, value_name = "HOW", num_args = 0..=1, default_missing_value = "ask", require_equals = true)]
    pub(crate) thaw: Option<ThawChoice>,
    /// Do not ask for the database's name before replacing
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    /// Why, for the recovery log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// What `restore` does with an archived copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ThawChoice {
    /// Ask the archive; the same command goes on later
    Ask,
    /// Ask the archive and wait
    Wait,
}

/// Where a tablespace of the source goes.
#[derive(Debug, Clone)]
pub(crate) struct TablespaceMove {
    /// Its location at the source.
    pub(crate) old: String,
    /// Its new folder.
    pub(crate) new: PathBuf,
}

/// Which moment was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Moment {
    /// None: a point as it is.
    Point,
    /// A time, which a point of any kind may serve.
    Time(Timestamp),
    /// Something that only an archived log can reach.
    Log(RecoveryTarget),
}

impl RestoreArguments {
    /// The moment.
    pub(crate) fn moment(&self) -> Moment {
        if let Some(at) = self.at {
            return Moment::Time(at);
        }
        let target = if let Some(xid) = self.xid {
            RecoveryTarget::Transaction(xid)
        } else if let Some(name) = &self.name {
            RecoveryTarget::Name(name.clone())
        } else if let Some(lsn) = self.lsn {
            RecoveryTarget::Position(lsn)
        } else if self.latest {
            RecoveryTarget::Latest
        } else if self.immediate {
            RecoveryTarget::Immediate
        } else {
            return Moment::Point;
        };
        Moment::Log(target)
    }
}

/// The smallest number that an ordinary transaction has (`FirstNormalTransactionId`).
const FIRST_TRANSACTION: u64 = 3;

fn transaction(text: &str) -> Result<u64, String> {
    let number = text.parse().ok();
    number.filter(|xid| *xid >= FIRST_TRANSACTION).ok_or_else(|| {
        format!(
            "`{text}` is not the number of a transaction, which looks like 741: `select pg_current_xact_id()` gives one's own, `%x` in `log_line_prefix` and `pg_waldump` those of the past"
        )
    })
}

fn lsn(text: &str) -> Result<Lsn, String> {
    Lsn::parse(text).map_err(|error| error.to_string())
}

fn timeline(text: &str) -> Result<TimelineChoice, String> {
    match text {
        "latest" => Ok(TimelineChoice::Latest),
        "current" => Ok(TimelineChoice::Current),
        number => number
            .parse()
            .map(TimelineChoice::Number)
            .map_err(|_| format!("`{text}` is not latest, current or a timeline's number")),
    }
}

fn tablespace(text: &str) -> Result<TablespaceMove, String> {
    match text.split_once('=') {
        Some((old, new)) if old.starts_with('/') && new.starts_with('/') => Ok(TablespaceMove {
            old: old.to_owned(),
            new: PathBuf::from(new),
        }),
        _ => Err(format!(
            "`{text}` does not say where a tablespace goes; write OLD=NEW with two absolute folders"
        )),
    }
}
