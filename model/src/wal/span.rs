//! The piece of log that a physical recovery point needs before it is consistent.

use super::lsn::{Lsn, SegmentNumber};
use serde::{Deserialize, Serialize};

/// From where to where the log must be replayed over a base backup. Fields in alphabetical order: it is digested (`canonical`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalSpan {
    /// Consistent once the log up to here is replayed.
    pub end: Lsn,
    /// Whether this piece of log is stored with the point, so that it can be restored without an archive.
    pub included: bool,
    /// Size of a segment of its cluster.
    pub segment_bytes: u64,
    /// Replay begins here; the log is needed from the segment that holds this position.
    pub start: Lsn,
    /// Identifier of the cluster.
    #[serde(with = "decimal")]
    pub system_identifier: u64,
    /// Timeline at its end.
    pub timeline: u32,
}

impl WalSpan {
    /// The first segment that is needed.
    pub fn first_segment(&self) -> SegmentNumber {
        self.start.segment(self.segment_bytes)
    }

    /// The last segment that is needed to be consistent.
    pub fn last_segment(&self) -> SegmentNumber {
        self.end.segment_before(self.segment_bytes)
    }
}

/// As text in JSON: 64 bits do not fit into the numbers of many readers.
pub(crate) mod decimal {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    pub(crate) fn serialize<S: Serializer>(n: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(n)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
