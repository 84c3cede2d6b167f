//! The head of the first page of a segment: which cluster wrote it, and which piece of the log it is.
//!
//! Source: `access/xlog_internal.h` (`XLogPageHeaderData`, `XLogLongPageHeaderData`), in the byte order of the machine that wrote
//! it. Not here: anything behind the first 40 bytes.

use super::{file_name::WalFileName, lsn::Lsn};

/// Bytes that [`SegmentHeader::parse`] looks at.
pub const HEADER_BYTES: usize = 40;
/// Segments have a power of two of bytes between these (`IsValidWalSegSize`).
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(1 << 30);
/// `XLOG_PAGE_MAGIC` of the versions from 9.5 on, with room for those to come.
const MAGIC: std::ops::RangeInclusive<u16> = 0xD087..=0xD2FF;
/// `XLP_LONG_HEADER`: set on the first page of every segment.
const LONG_HEADER: u16 = 0x0002;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Identifier of the cluster that wrote it.
    pub system_identifier: u64,
    /// Timeline of its first page.
    pub timeline: u32,
    /// Position of its first byte.
    pub start: Lsn,
    /// Size of a segment in that cluster.
    pub segment_bytes: u64,
}

/// Bytes that are not the head of a segment, or not of the segment that their name says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentHeaderError {
    /// It does not begin as a segment does.
    #[error("it does not begin with the page header of a WAL segment")]
    NoHeader,
    /// The name is another one.
    #[error(
        "its first page is at position {start} of timeline {timeline}, which is not what its name says"
    )]
    OtherSegment {
        /// Where it is.
        start: Lsn,
        /// Timeline of its first page.
        timeline: u32,
    },
    /// The size is another one.
    #[error("it has {found} bytes, a segment of its cluster has {expected}")]
    Size {
        /// Of a segment.
        expected: u64,
        /// Of this file.
        found: u64,
    },
}

impl SegmentHeader {
    /// Reads the head of a segment.
    pub fn parse(bytes: &[u8]) -> Result<Self, SegmentHeaderError> {
        let head = bytes.first_chunk::<HEADER_BYTES>();
        let head = head.ok_or(SegmentHeaderError::NoHeader)?;
        let read = |big: bool| {
            let two = |at: usize| {
                let bytes = [head[at], head[at + 1]];
                if big {
                    u16::from_be_bytes(bytes)
                } else {
                    u16::from_le_bytes(bytes)
                }
            };
            let four = |at: usize| {
                let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
                if big {
                    u32::from_be_bytes(bytes)
                } else {
                    u32::from_le_bytes(bytes)
                }
            };
            let eight = |at: usize| {
                let (low, high) = if big { (at + 4, at) } else { (at, at + 4) };
                u64::from(four(high)) << 32 | u64::from(four(low))
            };
            let found = Self {
                timeline: four(4),
                start: Lsn(eight(8)),
                system_identifier: eight(24),
                segment_bytes: u64::from(four(32)),
            };
            let whole = MAGIC.contains(&two(0))
                && two(2) & LONG_HEADER != 0
                && found.timeline > 0
                && SEGMENT_BYTES.contains(&found.segment_bytes)
                && found.segment_bytes.is_power_of_two()
                && found.start.0.is_multiple_of(found.segment_bytes);
            whole.then_some(found)
        };
        read(false)
            .or_else(|| read(true))
            .ok_or(SegmentHeaderError::NoHeader)
    }

