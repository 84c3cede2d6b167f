//! What `catalog` takes.

use super::{RunArguments, seconds};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// `catalog import`.
#[derive(Debug, Args)]
pub(crate) struct CatalogImportArguments {
    /// Database
    pub(crate) database: String,
    /// Series that gets them [default: the one that runs most often]
    #[arg(long)]
    pub(crate) series: Option<String>,
    /// How to run
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// Where the time of an existing file is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CapturedAt {
    /// From its name; from inside it where that is more exact, or where the name has no time
    Found,
    /// From its name alone
    Name,
    /// From inside it alone: most dumps know when they were made
    Inside,
    /// When it was written last; wrong for files that were copied since
    Modified,
}

/// `catalog adopt`.
#[derive(Debug, Args)]
pub(crate) struct AdoptArguments {
    /// Database that the files are states of
    pub(crate) database: String,
    /// A file, a folder, a pattern in quotes, or TIER:PREFIX for files that lie on a tier
    #[arg(required = true, value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub(crate) sources: Vec<PathBuf>,
    /// Series that gets them; needed where several could
    #[arg(long)]
    pub(crate) series: Option<String>,
    /// Where their times are taken from
    #[arg(long, value_enum, default_value = "found")]
    pub(crate) captured_at: CapturedAt,
    /// How times are written in the names, as strptime reads it: %d-%m-%Y, %y%m%d_%H%M; with / it is looked for in whole paths
    #[arg(long, value_name = "FORMAT")]
    pub(crate) time_format: Option<String>,
    /// Zone of times that name none [default: the policy's]
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// Only files of before then: a day (in that zone) or an instant
    #[arg(long, value_name = "TIME")]
    pub(crate) before: Option<String>,
    /// Also dumps that carry another database's name, such as one that was renamed
    #[arg(long)]
    pub(crate) any_database: bool,
    /// Also when points that are kept today would then be let go by the next apply
    #[arg(long)]
    pub(crate) displace: bool,
    /// Show what would be done, and do nothing
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
    /// Steps at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) parallel: u16,
    /// Wait so long for another run to end
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = seconds)]
    pub(crate) lease_wait: u64,
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
    Import(CatalogImportArguments),
    /// Make recovery points of existing files, such as the nightly dumps of a script; the files stay as they are
    #[command(
        after_help = "What a file is, is told by its content: dumps of pg_dump (custom, tar, plain SQL) and SQLite files, also packed with gzip \
or zstd. Each is read to its end and proved before it counts. What no keep rule would keep is left where it is.\n\n\
Examples:\n  mainstay catalog adopt erp /mnt/nas/erp --dry-run\n  mainstay catalog adopt erp /mnt/nas/erp\n  \
mainstay catalog adopt orders '/mnt/nas/orders-*.sql.gz' --series nightly\n  \
mainstay catalog adopt shop /old/shop --time-format %d-%m-%Y\n  mainstay catalog adopt erp archive:old/erp_"
    )]
    Adopt(Box<AdoptArguments>),
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
