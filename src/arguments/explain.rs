//! `explain` as people type it.

use super::instant;
use clap::Args;
use jiff::Timestamp;
use std::path::PathBuf;

/// Examples below the help.
pub(super) const EXAMPLES: &str = "Examples:\n  mainstay explain database.orders.series.daily.keep.nas\n  mainstay explain orders/daily/20261121T020000Z\n  \
mainstay explain orders/daily/20261121T020000Z --inventory inventory.json --json";

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// Path of keys in the policy, or a recovery point (database/series/slot)
    #[arg(value_name = "KEY.PATH|POINT")]
    pub(crate) what: String,
    /// Of a point: what exists; `-` reads stdin [default: what the catalog knows; no tier is asked]
    #[arg(long, value_name = "FILE")]
    pub(crate) inventory: Option<PathBuf>,
    /// Of a point: explain as if it were then [default: when the inventory was observed, else now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) now: Option<Timestamp>,
}
