//! Writing one object: temporary file, sync, rename without replacing, sync of every folder up to the root.
//!
//! Order matters: content before name (a crash must not show a name without content), leaf folder before its parents
//! (each sync makes the names in that folder durable). All folders up to the root are synced, not only the new ones: an
//! earlier run may have made them and crashed before its sync. Syncing an unchanged folder costs nothing.

use super::{
    TEMPORARY, errors, list,
    root::{Root, name_taken, split, sync_folder},
    space::{self, LOOK_EVERY, MinFree},
    tier::blocking,
};
use crate::{
    api::{ObjectInfo, ObjectKey, ObjectWriter, ProviderError, Result},
    temporary::Temporary,
};
use async_trait::async_trait;
use bytes::Bytes;
use model::ByteCount;
use rustix::{
    fd::{AsFd, OwnedFd},
    io::Errno,
};
use std::io::Write;

/// Folders may be removed under us by a prune of the last object in them; then the way is made again.
const TRIES: usize = 8;

/// The state of an object being written. Dropping it removes the temporary file.
struct Writing {
    root: Root,
    key: ObjectKey,
    temporary: Temporary,
    /// Folders from the root to the object's.
    chain: Vec<OwnedFd>,
    min_free: MinFree,
    written: u64,
    look_at: u64,
}

/// The object's writer: its state moves to a blocking thread and back with each call.
pub(super) struct FilesystemWriter {
    /// `None` after a failed or cancelled call: then the temporary file has been removed.
    writing: Option<Writing>,
}

/// Starts an object.
pub(super) fn create(
    root: Root,
    key: ObjectKey,
    expected: Option<ByteCount>,
    min_free: MinFree,
) -> Result<FilesystemWriter> {
    let what = format!("write `{key}`");
    let fail = |errno| errors::from_errno(&what, errno);
    let (segments, name) = split(&key);
    if key
        .as_str()
        .split('/')
        .any(|segment| segment.starts_with('.'))
    {
        return Err(errors::bad_key(
            key.as_str(),
            "names with a leading dot are kept for unfinished objects",
        ));
    }
    if let Some(folder) = root.folder(&segments).map_err(fail)?
        && name_taken(folder.as_fd(), name).map_err(fail)?
    {
        return Err(errors::exists(key.as_str()));
    }
    let space = space::of(&root.fd).map_err(fail)?;
    min_free.check(space, expected.map_or(0, |bytes| bytes.0), &what)?;
    let (chain, temporary) = make_temporary(&root, &segments, name).map_err(fail)?;
    Ok(FilesystemWriter {
        writing: Some(Writing {
            root,
            key,
            temporary,
            chain,
            min_free,
            written: 0,
            look_at: LOOK_EVERY,
        }),
    })
}

fn make_temporary(
    root: &Root,
    segments: &[&str],
    name: &str,
) -> rustix::io::Result<(Vec<OwnedFd>, Temporary)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let made = root.make_folder(segments).and_then(|chain| {
            let folder = chain.last().map_or(root.fd.as_fd(), AsFd::as_fd);
            let folder = rustix::io::fcntl_dupfd_cloexec(folder, 0)?;
            Ok((chain, Temporary::create(folder, TEMPORARY, name)?))
        });
        match made {
            Err(Errno::NOENT) if tries < TRIES => {}
            other => return other,
        }
    }
}

impl Writing {
    fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.temporary
            .file
            .write_all(chunk)
            .map_err(|error| self.fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        self.written += chunk.len() as u64;
        if self.written >= self.look_at {
            self.look_at = self.written + LOOK_EVERY;
            let room = space::of(&self.temporary.file).map_err(|errno| self.fail(errno))?;
            self.min_free.check(room, 0, &self.what())?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<ObjectInfo> {
        self.temporary
            .file
            .sync_all()
            .map_err(|error| self.fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        self.root.check_still_there()?;
        let (_, name) = split(&self.key);
        let name = name.to_owned();
        match self.temporary.rename_to(&name) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(errors::exists(self.key.as_str())),
            Err(errno @ Errno::NOSYS) => return Err(errors::unsupported(&self.what(), errno)),
            Err(errno) => return Err(self.fail(errno)),
        }
        for folder in self.chain.iter().rev() {
            sync_folder(folder.as_fd()).map_err(|errno| self.fail(errno))?;
        }
        let stat = rustix::fs::fstat(&self.temporary.file).map_err(|errno| self.fail(errno))?;
        Ok(list::info(self.key.clone(), &stat))
    }

    fn what(&self) -> String {
        format!("write `{}`", self.key)
    }

    fn fail(&self, errno: Errno) -> ProviderError {
        errors::from_errno(&self.what(), errno)
    }
}

#[async_trait]
impl ObjectWriter for FilesystemWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let mut writing = self.writing.take().ok_or_else(given_up)?;
        let writing = blocking(move || {
            writing.write(&chunk)?;
            Ok(writing)
        })
        .await?;
        self.writing = Some(writing);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<ObjectInfo> {
        let writing = self.writing.take().ok_or_else(given_up)?;
        blocking(move || writing.finish()).await
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let writing = self.writing.take();
        blocking(move || {
            drop(writing);
            Ok(())
        })
        .await
    }
}

fn given_up() -> ProviderError {
    ProviderError::new(
        "mainstay::tier::io",
        model::Disposition::Retry,
        "the object was given up after an earlier failure",
    )
}
