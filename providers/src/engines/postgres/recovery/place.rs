//! The folders that a recovery builds in: `.<name>.mainstay-<random>` beside the final name, or in scratch space.
//!
//! - Nothing appears under the final name before it is whole; an existing folder is exchanged for it in one step and removed afterwards.
//! - A work folder is locked (`flock`) as long as its maker lives: who gets the lock knows that it is abandoned.
//! - Only folders with our mark in their name, whose lock we hold, are ever removed. What was replaced is removed as part of such a folder.
//! - A work folder belongs to us; only what is inside belongs to the server's user, who so cannot put links in our way.
//!
//! Not here: what is put into the folders.

use super::owner::Owner;
use crate::{
    api::{ProviderError, Result},
    engines::postgres::leftovers::random_digits,
};
use model::Disposition;
use rustix::{
    fd::OwnedFd,
    fs::{CWD, FlockOperation, Mode, OFlags},
    process::{Pid, test_kill_process},
};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// What all work folders have in their names.
const MARK: &str = ".mainstay-";

/// A locked folder of ours, removed with everything in it when it is dropped.
#[derive(Debug)]
pub(super) struct WorkFolder {
    path: PathBuf,
    /// Whether the folder that it is in was made for it, and goes with it when nothing else is in it.
    with_parent: bool,
    _lock: OwnedFd,
}

impl WorkFolder {
    /// Makes one in `parent`. Others may pass through it, not look into it.
    pub(super) fn create(
        parent: &Path,
        name: &str,
        owner: &Owner,
        with_parent: bool,
    ) -> Result<Self> {
        let path = parent.join(format!(".{name}{MARK}{}", random_digits()));
        let mode = if owner.is_other() { 0o711 } else { 0o700 };
        let make = || -> io::Result<OwnedFd> {
            DirBuilder::new().mode(mode).create(&path)?;
            // The process's own mask may have taken what the server's user needs.
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
            let lock = open_folder(&path)?;
            // Where locks are not supported, abandoned folders stay until a person removes them.
            let _ = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive);
            Ok(lock)
        };
        let lock = make().map_err(|error| cannot_write(&path, error))?;
        Ok(Self {
            path,
            with_parent,
            _lock: lock,
        })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // What cannot be removed now is found by its mark later.
        let _ = remove_tree(&self.path);
        if self.with_parent
            && let Some(parent) = self.path.parent()
        {
            // Refused when the target is in it.
            let _ = fs::remove_dir(parent);
        }
    }
}

/// Removes a work folder whose maker is gone; `false` when it is somebody's, or no work folder.
pub(super) fn remove_if_abandoned(path: &Path) -> bool {
    let marked = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().contains(MARK));
    if !marked {
        return false;
    }
    let Ok(lock) = open_folder(path) else {
        return false;
    };
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return false;
    }
    remove_tree(path).is_ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "only work folders of this file get here: marked in their name, and locked by us"
)]
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)
}

fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

/// A folder that is wanted, checked before anything is built.
#[derive(Debug)]
pub(super) struct Goal {
    /// Its path, absolute.
    pub(super) path: PathBuf,
    /// Whether something is there that is to be replaced.
    pub(super) replaces: bool,
    /// Whether the folder that it is in was made for it.
    pub(super) with_parent: bool,
}

impl Goal {
    /// A data directory to be made. An existing one is replaced only if that is asked for and no server runs in it.
    pub(super) fn data_directory(path: &Path, replace: bool) -> Result<Self> {
        let goal = Self::vacant_or(path, |path| {
            if !replace {
                return Err(exists(path));
            }
            if !path.join("PG_VERSION").is_file() {
                return Err(not_a_cluster(path));
            }
            check_not_running(path)
        })?;
        goal.remove_abandoned();
        Ok(goal)
    }

    /// A folder for a tablespace: must be empty or not there.
    pub(super) fn tablespace(path: &Path) -> Result<Self> {
        let goal = Self::vacant_or(path, |path| Err(exists(path)))?;
        goal.remove_abandoned();
        Ok(goal)
    }

