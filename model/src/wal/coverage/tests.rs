//! Small tables of what people fear, and random archives against a judge that looks at every single byte.

use super::*;
use crate::{
    recovery_point_id::RecoveryPointId,
    units::ByteCount,
    wal::{
        ArchivedHistory, Lsn, RecoveryTarget, TimelineChoice, TimelineHistory, TimelineSwitch,
        WalPartial, WalRun, WalSource, WalSpan, WalTier,
    },
};
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const CLUSTER: u64 = 7_300_000_000_000_000_001;
/// Tiny segments: positions stay readable.
const SIZE: u64 = 0x10;

fn second(n: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + n).unwrap()
}

fn base(day: u32, timeline: u32, start: u64, end: u64) -> Base {
    Base {
        captured_at: second(i64::from(day) * 86_400),
        id: RecoveryPointId::parse(&format!("orders/base/202611{day:02}T020000Z")).unwrap(),
        span: WalSpan {
            end: Lsn(end),
            included: false,
            segment_bytes: SIZE,
            start: Lsn(start),
            system_identifier: CLUSTER,
            timeline,
        },
    }
}

fn run(timeline: u32, first: u64, last: u64) -> WalRun {
    WalRun {
        bytes: ByteCount(last + 1 - first),
        end: Lsn((last + 1) * SIZE),
        last_stored_at: second(i64::try_from(last).unwrap()),
        segment_bytes: SIZE,
        start: Lsn(first * SIZE),
        stored_at: second(i64::try_from(first).unwrap()),
        system_identifier: CLUSTER,
        timeline,
    }
}

fn forked(timeline: u32, ancestors: &[(u32, u64)]) -> ArchivedHistory {
    ArchivedHistory {
        history: TimelineHistory {
            ancestors: ancestors
                .iter()
                .map(|(timeline, at)| TimelineSwitch {
                    at: Lsn(*at),
                    timeline: *timeline,
                })
                .collect(),
            timeline,
        },
        system_identifier: CLUSTER,
    }
}

fn log(runs: Vec<WalRun>, histories: Vec<ArchivedHistory>) -> WalTier {
    WalTier {
        histories,
        partials: Vec::new(),
        runs,
    }
}

fn ids(windows: &[Window]) -> Vec<(usize, Lsn, Lsn)> {
    windows
        .iter()
        .map(|w| (w.bases.len(), w.from, w.to))
        .collect()
}

#[test]
fn one_lost_segment_cuts_the_window_and_is_named() {
    let archive = log(vec![run(1, 1, 4), run(1, 6, 9)], vec![]);
    let bases = [base(1, 1, 0x18, 0x20), base(2, 1, 0x70, 0x78)];
    let all = coverage(&archive, &bases);
    assert_eq!(
        ids(&all.windows),
        [(1, Lsn(0x20), Lsn(0x50)), (1, Lsn(0x78), Lsn(0xA0))]
    );
    assert_eq!(all.holes.len(), 1);
    let hole = &all.holes[0];
    assert_eq!((hole.after, hole.before), (Lsn(0x50), Lsn(0x60)));
    assert_eq!(hole.missing[0].to_string(), "`000000010000000000000005`");
    assert_eq!(hole.cuts, [bases[0].id.clone()]);
    assert_eq!(hole.next_base.as_ref().unwrap().0, bases[1].id);
    assert!(all.unusable.is_empty());
}

#[test]
fn a_base_whose_own_log_is_missing_is_no_window() {
    let archive = log(vec![run(1, 1, 2), run(1, 4, 6)], vec![]);
    let all = coverage(&archive, &[base(1, 1, 0x28, 0x48)]);
    assert!(all.windows.is_empty());
    assert_eq!(
        all.unusable[0].missing[0].to_string(),
        "`000000010000000000000003`"
    );
    assert_eq!(all.holes[0].keeps_unusable.len(), 1);
    // Carrying its log, it is a window of one moment.
    let mut own = base(1, 1, 0x28, 0x48);
    own.span.included = true;
    let all = coverage(&log(vec![run(1, 1, 2)], vec![]), std::slice::from_ref(&own));
    assert_eq!(ids(&all.windows), [(1, Lsn(0x48), Lsn(0x48))]);
    let all = coverage(&archive, &[own]);
    assert_eq!(ids(&all.windows), [(1, Lsn(0x48), Lsn(0x70))]);
}

