//! Reads a file as it lies there, unpacked if it is packed, and notices when it changes meanwhile.
//!
//! Blocking readers, as the pipeline wants them. Invariant: nothing here can write.

use super::{
    content,
    find::{ExistingFile, Place, modified},
    shown,
};
use crate::{
    api::{ObjectReader, ProviderError, Result},
    stream::{Decompressor, LARGEST_FOREIGN_WINDOW_LOG, Summing},
};
use bytes::Bytes;
use jiff::Timestamp;
use model::{ByteCount, Digest, Disposition, manifest::Compression};
use rustix::fs::{Mode, OFlags};
use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::runtime::Handle;

/// Enough to know every compression and every foreign format.
const SNIFFED: usize = 512;
const BUFFER: usize = 1 << 20;

type Stream = Box<dyn Read + Send>;

/// Opens a file for reading from its start. A pipe or a device in its place is an error and never waited for.
pub(super) async fn open(file: &ExistingFile) -> Result<Stream> {
    match &file.place {
        Place::File(path) => {
            let (path, name) = (path.clone(), file.name.clone());
            let opened = tokio::task::spawn_blocking(move || open_file(&path, &name)).await;
            Ok(Box::new(
                opened.map_err(|error| unreadable(&file.name).source(error))??,
            ))
        }
        Place::Object(tier, key) => Ok(Box::new(ObjectStream {
            reader: tier.open(key).await?,
            chunk: Bytes::new(),
            runtime: Handle::current(),
        })),
    }
}

fn open_file(path: &Path, name: &str) -> Result<File> {
    let failed = |error: io::Error| unreadable(name).source(error);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|errno| failed(errno.into()))?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(unreadable(name));
    }
    Ok(file)
}

/// The file cannot be read.
pub(super) fn unreadable(name: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::adopt::unreadable",
        Disposition::NeedsOperator,
        format!("`{name}` cannot be read"),
    )
    .help("look at its permissions and at the disk it lies on; the file was not touched")
}

/// Size and modification time now.
pub async fn facts(file: &ExistingFile) -> Result<(ByteCount, Timestamp)> {
    match &file.place {
        Place::File(path) => {
            let metadata = tokio::fs::metadata(path)
                .await
                .map_err(|error| unreadable(&file.name).source(error))?;
            Ok((ByteCount(metadata.len()), modified(&metadata)))
        }
        Place::Object(tier, key) => match tier.stat(key).await? {
            Some(info) => Ok((info.bytes, info.stored_at)),
            None => Err(unreadable(&file.name)),
        },
    }
}

/// SHA-256 of the file as it lies there.
pub async fn digest(file: &ExistingFile) -> Result<Digest> {
    let mut stream = open(file).await?;
    let summed = tokio::task::spawn_blocking(move || -> io::Result<Digest> {
        let mut summing = Summing::new();
        let mut block = vec![0; BUFFER];
        loop {
            match stream.read(&mut block) {
                Ok(0) => return Ok(summing.finish().sha256),
                Ok(count) => summing.update(&block[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    });
    match summed.await {
        Ok(Ok(digest)) => Ok(digest),
        Ok(Err(error)) => Err(read_failed(&file.name, error)),
        Err(error) => Err(unreadable(&file.name).source(error)),
    }
}

/// The provider's own error inside, or the system's.
pub(super) fn read_failed(name: &str, error: io::Error) -> ProviderError {
    match error.downcast::<ProviderError>() {
        Ok(error) => error,
        Err(error) => unreadable(name).source(error),
    }
}

/// An error with its causes in one line.
pub(super) fn words_of(error: &ProviderError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What the file changed into is nobody's state.
pub(super) fn changed(name: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::adopt::changed",
        Disposition::Permanent,
        format!("`{name}` changed while it was read"),
    )
    .help("wait until whatever writes it has ended, then adopt it again")
}

/// The plain bytes of a packed stream, and how it is packed; an error of kind `Unsupported` says what a person must undo first.
pub(super) fn unpacked(mut source: Stream) -> io::Result<(Compression, Stream)> {
    let mut head = Vec::with_capacity(SNIFFED);
    (&mut source).take(SNIFFED as u64).read_to_end(&mut head)?;
    let compression = content::compression(&head)
        .map_err(|why| io::Error::new(io::ErrorKind::Unsupported, why))?;
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(source));
    let plain = Decompressor::with_window(compression, whole, LARGEST_FOREIGN_WINDOW_LOG)?;
    Ok((compression, Box::new(plain)))
}

/// Bytes of an object of a tier, for a thread.
struct ObjectStream {
    reader: Box<dyn ObjectReader>,
    chunk: Bytes,
    runtime: Handle,
}

impl Read for ObjectStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.reader.read()) {
                Ok(Some(chunk)) => self.chunk = chunk,
                Ok(None) => return Ok(0),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

/// Hashes what is read as it lies there.
pub(super) struct Hashed {
    source: Stream,
    sum: Arc<Mutex<Summing>>,
}

impl Hashed {
    /// A reader, and what sums meanwhile.
    pub(super) fn new(source: Stream) -> (Self, Arc<Mutex<Summing>>) {
        let sum = Arc::new(Mutex::new(Summing::new()));
        let reader = Self {
            source,
            sum: Arc::clone(&sum),
        };
        (reader, sum)
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.update(&buffer[..count]);
        Ok(count)
    }
}

/// The path in a message.
pub(super) fn beside(path: &Path, ending: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    std::path::PathBuf::from(name)
}

/// Whether SQLite's log lies beside a file, so that the file alone is not the database.
pub(super) async fn has_log_beside(file: &ExistingFile) -> Option<String> {
    match &file.place {
        Place::File(path) => {
            let log = beside(path, "-wal");
            let metadata = tokio::fs::metadata(&log).await.ok()?;
            (metadata.len() > 0).then(|| shown(log.as_os_str()))
        }
        Place::Object(tier, key) => {
            let log = crate::api::ObjectKey::new(format!("{key}-wal"))?;
            let info = tier.stat(&log).await.ok()??;
            (info.bytes.0 > 0).then(|| format!("{}:{log}", tier.name()))
        }
    }
}
