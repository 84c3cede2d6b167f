//! Encryption of stored objects: one stream in Tink's published wire format `AES256_GCM_HKDF_1MB`, on aws-lc-rs.
//!
//! Invariant: a plain byte leaves here only after the segment that it stands in has been authenticated.
//! Not here: who may open the data key (`keys/`), where the bytes come from and go to, and on which threads (`stream/`).

mod data_key;
mod error;
mod format;
mod open;
#[expect(clippy::module_inception, reason = "the sibling of `open`")]
mod seal;
mod segment;
#[cfg(test)]
mod tests;

pub use data_key::{DataKey, Sealing};
pub(crate) use error::{SealError, wrong_key};
pub use format::{plain_bytes, sealed_bytes};
pub(crate) use open::{Opener, StoredSegment};
pub(crate) use seal::{PlainSegment, Sealer, SegmentSealer};
pub use segment::open_range;
