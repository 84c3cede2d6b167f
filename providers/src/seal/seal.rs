//! Cuts a stream into segments and seals each: cutting is sequential, sealing is not.

use super::{
    Sealing,
    error::SealError,
    format::{HEADER, Header, SEGMENT, StreamKey, next, plain_capacity},
};
use std::sync::Arc;

/// Plain bytes of one segment, with room for what sealing adds.
pub(crate) struct PlainSegment {
    number: u32,
    last: bool,
    /// Room for the header first, in segment 0.
    bytes: Vec<u8>,
}

/// Cuts and seals one object.
pub(crate) struct Sealer {
    key: Arc<StreamKey>,
    header: Header,
    /// The segment that is being filled.
    number: u32,
    bytes: Vec<u8>,
}

/// Seals segments of one object, in any order.
#[derive(Clone)]
pub(crate) struct SegmentSealer {
    key: Arc<StreamKey>,
    header: Header,
}

impl Sealer {
    pub(crate) fn new(sealing: &Sealing) -> Result<Self, SealError> {
        Ok(Self::with_header(sealing, Header::random()?))
    }

    /// With a given salt and nonce prefix: only for vectors, since a pair of both must never be used twice.
    pub(super) fn with_header(sealing: &Sealing, header: Header) -> Self {
        Self {
            key: Arc::new(StreamKey::new(sealing, &header)),
            header,
            number: 0,
            bytes: first(0),
        }
    }

    pub(crate) fn segments(&self) -> SegmentSealer {
        SegmentSealer {
            key: Arc::clone(&self.key),
            header: self.header,
        }
    }

    /// Takes what fits of `chunk` and gives the segment that it fills, but only once there is a byte behind it: whether a
    /// segment is the last is part of its nonce. Call it until `chunk` is empty.
    pub(crate) fn take(&mut self, chunk: &mut &[u8]) -> Result<Option<PlainSegment>, SealError> {
        if chunk.is_empty() {
            return Ok(None);
        }
        let full = if self.room() == 0 {
            let number = next(self.number)?;
            let bytes = std::mem::replace(&mut self.bytes, first(number));
            Some(PlainSegment {
                number: std::mem::replace(&mut self.number, number),
                last: false,
                bytes,
            })
        } else {
            None
        };
        let (now, later) = chunk.split_at(self.room().min(chunk.len()));
        self.bytes.extend_from_slice(now);
        *chunk = later;
        Ok(full)
    }

    /// The last segment.
    pub(crate) fn finish(self) -> PlainSegment {
        PlainSegment {
            number: self.number,
            last: true,
            bytes: self.bytes,
        }
    }

    fn room(&self) -> usize {
        plain_capacity(self.number) - (self.bytes.len() - reserved(self.number))
    }
}

impl SegmentSealer {
    /// The stored bytes of a segment; those of the first begin with the header.
    pub(crate) fn seal(&self, segment: PlainSegment) -> Result<Vec<u8>, SealError> {
        let PlainSegment {
            number,
            last,
            mut bytes,
        } = segment;
        let reserved = reserved(number);
        let tag = self.key.seal(number, last, &mut bytes[reserved..])?;
        bytes[..reserved].copy_from_slice(&self.header.to_bytes()[..reserved]);
        bytes.extend_from_slice(&tag);
        Ok(bytes)
    }
}

fn reserved(number: u32) -> usize {
    if number == 0 { HEADER } else { 0 }
}

fn first(number: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SEGMENT);
    bytes.resize(reserved(number), 0);
    bytes
}
