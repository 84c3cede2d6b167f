//! Reads the records of a log, as far as needed to tell which transactions ended when, which restore points there are, and where
//! valid log ends.
//!
//! Source: `access/xlog_internal.h`, `access/xlogrecord.h`, `access/xact.h`, `xlogreader.c`, of PostgreSQL 12 to 18.
//! Invariants: every record that counts has passed its checksum and follows the one before it; any bytes at all are read without
//! a panic and to an end. A log of an unknown version, or of a machine of the other byte order, is "cannot tell", never a guess.
//! Not here: getting the bytes; what any other record means.

mod content;
mod pages;
#[cfg(test)]
mod tests;

pub use content::{LogEvent, TransactionEnd};

use super::lsn::Lsn;
use content::Version;
use pages::Page;

/// `SizeOfXLogRecord`.
const HEADER: usize = 24;
/// `XLogRecordMaxSize`.
const LARGEST: u32 = 1020 * 1024 * 1024;
/// `RM_XLOG_ID`, `RM_XACT_ID`.
const RM_XLOG: u8 = 0;
const RM_XACT: u8 = 1;
/// `XLOG_SWITCH`: the rest of the segment is empty.
const XLOG_SWITCH: u8 = 0x40;

/// How a segment ended for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentEnd {
    /// The log goes on in the next segment.
    GoesOn,
    /// Valid log ends here: behind it is nothing, or nothing that belongs to it.
    EndsAt(Lsn),
    /// The bytes are of no version that is known here (`xlp_magic`), so nothing can be told.
    CannotTell {
        /// The first two bytes.
        magic: u16,
    },
    /// The segment does not follow the one that was read before.
    NotNext,
}

/// Reads segments one after the other.
#[derive(Debug, Default)]
pub struct LogReader {
    /// Where the next segment must begin; `None`: none was read yet.
    next: Option<Lsn>,
    /// Beginning of the last valid record.
    previous: Option<Lsn>,
    /// Whether the beginning of a record has been found.
    in_step: bool,
    building: Option<Building>,
}

/// A record whose bytes are being gathered over pages and segments.
#[derive(Debug)]
struct Building {
    at: Lsn,
    total: usize,
    got: usize,
    head: [u8; HEADER],
    /// Of the body, which comes first in the checksum.
    checksum: crc_fast::Digest,
    /// The body of records that are looked into.
    body: Vec<u8>,
}

impl LogReader {
    /// A reader that begins with whatever segment comes first, at its first whole record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the record begins that was found last to be valid, of the log that was read without a break.
    pub fn last_record(&self) -> Option<Lsn> {
        self.previous
    }

    /// Whether a record has begun whose end is in the next segment.
    pub fn is_inside_a_record(&self) -> bool {
        self.building.is_some()
    }

    /// Reads one segment, which may also be only the beginning of one, and tells each event in it.
    pub fn read(&mut self, segment: &[u8], mut tell: impl FnMut(LogEvent)) -> SegmentEnd {
        let Some(shape) = pages::Shape::of(segment) else {
            let magic = segment
                .first_chunk::<2>()
                .map_or(0, |bytes| u16::from_le_bytes(*bytes));
            return match Version::of(magic) {
                // Known, but its first page is no first page of a segment.
                Some(_) => SegmentEnd::EndsAt(self.next.unwrap_or_default()),
                None => SegmentEnd::CannotTell { magic },
            };
        };
        if self.next.is_some_and(|next| next != shape.start) {
            return SegmentEnd::NotNext;
        }
        if self.next.is_none() {
            // Nothing is known of what came before.
            self.previous = None;
        }
        let whole = usize::try_from(shape.segment_bytes).unwrap_or(usize::MAX);
        let segment = &segment[..segment.len().min(whole)];
        let mut at = 0;
        // Bytes of a record whose beginning was not read.
        let mut skip = 0;
        while at < segment.len() {
            let here = shape.lsn(at);
            if at.is_multiple_of(shape.page_bytes) {
                let Some(page) = shape.page(segment, at) else {
                    return self.ended(here);
                };
                at += page.header_bytes;
                match self.enter(page) {
                    Some(bytes) => skip = bytes,
                    None => return self.ended(here),
                }
            }
            let page_end = (at / shape.page_bytes + 1) * shape.page_bytes;
            let rest = segment.get(at..page_end.min(segment.len())).unwrap_or(&[]);
            if rest.is_empty() {
                // A beginning that was cut inside of a header.
                at = page_end;
            } else if skip > 0 {
                let here = rest.len().min(skip);
                skip -= here;
                at += here;
                if skip == 0 {
                    self.in_step = true;
                    at = aligned(at);
                }
            } else if self.building.is_some() {
                let (taken, end) = self.gather(rest);
                at += taken;
                if let Some(record) = end {
                    at = aligned(at);
                    let begun = record.at;
                    let end = shape.lsn(at);
                    match self.finish(&record, end, shape.version, &mut tell) {
                        None => return self.ended(begun),
                        Some(After::NextRecord) => {}
                        Some(After::NextSegment) => at = segment.len(),
                    }
                }
            } else {
                let length = rest.first_chunk::<4>().map(|b| u32::from_le_bytes(*b));
                match length.filter(|length| (24..=LARGEST).contains(length)) {
                    None => return self.ended(here),
                    Some(length) => self.building = Some(Building::new(shape.lsn(at), length)),
                }
            }
        }
        if segment.len() < whole {
            let end = shape.lsn(segment.len());
            let begun = self.building.as_ref().map(|record| record.at);
            return self.ended(begun.unwrap_or(end));
        }
        self.next = Some(shape.lsn(whole));
        SegmentEnd::GoesOn
    }

