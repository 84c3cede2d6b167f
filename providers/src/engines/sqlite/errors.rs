//! What SQLite's and the file system's errors mean for an operator.

use crate::api::ProviderError;
use model::Disposition::{self, NeedsOperator, Permanent, Retry};
use rusqlite::ErrorCode;
use std::{io, path::Path};

/// `what` is the attempted work: "read the database `x.db`".
pub(super) fn sqlite(what: &str, error: rusqlite::Error) -> ProviderError {
    let (code, disposition, help) = kind(&error);
    ProviderError::new(code, disposition, format!("cannot {what}"))
        .help(help)
        .source(error)
}

fn kind(error: &rusqlite::Error) -> (&'static str, Disposition, &'static str) {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => (
            "mainstay::sqlite::not-a-database",
            NeedsOperator,
            "check that `path` names an SQLite database; a file that is encrypted as a whole cannot be read either",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            "mainstay::sqlite::corrupt",
            NeedsOperator,
            "the file is damaged or cut short: run `PRAGMA integrity_check` on it, and restore it from a good recovery point",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            "mainstay::sqlite::busy",
            Retry,
            "another program holds the database; it is tried again, or stop that program",
        ),
        Some(ErrorCode::DiskFull) => (
            "mainstay::sqlite::scratch-full",
            NeedsOperator,
            "make room where temporary files are written",
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            "mainstay::sqlite::open",
            NeedsOperator,
            "let mainstay read the file and write in its folder: a database in WAL mode needs its `-shm` file there, and one whose writer crashed must first be opened once by its own program",
        ),
        _ => (
            "mainstay::sqlite::failed",
            Retry,
            "look at the cause; if it stays, run `PRAGMA integrity_check` on the database",
        ),
    }
}

pub(super) fn missing(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::sqlite::missing",
        NeedsOperator,
        format!("the database file `{}` is not there", path.display()),
    )
    .help("check `path` in the policy, and that the disk it lies on is mounted")
}

pub(super) fn empty(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::sqlite::empty",
        NeedsOperator,
        format!("the database file `{}` has no page", path.display()),
    )
    .help("an empty file is more often a lost database than a new one; create the schema first, or restore it")
}

/// Trouble with a file of our own: staging, scratch, target.
pub(super) fn file(what: &str, error: io::Error) -> ProviderError {
    let (code, disposition, help) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            "mainstay::sqlite::scratch-full",
            NeedsOperator,
            "make room on the file system that is written to",
        ),
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory => (
            "mainstay::sqlite::file",
            NeedsOperator,
            "check that the folder exists and that mainstay may write there",
        ),
        _ => (
            "mainstay::sqlite::file",
            Retry,
            "look at the kernel's log (`dmesg`) and at the health of the disk",
        ),
    };
    ProviderError::new(code, disposition, format!("cannot {what}"))
        .help(help)
        .source(error)
}

pub(super) fn target_exists(what: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::sqlite::target-exists",
        NeedsOperator,
        format!("{what} exists already"),
    )
    .help("restore to another path, or say `--replace` to overwrite it")
}

pub(super) fn target_busy(path: &Path, error: rusqlite::Error) -> ProviderError {
    ProviderError::new(
        "mainstay::sqlite::target-busy",
        NeedsOperator,
        format!(
            "the database `{}` is in use and was not replaced",
            path.display()
        ),
    )
    .help("stop the program that uses it, then restore again")
    .source(error)
}

pub(super) fn failed_checks(path: &Path, failed: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::sqlite::restore-check",
        Permanent,
        format!(
            "the restored copy failed its checks ({failed}), so `{}` was not replaced",
            path.display()
        ),
    )
    .help("restore to a new path to look at the copy, or choose another recovery point with `mainstay list`")
}

pub(super) fn no_table(name: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::sqlite::no-table",
        Permanent,
        format!("the recovery point has no ordinary table `{name}`"),
    )
    .help("`mainstay info POINT` lists its tables; virtual tables come back with a restore of the whole file")
}

pub(super) fn unsupported(message: String) -> ProviderError {
    ProviderError::new("mainstay::sqlite::unsupported", Permanent, message)
        .help("see `docs/errors/sqlite-unsupported.md` for what this engine can do")
}

pub(super) fn given_up() -> ProviderError {
    ProviderError::new(
        "mainstay::sqlite::stopped",
        Retry,
        "the work was stopped before its end",
    )
}
