//! `prove` as people type it.

use super::instant;
use clap::Args;
use jiff::Timestamp;
use std::path::PathBuf;

/// What `prove` can be asked.
pub(super) const EXAMPLES: &str = "Examples:\n  mainstay prove\n  mainstay prove orders --years 7\n  mainstay prove --json | jq '.checks[] | select(.verdict != \"proved\")'\n  \
mainstay prove --inventory inventory.json --now 2026-11-21T02:00:00Z";

/// `prove`.
#[derive(Debug, Args)]
pub(crate) struct ProveArguments {
    /// Databases [default: every declared one]
    #[arg(value_name = "DATABASE")]
    pub(crate) databases: Vec<String>,
    /// How many years ahead schedules are followed
    #[arg(long, value_name = "N", default_value_t = planner::prove::DEFAULT_YEARS, value_parser = clap::value_parser!(u32).range(1..=30))]
    pub(crate) years: u32,
    /// Prove from this inventory, without network, state or clock; `-` reads stdin
    #[arg(long, value_name = "FILE", requires = "now")]
    pub(crate) inventory: Option<PathBuf>,
    /// Prove as if it were then
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) now: Option<Timestamp>,
}
