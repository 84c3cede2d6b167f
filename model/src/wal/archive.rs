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
    /// Histories of timelines, sorted by cluster and timeline.
    #[serde(default)]
    pub histories: Vec<ArchivedHistory>,
    /// Segments of which only the beginning is there, as streams ship them; sorted like runs, the newest of each segment only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partials: Vec<WalPartial>,
    /// Whole segments, gathered to runs without a hole; sorted by cluster, timeline and position.
    #[serde(default)]
    pub runs: Vec<WalRun>,
}

/// A history, and of which cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedHistory {
    /// Where the timeline comes from.
    pub history: TimelineHistory,
    /// Identifier of the cluster.
    #[serde(with = "decimal")]
    pub system_identifier: u64,
}

/// The beginning of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalPartial {
    /// Stored size.
    pub bytes: ByteCount,
    /// First position that is not in it.
    pub end: Lsn,
    /// Size of a segment.
    pub segment_bytes: u64,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// Identifier of the cluster.
    #[serde(with = "decimal")]
    pub system_identifier: u64,
    /// Timeline.
    pub timeline: u32,
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
    pub fn history(&self, system_identifier: u64, timeline: u32) -> Option<TimelineHistory> {
        let known = self
            .histories
            .iter()
            .find(|h| h.system_identifier == system_identifier && h.history.timeline == timeline);
        match known {
            Some(archived) => Some(archived.history.clone()),
            None => (timeline == 1).then(|| TimelineHistory::first(1)),
        }
    }
}

impl WalArchive {
    /// What all tiers have together: a recovery may read each segment from another one.
    pub fn together(&self) -> WalTier {
        let mut whole = WalTier::default();
        for tier in self.tiers.values() {
            whole.histories.extend(tier.histories.iter().cloned());
            whole.partials.extend(tier.partials.iter().cloned());
            whole.runs.extend(tier.runs.iter().cloned());
        }
        whole
            .histories
            .sort_by_key(|h| (h.system_identifier, h.history.timeline));
        whole
            .histories
            .dedup_by_key(|h| (h.system_identifier, h.history.timeline));
        let place = |p: &WalPartial| (p.system_identifier, p.timeline, p.end);
        whole.partials.sort_by_key(place);
        whole.partials.dedup_by_key(|p| place(p));
        whole
            .runs
            .sort_by_key(|run| (run.system_identifier, run.timeline, run.start));
        whole.runs = whole.runs.into_iter().fold(Vec::new(), joined);
        whole
    }
}

/// Adds a run to sorted ones, so that runs that touch or overlap become one.
fn joined(mut runs: Vec<WalRun>, run: WalRun) -> Vec<WalRun> {
    let key = |r: &WalRun| (r.system_identifier, r.timeline, r.segment_bytes);
    match runs.last_mut() {
        Some(last) if key(last) == key(&run) && run.start <= last.end => {
            if run.end > last.end {
                // The overlap is counted once, as far as an average segment tells.
                let fresh = run.end.since(last.end);
                let share = u128::from(run.bytes.0) * u128::from(fresh)
                    / u128::from(run.end.since(run.start).max(1));
                let share = u64::try_from(share).unwrap_or(run.bytes.0);
                last.bytes = last.bytes.saturating_add(ByteCount(share));
                last.end = run.end;
                last.last_stored_at = run.last_stored_at;
            }
        }
        _ => runs.push(run),
    }
    runs
}
