//! What the archived log gives: how far it was behind when it was looked at.
//!
//! Where somebody has just measured it, that counts; else what the inventory tells: everything that the server had written by then is archived,
//! or it was written after the last piece was stored. Not here: how long it goes back (the policy says), restoring (`sources`).

use super::{
    proof::{Part, PartKind, Source},
    sources::Known,
};
use jiff::Timestamp;
use model::{
    TierName,
    wal::coverage::{Window, bases, coverage},
};
use serde::{Deserialize, Serialize};

/// How far an archived log was behind, as somebody measured it who could read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLag {
    /// When.
    pub at: Timestamp,
    /// What would have been lost, at most; `None`: it could not be told.
    pub seconds: Option<i64>,
}

impl Known<'_> {
    /// The lag of the best tier.
    pub(crate) fn lag(&self) -> Part {
        let looked = self.facts.log_lags.get(&self.database.name);
        let by_inventory = looked.is_none().then(|| self.lag_by_inventory()).flatten();
        let measured = match looked {
            Some(lag) => lag.seconds.map(|seconds| (seconds, lag.at)),
            // A server that has nothing to do goes on by a few records that nobody would miss: what it wrote is not told by how far it got.
            None => by_inventory.filter(|(seconds, _)| *seconds == 0),
        };
        let unknown = Source::Unknown {
            at_most_seconds: by_inventory.map(|(seconds, _)| seconds),
        };
        let source = measured.map_or(unknown, |(_, at)| Source::Measured {
            at,
            bytes: 0,
            count: 1,
        });
        Part {
            seconds: measured.map(|(seconds, _)| seconds),
            source,
            what: PartKind::Lag,
        }
    }

    fn lag_by_inventory(&self) -> Option<(i64, Timestamp)> {
        let archive = self.inventory.wal.get(&self.database.name)?;
        let source = archive.source.as_ref()?;
        let declared = self.database.wal.iter().flat_map(|wal| &wal.keep);
        let lags = declared.filter_map(|(tier, _)| {
            let newest = self.log_windows(tier).into_iter().filter(|window| {
                window.system_identifier == source.system_identifier
                    && window.timeline == source.timeline
            });
            let newest = newest.max_by_key(|window| window.to)?;
            if source.position <= newest.to {
                return Some(0);
            }
            // What is not archived was written after the last piece was full, and that was stored later still: so what
            // is lost is at most as old as the piece before it. Of one piece only its own time is known.
            Some(source.at.duration_since(newest.stored_at?).as_secs().max(0))
        });
        lags.min().map(|lag| (lag, source.at))
    }

    /// The windows of the log on a tier that could be read.
    pub(crate) fn log_windows(&self, tier: &TierName) -> Vec<Window> {
        let name = &self.database.name;
        let there = self
            .inventory
            .wal
            .get(name)
            .and_then(|archive| archive.tiers.get(tier));
        let (Some(there), false) = (there, self.inventory.unreachable_tiers.contains(tier)) else {
            return Vec::new();
        };
        let mine: Vec<model::RecoveryPoint> =
            self.points.iter().map(|point| (*point).clone()).collect();
        coverage(there, &bases(&mine, name, Some(tier))).windows
    }
}
