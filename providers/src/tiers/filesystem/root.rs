//! Walking from the root's descriptor to a folder, without ever following a symbolic link or leaving the root.
//!
//! `openat2` would do it in one call, but containers and old kernels lack it; keys have few segments.

use super::{errors, marker};
use crate::api::{ObjectKey, Result};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use std::path::{Path, PathBuf};

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// An open root. Everything is relative to it, so a mount that vanishes under the path cannot redirect a call half-way.
pub(super) struct Root {
    pub(super) fd: OwnedFd,
    pub(super) path: PathBuf,
}

impl Root {
    /// Opens the root folder; the path up to it may contain links, that is the operator's business.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self {
                fd,
                path: path.to_owned(),
            }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(errors::missing_root(path)),
            Err(errno) => Err(errors::from_errno(
                &format!("open the tier's folder `{}`", path.display()),
                errno,
            )),
        }
    }

    /// Opens the root folder and requires its marker.
    pub(super) fn open_marked(path: &Path) -> Result<Self> {
        let root = Self::open(path)?;
        match marker::read(&root)? {
            Some(_) => Ok(root),
            None => Err(errors::no_marker(path)),
        }
    }

    /// Fails when the path no longer leads to this marked folder: something was unmounted or moved.
    pub(super) fn check_still_there(&self) -> Result<()> {
        let now = Self::open_marked(&self.path)?;
        let same = rustix::fs::fstat(&self.fd)
            .and_then(|ours| Ok((ours, rustix::fs::fstat(&now.fd)?)))
            .map_err(|errno| errors::from_errno("look at the tier's folder", errno))?;
        if (same.0.st_dev, same.0.st_ino) != (same.1.st_dev, same.1.st_ino) {
            return Err(errors::moved(&self.path));
        }
        Ok(())
    }

    /// Opens the folder of a key; `None` when a part of it is missing or is no folder.
    pub(super) fn folder(&self, segments: &[&str]) -> rustix::io::Result<Option<OwnedFd>> {
        let mut folder = self.fd.try_clone().map_err(|error| errno_of(&error))?;
        for segment in segments {
            folder = match rustix::fs::openat(&folder, *segment, FOLDER, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(errno) => return Err(errno),
            };
        }
        Ok(Some(folder))
    }

    /// Opens the folder of a key, making what is missing (mode 0700). Gives all folders on the way, the root first.
    pub(super) fn make_folder(&self, segments: &[&str]) -> rustix::io::Result<Vec<OwnedFd>> {
        let mut chain = vec![self.fd.try_clone().map_err(|error| errno_of(&error))?];
        for segment in segments {
            let parent = chain.last().map_or(self.fd.as_fd(), AsFd::as_fd);
            let next = match rustix::fs::openat(parent, *segment, FOLDER, Mode::empty()) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(parent, *segment, Mode::RWXU) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                    }
                    rustix::fs::openat(parent, *segment, FOLDER, Mode::empty())?
                }
                other => other?,
            };
            chain.push(next);
        }
        Ok(chain)
    }
}

/// The folders above a key's last segment, and that segment.
pub(super) fn split(key: &ObjectKey) -> (Vec<&str>, &str) {
    let mut segments: Vec<&str> = key.as_str().split('/').collect();
    let name = segments.pop().unwrap_or_default();
    (segments, name)
}

/// Syncs a folder: its names, not its files. Some network file systems cannot and say so; they write names through.
pub(super) fn sync_folder(folder: BorrowedFd<'_>) -> rustix::io::Result<()> {
    match rustix::fs::fsync(folder) {
        Err(Errno::INVAL | Errno::NOTSUP | Errno::BADF) => Ok(()),
        other => other,
    }
}

/// Whether there is anything of this name, a broken link included.
pub(super) fn name_taken(folder: BorrowedFd<'_>, name: &str) -> rustix::io::Result<bool> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
