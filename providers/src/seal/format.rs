//! The wire format, as Tink publishes it ("Streaming AEAD", AES-GCM-HKDF, <https://developers.google.com/tink/wire-format>).
//!
//! ```text
//! object  = header segment…            stored segment n covers the object's bytes n MiB to (n + 1) MiB;
//! header  = 40 salt(32) prefix(7)      the header stands inside segment 0
//! segment = ciphertext tag(16)         AES-256-GCM, nonce = prefix, number as u32 big-endian, 1 if it is the last else 0
//! key     = HKDF-SHA-256(data key, salt, info = associated data)
//! ```
//!
//! Pure: offsets are `u64` and numbers `u32`, with no arithmetic that could wrap. Every object has a last segment, empty only
//! when the whole object is; so an object that is cut, even between two segments, does not authenticate.

use super::{Sealing, error::SealError};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf, rand,
};
use zeroize::Zeroizing;

/// Stored size of every segment but the last.
pub(super) const SEGMENT: usize = 1 << 20;
/// Size of an authentication tag.
pub(super) const TAG: usize = 16;
/// Size of the header.
pub(super) const HEADER: usize = 1 + SALT + PREFIX;
const SALT: usize = 32;
const PREFIX: usize = 7;
/// How many segments an object can have.
const MOST_SEGMENTS: u64 = 1 << 32;

/// What stands in front of an object; fresh for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) salt: [u8; SALT],
    pub(super) prefix: [u8; PREFIX],
}

impl Header {
    pub(super) fn random() -> Result<Self, SealError> {
        let mut header = Self {
            salt: [0; SALT],
            prefix: [0; PREFIX],
        };
        rand::fill(&mut header.salt)
            .and_then(|()| rand::fill(&mut header.prefix))
            .map_err(|_| SealError::NoRandomness)?;
        Ok(header)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SealError> {
        let (length, rest) = bytes.split_first().ok_or(SealError::Header)?;
        let (salt, rest) = rest.split_first_chunk().ok_or(SealError::Header)?;
        let prefix = rest.first_chunk().ok_or(SealError::Header)?;
        if usize::from(*length) != HEADER {
            return Err(SealError::Header);
        }
        Ok(Self {
            salt: *salt,
            prefix: *prefix,
        })
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        #[expect(clippy::cast_possible_truncation, reason = "HEADER is 40")]
        let length = HEADER as u8;
        bytes[0] = length;
        bytes[1..=SALT].copy_from_slice(&self.salt);
        bytes[1 + SALT..].copy_from_slice(&self.prefix);
        bytes
    }
}

/// The key of one object's segments.
pub(super) struct StreamKey {
    key: LessSafeKey,
    prefix: [u8; PREFIX],
}

struct SubkeyLength;

impl hkdf::KeyType for SubkeyLength {
    fn len(&self) -> usize {
        32
    }
}

impl StreamKey {
    pub(super) fn new(sealing: &Sealing, header: &Header) -> Self {
        let mut subkey = Zeroizing::new([0; 32]);
        #[expect(
            clippy::expect_used,
            reason = "lengths that never change: HKDF refuses more than 255 hashes, AES-256 takes 32 bytes"
        )]
        let key = {
            hkdf::Salt::new(hkdf::HKDF_SHA256, &header.salt)
                .extract(sealing.key.expose())
                .expand(&[sealing.associated_data.as_bytes()], SubkeyLength)
                .and_then(|okm| okm.fill(&mut *subkey))
                .and_then(|()| UnboundKey::new(&AES_256_GCM, &*subkey))
                .expect("32 bytes are a key")
        };
        Self {
            key: LessSafeKey::new(key),
            prefix: header.prefix,
        }
    }

    fn nonce(&self, number: u32, last: bool) -> Nonce {
        Nonce::assume_unique_for_key(nonce(self.prefix, number, last))
    }

    /// Encrypts in place and gives the tag.
    pub(super) fn seal(
        &self,
        number: u32,
        last: bool,
        plain: &mut [u8],
    ) -> Result<[u8; TAG], SealError> {
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(number, last), Aad::empty(), plain)
            .map_err(|_| SealError::TooLong)?;
        let mut bytes = [0; TAG];
        bytes.copy_from_slice(tag.as_ref());
        Ok(bytes)
    }

    /// Decrypts ciphertext and tag in place; how many plain bytes stand at its beginning then. When it does not authenticate,
    /// what is left in `stored` must not be looked at.
    pub(super) fn open(
        &self,
        number: u32,
        last: bool,
        stored: &mut [u8],
    ) -> Result<usize, SealError> {
        self.key
            .open_in_place(self.nonce(number, last), Aad::empty(), stored)
            .map(|plain| plain.len())
            .map_err(|_| SealError::Segment(number))
    }
}

