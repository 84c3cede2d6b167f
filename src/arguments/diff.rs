//! `diff` as people type it.

use super::instant;
use clap::Args;
use jiff::Timestamp;
use std::path::PathBuf;

/// Examples below the help.
pub(super) const EXAMPLES: &str = "OLD and NEW are policy files, folders of *.toml, or Git revisions; a revision's policy is read at the path of \
--policy in the repository, or at the one behind a colon. One revision alone is compared with the files as they are; OLD..NEW and OLD...NEW \
(since NEW left OLD) work as in Git.\n\nExit code 3: retention becomes shorter, so that points would be deleted or expire earlier; agree to exactly \
this change with --accept ID. Nothing is ever deleted here: apply asks again.\n\nExamples:\n  mainstay diff main\n  mainstay diff main...HEAD --markdown > comment.md\n  \
mainstay diff v1.4:policy HEAD:policy --inventory inventory.json --json\n  mainstay diff old.toml new.toml --inventory inventory.json --now 2026-11-21T02:00:00Z\n  \
mainstay diff main..HEAD --accept sha256:…";

/// `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// The policy as it is now: a file, a folder, a Git revision, REVISION:PATH, or both sides as OLD..NEW
    #[arg(value_name = "OLD")]
    pub(crate) old: String,
    /// The policy as it would be [default: the policy as it lies on the disk]
    #[arg(value_name = "NEW")]
    pub(crate) new: Option<String>,
    /// What exists; `-` reads stdin [default: what the catalog knows; no tier is asked]
    #[arg(long, value_name = "FILE")]
    pub(crate) inventory: Option<PathBuf>,
    /// Compare as if it were then [default: when the inventory was observed, else now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) now: Option<Timestamp>,
    /// Print Markdown for a pull request (under 60,000 characters)
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Agree to the change with this id, as an earlier diff printed it: exit 0 instead of 3
    #[arg(long, value_name = "ID")]
    pub(crate) accept: Option<String>,
}