#[test]
fn a_promotion_goes_on_in_one_window() {
    // Timeline 1 was left in the middle of segment 4, of which only the new timeline's file is archived.
    let archive = log(
        vec![run(1, 1, 3), run(2, 4, 6)],
        vec![forked(2, &[(1, 0x48)])],
    );
    let bases = [base(1, 1, 0x18, 0x20)];
    let all = coverage(&archive, &bases);
    assert_eq!(ids(&all.windows), [(1, Lsn(0x20), Lsn(0x70))]);
    assert_eq!(all.windows[0].timeline, 2);
    assert!(all.holes.is_empty());
    let best = routes(
        &archive,
        &bases,
        &RecoveryTarget::Latest,
        TimelineChoice::Latest,
    )
    .unwrap();
    let files: Vec<String> = best[0].files().map(|file| file.to_string()).collect();
    assert_eq!(
        files,
        [
            "000000010000000000000001",
            "000000010000000000000002",
            "000000010000000000000003",
            "000000020000000000000004",
            "000000020000000000000005",
            "000000020000000000000006"
        ]
    );
}

#[test]
fn log_of_an_old_primary_behind_the_switch_is_another_past() {
    // Both went on after the switch in segment 4.
    let archive = log(
        vec![run(1, 1, 8), run(2, 4, 6)],
        vec![forked(2, &[(1, 0x48)])],
    );
    let bases = [base(1, 1, 0x18, 0x20), base(2, 1, 0x60, 0x68)];
    let all = coverage(&archive, &bases);
    let told: Vec<(u32, usize, Lsn)> = all
        .windows
        .iter()
        .map(|w| (w.timeline, w.bases.len(), w.to))
        .collect();
    assert_eq!(told, [(1, 2, Lsn(0x90)), (2, 1, Lsn(0x70))]);
    let best = |choice| routes(&archive, &bases, &RecoveryTarget::Latest, choice).unwrap();
    // The younger base is on a branch that timeline 2 does not have.
    assert_eq!(best(TimelineChoice::Latest)[0].base, bases[0].id);
    assert_eq!(best(TimelineChoice::Number(1))[0].base, bases[1].id);
    assert_eq!(
        routes(
            &archive,
            &bases[1..],
            &RecoveryTarget::Latest,
            TimelineChoice::Latest
        ),
        Err(Unreachable::NoBaseOnTimeline { timeline: 2 })
    );
    assert_eq!(
        routes(
            &archive,
            &bases,
            &RecoveryTarget::Latest,
            TimelineChoice::Number(3)
        ),
        Err(Unreachable::NoTimeline { timeline: 3 })
    );
}

#[test]
fn the_beginning_of_the_last_segment_counts_up_to_its_end() {
    let mut archive = log(vec![run(1, 1, 3)], vec![]);
    archive.partials.push(WalPartial {
        bytes: ByteCount(3),
        end: Lsn(0x47),
        segment_bytes: SIZE,
        stored_at: second(9),
        system_identifier: CLUSTER,
        timeline: 1,
    });
    let bases = [base(1, 1, 0x18, 0x20)];
    let all = coverage(&archive, &bases);
    assert_eq!(ids(&all.windows), [(1, Lsn(0x20), Lsn(0x47))]);
    assert_eq!(all.windows[0].stored_at, Some(second(9)));
    let at = |at| {
        routes(
            &archive,
            &bases,
            &RecoveryTarget::Position(Lsn(at)),
            TimelineChoice::Latest,
        )
    };
    assert_eq!(at(0x47).unwrap()[0].files().count(), 4);
    assert_eq!(
        at(0x48),
        Err(Unreachable::PastEnd {
            base: bases[0].id.clone(),
            to: Lsn(0x47)
        })
    );
    assert!(matches!(at(0x1F), Err(Unreachable::TooEarly { .. })));
}

