//! Reading one object in order, one chunk ahead of its user.

use super::{
    errors, list,
    root::{Root, split},
    tier::blocking,
};
use crate::api::{ObjectKey, ObjectReader, ProviderError, Result};
use async_trait::async_trait;
use bytes::Bytes;
use model::Disposition;
use rustix::{
    fs::{Advice, Mode, OFlags},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};
use tokio::task::JoinHandle;

const CHUNK: usize = 1 << 20;

type Ahead = JoinHandle<(File, io::Result<Bytes>)>;

/// Reads a file; one chunk is always on its way.
pub(super) struct FilesystemReader {
    key: ObjectKey,
    /// `None` at the end and after an error.
    ahead: Option<Ahead>,
    failed: bool,
}

/// Opens an object.
pub(super) fn open(root: &Root, key: &ObjectKey) -> Result<File> {
    let fail = |errno| errors::from_errno(&format!("read `{key}`"), errno);
    let (segments, name) = split(key);
    let Some(folder) = root.folder(&segments).map_err(fail)? else {
        return Err(errors::not_found(key.as_str()));
    };
    // Not blocking, in case somebody put a pipe there.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
        Ok(fd) if !name.starts_with('.') => fd,
        Ok(_) | Err(Errno::NOENT | Errno::LOOP) => return Err(errors::not_found(key.as_str())),
        Err(errno) => return Err(fail(errno)),
    };
    if !list::is_file(&rustix::fs::fstat(&fd).map_err(fail)?) {
        return Err(errors::not_found(key.as_str()));
    }
    // Only a hint: a file system that does not take it reads as well.
    let _ = rustix::fs::fadvise(&fd, 0, None, Advice::Sequential);
    Ok(File::from(fd))
}

impl FilesystemReader {
    pub(super) fn new(key: ObjectKey, file: File) -> Self {
        Self {
            key,
            ahead: Some(read_ahead(file)),
            failed: false,
        }
    }
}

fn read_ahead(mut file: File) -> Ahead {
    tokio::task::spawn_blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk);
        (file, read.map(|_| Bytes::from(chunk)))
    })
}

#[async_trait]
impl ObjectReader for FilesystemReader {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        // Awaited in place: a cancelled read loses nothing.
        let Some(ahead) = self.ahead.as_mut() else {
            return if self.failed {
                Err(failed_before(&self.key))
            } else {
                Ok(None)
            };
        };
        let result = ahead.await;
        self.ahead = None;
        match result {
            Ok((_, Ok(chunk))) if chunk.is_empty() => Ok(None),
            Ok((file, Ok(chunk))) => {
                self.ahead = Some(read_ahead(file));
                Ok(Some(chunk))
            }
            Ok((_, Err(error))) => {
                self.failed = true;
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                Err(errors::from_errno(&format!("read `{}`", self.key), errno))
            }
            Err(_) => {
                self.failed = true;
                Err(failed_before(&self.key))
            }
        }
    }
}

fn failed_before(key: &ObjectKey) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::io",
        Disposition::Retry,
        format!("reading `{key}` failed before"),
    )
}

/// Opens an object on a blocking thread, for reading from `offset`.
pub(super) async fn open_reader(
    root: Root,
    key: ObjectKey,
    offset: u64,
) -> Result<FilesystemReader> {
    let (key, file) = blocking(move || {
        let mut file = open(&root, &key)?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            errors::from_errno(&format!("read `{key}`"), errno)
        })?;
        Ok((key, file))
    })
    .await?;
    Ok(FilesystemReader::new(key, file))
}
