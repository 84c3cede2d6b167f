//! Small files at once, on one thread: compress and seal, open and decompress. For pieces of a log, of which many come at the same time.
//!
//! The pipeline of `store` starts four threads and hashes twice for every object; a file that is in memory already, and whose
//! integrity its own format proves (the frame's checksum of zstd, the tags of a sealed object), needs none of that.
//! Blocking: call it where blocking is allowed. Not here: whether what comes out is what was asked for.

use super::Buffer;
use crate::{
    api::{ProviderError, Result},
    seal::{Opener, SealError, Sealer, Sealing, SegmentSealer},
};
use bytes::{Buf, Bytes};
use model::{Disposition, manifest::Compression};
use std::io::Read;
use zstd::stream::raw::CParameter;

/// One zstd frame with a checksum of its content.
pub fn compress_whole(plain: &[u8], level: i32) -> Result<Bytes> {
    let range = super::levels(Compression::Zstd);
    let level = level.clamp(*range.start(), *range.end());
    let mut buffer = Buffer::with_room(zstd::zstd_safe::compress_bound(plain.len()));
    let mut compress = || -> std::io::Result<()> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        compressor.compress_to_buffer(plain, buffer.filled())?;
        Ok(())
    };
    compress().map_err(|error| {
        ProviderError::new(
            "mainstay::stream::compress",
            Disposition::Retry,
            "compressing failed",
        )
        .source(error)
    })?;
    // Mostly it is much smaller than its buffer, which the next file needs.
    let packed = buffer.as_ref();
    Ok(if packed.len() < plain.len() / 2 {
        Bytes::copy_from_slice(packed)
    } else {
        buffer.share()
    })
}

/// The stored bytes of a sealed object, piece by piece, so that never all of them are in memory beside the plain ones.
pub struct SealedPieces {
    /// `None`: the last piece has been given out.
    sealer: Option<Sealer>,
    segments: SegmentSealer,
    rest: Bytes,
}

impl SealedPieces {
    /// Begins to seal `bytes`.
    pub fn new(bytes: Bytes, sealing: &Sealing) -> Result<Self> {
        let sealer = Sealer::new(sealing).map_err(SealError::while_sealing)?;
        Ok(Self {
            segments: sealer.segments(),
            sealer: Some(sealer),
            rest: bytes,
        })
    }

    /// The next piece; `None` after the last.
    pub fn take(&mut self) -> Result<Option<Bytes>> {
        let fail = SealError::while_sealing;
        let Some(sealer) = &mut self.sealer else {
            return Ok(None);
        };
        while !self.rest.is_empty() {
            let mut left = &self.rest[..];
            let segment = sealer.take(&mut left).map_err(fail)?;
            let taken = self.rest.len() - left.len();
            self.rest.advance(taken);
            if let Some(segment) = segment {
                let piece = self.segments.seal(segment).map_err(fail)?;
                return Ok(Some(Bytes::from(piece)));
            }
        }
        let Some(sealer) = self.sealer.take() else {
            return Ok(None);
        };
        let last = self.segments.seal(sealer.finish()).map_err(fail)?;
        Ok(Some(Bytes::from(last)))
    }
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

    fn seal(packed: &Bytes) -> Vec<Bytes> {
        let mut pieces = SealedPieces::new(packed.clone(), &sealing()).unwrap();
        let mut all = Vec::new();
        while let Some(piece) = pieces.take().unwrap() {
            all.push(piece);
        }
        assert_eq!(pieces.take().unwrap(), None);
        all
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
            let sealed = seal(&packed);
            let back = unpack_whole(&sealed, Some(sealing()), size as u64, "f").unwrap();
            assert!(back == plain, "{size} sealed");
        }
    }

    #[test]
    fn every_flipped_bit_every_cut_and_another_name_are_damage() {
        let plain = sample(10_000);
        let packed = compress_whole(&plain, 1).unwrap();
        let sealed = seal(&packed).concat();
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
