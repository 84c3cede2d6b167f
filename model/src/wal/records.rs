//! Reads the few records of the log that say which moments it holds: commits, aborts and named restore points, with their times.
//!
//! A server that is told to recover to a time, a transaction or a name refuses to start when its log ends before it, after all the
//! replay; reading the records first tells in seconds. Segments are read one after the other; a record that goes over into the next
//! segment is put together when that one is given next.
//!
//! Invariants: a record counts only when its CRC-32C agrees; what lies behind the end of the log (zeros, or what a recycled file held
//! before) is never taken for log: pages carry their own address, records that of the one before. Nothing is replayed or decided here.
//!
//! Source: `xlog_internal.h`, `xlogrecord.h`, `xact.h`, `xactdesc.c` of PostgreSQL 12 to 18.

use super::lsn::Lsn;
use jiff::Timestamp;

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// Where the record begins.
    pub at: Lsn,
    /// Its own time.
    pub time: Timestamp,
    /// What it says.
    pub kind: LogEventKind,
}

/// Kinds of records that say which moment it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEventKind {
    /// A transaction ended well; prepared ones by their own number.
    Commit(u32),
    /// A transaction was given up.
    Abort(u32),
    /// `pg_create_restore_point`.
    RestorePoint(String),
}

/// Reads segments in their order.
#[derive(Debug, Default)]
pub struct LogScanner {
    record: Option<Partial>,
    /// Bytes of a record whose beginning was not given.
    skip: usize,
    last: Option<Lsn>,
    next: Option<Lsn>,
}

/// A record whose end has not come yet.
#[derive(Debug)]
struct Partial {
    at: Lsn,
    length: usize,
    got: usize,
    /// Its bytes; only the header of what is of no interest.
    bytes: Vec<u8>,
}

const SHORT_HEADER: usize = 24;
const LONG_HEADER: usize = 40;
const IS_CONTINUED: u16 = 0x0001;
const IS_LONG: u16 = 0x0002;
const RECORD_HEADER: usize = 24;
const LONGEST_RECORD: usize = 1020 << 20;
const RM_XLOG: u8 = 0;
const RM_XACT: u8 = 1;
const XLOG_RESTORE_POINT: u8 = 0x70;
/// The page magic of PostgreSQL 18, from which on dropped statistics take more room.
const MAGIC_18: u16 = 0xD118;

impl LogScanner {
    /// Reads one whole segment, or the beginning of one, from its first position; gives what it says, in order.
    ///
    /// One that does not follow the one before starts anew.
    pub fn segment(&mut self, start: Lsn, bytes: &[u8]) -> Vec<LogEvent> {
        if self.next != Some(start) {
            *self = Self::default();
        }
        let mut events = Vec::new();
        let Some(page_bytes) = page_size(bytes) else {
            return events;
        };
        self.next = Some(Lsn(start.0.saturating_add(bytes.len() as u64)));
        for (number, page) in bytes.chunks(page_bytes).enumerate() {
            let at = Lsn(start.0 + (number * page_bytes) as u64);
            if !self.page(at, page, &mut events) {
                break;
            }
        }
        events
    }

    /// Where the last whole record begins that was read.
    pub fn last_record(&self) -> Option<Lsn> {
        self.last
    }

    /// Reads a page; `false` when the log ends in it.
    fn page(&mut self, at: Lsn, page: &[u8], events: &mut Vec<LogEvent>) -> bool {
        let (Some(magic), Some(info), Some(address)) =
            (u16_at(page, 0), u16_at(page, 2), u64_at(page, 8))
        else {
            return false;
        };
        if magic >> 8 != 0xD1 || address != at.0 {
            return false;
        }
        let mut position = if info & IS_LONG != 0 {
            LONG_HEADER
        } else {
            SHORT_HEADER
        };
        self.begin_page(info, u32_at(page, 16).unwrap_or(0));
        while position < page.len() {
            let rest = page.get(position..).unwrap_or_default();
            if self.skip > 0 {
                let count = self.skip.min(rest.len());
                self.skip -= count;
                position += count;
            } else if let Some(record) = &mut self.record {
                let count = (record.length - record.got).min(rest.len());
                record.take(rest.get(..count).unwrap_or_default());
                position += count;
                if !self.follows() {
                    self.record = None;
                    return false;
                }
                if self.record.as_ref().is_some_and(|r| r.got == r.length)
                    && let Some(record) = self.record.take()
                {
                    match record.event(magic) {
                        Ok(event) => events.extend(event),
                        Err(Broken) => return false,
                    }
                    self.last = Some(record.at);
                }
            } else {
                let length = u32_at(rest, 0).map_or(0, |n| n as usize);
                // Zeros: the log ends here, or the server went on in the next segment.
                if !(RECORD_HEADER..=LONGEST_RECORD).contains(&length) {
                    return false;
                }
                self.record = Some(Partial {
                    at: Lsn(at.0 + position as u64),
                    length,
                    got: 0,
                    bytes: Vec::with_capacity(RECORD_HEADER),
                });
                continue;
            }
            if self.skip == 0 && self.record.is_none() {
                position = position.next_multiple_of(8);
            }
        }
        true
    }

    /// A page says how much of a record from before it holds.
    fn begin_page(&mut self, info: u16, remaining: u32) {
        if info & IS_CONTINUED == 0 {
            self.record = None;
            self.skip = 0;
            return;
        }
        let remaining = remaining as usize;
        let fits = |record: &Partial| record.length - record.got == remaining;
        if self.record.as_ref().is_some_and(fits)
            || (self.record.is_none() && self.skip == remaining)
        {
            return;
        }
        self.record = None;
        self.skip = remaining;
    }

