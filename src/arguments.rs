//! The command line as people type it. Words only; what a command does is in `commands/`.

mod approve;
mod audit;
mod catalog;
mod diff;
mod drill;
mod explain;
mod hold;
mod import;
mod key;
mod prove;
mod report;
mod restore;
mod simulate;
mod wal;

pub(crate) use approve::ApproveArguments;
pub(crate) use audit::{AuditCommand, AuditShow, AuditVerify};
pub(crate) use catalog::{AdoptArguments, CapturedAt, CatalogCommand, CatalogImportArguments};
pub(crate) use diff::DiffArguments;
pub(crate) use drill::{DrillArguments, DrillCommand, LogFormat, RunbookArguments, RunbookFormat};
pub(crate) use explain::ExplainArguments;
pub(crate) use hold::HoldCommand;
pub(crate) use import::{ImportArguments, ImportTool};
pub(crate) use key::{KeyCommand, KeyGenerate, KeyRotate};
pub(crate) use prove::ProveArguments;
pub(crate) use report::{PeriodArguments, ReportCommand, ReportFormat, SampleArguments};
pub(crate) use restore::{Moment, RestoreArguments, ThawChoice};
pub(crate) use simulate::SimulateArguments;
pub(crate) use wal::{
    WalAcceptArguments, WalArchiveArguments, WalCommand, WalFetchArguments, WalPushArguments,
    WalRunArguments, WalStatusArguments,
};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use jiff::Timestamp;
use model::{ByteCount, RecoveryPointId, VerifyLevel};
use std::path::PathBuf;

/// Declarative database backups: plan, apply, verify, restore, prove.
#[derive(Debug, Parser)]
#[command(
    name = "mainstay",
    bin_name = "mainstay",
    version,
    max_term_width = 110,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 changes planned (plan --detailed-exitcode), 3 needs approval, 4 invalid policy, \
5 drift found, 6 objective violated, 7 stale plan, 8 locked by another run, 9 some steps failed, 10 blocked.\n\n\
First steps:\n  mainstay init postgres://db.example.com/orders\n  mainstay plan\n  mainstay apply"
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Options that every command knows.
    #[command(flatten)]
    pub(crate) global: Global,
}

