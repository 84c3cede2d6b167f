//! `approve` as people type it.

use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Examples below the help.
pub(super) const EXAMPLES: &str = "The signature is one of SSH over the id of the plan. It is kept in the catalog, if there is one here, and in \
PLAN.sig beside a saved plan, where `mainstay apply PLAN` finds it.\n\nExamples:\n  mainstay approve plan.json --key ~/.ssh/id_ed25519\n  \
mainstay approve plan.json --key alice.pub            # the private key is in the agent or in hardware\n  \
printf %s sha256:… | ssh-keygen -Y sign -n mainstay-plan -f KEY > alice.sig\n  mainstay approve plan.json --signature alice.sig";

/// `approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArguments {
    /// Saved plan, or the id of one
    #[arg(value_name = "PLAN|PLAN_ID")]
    pub(crate) plan: String,
    /// Sign with this key, by `ssh-keygen`: a private key, or the public part of one that the agent has
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "signature", required_unless_present = "signature")]
    pub(crate) key: Option<PathBuf>,
    /// Take the signature that somebody made; `-` reads stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) signature: Option<PathBuf>,
}
