//! When a key file may be used: it is a file, nobody but its owner can read it, and it is of the right form.

use super::file::{KeyFile, KeyFileError};
use crate::{
    api::{ProviderError, Result},
    keys::errors,
};
use model::Disposition;
use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};
use std::{fs::File, io::Read as _, path::Path};
use zeroize::Zeroizing;

/// Permissions of group and others.
const OF_OTHERS: u32 = 0o077;
/// Far more than a key file ever has.
const LONGEST: u64 = 64 * 1024;

/// How a key file is called in messages.
pub(super) fn called(path: &Path) -> String {
    format!("the key file `{}`", path.display())
}

/// Reads a key file; its key stays as it is there.
pub(super) fn read(path: &Path) -> Result<KeyFile> {
    let what = called(path);
    // Not to hang where somebody has put a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Err(missing(path)),
        Err(errno) => return Err(errors::unreadable(&what, errno.into())),
    };
    // Of the opened file, so that a symbolic link is judged by what it leads to, and nothing can be swapped in between.
    let stat = rustix::fs::fstat(&fd).map_err(|errno| errors::unreadable(&what, errno.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(errors::bad_file(&what, "it is not a file"));
    }
    if stat.st_mode & OF_OTHERS != 0 {
        return Err(readable_by_others(path, stat.st_mode & 0o777));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    File::from(fd)
        .take(LONGEST)
        .read_to_end(&mut bytes)
        .map_err(|error| errors::unreadable(&what, error))?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| errors::bad_file(&what, "it is not text"))?;
    KeyFile::parse(text).map_err(|error| bad(path, &error))
}

/// Nothing is at the path.
fn missing(path: &Path) -> ProviderError {
    errors::missing(
        &called(path),
        "put back the copy that you keep elsewhere; only for a new key, make one with `mainstay key generate`",
    )
}

fn readable_by_others(path: &Path, mode: u32) -> ProviderError {
    ProviderError::new(
        "mainstay::key::readable-by-others",
        Disposition::NeedsOperator,
        format!(
            "{} can be used by others than its owner (its mode is {mode:04o})",
            called(path)
        ),
    )
    .help(format!(
        "run `chmod 600 {}`, and if others may have read it, replace the key with `mainstay key rotate`",
        path.display()
    ))
}

/// What is wrong with a key file, as people are told.
pub(super) fn bad(path: &Path, error: &KeyFileError) -> ProviderError {
    let what = called(path);
    match error {
        KeyFileError::PassphraseNeeded => ProviderError::new(
            "mainstay::key::passphrase-needed",
            Disposition::NeedsOperator,
            format!("{what} is protected with a passphrase, and none is declared"),
        )
        .help("add `passphrase = { env = \"…\" }` (or `file`, `command`) to the key in the policy"),
        KeyFileError::WrongPassphrase => ProviderError::new(
            "mainstay::key::wrong-passphrase",
            Disposition::NeedsOperator,
            format!("the declared passphrase does not open {what}"),
        )
        .help("check what the reference in the policy gives: another passphrase, or one with a space or line too many"),
        KeyFileError::Form(_) | KeyFileError::OtherId => {
            errors::bad_file(&what, &error.to_string())
        }
    }
}
