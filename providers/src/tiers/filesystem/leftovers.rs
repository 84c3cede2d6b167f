//! Removes what crashed writers left behind, and never what a running one still writes.
//!
//! Who gets the lock of a temporary file knows that its writer is gone: the writer locks it right after making it, and a
//! file that is removed in between is made again. Locks of another machine may not reach us, so there a file must also be
//! a day old by the clock of the file system itself.

use super::{
    errors,
    list::{Entry, walk},
    root::Root,
    temporary::{self, Temporary},
};
use crate::api::Result;
use rustix::{
    fd::{AsFd, BorrowedFd},
    fs::{AtFlags, FlockOperation, Mode, OFlags},
    io::Errno,
};

const A_DAY: i64 = 24 * 3600;

/// Removes temporary files whose path starts with `prefix`.
pub(super) fn clean(root: &Root, prefix: &str) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    let ours = temporary::host();
    let mut now = None;
    walk(root, prefix, &mut |entry: Entry<'_>| {
        if !entry.name.starts_with(temporary::PREFIX) || !entry.path.starts_with(prefix) {
            return Ok(());
        }
        let gone = remove_if_abandoned(entry.folder, entry.name, &ours, &mut now)
            .map_err(|errno| errors::from_errno(&format!("clean up `{}`", entry.path), errno))?;
        if gone {
            removed.push(entry.path.to_owned());
        }
        Ok(())
    })?;
    removed.sort();
    Ok(removed)
}

fn remove_if_abandoned(
    folder: BorrowedFd<'_>,
    name: &str,
    ours: &str,
    now: &mut Option<i64>,
) -> rustix::io::Result<bool> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::LOOP) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    let locked = match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => true,
        Err(Errno::WOULDBLOCK) => return Ok(false),
        Err(_) => false,
    };
    if !(locked && temporary::host_of(name) == Some(ours)) {
        let written = rustix::fs::fstat(&fd)?.st_mtime;
        let now = match *now {
            Some(now) => now,
            None => *now.insert(clock_of(folder)?),
        };
        if now - written < A_DAY {
            return Ok(false);
        }
    }
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// What time the file system thinks it is: that of a file just made there.
fn clock_of(folder: BorrowedFd<'_>) -> rustix::io::Result<i64> {
    let folder = rustix::io::fcntl_dupfd_cloexec(folder, 0)?;
    let probe = Temporary::create(folder, "clock")?;
    Ok(rustix::fs::fstat(probe.file.as_fd())?.st_mtime)
}