#[test]
fn a_moment_is_reached_from_the_newest_base_before_it() {
    let archive = log(vec![run(1, 1, 9)], vec![]);
    let bases = [base(1, 1, 0x18, 0x20), base(3, 1, 0x58, 0x60)];
    let to = |at| {
        let target = RecoveryTarget::Time(at);
        routes(&archive, &bases, &target, TimelineChoice::Latest).map(|found| {
            found
                .into_iter()
                .map(|route| route.base)
                .collect::<Vec<_>>()
        })
    };
    let [old, new] = &bases;
    assert_eq!(
        to(second(2 * 86_400)).unwrap(),
        std::slice::from_ref(&old.id)
    );
    assert_eq!(
        to(second(3 * 86_400)).unwrap(),
        [new.id.clone(), old.id.clone()]
    );
    assert!(matches!(to(second(0)), Err(Unreachable::TooEarly { .. })));
    assert!(matches!(
        routes(
            &archive,
            &[],
            &RecoveryTarget::Latest,
            TimelineChoice::Latest
        ),
        Err(Unreachable::NoBase)
    ));
}

#[test]
fn a_new_base_is_asked_for_when_the_newest_cannot_be_rolled_forward() {
    let source = |timeline, system_identifier| WalSource {
        at: second(0),
        position: Lsn(0x99),
        system_identifier,
        timeline,
    };
    let (whole, later) = (log(vec![run(1, 1, 9)], vec![]), second(1_000));
    let bases = [base(1, 1, 0x18, 0x20)];
    let ask = |log: &WalTier, source: &WalSource, now| renewal(log, &bases, Some(source), now);
    assert_eq!(ask(&whole, &source(1, CLUSTER), later), None);
    assert!(matches!(
        ask(&whole, &source(2, CLUSTER), later),
        Some(Renewal::OtherTimeline { was: 1, is: 2 })
    ));
    assert!(matches!(
        ask(&whole, &source(1, 5), later),
        Some(Renewal::OtherCluster { .. })
    ));
    assert_eq!(renewal(&whole, &[], None, later), Some(Renewal::NoBase));
    let torn = log(vec![run(1, 1, 4), run(1, 6, 9)], vec![]);
    assert!(matches!(
        ask(&torn, &source(1, CLUSTER), later),
        Some(Renewal::Hole {
            after: Lsn(0x50),
            ..
        })
    ));
    // What came a moment ago may have overtaken another file.
    assert_eq!(ask(&torn, &source(1, CLUSTER), second(10)), None);
    // Log that is missing before the newest base is no reason.
    let before = log(vec![run(1, 1, 1), run(1, 3, 9)], vec![]);
    let base = [base(1, 1, 0x38, 0x40)];
    assert_eq!(renewal(&before, &base, None, later), None);
}

/// What a random archive is made of.
#[derive(Debug, Clone)]
struct World {
    /// Each timeline behind the first: which one it leaves, and where.
    forks: Vec<(usize, u64)>,
    files: BTreeSet<(u32, u64)>,
    bases: Vec<(u32, u64, u64, bool)>,
}

const SEGMENTS: u64 = 10;

impl World {
    fn history(&self, timeline: u32) -> Vec<(u32, u64)> {
        if timeline == 1 {
            return Vec::new();
        }
        let (parent, at) = self.forks[timeline as usize - 2];
        let parent = u32::try_from(parent).unwrap() % (timeline - 1) + 1;
        let mut all = self.history(parent);
        let begin = all.last().map_or(0, |(_, at)| *at);
        all.push((parent, at.max(begin)));
        all
    }

    fn begin(&self, timeline: u32) -> u64 {
        self.history(timeline).last().map_or(0, |(_, at)| *at)
    }

