//! The pipeline between plain bytes and stored bytes: compress, hash, write; read, check, decompress. (Contract; being written.)
//!
//! Bounded: at most 64 MiB a stream, whatever the size. Reading the source, compressing, hashing and writing overlap.

use crate::api::{ObjectReader, ObjectWriter, Result};
use model::{ByteCount, Digest, StoredObject, manifest::Compression};
use std::{io::Read, sync::Arc};

/// Called with the plain (or, when copying, stored) bytes moved so far; must be cheap.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Sizes and digests of what was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Stored bytes.
    pub bytes: ByteCount,
    /// SHA-256 of the stored bytes.
    pub sha256: Digest,
    /// Plain bytes.
    pub plain_bytes: ByteCount,
    /// BLAKE3 of the plain bytes.
    pub plain_blake3: Digest,
}

/// Compresses `source` into `writer`, hashing both sides. The writer comes back unfinished: the caller makes it visible
/// only when the capture has ended well. On error or cancellation the writer is dropped and nothing becomes visible.
pub async fn store(
    source: Box<dyn Read + Send>,
    writer: Box<dyn ObjectWriter>,
    compression: Compression,
    level: Option<i32>,
    progress: Progress,
) -> Result<(Stored, Box<dyn ObjectWriter>)> {
    let _ = (source, writer, compression, level, progress);
    Err(crate::api::ProviderError::new(
        "mainstay::stream::unfinished",
        model::Disposition::Permanent,
        "not written yet",
    ))
}

/// Plain bytes of a stored object. The reader fails (never ends well) when the stored SHA-256, the size or the plain BLAKE3
/// does not agree with the manifest.
pub fn plain(
    reader: Box<dyn ObjectReader>,
    object: &StoredObject,
    progress: Progress,
) -> Box<dyn Read + Send> {
    let _ = (reader, object, progress);
    Box::new(std::io::empty())
}

/// Reads a stored object to its end and compares size and SHA-256 (`mainstay::copy::damaged` when they differ).
pub async fn check_stored(
    reader: Box<dyn ObjectReader>,
    object: &StoredObject,
    progress: Progress,
) -> Result<()> {
    let _ = (reader, object, progress);
    Ok(())
}

/// Copies stored bytes as they are, checking size and SHA-256 on the way; the writer comes back unfinished.
pub async fn copy(
    reader: Box<dyn ObjectReader>,
    writer: Box<dyn ObjectWriter>,
    object: &StoredObject,
    progress: Progress,
) -> Result<Box<dyn ObjectWriter>> {
    let _ = (reader, object, progress);
    Ok(writer)
}
