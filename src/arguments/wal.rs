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
    /// Archive the log of a server without being asked for each file: `wal push` then takes a few milliseconds
    #[command(
        after_help = "Runs until SIGTERM, as the user that PostgreSQL runs as; docs/wal.md has a unit for systemd.\n\n\
Example:\n  mainstay wal run -p /etc/mainstay/mainstay.toml --database orders"
    )]
    Run(WalRunArguments),
    /// Show which moments can be recovered, what is missing, and how far the archive is behind
    #[command(
        after_help = "Exit codes: 0 as promised, 6 a hole cuts a window or more than the RPO would be lost now, 1 something could not be asked.\n\n\
Example:\n  mainstay wal status orders --json"
    )]
    Status(WalStatusArguments),
    /// Say that another cluster has come in the place of the one that archived until now
    #[command(
        after_help = "Example:\n  mainstay wal accept orders --system-identifier 7300000000000000001 --why 'upgraded to 17 with pg_upgrade'"
    )]
    Accept(WalAcceptArguments),
    /// Fetch ahead for a server that recovers; `wal fetch` starts it
    #[command(hide = true)]
    Prefetch(WalFetchArguments),
}

/// `wal run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalRunArguments {
    /// Database [default: the only one with an archive of its log]
    #[arg(long, value_name = "DATABASE")]
    pub(crate) database: Option<String>,
    /// Folder for the socket [default: .mainstay/wal beside the policy]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) socket: Option<PathBuf>,
}

/// `wal status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalStatusArguments {
    /// Database [default: all with an archive of their log]
    pub(crate) database: Option<String>,
}

/// `wal accept`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalAcceptArguments {
    /// Database
    pub(crate) database: String,
    /// Identifier of the cluster whose files are archived from now on
    #[arg(long, value_name = "NUMBER")]
    pub(crate) system_identifier: u64,
    /// Size of its segments, if that was changed
    #[arg(long, value_name = "BYTES")]
    pub(crate) segment_bytes: Option<u64>,
    /// Although the database's server says that its cluster is another one
    #[arg(long)]
    pub(crate) even_so: bool,
    /// Why; it is kept beside the log
    #[arg(long)]
    pub(crate) why: String,
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
    /// Folder of the agent's socket [default: .mainstay/wal beside the policy]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) socket: Option<PathBuf>,
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
    /// How many segments are fetched ahead; 0: none
    #[arg(long, value_name = "SEGMENTS", default_value_t = 4)]
    pub(crate) prefetch: usize,
}