pub(super) fn nonce(prefix: [u8; PREFIX], number: u32, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..PREFIX].copy_from_slice(&prefix);
    nonce[PREFIX..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(last);
    nonce
}

/// The segment behind one.
pub(super) fn next(number: u32) -> Result<u32, SealError> {
    number.checked_add(1).ok_or(SealError::TooLong)
}

/// Ciphertext and tag of a full segment.
pub(super) fn stored_capacity(number: u32) -> usize {
    if number == 0 {
        SEGMENT - HEADER
    } else {
        SEGMENT
    }
}

/// Plain bytes of a full segment.
pub(super) fn plain_capacity(number: u32) -> usize {
    stored_capacity(number) - TAG
}

/// First byte of a segment's ciphertext in the object.
pub(super) fn stored_start(number: u32) -> u64 {
    if number == 0 {
        HEADER as u64
    } else {
        u64::from(number) * SEGMENT as u64
    }
}

/// First of a segment's bytes among the plain bytes.
pub(super) fn plain_start(number: u32) -> u64 {
    if number == 0 {
        0
    } else {
        u64::from(number) * (SEGMENT - TAG) as u64 - HEADER as u64
    }
}

/// The segments of an object whose stored size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    stored: u64,
    pub(super) last: u32,
}

impl Layout {
    pub(super) fn of(stored: u64) -> Result<Self, SealError> {
        if stored < (HEADER + TAG) as u64 {
            return Err(SealError::Short(0));
        }
        let segments = stored.div_ceil(SEGMENT as u64);
        if segments > MOST_SEGMENTS {
            return Err(SealError::TooLong);
        }
        let last = u32::try_from(segments - 1).map_err(|_| SealError::TooLong)?;
        if stored - stored_start(last) < TAG as u64 {
            return Err(SealError::Short(last));
        }
        Ok(Self { stored, last })
    }

    pub(super) fn plain_bytes(self) -> u64 {
        plain_start(self.last) + (self.stored - stored_start(self.last)) - TAG as u64
    }

    /// Where a plain byte stands; the last segment for those behind the end.
    pub(super) fn segment_of(self, plain: u64) -> u32 {
        // The header takes its place in segment 0 as if it were plain.
        let number = plain.saturating_add(HEADER as u64) / (SEGMENT - TAG) as u64;
        u32::try_from(number).map_or(self.last, |number| number.min(self.last))
    }

    /// Size of a segment's ciphertext and tag.
    pub(super) fn stored_len(self, number: u32) -> usize {
        if number < self.last {
            stored_capacity(number)
        } else {
            usize::try_from(self.stored - stored_start(number)).unwrap_or(SEGMENT)
        }
    }
}

/// Stored size of an object of so many bytes once it is sealed; `None` when it would be too long.
pub fn sealed_bytes(plain: u64) -> Option<u64> {
    let capacity = (SEGMENT - TAG) as u64;
    let segments = plain.checked_add(HEADER as u64)?.div_ceil(capacity).max(1);
    // An empty object has a segment too, with nothing but its tag.
    (segments <= MOST_SEGMENTS).then(|| plain + HEADER as u64 + segments * TAG as u64)
}

/// Bytes that were sealed in an object of so many stored bytes; `None` when no sealed object has this size.
pub fn plain_bytes(stored: u64) -> Option<u64> {
    Some(Layout::of(stored).ok()?.plain_bytes())
}
