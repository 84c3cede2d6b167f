//! What `catalog` takes.

use super::RunArguments;
use clap::{Args, Subcommand};

/// `catalog import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// Database
    pub(crate) database: String,
    /// Series that gets them [default: the one that runs most often]
    #[arg(long)]
    pub(crate) series: Option<String>,
    /// How to run
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// `catalog`.
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Build the catalog again from the manifests on the tiers alone
    #[command(after_help = "Example:\n  mainstay catalog rebuild")]
    Rebuild {
        /// Only from these tiers (repeatable)
        #[arg(long)]
        tier: Vec<String>,
    },
    /// Make recovery points of the backups that a database's own software keeps (Barman), and that are not known yet
    #[command(after_help = "Example:\n  mainstay catalog import core")]
    Import(ImportArguments),
    /// List the runs
    Runs {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Print the events of one run
    Events {
        /// Run
        run: String,
    },
}
