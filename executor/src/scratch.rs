//! Folders of a piece of work for staged files: `<scratch>/run-<id>/<n>` of a run, `<scratch>/work-<id>/<n>` of a restore or a
//! verification; gone when the work ends.
//!
//! Why the recursive removal in here cannot reach a backup: it only ever removes a folder with one of the two prefixes
//! directly below the scratch folder, that folder holds the owner file which only this file writes, and symbolic links are
//! removed, never followed. Nothing that is kept is ever staged here; recovery points go straight to their tiers.
//!
//! Invariant: folders of other runs are removed only while the lease is held, so their owners are dead, unless they use another
//! catalog (`--state`) beside the same policy: then they are seen to live. Folders of work that needs no lease are removed
//! only when their process has certainly ended.

use crate::holder::Holder;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

const OWNER: &str = ".mainstay-scratch";

/// Whose scratch space it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A run, which holds the lease.
    Run,
    /// A restore or a verification, which does not.
    Work,
}

impl Owner {
    fn prefix(self) -> &'static str {
        match self {
            Self::Run => "run-",
            Self::Work => "work-",
        }
    }
}

/// Scratch space of one piece of work.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    next: AtomicU64,
}

impl Scratch {
    /// Makes the folder of a piece of work.
    pub(crate) fn create(root: &Path, owner: Owner, id: &str) -> io::Result<Self> {
        let safe: String = id
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let folder = root.join(format!("{}{safe}", owner.prefix()));
        loop {
            fs::create_dir_all(&folder)?;
            match sign(&folder) {
                // A run has just cleaned up, and taken the folder, still empty, for one of the dead.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                signed => break signed?,
            }
        }
        Ok(Self {
            folder,
            next: AtomicU64::new(0),
        })
    }

    /// A new, empty folder for one try of one step.
    pub(crate) fn fresh(&self) -> io::Result<PathBuf> {
        let folder = self
            .folder
            .join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Empties a folder that [`Self::fresh`] made, when its step has ended.
    pub(crate) fn discard(&self, folder: &Path) {
        if folder.parent() == Some(self.folder.as_path()) {
            let _ = remove_tree(folder);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run, which says so.
        let _ = remove_owned(&self.folder);
    }
}

/// Removes the folders that dead runs and dead work left, and says which. The caller holds the lease and has no folder yet.
pub(crate) fn clean_leftovers(root: &Path) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(removed),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let is_run = name.starts_with(Owner::Run.prefix());
        let is_left = (is_run && !is_another_living(&entry.path()))
            || (name.starts_with(Owner::Work.prefix()) && has_ended(&entry.path()));
        let is_ours = is_run || name.starts_with(Owner::Work.prefix());
        // Its maker may end at this moment and take it away: that is no failure.
        let was_unsigned = || is_ours && remove_unsigned(&entry.path()).unwrap_or(false);
        if was_unsigned() || (is_left && remove_owned(&entry.path())?) {
            removed.push(format!("scratch folder `{name}`"));
        }
    }
    removed.sort();
    Ok(removed)
}

/// Says in a new folder whose it is. Until that is written whole the folder is locked: what nobody locks has no living maker.
fn sign(folder: &Path) -> io::Result<()> {
    let lock = fs::File::open(folder)?;
    lock.lock()?;
    fs::write(folder.join(OWNER), Holder::this_process().text())
}

/// Removes the folder of who died before it was signed: nothing is in it, or an owner file without a word.
fn remove_unsigned(folder: &Path) -> io::Result<bool> {
    let lock = fs::File::open(folder)?;
    if lock.try_lock().is_err() {
        return Ok(false);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() != OWNER || entry.metadata()?.len() > 0 {
            return Ok(false);
        }
    }
    match fs::remove_file(folder.join(OWNER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::remove_dir(folder)?,
    }
    Ok(true)
}

/// Whether the process that made the folder is certainly gone.
fn has_ended(folder: &Path) -> bool {
    let text = fs::read_to_string(folder.join(OWNER)).unwrap_or_default();
    Holder::parse(&text).is_some_and(|holder| holder.has_ended(&Holder::this_process()))
}

/// Whether a living process other than this one made the folder.
fn is_another_living(folder: &Path) -> bool {
    let observer = Holder::this_process();
    let text = fs::read_to_string(folder.join(OWNER)).unwrap_or_default();
    Holder::parse(&text)
        .is_some_and(|holder| holder != observer && holder.is_certainly_alive(&observer))
}

/// Removes a folder; `false` when it carries no owner file, so it is not ours.
fn remove_owned(folder: &Path) -> io::Result<bool> {
    if !folder.join(OWNER).is_file() {
        return Ok(false);
    }
    // The owner file goes last: what a removal that is killed leaves must still be known as ours, for it may be plain data.
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == OWNER {
            continue;
        }
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_file(folder.join(OWNER))?;
    fs::remove_dir(folder)?;
    Ok(true)
}

#[expect(
    clippy::disallowed_methods,
    reason = "only folders that this file made, below the scratch folder; the header says why that is safe"
)]
fn remove_tree(folder: &Path) -> io::Result<()> {
    fs::remove_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_leaves_no_scratch_behind() {
        let root = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(root.path(), Owner::Run, "20261121T020000Z-1").unwrap();
        let folder = scratch.fresh().unwrap();
        fs::write(folder.join("staged"), b"x").unwrap();
        drop(scratch);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_folders_that_mainstay_made_are_removed() {
        let root = tempfile::tempdir().unwrap();
        std::mem::forget(Scratch::create(root.path(), Owner::Run, "dead").unwrap());
        let _alive = Scratch::create(root.path(), Owner::Work, "restore").unwrap();
        fs::create_dir(root.path().join("run-dead-at-birth")).unwrap();
        fs::create_dir(root.path().join("work-dead-at-birth")).unwrap();
        fs::create_dir(root.path().join("work-dead-while-signing")).unwrap();
        fs::write(root.path().join("work-dead-while-signing").join(OWNER), b"").unwrap();
        fs::create_dir(root.path().join("run-of-somebody-else")).unwrap();
        fs::write(root.path().join("run-of-somebody-else/precious"), b"x").unwrap();
        assert_eq!(
            clean_leftovers(root.path()).unwrap(),
            [
                "scratch folder `run-dead-at-birth`",
                "scratch folder `run-dead`",
                "scratch folder `work-dead-at-birth`",
                "scratch folder `work-dead-while-signing`"
            ]
        );
        assert!(root.path().join("run-of-somebody-else/precious").exists());
        assert!(root.path().join("work-restore").exists());
        assert_eq!(
            fs::read(root.path().join("run-of-somebody-else/precious")).unwrap(),
            b"x"
        );
        assert!(
            clean_leftovers(&root.path().join("absent"))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_folder_that_is_just_being_signed_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("work-being-made");
        fs::create_dir(&folder).unwrap();
        let maker = fs::File::open(&folder).unwrap();
        maker.lock().unwrap();
        fs::write(folder.join(OWNER), b"").unwrap();
        assert!(clean_leftovers(root.path()).unwrap().is_empty());
        assert!(folder.join(OWNER).exists());
        drop(maker);
        assert_eq!(
            clean_leftovers(root.path()).unwrap(),
            ["scratch folder `work-being-made`"]
        );
    }
}