/// Options that every command knows.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Policy file or folder of *.toml [default: ./mainstay.toml, else ./policy/]
    #[arg(short, long, global = true, value_name = "PATH", env = "MAINSTAY_POLICY", value_hint = ValueHint::AnyPath)]
    pub(crate) policy: Option<PathBuf>,
    /// Where state is kept: an SQLite file or a postgres:// URL [default: .mainstay/state.db beside the policy]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "MAINSTAY_STATE",
        hide_env_values = true
    )]
    pub(crate) state: Option<String>,
    /// Folder for files that must be staged, as large as the largest database [default: .mainstay/scratch beside the policy]
    #[arg(
        id = "scratch-folder",
        long = "scratch-folder",
        global = true,
        value_name = "DIR",
        env = "MAINSTAY_SCRATCH",
        value_hint = ValueHint::DirPath
    )]
    pub(crate) scratch: Option<PathBuf>,
    /// Treat warnings about the policy as errors
    #[arg(long, global = true)]
    pub(crate) strict: bool,
    /// Print data as JSON on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours; `NO_COLOR` is honoured
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, hide = true)]
    pub(crate) color: ColorChoice,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a first, commented policy for a database
    #[command(
        after_help = "Examples:\n  mainstay init postgres://db.example.com/orders\n  mainstay init ./shop.db --out mainstay.toml"
    )]
    Init(InitArguments),
    /// Write the policy that keeps what restic, borg, pgBackRest or Barman keeps, and prove it by simulation
    #[command(after_help = import::EXAMPLES)]
    Import(ImportArguments),
    /// Check the policy and show every mistake at its place
    #[command(
        after_help = "Examples:\n  mainstay validate\n  mainstay validate -p policy/ --strict\n  mainstay validate --json | jq '.findings[] | .code'"
    )]
    Validate,
    /// Print the JSON Schema of the policy language, for editors
    #[command(
        after_help = "Example:\n  mainstay schema > mainstay.schema.json\n  # first line of a policy, for editors that use Taplo:\n  #:schema ./mainstay.schema.json"
    )]
    Schema,
    /// Format policy files in place
    #[command(after_help = "Examples:\n  mainstay fmt\n  mainstay fmt --check policy/*.toml")]
    Fmt(FmtArguments),
    /// Tell where a value of the policy comes from, or why a recovery point is kept and until when
    #[command(after_help = explain::EXAMPLES)]
    Explain(ExplainArguments),
    /// Show what a change of the policy does to the recovery points that exist
    #[command(after_help = diff::EXAMPLES)]
    Diff(DiffArguments),
    /// Show what apply would do, and why
    #[command(
        after_help = "Examples:\n  mainstay plan\n  mainstay plan --out plan.json --detailed-exitcode\n  mainstay plan --markdown > comment.md\n  \
mainstay plan --inventory inventory.json --now 2026-11-21T02:00:00Z --json"
    )]
    Plan(PlanArguments),
    /// Show a saved plan
    #[command(after_help = "Example:\n  mainstay show plan.json")]
    Show(ShowArguments),
    /// Agree, as a signer, to a saved plan that deletes more than routine
    #[command(after_help = approve::EXAMPLES)]
    Approve(ApproveArguments),
    /// Carry out a plan: the saved one, or a new one after showing it
    #[command(
        after_help = "Examples:\n  mainstay apply\n  mainstay apply --auto-approve\n  mainstay apply plan.json --approve sha256:…\n  \
mainstay apply --from-git https://git.example.com/backups.git@main --path policy --auto-approve"
    )]
    Apply(ApplyArguments),
    /// Back up a database now, outside its schedule
    #[command(after_help = "Example:\n  mainstay backup orders --series daily")]
    Backup(BackupArguments),
    /// Show for each database how old its newest good recovery point is, and whether its objectives hold
    #[command(after_help = "Example:\n  mainstay status || alert")]
    Status,
    /// Prove that the policy keeps its objectives for every age of a state, or show where not and what would mend it
    #[command(after_help = prove::EXAMPLES)]
    Prove(ProveArguments),
    /// List recovery points
    #[command(after_help = "Examples:\n  mainstay list\n  mainstay list orders --tier nas")]
    List(ListArguments),
    /// Show everything known about one recovery point
    #[command(after_help = "Example:\n  mainstay info orders/daily/20261121T020000Z")]
    Info {
        /// Recovery point, or a database for its newest
        #[arg(value_name = "POINT")]
        point: String,
    },
    /// Print what exists, as JSON for `plan --inventory`
    #[command(after_help = "Example:\n  mainstay inventory --json --refresh > inventory.json")]
    Inventory {
        /// List the tiers instead of trusting the catalog
        #[arg(long)]
        refresh: bool,
    },
    /// Verify copies now
    #[command(
        after_help = "Examples:\n  mainstay verify orders --level full-read\n  mainstay verify orders/daily/20261121T020000Z --tier nas --level restore"
    )]
    Verify(VerifyArguments),
    /// Restore a recovery point, or any moment that the archived log reaches
    #[command(after_help = restore::EXAMPLES)]
    Restore(RestoreArguments),
    /// Restore for a test now: to a scratch target, checked, timed, recorded
    #[command(
        after_help = "Examples:\n  mainstay drill orders\n  mainstay drill orders --name monthly --from archive\n  mainstay drill --prove-it-can-fail\n  \
mainstay drill list orders\n  mainstay drill show drill-monthly-20261121T050000Z-4711 --format html > log.html"
    )]
    Drill(DrillArguments),
    /// Run the policy forward: which recovery points exist when, how much lies where, and what it costs
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(SimulateArguments),
    /// Print documents for auditors
    #[command(subcommand)]
    Report(ReportCommand),
    /// Print the exact commands that bring a database back, for each disaster
    #[command(
        after_help = "Example:\n  mainstay runbook orders --format html --out orders-runbook.html"
    )]
    Runbook(RunbookArguments),
    /// Forbid, or allow again, the deletion of a recovery point
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Look after encryption keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Look after tiers
    #[command(subcommand)]
    Tier(TierCommand),
    /// Archive the log of a server, and get it back
    #[command(subcommand)]
    Wal(WalCommand),
    /// Show what was done, and check that nobody has changed what it says
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Look after the catalog
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Print the completions of a shell
    #[command(
        after_help = "Example:\n  mainstay completions bash > /etc/bash_completion.d/mainstay"
    )]
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
}

