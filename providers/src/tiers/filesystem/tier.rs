//! The calls of the contract, each on a blocking thread.

use super::{
    config::FilesystemConfig,
    control, errors, leftovers, list, marker,
    reader::open_reader,
    root::{Root, split, sync_folder},
    space::{self, MinFree},
    writer,
};
use crate::api::{
    ControlTag, Expected, NewObject, ObjectInfo, ObjectKey, ObjectReader, ObjectWriter, Result,
    Tier, TierState,
};
use async_trait::async_trait;
use bytes::Bytes;
use model::{LockOrder, TierName, tier_facts::Capabilities};
use rustix::{
    fd::AsFd,
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use std::path::{Path, PathBuf};

/// A folder that holds copies.
#[derive(Debug)]
pub struct FilesystemTier {
    name: TierName,
    root: PathBuf,
    min_free: MinFree,
}

impl FilesystemTier {
    /// Kind-wide promises.
    pub const CAPABILITIES: Capabilities = Capabilities {
        reports_space: true,
        ..Capabilities::PLAIN
    };

    /// A tier below `base`; no IO.
    pub fn new(name: TierName, config: &FilesystemConfig, base: &Path) -> Self {
        Self {
            name,
            root: config.root(base),
            min_free: config.min_free.unwrap_or_default(),
        }
    }

    /// Does work in the marked root on a blocking thread.
    async fn in_root<T: Send + 'static>(
        &self,
        work: impl FnOnce(Root) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.root.clone();
        blocking(move || work(Root::open_marked(&path)?)).await
    }
}

/// Runs blocking work; a panic goes on in the caller. The work is not interrupted by a cancellation, but its result is dropped.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(errors::from_errno(
                "finish: the program is ending",
                Errno::CANCELED,
            )),
        },
    }
}

#[async_trait]
impl Tier for FilesystemTier {
    fn name(&self) -> &TierName {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Self::CAPABILITIES
    }

    async fn observe(&self) -> Result<TierState> {
        let path = self.root.clone();
        blocking(move || observe(&path)).await
    }

    async fn initialise(&self, identity: &str) -> Result<String> {
        let path = self.root.clone();
        let identity = identity.to_owned();
        blocking(move || {
            make_root(&path)?;
            marker::write(&Root::open(&path)?, &identity)
        })
        .await
    }

    async fn create(&self, key: &ObjectKey, new: NewObject) -> Result<Box<dyn ObjectWriter>> {
        if new.lock.is_some() {
            return Err(self.cannot("lock objects"));
        }
        let key = key.clone();
        let min_free = self.min_free;
        let writer = self
            .in_root(move |root| writer::create(root, key, new.expected, min_free))
            .await?;
        Ok(Box::new(writer))
    }

