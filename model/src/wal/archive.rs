//! What of a database's log is archived, as far as it was observed: the planner's and the restorer's common picture.
//!
//! Invariant: a run has no hole in it. What cannot be told (a tier that was not reached) is not in here, and never means "absent".

use super::{history::TimelineHistory, lsn::Lsn, span::decimal};
use crate::{names::TierName, units::ByteCount};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The archived log of one database. Fields in alphabetical order, here and below: it is digested (`canonical`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WalArchive {
    /// What the server itself said; `None`: it was not asked or did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<WalSource>,
    /// What lies on each tier that could be read.
    #[serde(default)]
    pub tiers: BTreeMap<TierName, WalTier>,
}

/// The log of one database on one tier.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WalTier {
    /// Histories of timelines.
    #[serde(default)]
    pub histories: Vec<TimelineHistory>,
    /// Whole segments, gathered to runs without a hole; sorted by cluster, timeline and position.
    #[serde(default)]
    pub runs: Vec<WalRun>,
}

/// Segments of one timeline that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalRun {
    /// Stored size of them all.
    pub bytes: ByteCount,
    /// First position that is not there any more.
    pub end: Lsn,
    /// When the last of them was stored.
    pub last_stored_at: Timestamp,
    /// Size of a segment.
    pub segment_bytes: u64,
    /// First position.
    pub start: Lsn,
    /// When the first of them was stored.
    pub stored_at: Timestamp,
    /// Identifier of the cluster.
    #[serde(with = "decimal")]
    pub system_identifier: u64,
    /// Timeline.
    pub timeline: u32,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalSource {
    /// When it was asked.
    pub at: Timestamp,
    /// Where it writes now.
    pub position: Lsn,
    /// Identifier of the cluster.
    #[serde(with = "decimal")]
    pub system_identifier: u64,
    /// Its timeline now.
    pub timeline: u32,
}

impl WalRun {
    /// How many segments.
    pub fn segments(&self) -> u64 {
        self.end.since(self.start) / self.segment_bytes.max(1)
    }

    /// Whether the whole segment that holds `at` is in it.
    pub fn holds(&self, at: Lsn) -> bool {
        self.start <= at && at < self.end
    }
}

impl WalTier {
    /// The history of a timeline: what is archived of it, or that it comes from nowhere when it is the first.
    pub fn history(&self, timeline: u32) -> Option<TimelineHistory> {
        let known = self.histories.iter().find(|h| h.timeline == timeline);
        match known {
            Some(history) => Some(history.clone()),
            None => (timeline == 1).then(|| TimelineHistory::first(1)),
        }
    }
}
