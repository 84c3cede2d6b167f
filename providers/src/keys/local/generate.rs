//! Makes key files, and puts a new key in the place of an old one.
//!
//! Invariants: a key file is never readable by others, not for a moment; no key file is ever overwritten or removed, at most
//! given another name; whatever instant a crash comes at, each key that was there stands in a whole file.

use super::{
    file::{self, KeyBytes},
    read,
};
use crate::{
    api::{KeyFacts, KeyState, ProviderError, Result},
    keys::errors,
    temporary::Temporary,
};
use jiff::Timestamp;
use model::{Disposition, Secret};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use std::{io::Write as _, os::unix::fs::DirBuilderExt as _, path::Path};
use zeroize::Zeroizing;

/// Beginning of the names of unfinished key files.
const TEMPORARY: &str = ".tmp-";

/// Makes a new key and its file, with mode 0600, in a folder that is made (0700) if need be. Fails when something has that
/// name; nothing is overwritten. With a passphrase it takes the better part of a second.
pub fn generate(path: &Path, passphrase: Option<&Secret>, now: Timestamp) -> Result<KeyFacts> {
    let (folder, name) = folder_of(path)?;
    let (mut temporary, facts) = write(path, &folder, name, passphrase, now)?;
    match temporary.rename_to(name) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Err(exists(path)),
        Err(errno) => return Err(cannot_write(path, errno)),
    }
    sync(path, &folder)?;
    Ok(facts)
}

/// Makes a new key in the place of the one at `path`, whose file gets the name `keep_as`. Called again after a crash it
/// finishes. `keep_as` belongs in `previous` of the key's table, or what the old key has wrapped is no longer opened.
pub fn replace(
    path: &Path,
    keep_as: &Path,
    passphrase: Option<&Secret>,
    now: Timestamp,
) -> Result<KeyFacts> {
    let old = read::read(path)?;
    let (folder, name) = folder_of(path)?;
    let (kept_in, kept_name) = folder_of(keep_as)?;
    let (mut temporary, facts) = write(path, &folder, name, passphrase, now)?;
    // First the second name of the old file, then the new file over the first name: never a moment without the old key.
    match rustix::fs::linkat(&folder, name, &kept_in, kept_name, AtFlags::empty()) {
        Ok(()) => sync(keep_as, &kept_in)?,
        // A crash came after the line above.
        Err(Errno::EXIST) if read::read(keep_as)?.id == old.id => {}
        Err(Errno::EXIST) => return Err(exists(keep_as)),
        Err(errno) => return Err(cannot_write(keep_as, errno)),
    }
    temporary
        .rename_over(name)
        .map_err(|errno| cannot_write(path, errno))?;
    sync(path, &folder)?;
    Ok(facts)
}

/// Writes a file with a new key under a temporary name.
fn write(
    path: &Path,
    folder: &OwnedFd,
    name: &str,
    passphrase: Option<&Secret>,
    now: Timestamp,
) -> Result<(Temporary, KeyFacts)> {
    let mut key: KeyBytes = Zeroizing::new([0; 32]);
    let no_randomness = |_| {
        ProviderError::new(
            "mainstay::key::failed",
            Disposition::NeedsOperator,
            "the system gave no random bytes for a key",
        )
        .help("check that the system gives random bytes (`head -c 8 /dev/random | wc -c`)")
    };
    aws_lc_rs::rand::fill(&mut key[..]).map_err(no_randomness)?;
    let text = file::text(&key, passphrase, now).map_err(no_randomness)?;
    let own =
        rustix::io::fcntl_dupfd_cloexec(folder, 0).map_err(|errno| cannot_write(path, errno))?;
    let mut temporary =
        Temporary::create(own, TEMPORARY, name).map_err(|errno| cannot_write(path, errno))?;
    temporary
        .file
        .write_all(text.as_bytes())
        .and_then(|()| temporary.file.sync_all())
        .map_err(|error| cannot_write(path, error))?;
    let facts = KeyFacts {
        key_id: file::id_of(&key),
        state: KeyState::Usable,
        opens: true,
        valid_until: None,
        detail: path.display().to_string(),
    };
    Ok((temporary, facts))
}

/// The folder of a file, made if need be, and the file's name in it.
fn folder_of(path: &Path) -> Result<(OwnedFd, &str)> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| {
            errors::unusable(
                &format!("the path `{}`", path.display()),
                "it names no file",
                "name a file, such as \"keys/prod.key\"",
            )
        })?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| cannot_write(path, error))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())
        .map_err(|errno| cannot_write(path, errno))?;
    Ok((folder, name))
}

fn sync(path: &Path, folder: &OwnedFd) -> Result<()> {
    rustix::fs::fsync(folder).map_err(|errno| cannot_write(path, errno))
}

fn exists(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::key::exists",
        Disposition::NeedsOperator,
        format!(
            "`{}` exists already; no key file is ever overwritten",
            path.display()
        ),
    )
    .help("choose another name; to replace a key, use `mainstay key rotate`")
}

fn cannot_write(path: &Path, error: impl Into<std::io::Error>) -> ProviderError {
    ProviderError::new(
        "mainstay::key::write",
        Disposition::NeedsOperator,
        format!("cannot write {}", read::called(path)),
    )
    .help("check that the user who runs mainstay may write in that folder, and that the disk is not full")
    .source(error.into())
}
