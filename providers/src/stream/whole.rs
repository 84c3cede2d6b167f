//! Small files at once, on one thread: compress and seal, open and decompress. For pieces of a log, of which many come at the same time.
//!
//! The pipeline of `store` starts four threads and hashes twice for every object; a file that is in memory already, and whose
//! integrity its own format proves (the frame's checksum of zstd, the tags of a sealed object), needs none of that.
//! Blocking: call it where blocking is allowed. Not here: whether what comes out is what was asked for.

use super::Buffer;
use crate::{
    api::{ProviderError, Result},
    seal::{Opener, Sealer, Sealing},
};
use bytes::Bytes;
use model::{Disposition, manifest::Compression};
use std::io::Read;
use zstd::stream::raw::CParameter;

/// One zstd frame with a checksum of its content.
pub fn compress_whole(plain: &[u8], level: i32) -> Result<Bytes> {
    let range = super::levels(Compression::Zstd);
    let level = level.clamp(*range.start(), *range.end());
    let mut buffer = Buffer::with_room(zstd::zstd_safe::compress_bound(plain.len()));
    let mut compress = || -> std::io::Result<Bytes> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        compressor.compress_to_buffer(plain, buffer.filled())?;
        // Much smaller than its buffer, which the next file needs.
        Ok(Bytes::copy_from_slice(buffer.as_ref()))
    };
    compress().map_err(|error| {
        ProviderError::new(
            "mainstay::stream::compress",
            Disposition::Retry,
            "compressing failed",
        )
        .source(error)
    })
}

/// The stored bytes of a sealed object.
pub fn seal_whole(bytes: &[u8], sealing: &Sealing) -> Result<Vec<Bytes>> {
    let fail = |error: crate::seal::SealError| error.while_sealing();
    let mut sealer = Sealer::new(sealing).map_err(fail)?;
    let segments = sealer.segments();
    let mut stored = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(segment) = sealer.take(&mut rest).map_err(fail)? {
            stored.push(Bytes::from(segments.seal(segment).map_err(fail)?));
        }
    }
    stored.push(Bytes::from(segments.seal(sealer.finish()).map_err(fail)?));
    Ok(stored)
}

/// The plain bytes of a stored file of at most `limit` plain bytes; all of it is authenticated or checked before any of it is
/// given out. `mainstay::copy::damaged` when it is not what was stored, or larger.
pub fn unpack_whole(
    stored: &[Bytes],
    opening: Option<Sealing>,
    limit: u64,
    object: &str,
) -> Result<Vec<u8>> {
    let opened;
    let frames = match opening {
        None => stored,
        Some(sealing) => {
            opened = open_whole(stored, sealing, object)?;
            &opened
        }
    };
    let damaged = |how: String| {
        ProviderError::new(
            "mainstay::copy::damaged",
            Disposition::Permanent,
            format!("the stored file `{object}` is damaged: {how}"),
        )
    };
    let mut plain = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::new(Pieces {
        pieces: frames,
        taken: 0,
    })
    .map_err(|error| damaged(error.to_string()))?;
    decoder
        .window_log_max(super::decompress::LARGEST_WINDOW_LOG)
        .map_err(|error| damaged(error.to_string()))?;
    decoder
        .take(limit.saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(|error| damaged(error.to_string()))?;
    if plain.len() as u64 > limit {
        return Err(damaged(format!("it holds more than {limit} bytes")));
    }
    Ok(plain)
}

fn open_whole(stored: &[Bytes], sealing: Sealing, object: &str) -> Result<Vec<Bytes>> {
    let fail = |error: crate::seal::SealError| error.while_opening(object);
    let mut opener = Opener::new(sealing);
    let mut plain = Vec::new();
    for chunk in stored {
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            if let Some(segment) = opener.take(&mut rest).map_err(fail)? {
                plain.push(Bytes::from(segment.open().map_err(fail)?));
            }
        }
    }
    let last = opener.finish().map_err(fail)?;
    plain.push(Bytes::from(last.open().map_err(fail)?));
    Ok(plain)
}

/// Reads pieces one after the other.
struct Pieces<'a> {
    pieces: &'a [Bytes],
    /// How much of the first is gone.
    taken: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while let Some((first, rest)) = self.pieces.split_first() {
            let left = &first[self.taken..];
            if left.is_empty() {
                (self.pieces, self.taken) = (rest, 0);
                continue;
            }
            let count = left.len().min(buffer.len());
            buffer[..count].copy_from_slice(&left[..count]);
            self.taken += count;
            return Ok(count);
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::DataKey;

    fn sealing() -> Sealing {
        Sealing {
            key: DataKey::from_slice(&[7; 32]).unwrap(),
            associated_data: "x|000000010000000000000001.zst.enc".to_owned(),
        }
    }

    fn sample(size: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        (0..size).map(|_| next()).collect()
    }

    #[test]
    fn files_of_every_size_come_back() {
        for size in [0, 1, 1000, (1 << 20) - 60, 1 << 20, (3 << 20) + 17] {
            let plain = sample(size);
            let packed = compress_whole(&plain, 1).unwrap();
            let back = unpack_whole(std::slice::from_ref(&packed), None, size as u64, "f").unwrap();
            assert!(back == plain, "{size}");
            let sealed = seal_whole(&packed, &sealing()).unwrap();
            let back = unpack_whole(&sealed, Some(sealing()), size as u64, "f").unwrap();
            assert!(back == plain, "{size} sealed");
        }
    }

    #[test]
    fn every_flipped_bit_every_cut_and_another_name_are_damage() {
        let plain = sample(10_000);
        let packed = compress_whole(&plain, 1).unwrap();
        let sealed = seal_whole(&packed, &sealing()).unwrap().concat();
        let code = |bytes: Vec<u8>, sealing| {
            unpack_whole(&[Bytes::from(bytes)], sealing, 20_000, "f").map_err(|error| error.code)
        };
        for (bytes, key) in [(packed.to_vec(), None), (sealed, Some(sealing()))] {
            for at in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
                let mut bad = bytes.clone();
                bad[at] ^= 4;
                let found = code(bad, key.clone());
                // Some bits of a frame's header say nothing.
                assert!(found == Err("mainstay::copy::damaged") || found.as_ref() == Ok(&plain));
                assert!(found.is_err() || (key.is_none() && at < 8), "{at}");
                assert_eq!(
                    code(bytes[..at].to_vec(), key.clone()),
                    Err("mainstay::copy::damaged"),
                    "{at}"
                );
            }
            let behind = [&bytes[..], b"x"].concat();
            assert_eq!(code(behind, key.clone()), Err("mainstay::copy::damaged"));
            let other = key.map(|key| Sealing {
                associated_data: "x|000000010000000000000002.zst.enc".to_owned(),
                ..key
            });
            if other.is_some() {
                assert_eq!(code(bytes, other), Err("mainstay::copy::damaged"));
            }
        }
    }

    #[test]
    fn a_small_file_that_unpacks_to_a_large_one_is_refused() {
        let packed = compress_whole(&vec![0; 50 << 20], 1).unwrap();
        let found = unpack_whole(&[packed], None, 16 << 20, "f");
        assert_eq!(found.unwrap_err().code, "mainstay::copy::damaged");
    }
}
