//! Whether a new base backup is needed before the next is due, because the newest one cannot be rolled forward to now.

use super::{
    base::Base,
    path::{LogPath, MissingSegments},
    windows::roll,
};
use crate::wal::{Lsn, WalSource, WalTier};
use jiff::{SignedDuration, Timestamp};

/// A piece of log that is missing for less than this may still be on its way: several files are sent at the same time.
const UNDER_WAY: SignedDuration = SignedDuration::from_mins(5);

/// Why a new base is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// There is none at all.
    NoBase,
    /// The source is another cluster: it was made anew, or its address leads elsewhere.
    OtherCluster {
        /// That of the newest base.
        was: u64,
        /// That of the source.
        is: u64,
    },
    /// The source is on another timeline: a standby was promoted, or the source was restored.
    OtherTimeline {
        /// That of the newest base.
        was: u32,
        /// That of the source.
        is: u32,
    },
    /// The source writes before the end of the newest base: it was restored in a way that began no timeline.
    WentBack {
        /// End of the newest base.
        was: Lsn,
        /// Where the source writes.
        is: Lsn,
    },
    /// Log behind the newest base, or that it needs itself, is missing, and later log is there.
    Hole {
        /// The log is whole up to here.
        after: Lsn,
        /// What is missing.
        missing: Vec<MissingSegments>,
    },
}

/// Looks at the newest base. `log` and `bases` (the oldest first) of the same tier or tiers; `source`: what the server said, if
/// it was asked.
pub fn renewal(
    log: &WalTier,
    bases: &[Base],
    source: Option<&WalSource>,
    now: Timestamp,
) -> Option<Renewal> {
    let Some(base) = bases.last() else {
        return Some(Renewal::NoBase);
    };
    let span = &base.span;
    if let Some(source) = source {
        if source.system_identifier != span.system_identifier {
            return Some(Renewal::OtherCluster {
                was: span.system_identifier,
                is: source.system_identifier,
            });
        }
        if source.timeline != span.timeline {
            return Some(Renewal::OtherTimeline {
                was: span.timeline,
                is: source.timeline,
            });
        }
    }
    if let Some(source) = source.filter(|source| source.position < span.end) {
        return Some(Renewal::WentBack {
            was: span.end,
            is: source.position,
        });
    }
    let path = LogPath::new(
        log,
        span.system_identifier,
        span.timeline,
        span.segment_bytes,
    );
    let after = roll(&path, base);
    let before = path.next_after(after)?;
    let resumed = path.run_at(before).map(|run| run.stored_at);
    let settled = resumed.is_none_or(|at| at.saturating_add(UNDER_WAY).is_ok_and(|at| at <= now));
    settled.then(|| Renewal::Hole {
        after,
        missing: path.missing(after, before),
    })
}
