//! A position in the write-ahead log, and the segment that holds it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Size of a segment unless `initdb --wal-segsize` said otherwise.
pub const DEFAULT_SEGMENT_BYTES: u64 = 16 << 20;

/// Log sequence number: a byte position in the log of a timeline, written `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

/// A text that is no log sequence number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a log sequence number: expected two hexadecimal numbers as in `16/B374D848`")]
pub struct LsnError(pub String);

/// Number of a segment from the beginning of the log, for a given segment size.
pub type SegmentNumber = u64;

impl Lsn {
    /// Reads `16/B374D848`.
    pub fn parse(text: &str) -> Result<Self, LsnError> {
        let fail = || LsnError(text.to_owned());
        let hex = |part: &str| {
            let is_hex = !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit());
            is_hex.then(|| u32::from_str_radix(part, 16).ok()).flatten()
        };
        let (high, low) = text.split_once('/').ok_or_else(fail)?;
        let (high, low) = (hex(high).ok_or_else(fail)?, hex(low).ok_or_else(fail)?);
        Ok(Self((u64::from(high) << 32) | u64::from(low)))
    }

    /// The segment that holds the byte at this position.
    pub fn segment(self, segment_bytes: u64) -> SegmentNumber {
        self.0 / segment_bytes.max(1)
    }

    /// The segment that holds the byte before this position: the last one that is needed to reach it.
    pub fn segment_before(self, segment_bytes: u64) -> SegmentNumber {
        self.0.saturating_sub(1) / segment_bytes.max(1)
    }

    /// First position of a segment.
    pub fn of_segment(number: SegmentNumber, segment_bytes: u64) -> Self {
        Self(number.saturating_mul(segment_bytes))
    }

    /// Bytes from `earlier` to here; 0 when it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl std::str::FromStr for Lsn {
    type Err = LsnError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_postgresql_writes_them() {
        let lsn = Lsn::parse("16/B374D848").unwrap();
        assert_eq!(lsn.0, 0x16_B374_D848);
        assert_eq!(lsn.to_string(), "16/B374D848");
        assert_eq!(Lsn(0x28).to_string(), "0/28");
        for bad in [
            "",
            "16",
            "16/",
            "/1",
            "16/B374D848/1",
            "1G/0",
            "+1/0",
            "100000000/0",
        ] {
            assert!(Lsn::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_end_of_a_segment_belongs_to_the_segment_before() {
        let end = Lsn(3 * DEFAULT_SEGMENT_BYTES);
        assert_eq!(end.segment(DEFAULT_SEGMENT_BYTES), 3);
        assert_eq!(end.segment_before(DEFAULT_SEGMENT_BYTES), 2);
        assert_eq!(Lsn::of_segment(3, DEFAULT_SEGMENT_BYTES), end);
    }
}
