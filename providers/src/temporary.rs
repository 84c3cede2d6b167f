//! Temporary files: `<prefix><host>-<pid>-<random>-<name>` beside the final name, locked as long as their writer lives.
//!
//! The lock (`flock`) is what tells a running writer from a crashed one; host and process stand in the name for people and
//! for file systems whose locks do not reach other machines: who gets the lock of a file of this host knows that its writer
//! is gone, other files must also be a day old by the clock of the file system itself.

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
};
use std::fs::File;

/// Longest name of a file on the usual file systems.
const LONGEST_NAME: usize = 255;
const A_DAY: i64 = 24 * 3600;

/// A temporary file. Dropped without [`Self::rename_to`], it is removed.
pub(crate) struct Temporary {
    pub(crate) file: File,
    folder: OwnedFd,
    name: String,
    renamed: bool,
}

impl Temporary {
    /// Makes and locks a file for `name` in `folder`.
    pub(crate) fn create(folder: OwnedFd, prefix: &str, name: &str) -> rustix::io::Result<Self> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = temporary_name(prefix, name)?;
            let fd = rustix::fs::openat(&folder, name.as_str(), flags, Mode::RUSR | Mode::WUSR)?;
            // Where locks are not supported, `leftovers` goes by age.
            let _ = rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive);
            // A clean-up may have come between creating and locking, and removed the file; then nobody could finish it.
            if rustix::fs::fstat(&fd)?.st_nlink == 0 {
                continue;
            }
            return Ok(Self {
                file: File::from(fd),
                folder,
                name,
                renamed: false,
            });
        }
    }

    /// Its temporary name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Gives it a name in the same folder, replacing what is there.
    pub(crate) fn rename_over(&mut self, name: impl rustix::path::Arg) -> rustix::io::Result<()> {
        rustix::fs::renameat(&self.folder, self.name.as_str(), &self.folder, name)?;
        self.renamed = true;
        Ok(())
    }

    /// Gives it its final name in the same folder; `EXIST` when that name is taken. `NOSYS` when the file system has no way.
    pub(crate) fn rename_to(
        &mut self,
        name: impl rustix::path::Arg + Copy,
    ) -> rustix::io::Result<()> {
        let renamed = rustix::fs::renameat_with(
            &self.folder,
            self.name.as_str(),
            &self.folder,
            name,
            RenameFlags::NOREPLACE,
        );
        match renamed {
            Ok(()) => {
                self.renamed = true;
                Ok(())
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.link_to(name),
            Err(errno) => Err(errno),
        }
    }

    /// The older way: a second name, which never replaces either; the temporary name is removed when `self` is dropped.
    fn link_to(&mut self, name: impl rustix::path::Arg) -> rustix::io::Result<()> {
        let linked = rustix::fs::linkat(
            &self.folder,
            self.name.as_str(),
            &self.folder,
            name,
            AtFlags::empty(),
        );
        match linked {
            Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => Err(Errno::NOSYS),
            other => other,
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // Nothing can be done about a failure here; `clean_leftovers` finds it later.
            let _ = rustix::fs::unlinkat(&self.folder, self.name.as_str(), AtFlags::empty());
        }
    }
}

/// Name of this machine as it stands in temporary names: letters and digits only.
fn host() -> String {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy();
    let short: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(24)
        .collect();
    if short.is_empty() {
        "unnamed".to_owned()
    } else {
        short
    }
}

/// The host in a temporary name.
fn host_of<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.split('-').next()
}

/// The final name that a temporary file was for.
pub(crate) fn final_name<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.splitn(4, '-').nth(3)
}

fn temporary_name(prefix: &str, name: &str) -> rustix::io::Result<String> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Errno::IO)?;
    let random = u64::from_le_bytes(random);
    let mut temporary = format!(
        "{prefix}{}-{}-{random:016x}-{name}",
        host(),
        std::process::id()
    );
    let mut end = temporary.len().min(LONGEST_NAME);
    while !temporary.is_char_boundary(end) {
        end -= 1;
    }
    temporary.truncate(end);
    Ok(temporary)
}

/// Removes a temporary file whose writer is gone; `now` keeps what the file system's clock said.
pub(crate) fn remove_if_abandoned(
    folder: BorrowedFd<'_>,
    prefix: &str,
    name: &str,
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
    if !(locked && host_of(prefix, name) == Some(host().as_str())) {
        let written = rustix::fs::fstat(&fd)?.st_mtime;
        let now = match *now {
            Some(now) => now,
            None => *now.insert(clock_of(folder, prefix)?),
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
fn clock_of(folder: BorrowedFd<'_>, prefix: &str) -> rustix::io::Result<i64> {
    let folder = rustix::io::fcntl_dupfd_cloexec(folder, 0)?;
    let probe = Temporary::create(folder, prefix, "clock")?;
    Ok(rustix::fs::fstat(probe.file.as_fd())?.st_mtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_tells_its_host_and_fits_any_final_name() {
        let name = temporary_name(".tmp-", &"ü".repeat(127)).unwrap();
        assert!(name.len() <= 255);
        assert_eq!(host_of(".tmp-", &name), Some(host().as_str()));
        let name = temporary_name(".tmp-", "data-1.tar").unwrap();
        assert_eq!(final_name(".tmp-", &name), Some("data-1.tar"));
        assert_ne!(
            temporary_name("t", "x").unwrap(),
            temporary_name("t", "x").unwrap()
        );
    }
}
