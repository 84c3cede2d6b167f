//! Source → BLAKE3 → compressor → (sealer →) SHA-256 and CRC-64 → writer, each arrow a bounded channel.
//!
//! An error travels down the same channel as the blocks before it, so the first trouble in the order of the bytes is the one
//! that is reported. A stage whose taker has gone ends and drops what it holds; so the source is closed in the end.
//! Blocks that wait: 3 plain, 1 in each of two stages, 3 + 4 stored: about 12 MiB beside the compressor's own memory; the sealer
//! adds one that it fills and two in each of at most three lanes, and takes two places from the compressor.

use super::{
    BLOCK, PLACES, Progress, Stored,
    compress::{Compressor, NOBODY},
    damage,
    digest::Summing,
    seal::seal,
    thread,
};
use crate::{
    api::{ObjectWriter, ProviderError, Result},
    seal::Sealing,
};
use base64ct::{Base64, Encoding};
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use model::{ByteCount, Digest, manifest::Compression};
use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};
use tokio::sync::mpsc;

/// What moves between two stages: data, then one end.
pub(super) enum Item<T> {
    Data(T),
    End(Plain),
    Failed(ProviderError),
}

/// Size and digest of the plain bytes.
pub(super) struct Plain {
    bytes: u64,
    blake3: Digest,
}

/// Where packed chunks come from; `None` when that stage has ended without an end.
pub(super) trait Packed {
    fn next(&mut self) -> Option<Item<Bytes>>;
}

impl Packed for Receiver<Item<Bytes>> {
    fn next(&mut self) -> Option<Item<Bytes>> {
        self.recv().ok()
    }
}

enum Written {
    Chunk(Bytes),
    End(Stored),
    Failed(ProviderError),
}

/// Compresses `source` into `writer`, sealing it if asked, hashing both sides. The writer comes back unfinished: the caller makes it visible
/// only when the capture has ended well. On error or cancellation the writer is dropped and nothing becomes visible.
///
/// `level` out of [`super::levels`] is taken as the nearest in range. An error that `source` gives comes back as the
/// `ProviderError` inside it, or as `mainstay::stream::source`.
pub async fn store(
    source: Box<dyn Read + Send>,
    mut writer: Box<dyn ObjectWriter>,
    compression: Compression,
    level: Option<i32>,
    sealing: Option<Sealing>,
    progress: Progress,
) -> Result<(Stored, Box<dyn ObjectWriter>)> {
    let (plain_out, plain_in) = sync_channel(PLACES);
    let (spare_out, spare_in) = sync_channel(PLACES + 1);
    let (packed_out, packed_in) = sync_channel(if sealing.is_some() { 1 } else { PLACES });
    let (written_out, mut written_in) = mpsc::channel(PLACES);

    thread("source", move || {
        read_source(source, &plain_out, &spare_in, &progress);
    })
    .and_then(|()| {
        thread("compress", move || {
            compress(compression, level, &plain_in, &spare_out, &packed_out);
        })
    })
    .map_err(damage::no_thread)?;
    let packed: Box<dyn Packed + Send> = match &sealing {
        Some(sealing) => Box::new(seal(packed_in, sealing)?),
        None => Box::new(packed_in),
    };
    thread("sha256", move || hash(packed, &written_out)).map_err(damage::no_thread)?;

    loop {
        match written_in.recv().await {
            Some(Written::Chunk(chunk)) => writer.write(chunk).await?,
            Some(Written::End(stored)) => return Ok((stored, writer)),
            Some(Written::Failed(error)) => return Err(error),
            None => return Err(damage::stopped()),
        }
    }
}

/// Reads whole blocks. Ends early when nobody wants them any more.
fn read_source(
    mut source: Box<dyn Read + Send>,
    out: &SyncSender<Item<Vec<u8>>>,
    spare: &Receiver<Vec<u8>>,
    progress: &Progress,
) {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    loop {
        let mut block = spare.try_recv().unwrap_or_default();
        block.resize(BLOCK, 0);
        let filled = match fill(&mut source, &mut block, bytes, progress) {
            Ok(filled) => filled,
            Err(error) => {
                let _ = out.send(Item::Failed(damage::provider_error(error)));
                return;
            }
        };
        let at_end = filled < block.len();
        block.truncate(filled);
        hasher.update(&block);
        bytes += filled as u64;
        if filled > 0 && out.send(Item::Data(block)).is_err() {
            return;
        }
        if at_end {
            break;
        }
    }
    let blake3 = Digest::blake3(hasher.finalize().as_bytes());
    let _ = out.send(Item::End(Plain { bytes, blake3 }));
}

/// Fills a block; less than the whole only at the end of the source.
fn fill(
    source: &mut Box<dyn Read + Send>,
    block: &mut [u8],
    before: u64,
    progress: &Progress,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match source.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                progress(before + filled as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn compress(
    compression: Compression,
    level: Option<i32>,
    blocks: &Receiver<Item<Vec<u8>>>,
    spare: &SyncSender<Vec<u8>>,
    out: &SyncSender<Item<Bytes>>,
) {
    let mut emit = |chunk| {
        out.send(Item::Data(chunk))
            .map_err(|_| io::Error::from(NOBODY))
    };
    let mut work = || -> io::Result<Option<Item<Bytes>>> {
        let mut compressor = Compressor::new(compression, level)?;
        while let Ok(item) = blocks.recv() {
            match item {
                Item::Data(block) => {
                    if let Some(block) = compressor.push(block, &mut emit)? {
                        let _ = spare.try_send(block);
                    }
                }
                Item::End(plain) => {
                    compressor.finish(&mut emit)?;
                    return Ok(Some(Item::End(plain)));
                }
                Item::Failed(error) => return Ok(Some(Item::Failed(error))),
            }
        }
        Ok(None)
    };
    let last = match work() {
        Ok(last) => last,
        Err(error) if error.kind() == NOBODY => None,
        Err(error) => Some(Item::Failed(
            ProviderError::new(
                "mainstay::stream::compress",
                model::Disposition::Retry,
                "compressing failed",
            )
            .source(error),
        )),
    };
    if let Some(last) = last {
        let _ = out.send(last);
    }
}

fn hash(mut chunks: Box<dyn Packed + Send>, out: &mpsc::Sender<Written>) {
    let mut summing = Summing::new();
    let mut crc = crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme);
    while let Some(item) = chunks.next() {
        let written = match item {
            Item::Data(chunk) => {
                summing.update(&chunk);
                crc.update(&chunk);
                Written::Chunk(chunk)
            }
            Item::End(plain) => {
                let sum = summing.finish();
                let _ = out.blocking_send(Written::End(Stored {
                    bytes: sum.bytes,
                    sha256: sum.sha256,
                    crc64nvme: Base64::encode_string(&crc.finalize().to_be_bytes()),
                    plain_bytes: ByteCount(plain.bytes),
                    plain_blake3: plain.blake3,
                }));
                return;
            }
            Item::Failed(error) => {
                let _ = out.blocking_send(Written::Failed(error));
                return;
            }
        };
        if out.blocking_send(written).is_err() {
            return;
        }
    }
}
