//! `report` as people type it.

use super::{LogFormat, instant};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use jiff::Timestamp;
use std::path::PathBuf;

/// `report`.
#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// What the policy demanded at each time, what there was, what was deleted by which rule, and what stands in the way
    #[command(
        after_help = "Examples:\n  mainstay report retention --from 2026-01-01 --to 2026-04-01 --format html --out retention.html\n  \
mainstay report retention --format csv --out tables/\n  mainstay report retention --check || alert"
    )]
    Retention(PeriodArguments),
    /// Control by control: what is protected and what is not, with the evidence behind each verdict
    #[command(
        after_help = "Examples:\n  mainstay report compliance --format html --out compliance.html\n  \
mainstay report compliance --sample 10 --seed 'lot 4711' --format html --out compliance.html\n  mainstay report compliance --format csv --table controls"
    )]
    Compliance {
        #[command(flatten)]
        period: PeriodArguments,
        #[command(flatten)]
        sample: SampleArguments,
    },
    /// List restores and drills for an auditor: what was proved, when, and whether promises were kept
    #[command(
        after_help = "Examples:\n  mainstay report recoveries --since 2026-01-01 --format html > proofs.html\n  mainstay report recoveries orders --json"
    )]
    Recoveries {
        /// Only of this database
        database: Option<String>,
        /// Only those that ended then or later
        #[arg(long, value_name = "TIME", value_parser = instant)]
        since: Option<Timestamp>,
        /// As what
        #[arg(long, value_enum, default_value_t = LogFormat::Markdown)]
        format: LogFormat,
    },
    /// Write the built-in templates into a folder, as a start for own ones; existing files stay
    Template {
        /// Folder
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// The period of a report, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct PeriodArguments {
    /// Begin of the period [default: three months before its end]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) from: Option<Timestamp>,
    /// End of the period [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) to: Option<Timestamp>,
    /// As what
    #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
    pub(crate) format: ReportFormat,
    /// Write it to this file (CSV: into this folder); what is there is replaced [default: standard output]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) out: Option<PathBuf>,
    /// Also write facts, policies, verdicts, report and digests to this tar file, for `audit recompute`; it must not exist
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) bundle: Option<PathBuf>,
    /// With CSV: only this table
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// Folder with own templates, `report.html.hbs` or `report.md.hbs`
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) template: Option<PathBuf>,
    /// Believe the catalog instead of listing the tiers
    #[arg(long)]
    pub(crate) trust_catalog: bool,
    /// Exit 6 when a control of the report is not met
    #[arg(long)]
    pub(crate) check: bool,
}

/// A sample that the auditor can draw again.
#[derive(Debug, Args)]
pub(crate) struct SampleArguments {
    /// Draw so many recovery points, with all that is known of each
    #[arg(long, value_name = "N", requires = "seed")]
    pub(crate) sample: Option<usize>,
    /// The auditor's word that decides which
    #[arg(long, value_name = "TEXT", requires = "sample")]
    pub(crate) seed: Option<String>,
}

/// A format of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Markdown
    Markdown,
    /// One HTML page that needs nothing beside itself
    Html,
    /// Every table as a file, into a folder
    Csv,
    /// Verdicts with their numbers
    Json,
    /// NIST OSCAL assessment results 1.1.3, JSON
    Oscal,
}
