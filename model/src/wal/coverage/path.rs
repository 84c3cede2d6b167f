//! The log that a recovery along one timeline reads, segment by segment.
//!
//! As PostgreSQL reads it (`XLogFileReadAnyTLI` in `xlogrecovery.c`): where several timelines of the history share a segment, the
//! newest one's file is taken, whose beginning is a copy of the older one's. Without it, the older one's file is good only up to
//! the switch: what follows there is another past.

use crate::wal::{Lsn, SegmentNumber, WalFileName, WalPartial, WalRun, WalTier};
use serde::Serialize;

/// Segments that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MissingSegments {
    /// The first of them.
    #[serde(skip)]
    pub first: SegmentNumber,
    /// The last of them.
    #[serde(skip)]
    pub last: SegmentNumber,
    /// Size of each.
    pub segment_bytes: u64,
    /// Timeline whose files are missing.
    pub timeline: u32,
}

impl MissingSegments {
    /// How many.
    pub fn count(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    /// Names of the first and the last file.
    pub fn names(&self) -> (WalFileName, WalFileName) {
        let name = |number| WalFileName::of_segment(self.timeline, number, self.segment_bytes);
        (name(self.first), name(self.last))
    }
}

/// A stretch of the path that is one timeline's.
#[derive(Debug)]
struct Stretch<'a> {
    timeline: u32,
    begin: Lsn,
    /// Where the path leaves it; the last stretch has no end.
    end: Option<Lsn>,
    runs: Vec<&'a WalRun>,
    partials: Vec<&'a WalPartial>,
}

/// The log along one timeline of one cluster.
#[derive(Debug)]
pub struct LogPath<'a> {
    stretches: Vec<Stretch<'a>>,
    segment_bytes: u64,
}

impl<'a> LogPath<'a> {
    /// The path to `timeline`. One whose history is not archived is taken to come from nowhere, as PostgreSQL does.
    pub fn new(
        log: &'a WalTier,
        system_identifier: u64,
        timeline: u32,
        segment_bytes: u64,
    ) -> Self {
        let ancestors = log
            .history(system_identifier, timeline)
            .map(|history| history.ancestors)
            .unwrap_or_default();
        let ends = ancestors.iter().map(|switch| Some(switch.at)).chain([None]);
        let timelines = ancestors
            .iter()
            .map(|switch| switch.timeline)
            .chain([timeline]);
        let begins = std::iter::once(Lsn(0)).chain(ancestors.iter().map(|switch| switch.at));
        let stretches = timelines
            .zip(begins.zip(ends))
            .map(|(timeline, (begin, end))| {
                let ours = |cluster, size, of| {
                    cluster == system_identifier && size == segment_bytes && of == timeline
                };
                let mut runs: Vec<&WalRun> = log
                    .runs
                    .iter()
                    .filter(|r| ours(r.system_identifier, r.segment_bytes, r.timeline))
                    .collect();
                runs.sort_by_key(|run| run.start);
                let partials = log
                    .partials
                    .iter()
                    .filter(|p| ours(p.system_identifier, p.segment_bytes, p.timeline))
                    .collect();
                Stretch {
                    timeline,
                    begin,
                    end,
                    runs,
                    partials,
                }
            })
            .collect();
        Self {
            stretches,
            segment_bytes: segment_bytes.max(1),
        }
    }

    /// Whether a base that ended at `end` on `timeline` lies on it.
    pub fn passes(&self, timeline: u32, end: Lsn) -> bool {
        self.stretches
            .iter()
            .any(|s| s.timeline == timeline && s.end.is_none_or(|left| end <= left))
    }

    /// The position up to which the log is whole from the segment that holds `start`; the segment's own beginning when not even
    /// that is there.
    pub fn whole_from(&self, start: Lsn) -> Lsn {
        let mut at = self.segment_start(start.segment(self.segment_bytes));
        while let Some(next) = self.step(at) {
            at = next;
            if !at.0.is_multiple_of(self.segment_bytes) {
                break;
            }
        }
        at
    }

