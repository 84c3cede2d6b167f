//! `drill` and `runbook` as people type them.

use super::{instant, point};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use jiff::Timestamp;
use model::RecoveryPointId;
use std::path::PathBuf;

/// `drill`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DrillArguments {
    /// What to do instead of a drill.
    #[command(subcommand)]
    pub(crate) command: Option<DrillCommand>,
    /// Database [default: every declared one]
    pub(crate) database: Option<String>,
    /// Drill of the policy [default: its only one; without any, the newest point with the database's own assertions]
    #[arg(long, value_name = "DRILL", requires = "database")]
    pub(crate) name: Option<String>,
    /// Recovery point [default: as the drill picks]
    #[arg(long, value_name = "POINT", conflicts_with = "at", requires = "database", value_parser = point)]
    pub(crate) point: Option<RecoveryPointId>,
    /// This moment where an archived log reaches it, else the newest point captured at or before it; give a zone
    #[arg(long, value_name = "TIME", requires = "database", value_parser = instant)]
    pub(crate) at: Option<Timestamp>,
    /// Read the copy on this tier and no other
    #[arg(long, value_name = "TIER")]
    pub(crate) from: Option<String>,
    /// Why, for the recovery log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Folder that gets the recovery log in Markdown and HTML [default: .mainstay/recoveries beside the policy]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) log: Option<PathBuf>,
    /// Plant a wrong row count and a damaged copy, and see that both are found; nothing that is stored is touched
    #[arg(long, conflicts_with_all = ["at", "log"])]
    pub(crate) prove_it_can_fail: bool,
}

/// `drill list`, `drill show`.
#[derive(Debug, Subcommand)]
pub(crate) enum DrillCommand {
    /// List restores and drills that were carried out, the newest first
    List {
        /// Only of this database
        database: Option<String>,
        /// How many
        #[arg(long, default_value_t = 30)]
        limit: u32,
    },
    /// Show the recovery log of a restore or drill
    Show {
        /// Its id, as `drill list` shows it
        id: String,
        /// As what
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        format: LogFormat,
    },
}

/// A format of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For a terminal
    Text,
    /// Markdown
    Markdown,
    /// One HTML page that needs nothing beside itself
    Html,
    /// The record itself
    Json,
}

/// `runbook`.
#[derive(Debug, Args)]
pub(crate) struct RunbookArguments {
    /// Database
    pub(crate) database: String,
    /// As what
    #[arg(long, value_enum, default_value_t = RunbookFormat::Markdown)]
    pub(crate) format: RunbookFormat,
    /// Write it to this file; an existing one is replaced
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}

/// A format of runbooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunbookFormat {
    /// Markdown
    Markdown,
    /// One HTML page that needs nothing beside itself
    Html,
}
