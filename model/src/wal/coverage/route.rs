//! The way to a moment: from which base, along which timeline, over which files; or why there is none.
//!
//! Positions prove part of it. That the log really holds the asked commit is proved by reading records, and [`Proof`] says which:
//! a server whose log ends before its target refuses to start (PostgreSQL 13 and newer) or, worse, stops early.

use super::{
    base::Base,
    path::{LogPath, MissingSegments},
    windows::roll,
};
use crate::{
    recovery_point_id::RecoveryPointId,
    wal::{Lsn, RecoveryTarget, TimelineChoice, WalFileName, WalTier, decimal},
};
use jiff::Timestamp;
use serde::Serialize;

/// A way that looks passable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The base that it starts from.
    pub base: RecoveryPointId,
    /// What follows behind [`Route::to`]: missing files, and where the log goes on; `None`: it ends there.
    pub hole: Option<(Vec<MissingSegments>, Lsn)>,
    /// The files that are replayed, in order.
    pub pieces: Vec<WalPiece>,
    /// What is still to be proved by reading the log before [`Route::to`].
    pub proof: Proof,
    /// Cluster.
    #[serde(with = "decimal")]
    pub system_identifier: u64,
    /// Timeline to follow: `recovery_target_timeline`. Its history must be fetched by the server as well, if it has one.
    pub timeline: u32,
    /// The log is whole up to here.
    pub to: Lsn,
}

/// Files of one timeline that follow each other. The last one may be there only in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WalPiece {
    /// First position after the last file.
    pub end: Lsn,
    /// Size of a file.
    pub segment_bytes: u64,
    /// First position of the first file.
    pub start: Lsn,
    /// Timeline.
    pub timeline: u32,
}

/// What reading the log must show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum Proof {
    /// Nothing: positions say it all.
    Positions,
    /// A commit or abort after this time: only there a server knows that the moment has passed.
    CommitAfter(Timestamp),
    /// The end of this transaction, behind the end of the base.
    Transaction(u64),
    /// The restore point of this name, behind the end of the base.
    RestorePoint(String),
    /// A record that begins at or after this position.
    RecordFrom(Lsn),
}

/// Why a target cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// There is nothing to start from.
    #[error("no base backup is readable")]
    NoBase,
    /// All bases are younger.
    #[error("the earliest base that can be used, `{base}`, ended at {at}, after the asked moment")]
    TooEarly {
        /// The earliest.
        base: RecoveryPointId,
        /// Its moment.
        at: Timestamp,
        /// Its position.
        position: Lsn,
    },
    /// No base becomes consistent.
    #[error(
        "the log that base `{base}` needs is not whole: it lacks {}",
        said(missing)
    )]
    Inconsistent {
        /// The newest that would do.
        base: RecoveryPointId,
        /// What it lacks.
        missing: Vec<MissingSegments>,
    },
    /// Bases are there, but none on that timeline's past.
    #[error("no base lies on the past of timeline {timeline}")]
    NoBaseOnTimeline {
        /// The timeline.
        timeline: u32,
    },
    /// Nothing is known of the timeline.
    #[error("timeline {timeline} is not archived")]
    NoTimeline {
        /// The timeline.
        timeline: u32,
    },
    /// The log is cut before the position.
    #[error(
        "the log from base `{base}` is whole only up to {to}: it lacks {}",
        said(missing)
    )]
    Hole {
        /// The best base.
        base: RecoveryPointId,
        /// What is missing.
        missing: Vec<MissingSegments>,
        /// The log is whole up to here.
        to: Lsn,
    },
    /// The position is not archived yet.
    #[error("the log from base `{base}` is archived up to {to}")]
    PastEnd {
        /// The best base.
        base: RecoveryPointId,
        /// The log is whole up to here.
        to: Lsn,
    },
}

fn said(missing: &[MissingSegments]) -> String {
    let words: Vec<String> = missing.iter().map(ToString::to_string).collect();
    words.join(", ")
}

impl std::fmt::Display for MissingSegments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, last) = self.names();
        match self.count() {
            1 => write!(f, "`{first}`"),
            count => write!(f, "`{first}` to `{last}` ({count} segments)"),
        }
    }
}

impl Route {
    /// The names of all files that are replayed, in order.
    pub fn files(&self) -> impl DoubleEndedIterator<Item = WalFileName> + '_ {
        self.pieces.iter().flat_map(|piece| {
            let (first, end) = (
                piece.start.segment(piece.segment_bytes),
                piece.end.segment(piece.segment_bytes),
            );
            (first..end)
                .map(|number| WalFileName::of_segment(piece.timeline, number, piece.segment_bytes))
        })
    }
}

