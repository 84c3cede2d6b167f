//! The archived log of the years ahead: it goes on without a hole, so that windows of log begin with the bases that they would begin with.
//!
//! Where nothing was observed, a log is made up: only its order counts, not its size.

use jiff::Timestamp;
use model::{
    ByteCount, RecoveryPoint,
    wal::{DEFAULT_SEGMENT_BYTES, Lsn, WalArchive, WalRun, WalSource, WalSpan},
};
use policy_schema::policy::{Series, WalDeclaration};

/// The log of one database, and where it stands.
pub(super) struct FutureLog {
    /// As the planner looks at it.
    pub(super) archive: WalArchive,
    tiers: Vec<model::TierName>,
    /// Where the server wrote at that instant.
    known: (Timestamp, Lsn),
    system_identifier: u64,
    timeline: u32,
    segment_bytes: u64,
}

impl FutureLog {
    pub(super) fn new(
        wal: &WalDeclaration,
        observed: Option<&WalArchive>,
        points: &[&RecoveryPoint],
        now: Timestamp,
    ) -> Self {
        let archive = observed.cloned().unwrap_or_default();
        let bases = points.iter().filter_map(|point| point.wal.as_deref());
        let newest: Option<&WalSpan> = bases.max_by_key(|span| (span.timeline, span.end));
        let source = archive.source.as_ref();
        let system_identifier = source
            .map(|source| source.system_identifier)
            .or_else(|| newest.map(|span| span.system_identifier));
        let timeline = source
            .map(|source| source.timeline)
            .or_else(|| newest.map(|span| span.timeline));
        let ends = archive
            .tiers
            .values()
            .flat_map(|tier| &tier.runs)
            .map(|run| run.end);
        let position = ends
            .chain(source.map(|source| source.position))
            .chain(newest.map(|span| span.end))
            .max();
        Self {
            tiers: wal.keep.iter().map(|(tier, _)| tier.clone()).collect(),
            known: (now, position.unwrap_or_default()),
            system_identifier: system_identifier.unwrap_or(1),
            timeline: timeline.unwrap_or(1),
            segment_bytes: newest.map_or(DEFAULT_SEGMENT_BYTES, |span| span.segment_bytes),
            archive,
        }
    }

    fn position(&self, now: Timestamp) -> Lsn {
        let minutes = now.duration_since(self.known.0).as_mins().max(0);
        let segments = self
            .known
            .1
            .segment(self.segment_bytes)
            .saturating_add(minutes.unsigned_abs());
        Lsn::of_segment(segments.saturating_add(1), self.segment_bytes)
    }

    /// The log goes on until now.
    pub(super) fn go_on(&mut self, now: Timestamp) {
        let position = self.position(now);
        let end = Lsn(position.0.saturating_add(2 * self.segment_bytes));
        let (system_identifier, timeline) = (self.system_identifier, self.timeline);
        for tier in &self.tiers {
            let there = self.archive.tiers.entry(tier.clone()).or_default();
            let mine = |run: &&mut WalRun| {
                run.system_identifier == system_identifier && run.timeline == timeline
            };
            match there.runs.iter_mut().filter(mine).max_by_key(|run| run.end) {
                Some(run) => {
                    run.end = run.end.max(end);
                    run.last_stored_at = run.last_stored_at.max(now);
                }
                None => there.runs.push(WalRun {
                    bytes: ByteCount(0),
                    end,
                    last_stored_at: now,
                    segment_bytes: self.segment_bytes,
                    start: Lsn(position.0.saturating_sub(self.segment_bytes)),
                    stored_at: now,
                    system_identifier,
                    timeline,
                }),
            }
        }
        self.archive.source = Some(WalSource {
            at: now,
            position,
            system_identifier,
            timeline,
        });
    }

    /// A tier lost its log.
    pub(super) fn lose(&mut self, tier: &model::TierName) {
        self.archive.tiers.remove(tier);
    }

    /// The log that a base made now needs.
    pub(super) fn span(&self, now: Timestamp) -> WalSpan {
        let start = self.position(now);
        WalSpan {
            end: Lsn(start.0 + 0x200),
            included: false,
            segment_bytes: self.segment_bytes,
            start: Lsn(start.0 + 0x28),
            system_identifier: self.system_identifier,
            timeline: self.timeline,
        }
    }
}

/// Whether log can be replayed over the points of a series: as the points that exist show, else by its method.
pub(super) fn rolls_forward(series: &Series, points: &[&RecoveryPoint]) -> bool {
    let mut known = points
        .iter()
        .filter(|point| point.method == series.method)
        .peekable();
    if known.peek().is_some() {
        known.any(|point| point.wal.is_some())
    } else {
        // A dump is the one thing that no log can be replayed over.
        series.method.as_str() != "logical"
    }
}