    fn vacant_or(path: &Path, occupied: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let failed = |error| cannot_write(path, error);
        let path = std::path::absolute(path).map_err(failed)?;
        let (Some(parent), Some(_)) = (path.parent(), path.file_name()) else {
            return Err(exists(&path));
        };
        let with_parent = !parent.exists();
        fs::create_dir_all(parent).map_err(|error| no_parent(&path, parent, error))?;
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    path,
                    replaces: false,
                    with_parent,
                });
            }
            Err(error) => return Err(failed(error)),
        };
        if !found.is_dir() {
            return Err(exists(&path));
        }
        if found.dev() != fs::metadata(parent).map_err(failed)?.dev() {
            return Err(mount_point(&path));
        }
        let empty = fs::read_dir(&path).map_err(failed)?.next().is_none();
        if !empty {
            occupied(&path)?;
        }
        Ok(Self {
            path,
            replaces: !empty,
            with_parent,
        })
    }

    /// The folder that it is in.
    pub(super) fn parent(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Its last part.
    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Removes what killed recoveries into the same folder left beside it.
    fn remove_abandoned(&self) {
        let beginning = format!(".{}{MARK}", self.name());
        for entry in fs::read_dir(self.parent()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&beginning) {
                remove_if_abandoned(&entry.path());
            }
        }
    }

    /// Puts `built` in place, durably. What was there is then inside the work folder, under the name of `built`.
    pub(super) fn put(&self, built: &Path) -> Result<()> {
        if self.replaces {
            check_not_running(&self.path)?;
            self.exchange(built)?;
        } else {
            // Replaces nothing but an empty folder.
            fs::rename(built, &self.path).map_err(|error| cannot_write(&self.path, error))?;
        }
        File::open(self.parent())
            .and_then(|folder| folder.sync_all())
            .map_err(|error| cannot_write(&self.path, error))
    }

    #[cfg(target_os = "linux")]
    fn exchange(&self, built: &Path) -> Result<()> {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        match rustix::fs::renameat_with(CWD, built, CWD, &self.path, flags) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => self.swap(built),
            Err(error) => Err(cannot_write(&self.path, error.into())),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn exchange(&self, built: &Path) -> Result<()> {
        self.swap(built)
    }

    /// Two renames, for file systems that cannot exchange; the first is undone when the second fails.
    fn swap(&self, built: &Path) -> Result<()> {
        let failed = |error| cannot_write(&self.path, error);
        let aside = built.with_extension("replaced");
        fs::rename(&self.path, &aside).map_err(failed)?;
        if let Err(error) = fs::rename(built, &self.path) {
            let _ = fs::rename(&aside, &self.path);
            return Err(failed(error));
        }
        Ok(())
    }
}

/// Makes everything in a folder durable.
pub(super) fn sync(built: &Path) -> Result<()> {
    sync_tree(built).map_err(|error| cannot_write(built, error))
}

#[cfg(target_os = "linux")]
fn sync_tree(folder: &Path) -> io::Result<()> {
    // One call for the whole file system: a cluster has thousands of files, and the kernel orders the writes better.
    let folder = File::open(folder)?;
    rustix::fs::syncfs(&folder)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(folder).contents_first(true) {
        let entry = entry.map_err(io::Error::other)?;
        if entry.file_type().is_file() || entry.file_type().is_dir() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    Ok(())
}

/// Refuses a data directory that a server uses: its `postmaster.pid` names a living process.
fn check_not_running(path: &Path) -> Result<()> {
    let Ok(text) = fs::read_to_string(path.join("postmaster.pid")) else {
        return Ok(());
    };
    let number = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    let lives = number
        .and_then(Pid::from_raw)
        // A refusal to signal it says that it is there.
        .is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH));
    if lives {
        return Err(ProviderError::new(
            "mainstay::recovery::server-runs",
            Disposition::NeedsOperator,
            format!("a server runs in the data directory `{}`", path.display()),
        )
        .help(format!(
            "stop it first (pg_ctl stop -D '{}'), or restore into another folder",
            path.display()
        )));
    }
    Ok(())
}

