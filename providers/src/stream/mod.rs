//! The pipeline between plain bytes and stored bytes: compress, seal, hash, write; read, check, open, decompress.
//!
//! - Bounded: at most 64 MiB a stream, whatever the size. Blocks of [`BLOCK`] bytes move through channels of a few places;
//!   the sums stand at [`compress`] and at each channel.
//! - Reading the source, compressing, hashing and writing overlap: each has a thread of its own.
//! - Whoever fails first is reported; the other stages end because their channel is closed. Dropping a future or a reader
//!   closes the channels too. A thread that waits in `read` of a silent program ends when that program does: whoever started
//!   the program must kill it.
//!
//! Not here: where bytes come from (`engines`), where they go (`tiers`), the format of sealed objects (`seal`), who has their keys.

mod buffers;
mod busy;
mod check;
mod compress;
mod copy;
mod damage;
mod decompress;
mod digest;
mod lanes;
mod open;
mod plain;
mod seal;
mod store;
#[cfg(test)]
mod tests;
mod whole;

pub use buffers::Buffer;
pub use busy::Busy;
pub use check::check_stored;
pub use compress::levels;
pub use copy::copy;
pub use damage::{provider_error, provider_error_of};
pub(crate) use decompress::{Decompressor, LARGEST_FOREIGN_WINDOW_LOG};
pub(crate) use digest::Summing;
pub use plain::{plain, plain_timed};
pub use store::store;
pub use whole::{SealedPieces, compress_whole, unpack_whole};

use model::{ByteCount, Digest};
use std::sync::Arc;

/// Called with the plain (or, when copying, stored) bytes moved so far; must be cheap.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Size of the blocks that move through a stream.
pub const BLOCK: usize = 1 << 20;

/// Blocks that may wait between two stages.
const PLACES: usize = 3;

/// Sizes and digests of what was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Stored bytes.
    pub bytes: ByteCount,
    /// SHA-256 of the stored bytes.
    pub sha256: Digest,
    /// CRC-64/NVME of the stored bytes, big-endian in base64.
    pub crc64nvme: String,
    /// Plain bytes.
    pub plain_bytes: ByteCount,
    /// BLAKE3 of the plain bytes.
    pub plain_blake3: Digest,
}

/// Starts a named thread of a stream. Detached on purpose: its result travels through its channel, and a thread that waits
/// for a silent program must not hold up whoever has given up on it.
fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name(format!("mainstay-{name}"))
        .spawn(work)
        .map(drop)
}