    fn timelines(&self) -> impl Iterator<Item = u32> + use<> {
        1..=u32::try_from(self.forks.len()).unwrap() + 1
    }

    fn can_exist(&self, timeline: u32, segment: u64) -> bool {
        self.begin(timeline) / SIZE <= segment
    }

    /// Leaves out files that no server could have written.
    fn settled(mut self) -> Self {
        let last = self.timelines().last().unwrap();
        let files = self.files.iter().map(|(t, s)| (t % last + 1, *s));
        self.files = files.filter(|(t, s)| self.can_exist(*t, *s)).collect();
        self
    }

    fn log(&self) -> WalTier {
        let mut runs: Vec<WalRun> = Vec::new();
        for (timeline, segment) in self.files.iter().copied() {
            match runs.last_mut() {
                Some(last) if last.timeline == timeline && last.end == Lsn(segment * SIZE) => {
                    last.end = Lsn((segment + 1) * SIZE);
                }
                _ => runs.push(run(timeline, segment, segment)),
            }
        }
        let histories = self.timelines().skip(1);
        log(
            runs,
            histories.map(|t| forked(t, &self.history(t))).collect(),
        )
    }

    fn bases(&self) -> Vec<Base> {
        let last = self.timelines().last().unwrap();
        let made = self
            .bases
            .iter()
            .zip(1..)
            .map(|((t, start, length, included), day)| {
                let timeline = t % last + 1;
                let start = start.max(&self.begin(timeline)) + 1;
                let mut base = base(day, timeline, start, start + length + 1);
                base.span.included = *included;
                base
            });
        made.collect()
    }

    /// Where the path to `timeline` leaves each of its timelines.
    fn ends(&self, timeline: u32) -> BTreeMap<u32, u64> {
        let mut ends: BTreeMap<u32, u64> = self.history(timeline).into_iter().collect();
        ends.insert(timeline, u64::MAX);
        ends
    }

    /// Whether this very byte of the path to `timeline` can be read from some file.
    fn byte_is_there(&self, timeline: u32, at: u64) -> bool {
        self.ends(timeline).iter().any(|(t, end)| {
            at < *end && self.can_exist(*t, at / SIZE) && self.files.contains(&(*t, at / SIZE))
        })
    }

    fn whole_from(&self, timeline: u32, start: u64) -> u64 {
        let mut at = start / SIZE * SIZE;
        while self.byte_is_there(timeline, at) {
            at += 1;
        }
        at
    }
}

