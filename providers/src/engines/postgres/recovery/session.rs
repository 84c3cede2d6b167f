//! What a recovery has on this machine outside of its target: a short folder in `/tmp` for the server's socket, and the list of its work folders.
//!
//! The folder is locked as long as its recovery lives; who gets the lock may remove what it lists, which are work folders with our mark and lock
//! (`place`). It belongs to us; only the socket's folder inside belongs to the server's user.

use super::{
    owner::Owner,
    place::{Goal, WorkFolder, cannot_write, remove_if_abandoned, remove_tree},
};
use crate::api::Result;
use rustix::fs::FlockOperation;
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A path of a socket may have about 100 bytes.
const SHORT: &str = "/tmp";
const PREFIX: &str = "mainstay-recovery-";
const LIST: &str = "folders";

/// One recovery under way.
#[derive(Debug)]
pub(super) struct Session {
    folder: PathBuf,
    _lock: File,
    /// Who runs its server.
    pub(super) owner: Owner,
}

impl Session {
    /// Makes its folder.
    pub(super) fn begin(owner: Owner) -> Result<Self> {
        let parent = Path::new(SHORT);
        let make = || -> io::Result<(PathBuf, File)> {
            let folder = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempdir_in(parent)?
                .keep();
            let mode = if owner.is_other() { 0o711 } else { 0o700 };
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode))?;
            let lock = File::open(&folder)?;
            rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            owner.folder(&folder.join("socket"))?;
            Ok((folder, lock))
        };
        let (folder, lock) = make().map_err(|error| cannot_write(parent, error))?;
        Ok(Self {
            folder,
            _lock: lock,
            owner,
        })
    }

    /// Folder for a server's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Makes a work folder beside a goal, which is found again should we die.
    pub(super) fn work_beside(&self, goal: &Goal) -> Result<Arc<WorkFolder>> {
        let made = WorkFolder::create(goal.parent(), &goal.name(), &self.owner, goal.with_parent);
        self.list(made?)
    }

    /// Makes a work folder for a scratch server.
    pub(super) fn work_in(&self, parent: &Path) -> Result<Arc<WorkFolder>> {
        self.list(WorkFolder::create(parent, "scratch", &self.owner, false)?)
    }

    fn list(&self, work: WorkFolder) -> Result<Arc<WorkFolder>> {
        let list = self.folder.join(LIST);
        let write = || -> io::Result<()> {
            let mut file = File::options().create(true).append(true).open(&list)?;
            writeln!(file, "{}", work.path().display())
        };
        write().map_err(|error| cannot_write(&list, error))?;
        Ok(Arc::new(work))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = remove_tree(&self.folder);
    }
}

/// Removes what killed recoveries left, and says what. Their servers ended with them.
pub(super) fn clean() -> Vec<String> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(SHORT).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            removed.extend(clean_one(&path));
        }
    }
    removed.sort();
    removed
}

fn clean_one(folder: &Path) -> Vec<String> {
    let nothing = Vec::new();
    let Ok(found) = fs::symlink_metadata(folder) else {
        return nothing;
    };
    // Anybody may make folders in /tmp; only our own lists are believed.
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return nothing;
    }
    let Ok(lock) = File::open(folder) else {
        return nothing;
    };
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return nothing;
    }
    let list = fs::read_to_string(folder.join(LIST)).unwrap_or_default();
    let mut removed: Vec<_> = list
        .lines()
        .map(Path::new)
        .filter(|path| remove_if_abandoned(path))
        .map(|path| format!("folder `{}` of a recovery", path.display()))
        .collect();
    let kept = list.lines().any(|path| Path::new(path).exists());
    if !kept && remove_tree(folder).is_ok() {
        removed.push(format!("folder `{}` of a recovery", folder.display()));
    }
    removed
}