fn exists(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::restore::target-exists",
        Disposition::NeedsOperator,
        format!("the target `{}` exists and is not empty", path.display()),
    )
    .help("name a folder that does not exist, or add --replace: the new data directory is then built beside it and exchanged for it")
}

fn not_a_cluster(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::recovery::not-a-cluster",
        Disposition::NeedsOperator,
        format!(
            "`{}` holds files, but is no data directory of PostgreSQL, and is not replaced",
            path.display()
        ),
    )
    .help("name a folder that does not exist, or empty this one by hand")
}

fn mount_point(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::recovery::mount-point",
        Disposition::NeedsOperator,
        format!(
            "`{}` is where a file system is mounted; a data directory cannot be put there in one step",
            path.display()
        ),
    )
    .help(format!(
        "restore into a folder inside of it, such as --to '{}/data'",
        path.display()
    ))
}

/// The folder that the target would be in is not there, and cannot be made.
fn no_parent(path: &Path, parent: &Path, error: io::Error) -> ProviderError {
    ProviderError::new(
        "mainstay::recovery::write",
        Disposition::NeedsOperator,
        format!(
            "cannot restore to `{}`: its folder `{}` is not there and cannot be made",
            path.display(),
            parent.display()
        ),
    )
    .help(format!(
        "make it for the server's user (sudo install -d -o postgres '{}'), or name a folder below one that this user may write",
        parent.display()
    ))
    .source(error)
}

/// The target could not be written.
pub(super) fn cannot_write(path: &Path, error: io::Error) -> ProviderError {
    ProviderError::new(
        "mainstay::recovery::write",
        Disposition::NeedsOperator,
        format!("cannot write `{}`", path.display()),
    )
    .help("check that the file system has room and is writable for this user: df -h; then restore again")
    .source(error)
}

/// Writes a file so that nobody else's link is followed: under a new name, then renamed.
pub(super) fn write_file(path: &Path, content: &[u8], owner: &Owner) -> Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("{MARK}{}", random_digits()));
    let temporary = path.with_file_name(name);
    let write = || -> io::Result<()> {
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        owner.own_file(&file)?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| cannot_write(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_work_folder_is_removed_and_a_living_one_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let owner = Owner::ourselves();
        let living = WorkFolder::create(parent.path(), "main", &owner, false).unwrap();
        let dead = parent.path().join(".main.mainstay-0badcafe");
        let foreign = parent.path().join(".main.else");
        for folder in [&dead, &foreign] {
            fs::create_dir_all(folder.join("base")).unwrap();
        }
        Goal::data_directory(&parent.path().join("main"), false).unwrap();
        assert!(living.path().exists() && foreign.exists() && !dead.exists());
        drop(living);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_a_data_directory_without_a_server_is_replaced_and_only_when_asked() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("main");
        fs::create_dir(&target).unwrap();
        assert!(!Goal::data_directory(&target, false).unwrap().replaces);
        fs::write(target.join("mine"), "").unwrap();
        let code = |replace| Goal::data_directory(&target, replace).unwrap_err().code;
        assert_eq!(code(false), "mainstay::restore::target-exists");
        assert_eq!(code(true), "mainstay::recovery::not-a-cluster");
        fs::write(target.join("PG_VERSION"), "15\n").unwrap();
        assert!(Goal::data_directory(&target, true).unwrap().replaces);
        let pid = target.join("postmaster.pid");
        fs::write(&pid, format!("{}\n/x\n", std::process::id())).unwrap();
        assert_eq!(code(true), "mainstay::recovery::server-runs");
        fs::write(&pid, "4194304\n/x\n").unwrap();
        let goal = Goal::data_directory(&target, true).unwrap();
        let work = WorkFolder::create(parent.path(), "main", &Owner::ourselves(), false).unwrap();
        let built = work.path().join("data");
        fs::create_dir(&built).unwrap();
        fs::write(built.join("new"), "").unwrap();
        goal.put(&built).unwrap();
        assert!(target.join("new").exists() && !target.join("mine").exists());
        drop(work);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