    /// Whether a file of this name and size can begin so. The first page of a segment in which a timeline began is a copy of the
    /// old timeline's, so it may be of an earlier timeline than its name.
    pub fn check(&self, name: &WalFileName, bytes: u64) -> Result<(), SegmentHeaderError> {
        if name.start(self.segment_bytes) != Some(self.start) || self.timeline > name.timeline() {
            return Err(SegmentHeaderError::OtherSegment {
                start: self.start,
                timeline: self.timeline,
            });
        }
        let fits = match name {
            WalFileName::Partial { .. } => bytes <= self.segment_bytes,
            WalFileName::Beginning { length, .. } => {
                bytes == u64::from(*length) && bytes <= self.segment_bytes
            }
            _ => bytes == self.segment_bytes,
        };
        if !fits {
            return Err(SegmentHeaderError::Size {
                expected: self.segment_bytes,
                found: bytes,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first 40 bytes of a segment that PostgreSQL 15 wrote.
    fn head() -> [u8; HEADER_BYTES] {
        let mut head = [0; HEADER_BYTES];
        head[..2].copy_from_slice(&0xD110_u16.to_le_bytes());
        head[2..4].copy_from_slice(&7_u16.to_le_bytes());
        head[4..8].copy_from_slice(&1_u32.to_le_bytes());
        head[8..16].copy_from_slice(&0x0200_0000_u64.to_le_bytes());
        head[24..32].copy_from_slice(&7_300_000_000_000_000_001_u64.to_le_bytes());
        head[32..36].copy_from_slice(&(16_u32 << 20).to_le_bytes());
        head[36..40].copy_from_slice(&8192_u32.to_le_bytes());
        head
    }

    fn name(text: &str) -> WalFileName {
        WalFileName::parse(text).unwrap()
    }

    #[test]
    fn a_segment_says_whose_it_is() {
        let found = SegmentHeader::parse(&head()).unwrap();
        assert_eq!(found.system_identifier, 7_300_000_000_000_000_001);
        assert_eq!((found.timeline, found.start), (1, Lsn(0x0200_0000)));
        let whole = 16 << 20;
        assert_eq!(
            found.check(&name("000000010000000000000002"), whole),
            Ok(())
        );
        // The segment in which timeline 2 began, copied from timeline 1.
        assert_eq!(
            found.check(&name("000000020000000000000002"), whole),
            Ok(())
        );
        assert_eq!(
            found.check(&name("000000010000000000000002.partial"), 8192),
            Ok(())
        );
    }

    #[test]
    fn another_name_and_another_size_are_refused() {
        let found = SegmentHeader::parse(&head()).unwrap();
        let whole = 16 << 20;
        for other in ["000000010000000000000003", "000000010000000100000002"] {
            let error = found.check(&name(other), whole).unwrap_err();
            assert!(matches!(error, SegmentHeaderError::OtherSegment { .. }));
        }
        let later = SegmentHeader {
            timeline: 3,
            ..found
        };
        assert!(
            later
                .check(&name("000000020000000000000002"), whole)
                .is_err()
        );
        for size in [0, whole - 1, whole + 1, 2 * whole] {
            let error = found
                .check(&name("000000010000000000000002"), size)
                .unwrap_err();
            assert!(matches!(error, SegmentHeaderError::Size { .. }));
        }
    }

    #[test]
    fn what_is_no_segment_is_not_taken_for_one() {
        assert!(SegmentHeader::parse(&[]).is_err());
        assert!(SegmentHeader::parse(&head()[..39]).is_err());
        assert!(SegmentHeader::parse(&[0; 40]).is_err());
        for (at, value) in [(1, 0x77), (2, 0), (32, 1)] {
            let mut bad = head();
            bad[at] = value;
            assert!(SegmentHeader::parse(&bad).is_err(), "{at}");
        }
    }

    #[test]
    fn both_byte_orders_are_read() {
        let mut big = [0; HEADER_BYTES];
        big[..2].copy_from_slice(&0xD118_u16.to_be_bytes());
        big[2..4].copy_from_slice(&2_u16.to_be_bytes());
        big[4..8].copy_from_slice(&2_u32.to_be_bytes());
        big[8..16].copy_from_slice(&0x1_0000_0000_u64.to_be_bytes());
        big[24..32].copy_from_slice(&42_u64.to_be_bytes());
        big[32..36].copy_from_slice(&(1_u32 << 20).to_be_bytes());
        let found = SegmentHeader::parse(&big).unwrap();
        assert_eq!((found.system_identifier, found.timeline), (42, 2));
        assert_eq!((found.start, found.segment_bytes), (Lsn(1 << 32), 1 << 20));
    }
}
