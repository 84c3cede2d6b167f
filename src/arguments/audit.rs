//! `audit`: words only.

use super::instant;
use clap::{Args, Subcommand, ValueHint};
use jiff::Timestamp;
use model::audit::{AuditKind, SigningKeyName};
use std::path::PathBuf;

/// `audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show who did what, on what, why and when
    #[command(
        after_help = "Examples:\n  mainstay audit show --on orders --kind deletion --since 2026-11-01\n  mainstay audit show --json | jq -r .who | sort | uniq -c\n  \
mainstay audit show --key"
    )]
    Show(AuditShow),
    /// Check that no entry was edited, removed or moved: the chain in the catalog, and the signed exports on the tiers against it
    #[command(
        after_help = "Examples:\n  mainstay audit verify\n  mainstay audit verify --tier archive --key ed25519:…\n\n\
Exit 1 when anything is wrong. What could not be checked is said, and is no error."
    )]
    Verify(AuditVerify),
    /// Write the whole audit to a file, signed
    #[command(after_help = "Example:\n  mainstay audit export audit-2026.jsonl")]
    Export {
        /// File to write; it must not exist. `-` writes to stdout
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Compute every verdict of a report's bundle again, without database, network or policy; exit 1 when anything differs
    #[command(after_help = "Example:\n  mainstay audit recompute q1.tar")]
    Recompute {
        /// File that `report … --bundle` wrote
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        bundle: PathBuf,
        /// The public key that must have signed it, as `audit show --key` printed it where the report was made
        #[arg(long, value_name = "KEY")]
        key: Option<SigningKeyName>,
    },
}

/// `audit show`.
#[derive(Debug, Args)]
pub(crate) struct AuditShow {
    /// Only acts of then or later
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) since: Option<Timestamp>,
    /// Only acts before then
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) until: Option<Timestamp>,
    /// Only acts of this kind: deletion, hold, run, restore, key-rotation …
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Vec<AuditKind>,
    /// Only acts on this recovery point, database or series
    #[arg(long, value_name = "POINT|DATABASE")]
    pub(crate) on: Option<String>,
    /// Only the newest N of them
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Show the public key that signs the exports from here, to note it elsewhere
    #[arg(long, conflicts_with_all = ["since", "until", "kind", "on", "limit"])]
    pub(crate) key: bool,
}

/// `audit verify`.
#[derive(Debug, Args)]
pub(crate) struct AuditVerify {
    /// Only the exports on this tier
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Vec<String>,
    /// A public key that you noted elsewhere: then no other counts
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<SigningKeyName>,
}
