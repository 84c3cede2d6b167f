//! SHA-256 of stored bytes on a thread of its own: without the processor's help it is the slowest thing after compressing.
//!
//! Bytes that an asynchronous loop reads or writes are handed over by reference count, so hashing costs no copy. At most
//! `PLACES` blocks wait here, and they are blocks that their sender still knows.

use super::{PLACES, damage, thread};
use crate::api::Result;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use model::{ByteCount, Digest};
use tokio::sync::{mpsc, oneshot};

/// Size and SHA-256 of a stream of stored bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) bytes: ByteCount,
    pub(crate) sha256: Digest,
}

/// Hashes as it goes.
pub(crate) struct Summing {
    bytes: u64,
    context: Context,
}

impl Summing {
    pub(crate) fn new() -> Self {
        Self {
            bytes: 0,
            context: Context::new(&SHA256),
        }
    }

    pub(crate) fn update(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        self.context.update(chunk);
    }

    pub(crate) fn finish(self) -> Sum {
        Sum {
            bytes: ByteCount(self.bytes),
            sha256: Digest::sha256(self.context.finish().as_ref()),
        }
    }
}

/// The thread that hashes what it is sent.
pub(super) struct SumThread {
    chunks: mpsc::Sender<Bytes>,
    result: oneshot::Receiver<Sum>,
}

impl SumThread {
    pub(super) fn start() -> Result<Self> {
        let (chunks, mut inbox) = mpsc::channel::<Bytes>(PLACES);
        let (answer, result) = oneshot::channel();
        thread("sha256", move || {
            let mut summing = Summing::new();
            while let Some(chunk) = inbox.blocking_recv() {
                summing.update(&chunk);
            }
            // Nobody listens any more when the stream was given up.
            let _ = answer.send(summing.finish());
        })
        .map_err(damage::no_thread)?;
        Ok(Self { chunks, result })
    }

    pub(super) async fn add(&self, chunk: Bytes) -> Result<()> {
        self.chunks.send(chunk).await.map_err(|_| damage::stopped())
    }

    pub(super) async fn finish(self) -> Result<Sum> {
        drop(self.chunks);
        self.result.await.map_err(|_| damage::stopped())
    }
}
