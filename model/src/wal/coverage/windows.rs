//! From when to when one can go back, and where that is cut.
//!
//! For each timeline that was not simply continued by another one, the bases on its path are rolled as far as the log is whole;
//! bases that come equally far share a window. A timeline whose archived log ends in the segment in which another one left it
//! is not told apart from that one.

use super::{
    base::Base,
    path::{LogPath, MissingSegments},
};
use crate::{
    recovery_point_id::RecoveryPointId,
    wal::{Lsn, WalTier, decimal},
};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that follows from bases and one log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Coverage {
    /// Where the log has holes, by cluster, timeline and position.
    pub holes: Vec<Hole>,
    /// Bases that cannot become consistent.
    pub unusable: Vec<Unusable>,
    /// Every moment of these can be recovered, by cluster, timeline and position.
    pub windows: Vec<Window>,
}

/// A stretch of moments without a hole. Fields in alphabetical order, here and below: it is shown as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The bases in it, the oldest first.
    pub bases: Vec<RecoveryPointId>,
    /// The first position that can be recovered: the end of the earliest base.
    pub from: Lsn,
    /// The moment of that.
    pub from_time: Timestamp,
    /// When the last piece of it was stored; every commit in it is older, as far as the clocks agree.
    pub stored_at: Option<Timestamp>,
    /// Cluster.
    #[serde(with = "decimal")]
    pub system_identifier: u64,
    /// Timeline that is followed.
    pub timeline: u32,
    /// The log is whole up to here.
    pub to: Lsn,
}

/// A hole: log is archived before it and after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// The log is whole up to here.
    pub after: Lsn,
    /// Here it goes on.
    pub before: Lsn,
    /// Bases that can be rolled forward up to it and no further.
    pub cuts: Vec<RecoveryPointId>,
    /// Bases that it keeps from becoming consistent.
    pub keeps_unusable: Vec<RecoveryPointId>,
    /// What is missing.
    pub missing: Vec<MissingSegments>,
    /// The earliest base behind it, from which later moments can be recovered, and its moment.
    pub next_base: Option<(RecoveryPointId, Timestamp)>,
    /// When the piece of log after it began to be stored: files that are sent at the same time may come in another order.
    pub resumed_at: Option<Timestamp>,
    /// Cluster.
    #[serde(with = "decimal")]
    pub system_identifier: u64,
    /// Timeline that is followed.
    pub timeline: u32,
}

/// A base that cannot become consistent with what is archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unusable {
    /// The base.
    pub base: RecoveryPointId,
    /// What it lacks; it may still come.
    pub missing: Vec<MissingSegments>,
}

/// One base on one path.
struct Rolled<'a> {
    base: &'a Base,
    to: Lsn,
}

/// Judges `bases` (the oldest first) and one log.
pub fn coverage(log: &WalTier, bases: &[Base]) -> Coverage {
    let mut all = Coverage::default();
    for ((cluster, segment_bytes), timelines) in leaves(log, bases) {
        for timeline in timelines {
            let path = LogPath::new(log, cluster, timeline, segment_bytes);
            let rolled: Vec<Rolled<'_>> = bases
                .iter()
                .filter(|base| {
                    base.span.system_identifier == cluster
                        && base.span.segment_bytes == segment_bytes
                        && path.passes(base.span.timeline, base.span.end)
                })
                .map(|base| Rolled {
                    base,
                    to: roll(&path, base),
                })
                .collect();
            all.windows
                .extend(windows(&path, &rolled, (cluster, timeline)));
            all.holes.extend(holes(&path, &rolled, (cluster, timeline)));
        }
    }
    // Several timelines may share their past, and so its holes; the newest one's words are kept.
    let mut seen = BTreeSet::new();
    let mut kept: Vec<Hole> = Vec::new();
    for hole in std::mem::take(&mut all.holes).into_iter().rev() {
        let place = hole.missing.first().map(|m| (m.timeline, m.first));
        if seen.insert((hole.system_identifier, hole.after, hole.before, place)) {
            kept.push(hole);
        }
    }
    kept.reverse();
    all.holes = kept;
    all.unusable = unusable(log, bases, &all.windows);
    all
}

/// How far a base can be rolled forward.
pub(super) fn roll(path: &LogPath<'_>, base: &Base) -> Lsn {
    let to = path.whole_from(base.needs_from());
    if base.span.included {
        to.max(base.span.end)
    } else {
        to
    }
}

type Cluster = (u64, u64);

