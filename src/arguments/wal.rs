//! `wal`: the archive of a database's log.

use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// `wal`.
#[derive(Debug, Subcommand)]
pub(crate) enum WalCommand {
    /// Archive one file of the log; for `archive_command`
    #[command(
        after_help = "In postgresql.conf:\n  archive_mode = on\n  archive_command = 'mainstay wal push -p /etc/mainstay/mainstay.toml --database orders %p'\n\n\
Exit codes: 0 the file is archived, 1 it is not (PostgreSQL keeps it and asks again)."
    )]
    Push(WalPushArguments),
    /// Get one archived file back; for `restore_command`
    #[command(
        after_help = "In postgresql.conf:\n  restore_command = 'mainstay wal fetch -p /etc/mainstay/mainstay.toml --database orders %f %p'\n\n\
Exit codes: 0 the file is there, 1 it is not archived on any tier (PostgreSQL takes that for the end of the log), \
200 it cannot be told (PostgreSQL stops the recovery)."
    )]
    Fetch(WalFetchArguments),
}

/// Which archive.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalArchiveArguments {
    /// Database [default: the only one with an archive of its log]
    #[arg(long, value_name = "DATABASE")]
    pub(crate) database: Option<String>,
    /// Identifier of the cluster [default: what the segment or `global/pg_control` says]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) system_identifier: Option<u64>,
}

/// `wal push`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalPushArguments {
    /// The file: `%p` of `archive_command`
    #[arg(value_name = "%p", value_hint = ValueHint::FilePath)]
    pub(crate) path: PathBuf,
    /// Which archive.
    #[command(flatten)]
    pub(crate) archive: WalArchiveArguments,
}

/// `wal fetch`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalFetchArguments {
    /// Name of the file: `%f` of `restore_command`
    #[arg(value_name = "%f")]
    pub(crate) file: String,
    /// Where it is to be written: `%p`
    #[arg(value_name = "%p", value_hint = ValueHint::FilePath)]
    pub(crate) path: PathBuf,
    /// Which archive.
    #[command(flatten)]
    pub(crate) archive: WalArchiveArguments,
}