prop_compose! {
    fn worlds()(
        forks in prop::collection::vec((0..3_usize, 0..SEGMENTS * SIZE), 0..4),
        gaps in prop::collection::btree_set((0..5_u32, 0..SEGMENTS), 0..40),
        all in any::<bool>(),
        bases in prop::collection::vec((0..5_u32, 0..SEGMENTS * SIZE, 0..3 * SIZE, any::<bool>()), 0..5),
    ) -> World {
        // Half of the archives are nearly whole, the others nearly empty.
        let files = if all {
            let every = (0..5_u32).flat_map(|t| (0..SEGMENTS).map(move |s| (t, s)));
            every.filter(|file| !gaps.contains(file) || gaps.len() > 12).collect()
        } else {
            gaps
        };
        World { forks, files, bases }.settled()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_path_is_whole_exactly_as_far_as_its_bytes_are_there(
        world in worlds(), start in 0..SEGMENTS * SIZE,
    ) {
        let archive = world.log();
        for timeline in world.timelines() {
            let path = LogPath::new(&archive, CLUSTER, timeline, SIZE);
            prop_assert_eq!(path.whole_from(Lsn(start)).0, world.whole_from(timeline, start));
        }
    }

    #[test]
    fn every_window_and_hole_is_what_looking_at_each_byte_gives(world in worlds()) {
        let (archive, bases) = (world.log(), world.bases());
        let all = coverage(&archive, &bases);
        for base in &bases {
            let needs = if base.span.included { base.span.end.0 } else { base.span.start.0 };
            let of = base.span.timeline;
            // A promoted server's first file holds the end of the timeline that it left.
            let usable = base.span.included || world.timelines().any(|t| {
                world.ends(t).get(&of).is_some_and(|end| base.span.end.0 <= *end)
                    && world.whole_from(t, needs) >= base.span.end.0
            });
            let unusable = all.unusable.iter().any(|u| u.base == base.id);
            prop_assert_eq!(usable, !unusable);
            let windows: Vec<&Window> = all.windows.iter().filter(|w| w.bases.contains(&base.id)).collect();
            prop_assert_eq!(usable, !windows.is_empty(), "a usable base is in some window");
            for window in windows {
                let whole = world.whole_from(window.timeline, needs);
                let floor = if base.span.included { base.span.end.0 } else { 0 };
                prop_assert_eq!(window.to.0, whole.max(floor));
                prop_assert!(window.from <= base.span.end);
                let on_path = world.ends(window.timeline).get(&of).is_some_and(|end| base.span.end.0 <= *end);
                prop_assert!(on_path);
            }
        }
        for hole in &all.holes {
            for missing in &hole.missing {
                for number in missing.first..=missing.last {
                    prop_assert!(!world.files.contains(&(missing.timeline, number)));
                }
            }
            prop_assert!(!world.byte_is_there(hole.timeline, hole.after.0));
            prop_assert!(world.byte_is_there(hole.timeline, hole.before.0));
            prop_assert!(hole.after < hole.before);
            for at in hole.after.0.div_ceil(SIZE)..hole.before.0 / SIZE {
                let end = (at + 1) * SIZE - 1;
                prop_assert!(!world.byte_is_there(hole.timeline, end), "segment {} is whole", at);
            }
        }
    }

    #[test]
    fn no_hole_between_an_old_base_and_the_end_of_the_log_goes_unreported(world in worlds()) {
        let (archive, bases) = (world.log(), world.bases());
        let all = coverage(&archive, &bases);
        for base in &bases {
            let needs = if base.span.included { base.span.end.0 } else { base.span.start.0 };
            // Whatever timeline is followed: where the base stops, the log ends for good, or a hole begins that is told.
            for window in all.windows.iter().filter(|w| w.bases.contains(&base.id)) {
                let whole = world.whole_from(window.timeline, needs);
                let next = (whole / SIZE + 1..SEGMENTS)
                    .find(|s| world.byte_is_there(window.timeline, (s + 1) * SIZE - 1));
                let told = all.holes.iter().any(|hole| hole.cuts.contains(&base.id)
                    || hole.after.0 <= whole && whole <= hole.before.0);
                prop_assert!(next.is_none() || told);
            }
        }
    }

    #[test]
    fn a_route_to_a_position_is_found_exactly_when_a_base_can_be_rolled_there(
        world in worlds(), at in 0..SEGMENTS * SIZE,
    ) {
        let (archive, bases) = (world.log(), world.bases());
        for timeline in world.timelines() {
            let found = routes(&archive, &bases, &RecoveryTarget::Position(Lsn(at)), TimelineChoice::Number(timeline));
            let ends = world.ends(timeline);
            let good: Vec<&Base> = bases.iter().rev().filter(|base| {
                let needs = if base.span.included { base.span.end.0 } else { base.span.start.0 };
                let floor = if base.span.included { base.span.end.0 } else { 0 };
                let whole = world.whole_from(timeline, needs).max(floor);
                ends.get(&base.span.timeline).is_some_and(|end| base.span.end.0 <= *end)
                    && base.span.end.0 <= at && at <= whole && base.span.end.0 <= whole
            }).collect();
            let given: Vec<_> = found.iter().flatten().map(|route| route.base.clone()).collect();
            let wanted: Vec<_> = good.iter().map(|base| base.id.clone()).collect();
            prop_assert_eq!(given, wanted);
        }
    }
}