    /// Whether the record names the one before it; what a recycled file held does not.
    fn follows(&self) -> bool {
        let Some(record) = &self.record else {
            return true;
        };
        match (u64_at(&record.bytes, 8), self.last) {
            (Some(before), Some(last)) => before == last.0,
            (Some(before), None) => before < record.at.0,
            (None, _) => true,
        }
    }
}

/// A record that is not what it says.
struct Broken;

impl Partial {
    fn take(&mut self, bytes: &[u8]) {
        self.got += bytes.len();
        let header = RECORD_HEADER
            .saturating_sub(self.bytes.len())
            .min(bytes.len());
        let (first, rest) = bytes.split_at(header);
        self.bytes.extend_from_slice(first);
        if self.is_of_interest() {
            self.bytes.extend_from_slice(rest);
        }
    }

    fn is_of_interest(&self) -> bool {
        let (Some(info), Some(manager)) = (self.bytes.get(16), self.bytes.get(17)) else {
            return false;
        };
        *manager == RM_XACT || (*manager == RM_XLOG && info & 0xF0 == XLOG_RESTORE_POINT)
    }

    /// What a whole record says, if that is of interest.
    fn event(&self, magic: u16) -> Result<Option<LogEvent>, Broken> {
        if !self.is_of_interest() {
            return Ok(None);
        }
        let bytes = &self.bytes;
        let (Some(xid), Some(crc), Some(info)) =
            (u32_at(bytes, 4), u32_at(bytes, 20), bytes.get(16))
        else {
            return Err(Broken);
        };
        let (header, body) = bytes.split_at(RECORD_HEADER.min(bytes.len()));
        if crc32c(&[body, header.get(..20).unwrap_or_default()]) != crc {
            return Err(Broken);
        }
        let Some(data) = main_data(body) else {
            return Ok(None);
        };
        let Some(time) = u64_at(data, 0).and_then(time) else {
            return Ok(None);
        };
        let kind = if bytes.get(17) == Some(&RM_XLOG) {
            let name = data.get(8..).unwrap_or_default();
            let name = name.split(|b| *b == 0).next().unwrap_or_default();
            LogEventKind::RestorePoint(String::from_utf8_lossy(name).into_owned())
        } else {
            match info & 0x70 {
                0x00 => LogEventKind::Commit(xid),
                0x20 => LogEventKind::Abort(xid),
                0x30 => LogEventKind::Commit(prepared(data, *info, magic).unwrap_or(xid)),
                0x40 => LogEventKind::Abort(prepared(data, *info, magic).unwrap_or(xid)),
                _ => return Ok(None),
            }
        };
        Ok(Some(LogEvent {
            at: self.at,
            time,
            kind,
        }))
    }
}

/// The main data of a record without references to blocks; the records of interest have none.
fn main_data(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body;
    loop {
        match *rest.first()? {
            // Short and long main data, always the last.
            255 => {
                let length = usize::from(*rest.get(1)?);
                return rest.get(2..2 + length);
            }
            254 => {
                let length = u32_at(rest, 1)? as usize;
                return rest.get(5..5 + length);
            }
            // Origin of replication; top transaction.
            253 => rest = rest.get(3..)?,
            252 => rest = rest.get(5..)?,
            _ => return None,
        }
    }
}

/// The number of the transaction that was prepared before (`ParseCommitRecord`).
fn prepared(data: &[u8], info: u8, magic: u16) -> Option<u32> {
    if info & 0x80 == 0 {
        return None;
    }
    let has = u32_at(data, 8)?;
    let mut at = 12;
    if has & 1 != 0 {
        at += 8;
    }
    let stats = if magic >= MAGIC_18 { 16 } else { 12 };
    for (bit, size) in [(1, 4), (2, 12), (8, stats), (3, 16)] {
        if has & (1 << bit) != 0 {
            at += 4 + u32_at(data, at)? as usize * size;
        }
    }
    (has & (1 << 4) != 0).then(|| u32_at(data, at)).flatten()
}

/// Microseconds since 2000-01-01.
fn time(since_2000: u64) -> Option<Timestamp> {
    let micros = i64::from_le_bytes(since_2000.to_le_bytes());
    Timestamp::from_microsecond(micros.checked_add(946_684_800_000_000)?).ok()
}

/// Size of a page, from the long header of the first one.
fn page_size(segment: &[u8]) -> Option<usize> {
    let is_long = u16_at(segment, 2)? & IS_LONG != 0;
    let size = u32_at(segment, 36).filter(|_| is_long)?;
    let size = usize::try_from(size).ok()?;
    (size.is_power_of_two() && (1024..=65_536).contains(&size)).then_some(size)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// CRC-32C (Castagnoli) of several pieces.
fn crc32c(pieces: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in pieces.iter().copied().flatten() {
        crc = TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8);
    }
    !crc
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "n is below 256")]
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82F6_3B78
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(&[b"123456789"]), 0xE306_9283);
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xE306_9283);
    }

    #[test]
    fn what_is_no_log_says_nothing() {
        let mut scanner = LogScanner::default();
        for size in [0, 1, 40, 8192, 20_000] {
            assert!(scanner.segment(Lsn(16 << 20), &vec![0; size]).is_empty());
            assert!(scanner.segment(Lsn(16 << 20), &vec![0xD1; size]).is_empty());
        }
        assert_eq!(scanner.last_record(), None);
    }
}
