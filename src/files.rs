//! Files that people asked for: whole or not at all, also on a full disk.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// A file that is being made. It is removed again unless it is kept; an existing one is never replaced.
pub(crate) struct New {
    file: fs::File,
    path: PathBuf,
    kept: bool,
}

impl New {
    /// Creates it.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: fs::File::create_new(path)?,
            path: path.to_owned(),
            kept: false,
        })
    }

    /// Writes more of it.
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Ends it: all of it is on the disk.
    pub(crate) fn keep(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for New {
    fn drop(&mut self) {
        if !self.kept {
            // What could not be written cannot be told better than by the error that led here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes a file whole, in place of what was there before, which stays if the writing fails. What is no file (a pipe, a device) is
/// written to.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        return fs::write(path, bytes);
    }
    // A link to a file stays a link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let Some(name) = path.file_name() else {
        return fs::write(path, bytes);
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(hidden);
    let mut new = New::create(&temporary)?;
    new.write_all(bytes)?;
    if let Ok(about) = fs::metadata(&path) {
        new.file.set_permissions(about.permissions())?;
    }
    new.file.sync_all()?;
    fs::rename(&temporary, &path)?;
    new.kept = true;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_leaves_nothing_and_what_is_there_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.tar");
        drop(New::create(&path).unwrap());
        assert!(!path.exists());
        let mut new = New::create(&path).unwrap();
        new.write_all(b"whole").unwrap();
        new.keep().unwrap();
        assert!(New::create(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn a_replaced_file_is_the_new_one_and_a_device_stays_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        fs::write(&path, "old").unwrap();
        let link = folder.path().join("link.html");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        replace(Path::new("/dev/null"), b"new").unwrap();
        assert!(replace(Path::new("/dev/full"), b"new").is_err());
    }
}
