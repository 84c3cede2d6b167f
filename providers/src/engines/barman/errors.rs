//! What can go wrong with Barman, in an operator's words.

use crate::api::ProviderError;
use model::Disposition::{NeedsOperator, Permanent, Retry};
use std::{io, path::Path};

/// Barman said no; `words` are its own.
pub(super) fn failed(what: &str, words: &str) -> ProviderError {
    let said = if words.is_empty() {
        String::new()
    } else {
        format!(", saying: {words}")
    };
    // Barman has no codes; what passes (another backup is running, the log has not come) is the most frequent.
    ProviderError::new(
        "mainstay::barman::failed",
        Retry,
        format!("`barman {what}` failed{said}"),
    )
    .help("run it by hand as Barman's user, and `barman check SERVER`; more stands in Barman's log file")
}

pub(super) fn unexpected(what: &str, why: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::barman::unexpected",
        NeedsOperator,
        format!("what `barman {what}` printed cannot be understood: {why}"),
    )
    .help("run it by hand with `--format json`; Barman 3.4 or newer is needed")
}

pub(super) fn missing(server: &str, id: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::barman::missing",
        NeedsOperator,
        format!("missing in Barman: server `{server}` has no backup `{id}` any more"),
    )
    .help("Barman's retention or a person deleted it; restore another recovery point: mainstay list, or barman list-backups")
}

pub(super) fn not_done(server: &str, id: &str, status: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::barman::not-done",
        Retry,
        format!("backup `{id}` of `{server}` is not complete in Barman: its status is `{status}`"),
    )
    .help("WAITING_FOR_WALS means that the log does not arrive: `barman check SERVER` and `barman switch-wal --force --archive SERVER`")
}

pub(super) fn unsupported(message: impl Into<String>) -> ProviderError {
    ProviderError::new("mainstay::barman::unsupported", Permanent, message)
        .help("Barman restores whole clusters: restore to a folder, start it, and take from there what is needed")
}

pub(super) fn not_reachable(message: String) -> ProviderError {
    ProviderError::new("mainstay::barman::not-reachable", NeedsOperator, message)
        .help("choose a moment after the end of a backup and before the newest archived log; what was written since arrives with `barman switch-wal --force --archive SERVER`")
}

pub(super) fn target_exists(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::barman::target-exists",
        NeedsOperator,
        format!("`{}` exists already", path.display()),
    )
    .help("restore to a new folder, or say `--replace` for a folder whose server is stopped")
}

pub(super) fn target_runs(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::barman::target-runs",
        NeedsOperator,
        format!("a server seems to run in `{}`", path.display()),
    )
    .help("stop it first; remove its `postmaster.pid` only if you are sure that it is not running")
}

/// Trouble with a file or folder; `what` is the attempted work.
pub(super) fn file(what: &str, path: &Path, error: io::Error) -> ProviderError {
    ProviderError::new(
        "mainstay::barman::file",
        NeedsOperator,
        format!("cannot {what} `{}`", path.display()),
    )
    .help("Mainstay runs as Barman's user or as root, and Barman's user must be able to reach the folder")
    .source(error)
}

pub(super) fn user(name: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::barman::user",
        NeedsOperator,
        format!("there is no user `{name}` on this machine"),
    )
    .help("correct `user` or `owner` in the policy")
}

/// A server that was started to check a restore did not get there; `words` are the end of its log.
pub(super) fn scratch_server(why: &str, words: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::barman::scratch-server",
        NeedsOperator,
        format!("the restored server {why}; its log ends with: {words}"),
    )
    .help("\"recovery ended before configured recovery target was reached\" means that the target lies after the last archived commit")
}