    /// From the beginning of a segment to how far its log is there; `None`: not at all.
    fn step(&self, at: Lsn) -> Option<Lsn> {
        let mut alive = self.alive(at.segment(self.segment_bytes));
        let newest = alive.next()?;
        if let Some(run) = newest.run_at(at) {
            let reached = run.end.min(self.own_end(newest));
            return (reached > at).then_some(reached);
        }
        let segment_end = Lsn(at.0.saturating_add(self.segment_bytes));
        let beginning = |stretch: &Stretch<'_>, whole: bool| {
            let has = if whole { Some(segment_end) } else { None };
            let partial = stretch
                .partials
                .iter()
                .filter(|p| at < p.end && p.end <= segment_end)
                .map(|p| p.end)
                .max();
            let has = has.max(partial)?;
            Some(stretch.end.map_or(has, |left| has.min(left)))
        };
        let older = alive.filter_map(|s| beginning(s, s.run_at(at).is_some()));
        older
            .chain(beginning(newest, false))
            .max()
            .filter(|reached| *reached > at)
    }

    /// Where whole segments go on after the one that holds `at`.
    pub fn next_after(&self, at: Lsn) -> Option<Lsn> {
        let from = self.segment_start(at.segment(self.segment_bytes) + 1);
        self.stretches.iter().find_map(|stretch| {
            let begin = self.segment_start(stretch.begin.segment(self.segment_bytes));
            let (low, high) = (from.max(begin), self.own_end(stretch));
            let first = stretch.runs.partition_point(|run| run.end <= low);
            let start = stretch.runs.get(first)?.start.max(low);
            (start < high).then_some(start)
        })
    }

    /// The files that are missing from the segment that holds `after` up to `before`.
    pub fn missing(&self, after: Lsn, before: Lsn) -> Vec<MissingSegments> {
        self.owned(after, before)
            .map(|(timeline, start, end)| MissingSegments {
                first: start.segment(self.segment_bytes),
                last: end.segment_before(self.segment_bytes),
                segment_bytes: self.segment_bytes,
                timeline,
            })
            .collect()
    }

    /// Whose files are read from the segment that holds `from` up to `to`, in order; whole segments.
    pub(super) fn owned(
        &self,
        from: Lsn,
        to: Lsn,
    ) -> impl Iterator<Item = (u32, Lsn, Lsn)> + use<'_, 'a> {
        let from = self.segment_start(from.segment(self.segment_bytes));
        let up = self.segment_start(to.segment_before(self.segment_bytes) + 1);
        self.stretches.iter().filter_map(move |stretch| {
            let begin = self.segment_start(stretch.begin.segment(self.segment_bytes));
            let (start, end) = (from.max(begin), up.min(self.own_end(stretch)));
            (start < end).then_some((stretch.timeline, start, end))
        })
    }

    /// The run that holds the whole segment at this position.
    pub(super) fn run_at(&self, at: Lsn) -> Option<&'a WalRun> {
        let newest = self.alive(at.segment(self.segment_bytes)).next()?;
        newest.run_at(at)
    }

    /// When the log up to `to` was stored, as far as that is known.
    pub(super) fn stored_at(&self, to: Lsn) -> Option<jiff::Timestamp> {
        let last = self.segment_start(to.segment_before(self.segment_bytes));
        self.alive(last.segment(self.segment_bytes))
            .find_map(|stretch| {
                let run = stretch.run_at(last).map(|run| run.last_stored_at);
                let part = stretch.partials.iter().find(|p| p.end == to);
                run.or(part.map(|p| p.stored_at))
            })
    }

    /// Stretches that have log in a segment, the newest first.
    fn alive(&self, segment: SegmentNumber) -> impl Iterator<Item = &Stretch<'a>> {
        let start = self.segment_start(segment);
        self.stretches.iter().rev().filter(move |stretch| {
            stretch.begin.segment(self.segment_bytes) <= segment
                && stretch.end.is_none_or(|left| start < left)
        })
    }

    /// The end of the last segment whose newest timeline this is.
    fn own_end(&self, stretch: &Stretch<'_>) -> Lsn {
        let next = self
            .stretches
            .iter()
            .find(|other| other.timeline > stretch.timeline);
        next.map_or(Lsn(u64::MAX), |next| {
            self.segment_start(next.begin.segment(self.segment_bytes))
        })
    }

    fn segment_start(&self, segment: SegmentNumber) -> Lsn {
        Lsn::of_segment(segment, self.segment_bytes)
    }
}

impl<'a> Stretch<'a> {
    fn run_at(&self, at: Lsn) -> Option<&'a WalRun> {
        let first = self.runs.partition_point(|run| run.end <= at);
        self.runs.get(first).copied().filter(|run| run.holds(at))
    }
}
