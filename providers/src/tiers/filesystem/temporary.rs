//! Temporary files: `.tmp-<host>-<pid>-<random>-<name>` beside the final name, locked as long as their writer lives.
//!
//! The lock (`flock`) is what tells a running writer from a crashed one; host and process stand in the name for people and
//! for file systems whose locks do not reach other machines (see `leftovers`).

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
};
use std::fs::File;

/// Beginning of every temporary name.
pub(super) const PREFIX: &str = ".tmp-";
/// Longest name of a file on the usual file systems.
const LONGEST_NAME: usize = 255;

/// A temporary file. Dropped without [`Self::rename_to`], it is removed.
pub(super) struct Temporary {
    pub(super) file: File,
    folder: OwnedFd,
    name: String,
    renamed: bool,
}

impl Temporary {
    /// Makes and locks a file for `name` in `folder`.
    pub(super) fn create(folder: OwnedFd, name: &str) -> rustix::io::Result<Self> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = temporary_name(name)?;
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

    /// Gives it its final name in the same folder; `EXIST` when that name is taken. `NOSYS` when the file system has no way.
    pub(super) fn rename_to(&mut self, name: &str) -> rustix::io::Result<()> {
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
    fn link_to(&mut self, name: &str) -> rustix::io::Result<()> {
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
pub(super) fn host() -> String {
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
pub(super) fn host_of(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)?.split('-').next()
}

fn temporary_name(name: &str) -> rustix::io::Result<String> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Errno::IO)?;
    let random = u64::from_le_bytes(random);
    let mut temporary = format!(
        "{PREFIX}{}-{}-{random:016x}-{name}",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_tells_its_host_and_fits_any_final_name() {
        let name = temporary_name(&"ü".repeat(127)).unwrap();
        assert!(name.len() <= 255);
        assert_eq!(host_of(&name), Some(host().as_str()));
        assert_ne!(temporary_name("x").unwrap(), temporary_name("x").unwrap());
    }
}
