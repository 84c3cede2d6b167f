//! What is in the records that matter: ends of transactions, and restore points.

use super::{RM_XACT, RM_XLOG};
use crate::wal::Lsn;
use jiff::Timestamp;

/// `XLOG_RESTORE_POINT`.
const RESTORE_POINT: u8 = 0x70;
/// `XLOG_XACT_OPMASK`, `XLOG_XACT_HAS_INFO`.
const OPERATION: u8 = 0x70;
const HAS_INFO: u8 = 0x80;
/// `XLR_BLOCK_ID_DATA_SHORT`, `…_LONG`, `XLR_BLOCK_ID_ORIGIN`, `XLR_BLOCK_ID_TOPLEVEL_XID`.
const DATA_SHORT: u8 = 255;
const DATA_LONG: u8 = 254;
const ORIGIN: u8 = 253;
const TOPLEVEL_XID: u8 = 252;
/// Microseconds from 1970 to 2000, where PostgreSQL's times begin.
const EPOCH: i64 = 946_684_800_000_000;

/// A format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    /// `XACT_XINFO_HAS_DROPPED_STATS`: bytes of each item; `None`: not yet there.
    dropped_stats: Option<usize>,
}

impl Version {
    /// `XLOG_PAGE_MAGIC` of 12, 13, 14; 15, 16, 17; 18.
    pub(super) fn of(magic: u16) -> Option<Self> {
        let dropped_stats = match magic {
            0xD101 | 0xD106 | 0xD10D => None,
            0xD110 | 0xD113 | 0xD116 => Some(12),
            0xD118 => Some(16),
            _ => return None,
        };
        Some(Self { dropped_stats })
    }
}

/// Something that happened in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// A transaction ended.
    Transaction(TransactionEnd),
    /// A restore point was made (`pg_create_restore_point`).
    RestorePoint {
        /// Where its record begins.
        at: Lsn,
        /// Where its record ends.
        end: Lsn,
        /// Its name.
        name: String,
        /// When.
        time: Timestamp,
    },
}

/// The end of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionEnd {
    /// Where its record begins.
    pub at: Lsn,
    /// Whether it committed.
    pub committed: bool,
    /// Where its record ends.
    pub end: Lsn,
    /// When.
    pub time: Timestamp,
    /// Its number; that of the prepared transaction for the second half of a two-phase commit, 0 when it cannot be told.
    pub xid: u32,
}

impl LogEvent {
    /// Where its record begins.
    pub fn at(&self) -> Lsn {
        match self {
            Self::Transaction(end) => end.at,
            Self::RestorePoint { at, .. } => *at,
        }
    }

    /// When it happened.
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Transaction(end) => end.time,
            Self::RestorePoint { time, .. } => *time,
        }
    }
}

/// What a sound record tells, if it is one that matters.
pub(super) fn event(
    (at, end): (Lsn, Lsn),
    (manager, info, xid): (u8, u8, u32),
    body: &[u8],
    version: Version,
) -> Option<LogEvent> {
    match (manager, info & 0xF0) {
        (RM_XLOG, RESTORE_POINT) => {
            let mut data = Reader(main_data(body)?);
            let time = data.time()?;
            let name = data.0.split(|byte| *byte == 0).next().unwrap_or_default();
            Some(LogEvent::RestorePoint {
                at,
                end,
                name: String::from_utf8_lossy(name).into_owned(),
                time,
            })
        }
        (RM_XACT, _) => {
            // COMMIT, ABORT, COMMIT PREPARED, ABORT PREPARED.
            let (committed, prepared) = match info & OPERATION {
                0x00 => (true, false),
                0x20 => (false, false),
                0x30 => (true, true),
                0x40 => (false, true),
                _ => return None,
            };
            let mut data = Reader(main_data(body)?);
            let time = data.time()?;
            let xid = if prepared {
                let known = info & HAS_INFO != 0;
                let found = known.then(|| data.two_phase_xid(committed, version));
                found.flatten().unwrap_or(0)
            } else {
                xid
            };
            Some(LogEvent::Transaction(TransactionEnd {
                at,
                committed,
                end,
                time,
                xid,
            }))
        }
        _ => None,
    }
}

/// The part of a record that belongs to its kind. The records that matter have no blocks; one that has is not looked into.
fn main_data(body: &[u8]) -> Option<&[u8]> {
    let mut headers = Reader(body);
    loop {
        match headers.number(1)? {
            id if id == u32::from(DATA_SHORT) => {
                let length = headers.number(1)?;
                return headers.last(length);
            }
            id if id == u32::from(DATA_LONG) => {
                let length = headers.number(4)?;
                return headers.last(length);
            }
            id if id == u32::from(ORIGIN) => headers.skip(2)?,
            id if id == u32::from(TOPLEVEL_XID) => headers.skip(4)?,
            _ => return None,
        }
    }
}

/// Takes pieces from the front; `None` when there is not enough.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self, bytes: usize) -> Option<u32> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        let digits = taken.iter().rev();
        Some(digits.fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    fn last(&self, bytes: u32) -> Option<&'a [u8]> {
        let start = self.0.len().checked_sub(bytes as usize)?;
        self.0.get(start..)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let (taken, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        let since_2000 = i64::from_le_bytes(*taken);
        Timestamp::from_microsecond(since_2000.checked_add(EPOCH)?).ok()
    }

    /// Skips a counted list.
    fn list(&mut self, item: usize) -> Option<()> {
        let count = self.number(4)? as usize;
        self.skip(count.checked_mul(item)?)
    }

    /// `ParseCommitRecord`, `ParseAbortRecord`: what stands before the number of the prepared transaction.
    fn two_phase_xid(&mut self, committed: bool, version: Version) -> Option<u32> {
        let present = self.number(4)?;
        let has = |bit: u32| present & (1 << bit) != 0;
        if has(0) {
            self.skip(8)?;
        }
        if has(1) {
            self.list(4)?;
        }
        if has(2) {
            self.list(12)?;
        }
        if has(8) {
            self.list(version.dropped_stats?)?;
        }
        if has(3) && committed {
            self.list(16)?;
        }
        has(4).then(|| self.number(4)).flatten()
    }
}
