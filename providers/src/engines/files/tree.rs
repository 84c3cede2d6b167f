//! Writing below a folder without ever leaving it: every folder on the way is opened from the one above it, links are never followed.

use super::errors;
use crate::{
    api::{ProviderError, Result},
    temporary::Temporary,
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    path::{Component, Path},
};

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Beginning of the names of unfinished files and folders.
pub(super) const TEMPORARY: &str = ".mainstay-restore-";

/// Owner, mode and time of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i64,
}

/// A folder that is written below.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// Whether owners can be given away.
    as_root: bool,
}

impl Tree {
    /// Opens a folder.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| errors::file(&format!("open `{}`", path.display()), errno.into()))?;
        Ok(Self {
            root,
            as_root: rustix::process::geteuid().is_root(),
        })
    }

    /// The folder that `path` lies in, made if it is missing, and its name there.
    fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr)> {
        let name = path.file_name().ok_or_else(|| errors::unsafe_path(path))?;
        let above = path.parent().unwrap_or(Path::new(""));
        Ok((self.folder(above)?, name))
    }

    /// A folder below the root, made if it is missing.
    fn folder(&self, path: &Path) -> Result<OwnedFd> {
        let mut folder = self
            .root
            .try_clone()
            .map_err(|error| errors::file("open a folder", error))?;
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(errors::unsafe_path(path));
            };
            folder = match open_or_make(&folder, name) {
                Ok(next) => next,
                Err(Errno::LOOP | Errno::NOTDIR) => return Err(errors::link_in_the_way(path)),
                Err(errno) => return Err(failed("open or make the folder", path, errno)),
            };
        }
        Ok(folder)
    }

    /// Makes a folder if it is missing. Its attributes come last, when nothing more is written into it.
    pub(super) fn make_folder(&self, path: &Path) -> Result<()> {
        self.folder(path).map(drop)
    }

    /// Writes a file as a whole. Another entry of the same name is an error, unless it may be replaced.
    pub(super) fn put_file(
        &self,
        path: &Path,
        attributes: Attributes,
        content: &mut dyn Read,
        replace: bool,
    ) -> Result<()> {
        let (folder, name) = self.parent(path)?;
        let short = name.to_string_lossy();
        let mut temporary = Temporary::create(folder, TEMPORARY, &short)
            .map_err(|errno| failed("write", path, errno))?;
        copy(content, &mut temporary.file, path)?;
        self.give(temporary.file.as_fd(), attributes)
            .and_then(|()| rustix::fs::fsync(&temporary.file))
            .map_err(|errno| failed("write", path, errno))?;
        let renamed = if replace {
            temporary.rename_over(name)
        } else {
            temporary.rename_to(name)
        };
        renamed.map_err(|errno| in_the_way(path, errno))
    }

    /// Makes a link.
    pub(super) fn put_link(
        &self,
        path: &Path,
        target: &Path,
        attributes: Attributes,
        replace: bool,
    ) -> Result<()> {
        let (folder, name) = self.parent(path)?;
        if replace && is_not_folder(&folder, name) {
            // A link cannot be renamed over in one step without a second name; the gap holds nothing of value.
            let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
        }
        rustix::fs::symlinkat(target, &folder, name).map_err(|errno| in_the_way(path, errno))?;
        if self.as_root {
            let (uid, gid) = owner(attributes);
            rustix::fs::chownat(&folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| failed("give", path, errno))?;
        }
        Ok(())
    }

    /// Gives a folder its owner, mode and time.
    pub(super) fn finish_folder(&self, path: &Path, attributes: Attributes) -> Result<()> {
        let folder = self.folder(path)?;
        self.give(folder.as_fd(), attributes)
            .map_err(|errno| failed("set the mode of", path, errno))
    }

    fn give(&self, fd: BorrowedFd<'_>, attributes: Attributes) -> rustix::io::Result<()> {
        let mut mode = attributes.mode & 0o7777;
        if self.as_root {
            let (uid, gid) = owner(attributes);
            rustix::fs::fchown(fd, uid, gid)?;
        } else {
            // A set-user-id bit means something else when the owner is another.
            mode &= 0o1777;
        }
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))?;
        let time = Timespec {
            tv_sec: attributes.mtime,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::futimens(fd, &times)
    }
}

fn owner(attributes: Attributes) -> (Option<Uid>, Option<Gid>) {
    (
        Some(Uid::from_raw(attributes.uid)),
        Some(Gid::from_raw(attributes.gid)),
    )
}

fn open_or_make(folder: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::openat(folder, name, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) => {
            match rustix::fs::mkdirat(folder, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            rustix::fs::openat(folder, name, FOLDER, Mode::empty())
        }
        other => other,
    }
}

fn is_not_folder(folder: &OwnedFd, name: &OsStr) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory)
}

/// Copies to the end; an error of the stream is told from one of the disk.
fn copy(content: &mut dyn Read, file: &mut File, path: &Path) -> Result<()> {
    let mut block = vec![0; 256 << 10];
    loop {
        match content.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => io::Write::write_all(file, &block[..count])
                .map_err(|error| errors::file(&format!("write `{}`", path.display()), error))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(errors::unreadable(error)),
        }
    }
}

fn failed(what: &str, path: &Path, errno: Errno) -> ProviderError {
    errors::file(&format!("{what} `{}`", path.display()), errno.into())
}

fn in_the_way(path: &Path, errno: Errno) -> ProviderError {
    match errno {
        Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY => errors::target_exists(path),
        errno => failed("write", path, errno),
    }
}
