//! What `key` takes.

use super::seconds;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// `key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the keys, whether they can be used, and which recovery points are lost without them; exit 1 if a key that opens something cannot be used
    #[command(
        after_help = "Examples:\n  mainstay key list\n  mainstay key list --json | jq '.keys[] | select(.usable | not)'"
    )]
    List,
    /// Make a key file, readable by its owner only; nothing is ever overwritten
    #[command(
        after_help = "Examples:\n  mainstay key generate prod\n  mainstay key generate --out keys/prod.key --passphrase-file /run/secrets/passphrase\n  \
mainstay key generate prod --keep-as keys/prod-2026.key   # a new key in the place of the old one"
    )]
    Generate(KeyGenerate),
    /// Wrap the data keys of what is stored for the keys of `encrypt-with`, and for no other; the data is not touched
    #[command(
        after_help = "Examples:\n  mainstay key rotate\n  mainstay key rotate orders --tier offsite --why 'prod key of 2026 retired'"
    )]
    Rotate(KeyRotate),
}

/// `key generate`.
#[derive(Debug, Args)]
pub(crate) struct KeyGenerate {
    /// Key of the policy, of kind `local`, whose file is made
    pub(crate) key: Option<String>,
    /// Make this file instead; needs no policy
    #[arg(long, value_name = "FILE", conflicts_with = "key", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
    /// Put the new key in the place of the file that is there, and give that one this name
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) keep_as: Option<PathBuf>,
    /// With --out: protect the file with the passphrase in this environment variable
    #[arg(
        long,
        value_name = "NAME",
        requires = "out",
        conflicts_with = "passphrase_file"
    )]
    pub(crate) passphrase_env: Option<String>,
    /// With --out: protect the file with the passphrase in this file
    #[arg(long, value_name = "FILE", requires = "out", value_hint = ValueHint::FilePath)]
    pub(crate) passphrase_file: Option<String>,
}

/// `key rotate`.
#[derive(Debug, Args)]
pub(crate) struct KeyRotate {
    /// Only these databases
    pub(crate) database: Vec<String>,
    /// Only on this tier (repeatable)
    #[arg(long)]
    pub(crate) tier: Vec<String>,
    /// Keep recipients that `encrypt-with` does not name any more
    #[arg(long)]
    pub(crate) keep_old: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Wait so long for another run to end
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = seconds)]
    pub(crate) lease_wait: u64,
}