    /// Valid log has ended: whatever is read next stands for itself.
    fn ended(&mut self, at: Lsn) -> SegmentEnd {
        let at = self.building.take().map_or(at, |record| record.at);
        *self = Self {
            previous: self.previous,
            ..Self::default()
        };
        SegmentEnd::EndsAt(at)
    }

    /// Compares a page's header with what is expected: bytes to skip, or `None` when the page does not belong here.
    fn enter(&mut self, page: Page) -> Option<usize> {
        match &self.building {
            Some(record) => {
                if page.continues && page.remaining == record.total - record.got {
                    return Some(0);
                }
                // The server crashed in the middle of the record and wrote another one in its place.
                (page.overwrites && !page.continues).then(|| {
                    self.building = None;
                    0
                })
            }
            None if !page.continues => {
                self.in_step = true;
                Some(0)
            }
            None => (!self.in_step).then_some(page.remaining),
        }
    }

    fn gather(&mut self, bytes: &[u8]) -> (usize, Option<Building>) {
        let Some(record) = &mut self.building else {
            return (0, None);
        };
        let taken = bytes.len().min(record.total - record.got);
        record.take(&bytes[..taken]);
        let whole = record.got == record.total;
        (taken, self.building.take_if(|_| whole))
    }

    /// `None` when the record is not valid.
    fn finish(
        &mut self,
        record: &Building,
        end: Lsn,
        version: Version,
        tell: &mut impl FnMut(LogEvent),
    ) -> Option<After> {
        let before = u64::from_le_bytes(*record.head[8..].first_chunk()?);
        if self.previous.is_some_and(|previous| previous.0 != before) || !record.is_sound() {
            return None;
        }
        self.previous = Some(record.at);
        let xid = u32::from_le_bytes(*record.head[4..].first_chunk()?);
        let (info, manager) = (record.head[16], record.head[17]);
        if let Some(event) = content::event(
            (record.at, end),
            (manager, info, xid),
            &record.body,
            version,
        ) {
            tell(event);
        }
        let switches = manager == RM_XLOG && info & 0xF0 == XLOG_SWITCH;
        Some(if switches {
            After::NextSegment
        } else {
            After::NextRecord
        })
    }
}

enum After {
    NextRecord,
    NextSegment,
}

impl Building {
    fn new(at: Lsn, total: u32) -> Self {
        Self {
            at,
            total: total as usize,
            got: 0,
            head: [0; HEADER],
            checksum: crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi),
            body: Vec::new(),
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        if self.got < HEADER {
            let (head, rest) = bytes.split_at(bytes.len().min(HEADER - self.got));
            self.head[self.got..self.got + head.len()].copy_from_slice(head);
            self.got += head.len();
            bytes = rest;
        }
        self.got += bytes.len();
        self.checksum.update(bytes);
        if matches!(self.head[17], RM_XLOG | RM_XACT) {
            self.body.extend_from_slice(bytes);
        }
    }

    fn is_sound(&self) -> bool {
        let mut checksum = self.checksum;
        checksum.update(&self.head[..20]);
        let said = u32::from_le_bytes([self.head[20], self.head[21], self.head[22], self.head[23]]);
        checksum.finalize() == u64::from(said)
    }
}

fn aligned(at: usize) -> usize {
    at.next_multiple_of(8)
}
