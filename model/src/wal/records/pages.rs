//! Pages of a segment and their headers.

use super::content::Version;
use crate::wal::Lsn;

/// `SizeOfXLogShortPHD`, `SizeOfXLogLongPHD`.
const SHORT: usize = 24;
const LONG: usize = 40;
/// `XLP_FIRST_IS_CONTRECORD`, `XLP_LONG_HEADER`, `XLP_FIRST_IS_OVERWRITE_CONTRECORD`, and all that are known.
const CONTINUES: u16 = 0x0001;
const IS_LONG: u16 = 0x0002;
const OVERWRITES: u16 = 0x0008;
const KNOWN: u16 = 0x000F;

/// What the first page says of its segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) start: Lsn,
    pub(super) segment_bytes: u64,
    pub(super) page_bytes: usize,
    pub(super) version: Version,
    magic: u16,
}

/// What one page says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub(super) header_bytes: usize,
    pub(super) continues: bool,
    pub(super) overwrites: bool,
    /// Bytes of the record that began on an earlier page.
    pub(super) remaining: usize,
}

impl Shape {
    pub(super) fn of(segment: &[u8]) -> Option<Self> {
        let head = segment.first_chunk::<LONG>()?;
        let magic = two(head, 0);
        let shape = Self {
            start: Lsn(eight(head, 8)),
            segment_bytes: u64::from(four(head, 32)),
            page_bytes: four(head, 36) as usize,
            version: Version::of(magic)?,
            magic,
        };
        let sizes = (1 << 20..=1 << 30).contains(&shape.segment_bytes)
            && shape.segment_bytes.is_power_of_two()
            && (1 << 10..=1 << 16).contains(&shape.page_bytes)
            && shape.page_bytes.is_power_of_two()
            && shape.start.0.is_multiple_of(shape.segment_bytes)
            && shape.start.0 <= u64::MAX / 2;
        (sizes && two(head, 2) & IS_LONG != 0).then_some(shape)
    }

    pub(super) fn lsn(&self, at: usize) -> Lsn {
        Lsn(self.start.0 + at as u64)
    }

    /// The page that begins there; `None` when what is there is no page of this segment.
    pub(super) fn page(&self, segment: &[u8], at: usize) -> Option<Page> {
        let bytes = segment.get(at..)?;
        let head = bytes.first_chunk::<SHORT>()?;
        let info = two(head, 2);
        let is_long = info & IS_LONG != 0;
        let fits = two(head, 0) == self.magic
            && info & !KNOWN == 0
            && four(head, 4) != 0
            && eight(head, 8) == self.lsn(at).0
            && is_long == (at == 0);
        fits.then_some(Page {
            header_bytes: if is_long { LONG } else { SHORT },
            continues: info & CONTINUES != 0,
            overwrites: info & OVERWRITES != 0,
            remaining: four(head, 16) as usize,
        })
    }
}

fn two(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn four(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn eight(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
