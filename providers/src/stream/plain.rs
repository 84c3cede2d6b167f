//! Stored object → SHA-256 (→ opener) → decompressor → BLAKE3 → a blocking reader that cannot end well when anything differs.
//!
//! A task reads the tier, a thread hashes, lanes open segments, and whoever reads decompresses. Bytes are handed out before the
//! end was checked (those of a sealed object after their segment has been authenticated): users keep what they make of them invisible until the reader has said `Ok(0)`.

use super::{
    Busy, PLACES, Progress,
    check::{agrees, not_too_long},
    damage,
    decompress::Decompressor,
    digest::{Sum, Summing},
    open::open,
    thread,
};
use crate::{
    api::{ObjectReader, ProviderError, Result},
    seal::Sealing,
};
use bytes::Bytes;
use model::{Digest, Disposition, StoredObject, manifest::Encryption};
use std::{
    io::{self, BufRead, Read},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::mpsc, task::AbortHandle};

/// Plain bytes of a stored object, opened with its key if it is sealed. The reader fails (never ends well) when a segment does
/// not authenticate, or the stored SHA-256, the size or the plain BLAKE3 does not agree with the manifest: its error then holds
/// `mainstay::copy::damaged`, see [`super::provider_error`]. `mainstay::seal::no-key` when the object is sealed and `opening`
/// is `None`; `mainstay::seal::wrong-key` when the stored bytes are right and do not open. Errors of the tier travel the same
/// way, and every read after an error gives an error.
///
/// Must be called within a tokio runtime; the reader must be read outside of its asynchronous tasks (`spawn_blocking` or a
/// thread). Dropping the reader stops reading the tier.
pub fn plain(
    reader: Box<dyn ObjectReader>,
    object: &StoredObject,
    opening: Option<Sealing>,
    progress: Progress,
) -> Box<dyn Read + Send> {
    plain_timed(reader, object, opening, progress, Arc::default())
}

/// The same, noting how long each stage is busy.
pub fn plain_timed(
    reader: Box<dyn ObjectReader>,
    object: &StoredObject,
    opening: Option<Sealing>,
    progress: Progress,
    busy: Arc<Busy>,
) -> Box<dyn Read + Send> {
    let (raw_out, raw_in) = mpsc::channel(PLACES);
    let (hashed_out, hashed_in) = sync_channel(PLACES);
    let pump = Handle::current()
        .spawn(pump(reader, raw_out, Arc::clone(&busy)))
        .abort_handle();
    let expected = object.clone();
    let started = thread("sha256", move || hash(raw_in, &hashed_out, &expected));
    let (inbox, failure) = match inbox(hashed_in, opening, object, &busy) {
        Ok(inbox) => (Some(inbox), None),
        Err(error) => (None, Some(error)),
    };
    let stored = StoredBytes {
        inbox,
        chunk: Bytes::new(),
        end: None,
        // Without its thread the channel is closed and would report `stopped`; this is the better word for it.
        failure: failure.or(started.err().map(damage::no_thread)),
        pump,
        waited: Duration::ZERO,
    };
    Box::new(PlainReader {
        busy,
        state: State::Starting(stored),
        object: object.clone(),
        hasher: blake3::Hasher::new(),
        bytes: 0,
        progress,
    })
}

/// Puts the opener behind the hashing stage where the manifest says that the object is sealed.
fn inbox(
    hashed: Receiver<Hashed>,
    opening: Option<Sealing>,
    object: &StoredObject,
    busy: &Arc<Busy>,
) -> Result<Box<dyn HashedChunks + Send>> {
    match (object.encryption, opening) {
        (None, None) => Ok(Box::new(hashed)),
        (Some(Encryption::Aes256GcmHkdf1Mb), Some(opening)) => {
            Ok(Box::new(open(hashed, opening, object, Arc::clone(busy))?))
        }
        (Some(_), None) => Err(ProviderError::new(
            "mainstay::seal::no-key",
            Disposition::NeedsOperator,
            format!(
                "the stored object `{}` is encrypted, and no key opened its data key",
                object.file
            ),
        )
        .help("declare one of the keys that its `keys.json` names, with the key file or the rights that it needs")),
        (None, Some(_)) => Err(damage::damaged(
            object,
            "its manifest says that it is not encrypted, and yet there is a key for it",
        )),
    }
}

async fn pump(
    mut reader: Box<dyn ObjectReader>,
    out: mpsc::Sender<Result<Bytes>>,
    busy: Arc<Busy>,
) {
    loop {
        let reading = Instant::now();
        let item = reader.read().await.transpose();
        busy.fetched(reading);
        let Some(item) = item else { break };
        if item.as_ref().is_ok_and(Bytes::is_empty) {
            continue;
        }
        let last = item.is_err();
        if out.send(item).await.is_err() || last {
            // The hashing thread must not take a failed pump for the end.
            return;
        }
    }
    // An empty chunk marks the end, so that an aborted pump is not taken for one.
    let _ = out.send(Ok(Bytes::new())).await;
}

pub(super) enum Hashed {
    Chunk(Bytes),
    End(Sum),
    Failed(ProviderError),
}

/// Where chunks come from that were hashed and, if need be, opened; `None` when that stage has ended without an end. Never an
/// empty chunk.
pub(super) trait HashedChunks {
    fn next(&mut self) -> Option<Hashed>;
}

impl HashedChunks for Receiver<Hashed> {
    fn next(&mut self) -> Option<Hashed> {
        self.recv().ok()
    }
}