/// `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// URL of a PostgreSQL database, or path of an SQLite file
    #[arg(value_name = "DATABASE")]
    pub(crate) database: String,
    /// File to write; it must not exist. `-` writes to stdout
    #[arg(long, default_value = "mainstay.toml", value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// `fmt`.
#[derive(Debug, Args)]
pub(crate) struct FmtArguments {
    /// Change nothing; list the files that would change and exit 1
    #[arg(long)]
    pub(crate) check: bool,
    /// Files [default: those of the policy]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
}

/// What a plan is made from; shared by `plan` and `apply`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PlanSource {
    /// List the tiers first, and plan repairs for what was lost or damaged
    #[arg(long)]
    pub(crate) refresh: bool,
    /// Plan the deletion of the points of a database or database/series that is no longer declared (needs approval)
    #[arg(long, value_name = "DATABASE[/SERIES]")]
    pub(crate) purge: Vec<String>,
}

/// `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) source: PlanSource,
    /// Only compare the catalog with the tiers; exit 5 if they differ
    #[arg(long, conflicts_with_all = ["inventory", "purge", "out", "graph"])]
    pub(crate) refresh_only: bool,
    /// Plan from this inventory, without network, state or clock; `-` reads stdin
    #[arg(
        long,
        value_name = "FILE",
        requires = "now",
        conflicts_with = "refresh"
    )]
    pub(crate) inventory: Option<PathBuf>,
    /// Plan as if it were then
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) now: Option<Timestamp>,
    /// Save the plan for `apply`; the file must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Exit 2 when there is something to do
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Print Markdown for a pull request (under 60,000 characters)
    #[arg(long, conflicts_with_all = ["json", "graph"])]
    pub(crate) markdown: bool,
    /// Print the graph of steps in DOT
    #[arg(long, conflicts_with = "json")]
    pub(crate) graph: bool,
}

/// `show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// Saved plan; `-` reads stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print Markdown
    #[arg(long, conflicts_with_all = ["json", "graph"])]
    pub(crate) markdown: bool,
    /// Print the graph of steps in DOT
    #[arg(long, conflicts_with = "json")]
    pub(crate) graph: bool,
}

/// `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArguments {
    /// Saved plan [default: plan now]
    #[arg(value_name = "PLAN")]
    pub(crate) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: PlanSource,
    #[command(flatten)]
    pub(crate) follow: FollowArguments,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// Where `apply` gets the policy from, if not from the disk.
