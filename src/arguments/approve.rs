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
    /// Saved plan, or the id of one, or of the release of a hold
    #[arg(value_name = "PLAN|ID", required_unless_present_any = ["reset", "cancel_reset"])]
    pub(crate) plan: Option<String>,
    /// Sign with this key, by `ssh-keygen`: a private key, or the public part of one that the agent has
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "signature", required_unless_present_any = ["signature", "reset", "cancel_reset"])]
    pub(crate) key: Option<PathBuf>,
    /// Take the signature that somebody made; `-` reads stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) signature: Option<PathBuf>,
    /// Ask that no signatures are needed any more, because keys are lost; after seven days in which everybody sees it, give it again
    #[arg(long, requires = "why", conflicts_with_all = ["plan", "key", "signature", "cancel_reset"])]
    pub(crate) reset: bool,
    /// Take back what `--reset` asked for
    #[arg(long, requires = "why", conflicts_with_all = ["plan", "key", "signature"])]
    pub(crate) cancel_reset: bool,
    /// With --reset and --cancel-reset: why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
}
