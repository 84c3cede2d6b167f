//! Reads a part of a sealed object without the bytes before it: the header, then from the segment in which the part begins.
//!
//! Authenticates what it gives out, segment by segment; the rest of the object may be damaged without being noticed here.

use super::{
    Sealing, StoredSegment,
    error::SealError,
    format::{HEADER, Header, Layout, StreamKey, plain_start, stored_start},
};
use crate::api::{ObjectKey, ObjectReader, Result, Tier};
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use model::ByteCount;
use std::{ops::Range, sync::Arc};

/// Opens a range of the bytes that were sealed (so of the compressed bytes, where the object is compressed). `stored` is the
/// object's size on the tier, as its manifest says. What lies behind its end is left out.
///
/// Errors: those of [`Tier::open_at`], and `mainstay::copy::damaged` naming the segment; nothing of a bad segment is given out.
pub async fn open_range(
    tier: &dyn Tier,
    key: &ObjectKey,
    stored: ByteCount,
    sealing: &Sealing,
    range: Range<u64>,
) -> Result<Box<dyn ObjectReader>> {
    let failed = |error: SealError| error.while_opening(key.as_str());
    let layout = Layout::of(stored.0).map_err(failed)?;
    let mut head = Input::new(tier.open_at(key, 0).await?);
    let header = head.exactly(HEADER).await?;
    let header = header
        .ok_or(SealError::Header)
        .and_then(|bytes| Header::parse(&bytes))
        .map_err(failed)?;
    let left = range.start..range.end.min(layout.plain_bytes());
    let number = layout.segment_of(left.start);
    let input = if number == 0 || left.is_empty() {
        head
    } else {
        drop(head);
        Input::new(tier.open_at(key, stored_start(number)).await?)
    };
    Ok(Box::new(RangeReader {
        input,
        object: key.as_str().to_owned(),
        key: Arc::new(StreamKey::new(sealing, &header)),
        layout,
        number,
        left,
    }))
}

struct RangeReader {
    input: Input,
    object: String,
    key: Arc<StreamKey>,
    layout: Layout,
    /// The next segment.
    number: u32,
    /// What has not been given out yet.
    left: Range<u64>,
}

#[async_trait]
impl ObjectReader for RangeReader {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let (number, last) = (self.number, self.number == self.layout.last);
        let failed = |error: SealError| error.while_opening(&self.object);
        let bytes = self.input.exactly(self.layout.stored_len(number)).await?;
        let bytes = bytes.ok_or_else(|| failed(SealError::Short(number)))?;
        let plain = StoredSegment::new(&self.key, number, last, bytes)
            .open()
            .map_err(failed)?;
        let start = plain_start(number);
        let within = |offset: u64| {
            usize::try_from(offset.saturating_sub(start))
                .map_or(plain.len(), |offset| offset.min(plain.len()))
        };
        let part = within(self.left.start)..within(self.left.end);
        self.left.start = start + plain.len() as u64;
        self.number = number.saturating_add(1);
        Ok(Some(Bytes::from(plain).slice(part)))
    }
}

/// A reader of whole pieces.
struct Input {
    reader: Box<dyn ObjectReader>,
    rest: Bytes,
}

impl Input {
    fn new(reader: Box<dyn ObjectReader>) -> Self {
        Self {
            reader,
            rest: Bytes::new(),
        }
    }

    /// So many bytes; `None` when there are fewer.
    async fn exactly(&mut self, size: usize) -> Result<Option<Vec<u8>>> {
        let mut piece = Vec::with_capacity(size);
        while piece.len() < size {
            if self.rest.is_empty() {
                match self.reader.read().await? {
                    Some(chunk) => self.rest = chunk,
                    None => return Ok(None),
                }
            }
            let count = self.rest.len().min(size - piece.len());
            piece.extend_from_slice(&self.rest[..count]);
            self.rest.advance(count);
        }
        Ok(Some(piece))
    }
}