#[derive(Debug, Clone, Args)]
pub(crate) struct FollowArguments {
    /// Fetch the policy from a branch of a Git repository; one that was rewritten or went back is refused
    #[arg(long, value_name = "URL@BRANCH", conflicts_with = "plan")]
    pub(crate) from_git: Option<String>,
    /// Where in the repository the policy lies
    #[arg(long, value_name = "DIR", default_value = ".", requires = "from_git")]
    pub(crate) path: PathBuf,
    /// The commit must be signed (SSH) by an allowed signer: one of the approval rules in force, or of this file
    #[arg(long, value_name = "ALLOWED_SIGNERS", num_args = 0..=1, requires = "from_git", value_hint = ValueHint::FilePath)]
    #[expect(
        clippy::option_option,
        reason = "not asked, asked, and asked with a file are three things"
    )]
    pub(crate) verify_signature: Option<Option<PathBuf>>,
    /// Follow the branch to this commit although its history was rewritten or went back
    #[arg(long, value_name = "COMMIT", requires = "from_git")]
    pub(crate) accept_history: Option<String>,
    /// Give the repository up when it does not answer for so long
    #[arg(long, value_name = "DURATION", default_value = "10m", requires = "from_git", value_parser = seconds)]
    pub(crate) fetch_timeout: u64,
}

/// How a run goes; shared by `apply` and `backup`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArguments {
    /// Do not ask; what needs approval still needs --approve
    #[arg(long, visible_alias = "yes", short = 'y')]
    pub(crate) auto_approve: bool,
    /// Approve the destructive steps of the plan with this id
    #[arg(long, value_name = "PLAN_ID")]
    pub(crate) approve: Option<String>,
    /// Steps at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) parallel: u16,
    /// Wait so long for another run to end
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = seconds)]
    pub(crate) lease_wait: u64,
}

/// `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// Database
    pub(crate) database: String,
    /// Series whose method, tiers and retention are used [default: the one that runs most often]
    #[arg(long)]
    pub(crate) series: Option<String>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only this database
    pub(crate) database: Option<String>,
    /// Only this series
    #[arg(long)]
    pub(crate) series: Option<String>,
    /// Only points with a copy on this tier
    #[arg(long)]
    pub(crate) tier: Option<String>,
}

/// `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Recovery point, or a database for its newest points [default: the newest of every database]
    #[arg(value_name = "POINT|DATABASE")]
    pub(crate) what: Option<String>,
    /// How thoroughly
    #[arg(long, default_value = "full-read", value_parser = level)]
    pub(crate) level: VerifyLevel,
    /// Only the copy on this tier [default: every copy]
    #[arg(long)]
    pub(crate) tier: Option<String>,
    /// Every kept point, not only the newest
    #[arg(long)]
    pub(crate) all: bool,
}

/// `tier`.
#[derive(Debug, Subcommand)]
pub(crate) enum TierCommand {
    /// Try what each tier really does, on objects of its own that are removed again; exit 1 if something that is needed is missing
    #[command(
        after_help = "Examples:\n  mainstay tier probe\n  mainstay tier probe offsite archive --json"
    )]
    Probe {
        /// Only these tiers
        tier: Vec<String>,
    },
}

fn level(text: &str) -> Result<VerifyLevel, String> {
    text.parse()
}

fn point(text: &str) -> Result<RecoveryPointId, String> {
    RecoveryPointId::parse(text).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<u64, String> {
    let period = model::Period::parse(text)?;
    let fixed = period
        .fixed()
        .ok_or("months and years have no fixed length")?;
    u64::try_from(fixed.as_secs()).map_err(|error| error.to_string())
}

/// An instant: RFC 3339, `2026-11-20 12:00+01`, or a date, which means its first moment in UTC.
fn instant(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    let hint = || {
        format!(
            "`{text}` is not a time; write it with its zone, like 2026-11-21T02:00:00Z or '2026-11-21 03:00+01'"
        )
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(zoned) = text.parse::<jiff::Zoned>() {
        return Ok(zoned.timestamp());
    }
    if text.len() == 10
        && let Ok(date) = text.parse::<jiff::civil::Date>()
    {
        return date
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map(|zoned| zoned.timestamp())
            .map_err(|_| hint());
    }
    Err(hint())
}

/// Bytes of a plan's Markdown at most.
pub(crate) const MARKDOWN_LIMIT: ByteCount = ByteCount(60_000);
