//! What `hold` takes.

use super::{instant, point};
use clap::Subcommand;
use jiff::Timestamp;
use model::RecoveryPointId;

/// `hold`.
#[derive(Debug, Subcommand)]
pub(crate) enum HoldCommand {
    /// Forbid the deletion of a recovery point, on every tier
    #[command(
        after_help = "Example:\n  mainstay hold add orders/daily/20261121T020000Z --why 'audit 2026' --until 2027-06-30"
    )]
    Add {
        /// Recovery point
        #[arg(value_parser = point)]
        point: RecoveryPointId,
        /// Why
        #[arg(long)]
        why: String,
        /// Until when [default: until released]
        #[arg(long, value_parser = instant)]
        until: Option<Timestamp>,
        /// Who orders it [default: the user]
        #[arg(long)]
        who: Option<String>,
    },
    /// Allow the deletion again
    Release {
        /// Recovery point
        #[arg(value_parser = point)]
        point: RecoveryPointId,
        /// Why
        #[arg(long)]
        why: String,
        /// Who orders it [default: the user]
        #[arg(long)]
        who: Option<String>,
    },
    /// List holds
    List,
}
