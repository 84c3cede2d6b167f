//! What can go wrong with files, in an operator's words.

use crate::api::ProviderError;
use model::Disposition::{NeedsOperator, Permanent, Retry};
use std::{io, path::Path};

/// Trouble with a file that is read or written; `what` is the attempted work.
pub(super) fn file(what: &str, error: io::Error) -> ProviderError {
    let (code, disposition, help) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            "mainstay::files::full",
            NeedsOperator,
            "make room on the file system that is written to",
        ),
        io::ErrorKind::PermissionDenied => (
            "mainstay::files::denied",
            NeedsOperator,
            "let the user that runs mainstay read (for a backup) or write (for a restore) there, or exclude it on purpose",
        ),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (
            "mainstay::files::missing",
            Retry,
            "check the path; a file that comes and goes while others are read belongs into `exclude`",
        ),
        _ => (
            "mainstay::files::io",
            Retry,
            "look at the kernel's log (`dmesg`) and at the health of the disk",
        ),
    };
    ProviderError::new(code, disposition, format!("cannot {what}"))
        .help(help)
        .source(error)
}

pub(super) fn nothing_matches(pattern: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::files::nothing-matches",
        NeedsOperator,
        format!("nothing matches `{pattern}` of `paths`"),
    )
    .help("check the path, and that the disk it lies on is mounted; what is meant to be gone must go from `paths` too")
}

pub(super) fn changed(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::files::changed",
        Retry,
        format!("`{}` changed while it was read", path.display()),
    )
    .help("it is tried again; a file that is written all the time is no configuration: exclude it, or back it up with its own engine")
}

pub(super) fn unsafe_path(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::files::unsafe-path",
        Permanent,
        format!(
            "the stored archive holds `{}`, which would leave the target",
            path.display()
        ),
    )
    .help("nothing was restored; mainstay writes no such archive: look into who wrote this one, and use another copy or recovery point")
}

/// A target that is there, or that holds something of the same name.
pub(super) fn target_exists(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::files::target-exists",
        NeedsOperator,
        format!("`{}` exists already", path.display()),
    )
    .help(
        "restore to a new folder, or say `--replace` to put the files over those of the same name",
    )
}

pub(super) fn not_in_point(path: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::files::not-in-point",
        Permanent,
        format!("the recovery point holds no `{path}`"),
    )
    .help("paths in a recovery point are those of the source without the first slash, such as `etc/app/app.yaml`; restore all of it to a new folder to look")
}

pub(super) fn unsupported(message: &str) -> ProviderError {
    ProviderError::new("mainstay::files::unsupported", Permanent, message)
        .help("select parts of a set of files with `--path`")
}

pub(super) fn link_in_the_way(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::files::link-in-the-way",
        NeedsOperator,
        format!(
            "a folder of `{}` is a symbolic link in the target, or no folder",
            path.display()
        ),
    )
    .help("links are never followed while restoring, because they may lead out of the target; restore to a new folder and copy from there")
}

pub(super) fn stopped() -> ProviderError {
    ProviderError::new(
        "mainstay::files::stopped",
        Retry,
        "the work was stopped before its end",
    )
}

/// Turns an error of a plain stream into the provider error that is inside it.
pub(super) fn unreadable(error: io::Error) -> ProviderError {
    match error.downcast::<ProviderError>() {
        Ok(error) => error,
        Err(error) => ProviderError::new(
            "mainstay::files::damaged",
            Permanent,
            "cannot read the stored archive to its end",
        )
        .help("restore from another copy or another recovery point: mainstay list")
        .source(error),
    }
}