/// The timelines of each cluster (and segment size) with a past that no other one continues.
fn leaves(log: &WalTier, bases: &[Base]) -> BTreeMap<Cluster, BTreeSet<u32>> {
    let mut ends: BTreeMap<Cluster, BTreeMap<u32, Lsn>> = BTreeMap::new();
    let mut note = |cluster, timeline, end: Lsn| {
        let known = ends.entry(cluster).or_default().entry(timeline);
        let known = known.or_default();
        *known = end.max(*known);
    };
    for run in &log.runs {
        note(
            (run.system_identifier, run.segment_bytes),
            run.timeline,
            run.end,
        );
    }
    for part in &log.partials {
        note(
            (part.system_identifier, part.segment_bytes),
            part.timeline,
            part.end,
        );
    }
    for base in bases {
        let span = &base.span;
        note(
            (span.system_identifier, span.segment_bytes),
            span.timeline,
            span.end,
        );
    }
    let continued = |cluster: Cluster, timeline: u32, end: Lsn, all: &BTreeMap<u32, Lsn>| {
        all.keys().any(|later| {
            let left = log
                .history(cluster.0, *later)
                .and_then(|history| history.end_of(timeline).flatten());
            let after_base = |left: Lsn| {
                bases.iter().all(|base| {
                    base.span.system_identifier != cluster.0
                        || base.span.timeline != timeline
                        || base.span.end <= left
                })
            };
            left.is_some_and(|left| {
                let segment_end = Lsn::of_segment(left.segment_before(cluster.1) + 1, cluster.1);
                end <= segment_end && after_base(left)
            })
        })
    };
    let leaves = ends.iter().map(|(cluster, all)| {
        let of_cluster = all
            .iter()
            .filter(|(timeline, end)| !continued(*cluster, **timeline, **end, all))
            .map(|(timeline, _)| *timeline);
        (*cluster, of_cluster.collect())
    });
    leaves.collect()
}

fn windows(
    path: &LogPath<'_>,
    rolled: &[Rolled<'_>],
    (system_identifier, timeline): (u64, u32),
) -> Vec<Window> {
    let mut by_end: BTreeMap<Lsn, Vec<&Base>> = BTreeMap::new();
    for one in rolled.iter().filter(|one| one.base.span.end <= one.to) {
        by_end.entry(one.to).or_default().push(one.base);
    }
    let window = |(to, mut bases): (Lsn, Vec<&Base>)| {
        bases.sort_by(|a, b| (a.span.end, &a.id).cmp(&(b.span.end, &b.id)));
        let first = bases.first()?;
        Some(Window {
            from: first.span.end,
            from_time: first.captured_at,
            stored_at: path.stored_at(to),
            system_identifier,
            timeline,
            to,
            bases: bases.iter().map(|base| base.id.clone()).collect(),
        })
    };
    by_end.into_iter().filter_map(window).collect()
}

fn holes(
    path: &LogPath<'_>,
    rolled: &[Rolled<'_>],
    (system_identifier, timeline): (u64, u32),
) -> Vec<Hole> {
    let mut holes = Vec::new();
    let Some(floor) = rolled.iter().map(|one| one.base.needs_from()).min() else {
        return holes;
    };
    let mut after = path.whole_from(floor);
    while let Some(before) = path.next_after(after) {
        let stopped = |one: &&Rolled<'_>| {
            let needs = one.base.needs_from();
            needs < before && (one.to <= before && one.to >= after)
        };
        let ids = |consistent: bool| {
            rolled
                .iter()
                .filter(stopped)
                .filter(|one| (one.base.span.end <= one.to) == consistent)
                .map(|one| one.base.id.clone())
                .collect()
        };
        let behind = rolled
            .iter()
            .filter(|one| one.base.needs_from() >= before)
            .min_by_key(|one| (one.base.span.end, &one.base.id));
        holes.push(Hole {
            after,
            before,
            cuts: ids(true),
            keeps_unusable: ids(false),
            missing: path.missing(after, before),
            next_base: behind.map(|one| (one.base.id.clone(), one.base.captured_at)),
            resumed_at: path.run_at(before).map(|run| run.stored_at),
            system_identifier,
            timeline,
        });
        after = path.whole_from(before);
    }
    holes
}

fn unusable(log: &WalTier, bases: &[Base], windows: &[Window]) -> Vec<Unusable> {
    let lacks = |base: &Base| {
        let span = &base.span;
        let path = LogPath::new(
            log,
            span.system_identifier,
            span.timeline,
            span.segment_bytes,
        );
        let mut at = roll(&path, base);
        let mut missing = Vec::new();
        while at < span.end {
            let next = path.next_after(at).map_or(span.end, |on| on.min(span.end));
            missing.extend(path.missing(at, next));
            if next == span.end {
                break;
            }
            at = path.whole_from(next);
        }
        (!missing.is_empty()).then(|| Unusable {
            base: base.id.clone(),
            missing,
        })
    };
    let in_none = |base: &&Base| windows.iter().all(|w| !w.bases.contains(&base.id));
    bases.iter().filter(in_none).filter_map(lacks).collect()
}