/// The ways to a target, the best first: from the newest base that ended before it, whose log is whole to it as far as positions
/// tell. The others serve when the first base cannot be read after all.
///
/// `bases` as [`super::bases`] gives them, the oldest first.
pub fn routes(
    log: &WalTier,
    bases: &[Base],
    target: &RecoveryTarget,
    choice: TimelineChoice,
) -> Result<Vec<Route>, Unreachable> {
    let Some(newest) = bases.last() else {
        return Err(Unreachable::NoBase);
    };
    if let TimelineChoice::Number(timeline) = choice {
        let known = bases
            .iter()
            .any(|base| known_timelines(log, base, bases).any(|known| known == timeline));
        if !known {
            return Err(Unreachable::NoTimeline { timeline });
        }
    }
    let mut found = Vec::new();
    let mut off_path = None;
    let mut too_young: Option<&Base> = None;
    let mut inconsistent: Option<&Base> = None;
    let mut short: Option<Route> = None;
    for base in bases.iter().rev() {
        let (timeline, path) = path_for(log, bases, base, choice);
        if !path.passes(base.span.timeline, base.span.end) {
            off_path.get_or_insert(timeline);
            continue;
        }
        let old_enough = match target {
            RecoveryTarget::Time(at) => base.captured_at <= *at,
            RecoveryTarget::Position(at) => base.span.end <= *at,
            _ => true,
        };
        if !old_enough {
            too_young = Some(base);
            continue;
        }
        let to = roll(&path, base);
        if to < base.span.end {
            inconsistent.get_or_insert(base);
            continue;
        }
        let route = route(&path, base, (timeline, to), target);
        match target {
            RecoveryTarget::Position(at) if to < *at => {
                short.get_or_insert(route);
            }
            _ => found.push(route),
        }
    }
    if matches!(target, RecoveryTarget::Latest) {
        // Another cluster's log cannot be compared; what the newest base belongs to comes first, then who comes farthest.
        let ours = newest.span.system_identifier;
        found.sort_by_key(|route| {
            let other = route.system_identifier != ours;
            (other, std::cmp::Reverse((route.timeline, route.to)))
        });
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(if let Some(route) = short {
        match route.hole {
            Some((missing, _)) => Unreachable::Hole {
                base: route.base,
                missing,
                to: route.to,
            },
            None => Unreachable::PastEnd {
                base: route.base,
                to: route.to,
            },
        }
    } else if let Some(base) = inconsistent {
        let (_, path) = path_for(log, bases, base, choice);
        Unreachable::Inconsistent {
            base: base.id.clone(),
            missing: path.missing(roll(&path, base), base.span.end),
        }
    } else if let Some(base) = too_young {
        Unreachable::TooEarly {
            base: base.id.clone(),
            at: base.captured_at,
            position: base.span.end,
        }
    } else {
        match off_path {
            Some(timeline) => Unreachable::NoBaseOnTimeline { timeline },
            None => Unreachable::NoBase,
        }
    })
}

fn path_for<'a>(
    log: &'a WalTier,
    bases: &[Base],
    base: &Base,
    choice: TimelineChoice,
) -> (u32, LogPath<'a>) {
    let timeline = match choice {
        TimelineChoice::Current => base.span.timeline,
        TimelineChoice::Number(timeline) => timeline,
        TimelineChoice::Latest => known_timelines(log, base, bases)
            .max()
            .unwrap_or(base.span.timeline),
    };
    let span = &base.span;
    let path = LogPath::new(log, span.system_identifier, timeline, span.segment_bytes);
    (timeline, path)
}

/// Timelines of a base's cluster.
fn known_timelines<'a>(
    log: &'a WalTier,
    base: &Base,
    bases: &'a [Base],
) -> impl Iterator<Item = u32> + 'a {
    let cluster = base.span.system_identifier;
    let runs = log.runs.iter().map(|r| (r.system_identifier, r.timeline));
    let histories = log
        .histories
        .iter()
        .map(|h| (h.system_identifier, h.history.timeline));
    let partials = log
        .partials
        .iter()
        .map(|p| (p.system_identifier, p.timeline));
    let bases = bases
        .iter()
        .map(|b| (b.span.system_identifier, b.span.timeline));
    runs.chain(histories)
        .chain(partials)
        .chain(bases)
        .filter(move |(of, _)| *of == cluster)
        .map(|(_, timeline)| timeline)
}

fn route(
    path: &LogPath<'_>,
    base: &Base,
    (timeline, to): (u32, Lsn),
    target: &RecoveryTarget,
) -> Route {
    let span = &base.span;
    let pieces = path
        .owned(base.needs_from(), to)
        .map(|(timeline, start, end)| WalPiece {
            end,
            segment_bytes: span.segment_bytes,
            start,
            timeline,
        })
        .collect();
    let hole = path
        .next_after(to)
        .map(|before| (path.missing(to, before), before));
    Route {
        base: base.id.clone(),
        hole,
        pieces,
        proof: match target {
            RecoveryTarget::Immediate | RecoveryTarget::Latest => Proof::Positions,
            RecoveryTarget::Time(at) => Proof::CommitAfter(*at),
            RecoveryTarget::Transaction(xid) => Proof::Transaction(*xid),
            RecoveryTarget::Name(name) => Proof::RestorePoint(name.clone()),
            RecoveryTarget::Position(at) => Proof::RecordFrom(*at),
        },
        system_identifier: span.system_identifier,
        timeline,
        to,
    }
}
