//! The name under which the beginning of a segment is stored: `<segment>.<first position not in it, 16 digits>.partial`.
//!
//! A store overwrites nothing, so each longer beginning gets a name of its own, and the shorter ones go when it is there.
//! Not PostgreSQL's `<segment>.partial`, the end of a timeline that was left: those are archived as they are.

use super::{file_name::WalFileName, lsn::Lsn};
use std::fmt;

/// Names the beginning of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartialName {
    /// First position that is not in it.
    pub end: Lsn,
    /// The segment.
    pub segment: WalFileName,
}

impl PartialName {
    /// The beginning of the segment that holds the byte before `end`; `None` when that is nothing.
    pub fn new(timeline: u32, end: Lsn, segment_bytes: u64) -> Option<Self> {
        let number = end.segment_before(segment_bytes);
        (end > Lsn::of_segment(number, segment_bytes)).then(|| Self {
            end,
            segment: WalFileName::of_segment(timeline, number, segment_bytes),
        })
    }

    /// Reads a file name, without a folder; `None` when it is no such name.
    pub fn parse(name: &str) -> Option<Self> {
        let (segment, end) = name.strip_suffix(".partial")?.split_once('.')?;
        let segment = WalFileName::parse(segment)
            .ok()
            .filter(WalFileName::is_segment)?;
        let upper = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        let end = (end.len() == 16 && end.bytes().all(upper))
            .then(|| u64::from_str_radix(end, 16).ok())
            .flatten()?;
        Some(Self {
            end: Lsn(end),
            segment,
        })
    }
}

impl fmt::Display for PartialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016X}.partial", self.segment, self.end.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::DEFAULT_SEGMENT_BYTES;

    #[test]
    fn the_beginning_of_a_segment_has_a_name_that_reads_back() {
        let name = PartialName::new(2, Lsn(0x0A_4200_0123), DEFAULT_SEGMENT_BYTES).unwrap();
        let text = name.to_string();
        assert_eq!(text, "000000020000000A00000042.0000000A42000123.partial");
        assert_eq!(PartialName::parse(&text), Some(name));
        for bad in [
            "000000020000000A00000042.partial",
            "000000020000000A00000042.00000028.backup",
            "000000020000000A00000042.0000000a42000123.partial",
            "000000020000000A00000042",
        ] {
            assert_eq!(PartialName::parse(bad), None, "{bad}");
        }
    }
}
