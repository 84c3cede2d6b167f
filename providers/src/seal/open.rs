//! Gathers stored bytes into segments and opens each: gathering is sequential, opening is not.

use super::{
    Sealing,
    error::SealError,
    format::{HEADER, Header, StreamKey, TAG, next, stored_capacity},
};
use std::sync::Arc;

/// Ciphertext and tag of one segment, with what opens it.
pub(crate) struct StoredSegment {
    key: Arc<StreamKey>,
    number: u32,
    last: bool,
    bytes: Vec<u8>,
}

/// Gathers the segments of one object.
pub(crate) struct Opener {
    sealing: Sealing,
    header: Vec<u8>,
    key: Option<Arc<StreamKey>>,
    /// The segment that is being gathered.
    number: u32,
    bytes: Vec<u8>,
}

impl Opener {
    pub(crate) fn new(sealing: Sealing) -> Self {
        Self {
            sealing,
            header: Vec::with_capacity(HEADER),
            key: None,
            number: 0,
            bytes: Vec::new(),
        }
    }

    /// Takes what fits of `chunk` and gives the segment that it fills, once there is a byte behind it. Call it until `chunk` is
    /// empty.
    pub(crate) fn take(&mut self, chunk: &mut &[u8]) -> Result<Option<StoredSegment>, SealError> {
        let Some(key) = &self.key else {
            move_up_to(HEADER, &mut self.header, chunk);
            if self.header.len() == HEADER {
                let header = Header::parse(&self.header)?;
                self.key = Some(Arc::new(StreamKey::new(&self.sealing, &header)));
            }
            return Ok(None);
        };
        if chunk.is_empty() {
            return Ok(None);
        }
        let mut full = None;
        if self.bytes.len() == stored_capacity(self.number) {
            let number = next(self.number)?;
            full = Some(StoredSegment {
                key: Arc::clone(key),
                number: std::mem::replace(&mut self.number, number),
                last: false,
                bytes: std::mem::take(&mut self.bytes),
            });
        }
        let capacity = stored_capacity(self.number);
        self.bytes.reserve_exact(capacity - self.bytes.len());
        move_up_to(capacity, &mut self.bytes, chunk);
        Ok(full)
    }

    /// The last segment.
    pub(crate) fn finish(self) -> Result<StoredSegment, SealError> {
        match self.key {
            Some(key) if self.bytes.len() >= TAG => Ok(StoredSegment {
                key,
                number: self.number,
                last: true,
                bytes: self.bytes,
            }),
            _ => Err(SealError::Short(self.number)),
        }
    }
}

impl StoredSegment {
    pub(super) fn new(key: &Arc<StreamKey>, number: u32, last: bool, bytes: Vec<u8>) -> Self {
        Self {
            key: Arc::clone(key),
            number,
            last,
            bytes,
        }
    }

    /// The plain bytes of the segment, or nothing of it.
    pub(crate) fn open(mut self) -> Result<Vec<u8>, SealError> {
        let plain = self.key.open(self.number, self.last, &mut self.bytes)?;
        self.bytes.truncate(plain);
        Ok(self.bytes)
    }
}

fn move_up_to(size: usize, into: &mut Vec<u8>, chunk: &mut &[u8]) {
    let (now, later) = chunk.split_at((size - into.len()).min(chunk.len()));
    into.extend_from_slice(now);
    *chunk = later;
}