    async fn open_at(&self, key: &ObjectKey, offset: u64) -> Result<Box<dyn ObjectReader>> {
        let root = self.in_root(Ok).await?;
        Ok(Box::new(open_reader(root, key.clone(), offset).await?))
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>> {
        let key = key.clone();
        self.in_root(move |root| stat(&root, key)).await
    }

    async fn ensure_durable(&self, key: &ObjectKey) -> Result<()> {
        let key = key.clone();
        self.in_root(move |root| ensure_durable(&root, &key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let prefix = prefix.to_owned();
        self.in_root(move |root| list::objects(&root, &prefix))
            .await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<bool> {
        let key = key.clone();
        self.in_root(move |root| delete(&root, &key)).await
    }

    async fn clean_leftovers(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = prefix.to_owned();
        self.in_root(move |root| leftovers::clean(&root, &prefix))
            .await
    }

    async fn read_control(&self, key: &ObjectKey) -> Result<Option<(Bytes, ControlTag)>> {
        let key = key.clone();
        self.in_root(move |root| control::read(&root, &key)).await
    }

    async fn write_control(
        &self,
        key: &ObjectKey,
        content: Bytes,
        expected: Expected,
        lock: Option<LockOrder>,
    ) -> Result<ControlTag> {
        if lock.is_some() {
            return Err(self.cannot("lock objects"));
        }
        let key = key.clone();
        self.in_root(move |root| control::write(&root, &key, &content, &expected))
            .await
    }
}

/// A missing folder in an existing one is a tier that was never initialised: whoever remembers its identity knows better.
/// When the folder above is missing too, a mount or a typing error is more likely, so nothing is offered.
fn observe(path: &Path) -> Result<TierState> {
    let (identity, root) = match Root::open(path) {
        Ok(root) => (marker::read(&root)?, root),
        Err(error) => {
            let above = path.parent().filter(|_| !path.exists());
            let above = above.map(|parent| {
                if parent.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    parent
                }
            });
            match above.map(Root::open) {
                Some(Ok(root)) => (None, root),
                _ => return Err(error),
            }
        }
    };
    Ok(TierState {
        identity,
        space: space::of(&root.fd).ok(),
    })
}

/// Makes the root's own folder (mode 0700) when it is missing, never what is above it.
fn make_root(path: &Path) -> Result<()> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) => {
            if let Some(parent) = path.parent()
                && let Ok(parent) = std::fs::File::open(parent)
            {
                sync_folder(parent.as_fd()).map_err(|errno| {
                    errors::from_errno("sync the folder above the tier's", errno)
                })?;
            }
            Ok(())
        }
        Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) => Err(errors::missing_root(path)),
        Err(errno) => Err(errors::from_errno(
            &format!("make the tier's folder `{}`", path.display()),
            errno,
        )),
    }
}

fn stat(root: &Root, key: ObjectKey) -> Result<Option<ObjectInfo>> {
    let fail = |errno| errors::from_errno(&format!("look at `{key}`"), errno);
    let (segments, name) = split(&key);
    if name.starts_with('.') {
        return Ok(None);
    }
    let Some(folder) = root.folder(&segments).map_err(fail)? else {
        return Ok(None);
    };
    match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if list::is_file(&stat) => Ok(Some(list::info(key, &stat))),
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(fail(errno)),
    }
}

/// Content first, then every name on the way, as a writer does it.
fn ensure_durable(root: &Root, key: &ObjectKey) -> Result<()> {
    let fail = |errno| errors::from_errno(&format!("sync `{key}`"), errno);
    let (mut segments, name) = split(key);
    let missing = || errors::not_found(key.as_str());
    let folder = root.folder(&segments).map_err(fail)?.ok_or_else(missing)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::LOOP) => return Err(missing()),
        Err(errno) => return Err(fail(errno)),
    };
    rustix::fs::fsync(&file).map_err(fail)?;
    sync_folder(folder.as_fd()).map_err(fail)?;
    while segments.pop().is_some() {
        let above = root.folder(&segments).map_err(fail)?.ok_or_else(missing)?;
        sync_folder(above.as_fd()).map_err(fail)?;
    }
    Ok(())
}

fn delete(root: &Root, key: &ObjectKey) -> Result<bool> {
    let fail = |errno| errors::from_errno(&format!("delete `{key}`"), errno);
    // The marker and unfinished objects are not objects.
    let (mut segments, name) = split(key);
    if name.starts_with('.') {
        return Ok(false);
    }
    let Some(folder) = root.folder(&segments).map_err(fail)? else {
        return Ok(false);
    };
    match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if list::is_file(&stat) => {}
        Ok(_) | Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(fail(errno)),
    }
    match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(fail(errno)),
    }
    sync_folder(folder.as_fd()).map_err(fail)?;
    // Empty folders above it go too; `rmdir` refuses every other one.
    while let Some(empty) = segments.pop() {
        let Some(parent) = root.folder(&segments).map_err(fail)? else {
            break;
        };
        if rustix::fs::unlinkat(&parent, empty, AtFlags::REMOVEDIR).is_err() {
            break;
        }
        sync_folder(parent.as_fd()).map_err(fail)?;
    }
    Ok(true)
}
