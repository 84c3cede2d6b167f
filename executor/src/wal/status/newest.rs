//! The newest moment that an archived log holds, by reading its records from the end.

use crate::wal::WalStore;
use jiff::Timestamp;
use model::{
    Lsn, TierName, WalFileName,
    wal::{
        WalSource, WalTier,
        records::{LogEvent, LogReader, SegmentEnd},
    },
};
use providers::api::Result;
use serde::Serialize;
use std::sync::Arc;

/// Segments that are read backwards to find the newest commit.
const LOOK_BACK: usize = 4;

/// The newest moment that an archived log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Newest {
    /// Valid log ends here.
    pub end: Lsn,
    /// Time of the last commit or abort; `None`: none was found near the end, or the version is not known.
    pub time: Option<Timestamp>,
    /// Files are archived up to here; what lies behind [`Newest::end`] in them is empty.
    pub whole_to: Lsn,
}

/// The newest moment of a log on one tier: its last segments are read. `None`: nothing is there.
pub async fn newest_moment(
    store: &Arc<WalStore>,
    tier: &TierName,
    log: &WalTier,
    source: Option<&WalSource>,
) -> Result<Option<Newest>> {
    let runs = log
        .runs
        .iter()
        .map(|run| (run.system_identifier, run.timeline, run.end));
    let partials = log
        .partials
        .iter()
        .map(|p| (p.system_identifier, p.timeline, p.end));
    let ours = |cluster: u64| source.is_none_or(|source| source.system_identifier == cluster);
    let Some((cluster, timeline, end)) = runs
        .chain(partials)
        .filter(|(cluster, _, _)| ours(*cluster))
        .max_by_key(|(_, timeline, end)| (*timeline, *end))
    else {
        return Ok(None);
    };
    let size = log
        .runs
        .iter()
        .map(|run| run.segment_bytes)
        .chain(log.partials.iter().map(|p| p.segment_bytes))
        .next()
        .unwrap_or(model::wal::DEFAULT_SEGMENT_BYTES);
    let mut newest = Newest {
        end,
        time: None,
        whole_to: end,
    };
    let last = end.segment_before(size);
    for number in (last.saturating_sub(LOOK_BACK as u64 - 1)..=last).rev() {
        let name = WalFileName::of_segment(timeline, number, size);
        let bytes = match store.get_from(tier, cluster, name).await? {
            Some(bytes) => Some(bytes),
            None => store.get_beginning(cluster, name).await?,
        };
        let Some(bytes) = bytes else { break };
        let mut time = None;
        let ended = LogReader::new().read(&bytes, |event| {
            if let LogEvent::Transaction(end) = event {
                time = time.max(Some(end.time));
            }
        });
        match ended {
            // Of a version that is not known here: positions of files are all that can be told.
            SegmentEnd::CannotTell { .. } => break,
            SegmentEnd::EndsAt(at) if number == last => newest.end = at,
            _ => {}
        }
        newest.time = time;
        if newest.time.is_some() {
            break;
        }
    }
    Ok(Some(newest))
}