fn hash(mut raw: mpsc::Receiver<Result<Bytes>>, out: &SyncSender<Hashed>, object: &StoredObject) {
    let mut summing = Summing::new();
    let mut seen = 0;
    while let Some(item) = raw.blocking_recv() {
        let chunk = match item {
            Ok(chunk) if chunk.is_empty() => {
                let _ = out.send(Hashed::End(summing.finish()));
                return;
            }
            Ok(chunk) => chunk,
            Err(error) => {
                let _ = out.send(Hashed::Failed(error));
                return;
            }
        };
        seen += chunk.len() as u64;
        if let Err(error) = not_too_long(seen, object) {
            let _ = out.send(Hashed::Failed(error));
            return;
        }
        // Handed on first: decompressing and hashing overlap.
        if out.send(Hashed::Chunk(chunk.clone())).is_err() {
            return;
        }
        summing.update(&chunk);
    }
}

/// The stored bytes as the decompressor sees them.
struct StoredBytes {
    /// None: there is a failure.
    inbox: Option<Box<dyn HashedChunks + Send>>,
    chunk: Bytes,
    end: Option<Sum>,
    /// The root of an error, kept beside whatever a decompressor makes of it.
    failure: Option<ProviderError>,
    pump: AbortHandle,
    /// Time spent waiting for the stages before.
    waited: Duration,
}

impl Drop for StoredBytes {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl BufRead for StoredBytes {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.failure.is_some() {
            return Err(io::Error::other("the tier's reader failed"));
        }
        if self.chunk.is_empty() && self.end.is_none() {
            let waiting = Instant::now();
            let next = self.inbox.as_mut().and_then(|inbox| inbox.next());
            self.waited += waiting.elapsed();
            match next {
                Some(Hashed::Chunk(chunk)) => self.chunk = chunk,
                Some(Hashed::End(sum)) => self.end = Some(sum),
                Some(Hashed::Failed(error)) => self.failure = Some(error),
                None => self.failure = Some(damage::stopped()),
            }
            if self.failure.is_some() {
                return Err(io::Error::other("the tier's reader failed"));
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        let _ = self.chunk.split_to(amount);
    }
}

impl Read for StoredBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let count = available.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

enum State {
    /// The decompressor is made at the first read: making it may fail or read.
    Starting(StoredBytes),
    Reading(Decompressor<StoredBytes>),
    Ended,
    Failed,
}

struct PlainReader {
    busy: Arc<Busy>,
    state: State,
    object: StoredObject,
    hasher: blake3::Hasher,
    bytes: u64,
    progress: Progress,
}

impl PlainReader {
    fn step(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut decompressor = match std::mem::replace(&mut self.state, State::Failed) {
            State::Ended => {
                self.state = State::Ended;
                return Ok(0);
            }
            State::Failed => {
                return Err(damage::damaged(&self.object, "reading it failed before"));
            }
            State::Starting(stored) => Decompressor::new(self.object.compression, stored)
                .map_err(|error| self.unreadable(error))?,
            State::Reading(decompressor) => decompressor,
        };
        let before = decompressor.source().waited;
        let reading = Instant::now();
        let read = decompressor.read(buffer);
        let waited = decompressor.source().waited.saturating_sub(before);
        self.busy
            .decompressed(reading.elapsed().saturating_sub(waited));
        let count = match read {
            Ok(count) => count,
            Err(error) => {
                let root = decompressor.source().failure.take();
                return Err(root.unwrap_or_else(|| self.unreadable(error)));
            }
        };
        if count == 0 {
            self.check_end(&mut decompressor)?;
            self.state = State::Ended;
            return Ok(0);
        }
        self.bytes += count as u64;
        if self.bytes > self.object.plain_bytes.0 {
            return Err(damage::damaged(
                &self.object,
                &format!(
                    "it unpacks to more than the {} bytes of its manifest",
                    self.object.plain_bytes.0
                ),
            ));
        }
        self.hasher.update(&buffer[..count]);
        (self.progress)(self.bytes);
        self.state = State::Reading(decompressor);
        Ok(count)
    }

    fn unreadable(&self, error: io::Error) -> ProviderError {
        damage::damaged(&self.object, "it cannot be decompressed").source(error)
    }

    fn check_end(&self, decompressor: &mut Decompressor<StoredBytes>) -> Result<()> {
        let source = decompressor.source();
        // The decompressor may stop at the end of its frame before the tier's reader has said that there is no more.
        match source.fill_buf() {
            Ok([]) => {}
            Ok(_) => {
                return Err(damage::damaged(
                    &self.object,
                    "there are bytes behind its end",
                ));
            }
            Err(error) => {
                let root = source.failure.take();
                return Err(root.unwrap_or_else(|| damage::provider_error(error)));
            }
        }
        let sum = source.end.as_ref().ok_or_else(damage::stopped)?;
        agrees(sum, &self.object)?;
        if self.bytes != self.object.plain_bytes.0 {
            return Err(damage::damaged(
                &self.object,
                &format!(
                    "it unpacks to {} bytes, its manifest says {}",
                    self.bytes, self.object.plain_bytes.0
                ),
            ));
        }
        if Digest::blake3(self.hasher.finalize().as_bytes()) != self.object.plain_blake3 {
            return Err(damage::damaged(
                &self.object,
                "the BLAKE3 of its plain bytes is not the one of its manifest",
            ));
        }
        Ok(())
    }
}

impl Read for PlainReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            // Zero bytes asked for is not the end.
            return Ok(0);
        }
        self.step(buffer).map_err(damage::io_error)
    }
}
