//! Archived log that nothing needs any more is deleted, if and only if that is safe now.
//!
//! What is needed on a tier, in whole segments:
//! - from the base on that the tier's window begins with: everything that follows it or a newer base, on all their timelines
//!   (a segment whose end lies behind the position at which a base starts, `segment.end > point.start`);
//! - of every base that has a copy anywhere, whatever its state, in whatever series, declared or not: its own piece of log;
//! - what was stored after the window's first base, of clusters and timelines that no base belongs to.
//!
//! Nothing goes while a tier with bases could not be observed, the clock looks wrong, or no verified base shows that what stays is
//! of use. A window that became shorter, or more than the breaker allows, needs a person. Doubt keeps: a timeline whose history is not
//! known counts as related to every other.

use crate::{
    draft::{Output, Subject, verified},
    log::{Log, LogWindow, as_keep, first_base, series},
    world::World,
};
use jiff::Timestamp;
use model::{
    Action, ByteCount, Copy, Reason, ReasonCode, RecoveryPoint, Step, TierName,
    step::{Limits, WalRange},
    wal::{Lsn, WalRun, WalSpan, WalTier},
};
use policy_schema::policy::DatabaseDeclaration;

/// The share of a small archive says nothing.
const FEWEST_FOR_SHARE: u64 = 100;

/// Pieces of log that could go, and the base that makes it right.
struct Going<'a> {
    first: &'a RecoveryPoint,
    ranges: Vec<WalRange>,
    bytes: u64,
    segments: u64,
}

pub(crate) fn what_nothing_needs_of_the_log_goes(
    world: &World<'_>,
    database: &DatabaseDeclaration,
    log: &Log<'_>,
    output: &mut Output,
) {
    for window in &log.windows {
        let Some(there) = window.archive else {
            keep_in_force(database, window, output);
            continue;
        };
        let routine = going(log, window.tier, there, window.begins);
        let all = match window.in_force {
            Some(_) => going(log, window.tier, there, Some(window.wanted_begins)),
            None => None,
        };
        let more = all.filter(|all| {
            let segments = routine.as_ref().map_or(0, |routine| routine.segments);
            all.segments > segments
        });
        if routine.is_none() && more.is_none() {
            continue;
        }
        if let Some(reason) = obstacle(world, database, window.tier) {
            let what = format!("expire-wal of {}@{}", database.name, window.tier);
            output.wait(what, reason.code, reason.text);
            keep_in_force(database, window, output);
            continue;
        }
        if let Some(more) = more {
            shortened(world, database, log, window, &more, output);
        } else if let Some(routine) = routine {
            let keep = window.in_force.cloned();
            if let Some(mut step) = step(world, database, log, window, &routine, output) {
                step.retention = Some(keep.unwrap_or_else(|| as_keep(window.wanted)));
                breaker(world, database, window, there, &routine, &mut step, output);
                output.steps.push(step);
            }
        }
    }
}

/// A rule that still protects log is not forgotten because a plan could not act on it.
fn keep_in_force(database: &DatabaseDeclaration, window: &LogWindow<'_>, output: &mut Output) {
    if let (Some(keep), Some(series)) = (window.in_force, series()) {
        output.still_in_force.push((
            database.name.clone(),
            series,
            window.tier.clone(),
            keep.clone(),
        ));
    }
}

/// Why nothing may go now.
fn obstacle(world: &World<'_>, database: &DatabaseDeclaration, tier: &TierName) -> Option<Reason> {
    if let Some(clock) = &world.clock {
        return Some(clock.clone());
    }
    let series = database.series.values();
    let mut named = series.flat_map(|series| series.keep.iter().map(|(tier, _)| tier));
    let blind = named.find(|named| world.unreachable.contains(named))?;
    Some(Reason::new(
        ReasonCode::PruneWaitsForTier,
        format!("no log on {tier} is deleted while {blind} cannot be observed"),
    ))
}

/// A window became shorter: what only the old one keeps goes with a person's approval, in one step with the rest.
fn shortened(
    world: &World<'_>,
    database: &DatabaseDeclaration,
    log: &Log<'_>,
    window: &LogWindow<'_>,
    all: &Going<'_>,
    output: &mut Output,
) {
    let Some(mut step) = step(world, database, log, window, all, output) else {
        keep_in_force(database, window, output);
        return;
    };
    step.needs_approval = true;
    step.retention = Some(as_keep(window.wanted));
    output.approval.push(Reason::new(
        ReasonCode::RetentionShortened,
        format!(
            "the window of {} on {} became shorter (`{}`, now `{}`): log that the old one keeps would be deleted",
            database.name,
            window.tier,
            window.words(),
            window.wanted
        ),
    ));
    output.steps.push(step);
}

fn breaker(
    world: &World<'_>,
    database: &DatabaseDeclaration,
    window: &LogWindow<'_>,
    there: &WalTier,
    going: &Going<'_>,
    step: &mut Step,
    output: &mut Output,
) {
    let present: u64 = there.runs.iter().map(WalRun::segments).sum();
    let percent = u64::from(world.limits.max_prune_percent);
    if going.segments < FEWEST_FOR_SHARE || going.segments * 100 <= present * percent {
        return;
    }
    // Where bases are further apart than the window is long, most of the log goes whenever a new base has grown old enough.
    let zone = &world.policy.timezone;
    let series = database.series.get(&going.first.series);
    let gap = series.map(|series| series.schedule.largest_gap(window.anchor, zone));
    if gap.is_some_and(|gap| gap > window.wanted.approximate()) {
        return;
    }
    step.needs_approval = true;
    output.approval.push(Reason::new(
        ReasonCode::BreakerTripped,
        format!(
            "{} of {present} segments of the log of {} on {} would be deleted at once; at most {percent} % go without approval",
            going.segments, database.name, window.tier
        ),
    ));
}

fn step(
    world: &World<'_>,
    database: &DatabaseDeclaration,
    log: &Log<'_>,
    window: &LogWindow<'_>,
    going: &Going<'_>,
    output: &mut Output,
) -> Option<Step> {
    let tier = window.tier;
    // Bases from which what stays can be rolled forward: the one that the window begins with, and the newest.
    let good = log.complete().filter(|base| {
        base.captured_at >= going.first.captured_at
            && base
                .copies
                .iter()
                .any(|copy| copy.is_good() && !world.unreachable.contains(&copy.tier))
    });
    let good: Vec<&RecoveryPoint> = good.collect();
    let mut justified_by: Vec<_> = good.last().into_iter().chain(good.first()).collect();
    justified_by.dedup_by_key(|base| &base.id);
    if justified_by.is_empty() {
        output.wait(
            format!("expire-wal of {}@{tier}", database.name),
            ReasonCode::PruneWaitsForVerified,
            "no base backup that it would be rolled forward from is verified",
        );
        return None;
    }
    let good_on = |base: &RecoveryPoint| {
        let on = |copy: &&Copy| copy.is_good() && !world.unreachable.contains(&copy.tier);
        let here = base.copy_on(tier).filter(on);
        here.or_else(|| base.copies.iter().find(on))
            .map(|copy| copy.tier.clone())
    };
    let requires = justified_by
        .iter()
        .filter_map(|base| Some(verified(&base.id, &good_on(base)?)))
        .collect();
    let subject = Subject {
        database: &database.name,
        series: &series()?,
        point: &going.first.id,
        tier,
        limits: Limits {
            retries: 1,
            retry_after_seconds: 60,
            timeout_seconds: 4 * 3_600,
        },
    };
    Some(Step {
        bytes: Some(ByteCount(going.bytes)),
        destructive: true,
        justified_by: justified_by.iter().map(|base| base.id.clone()).collect(),
        requires,
        wal: going.ranges.clone(),
        ..subject.step(
            Action::ExpireWal,
            Reason::new(
                ReasonCode::WalNotNeeded,
                format!(
                    "{} of log on {tier} from before {}, which the window of {} begins with; no base that is kept needs them",
                    segments(going.segments),
                    going.first.id,
                    window.wanted
                ),
            ),
        )
    })
}

fn segments(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} segment{plural}")
}

/// What could go from a tier under a window that begins at `begins`.
fn going<'a>(
    log: &Log<'a>,
    tier: &TierName,
    there: &WalTier,
    begins: Option<Timestamp>,
) -> Option<Going<'a>> {
    begins?;
    let old_enough =
        |base: &&RecoveryPoint| begins.is_some_and(|begins| base.captured_at <= begins);
    let good_here = |base: &&RecoveryPoint| base.copy_on(tier).is_some_and(Copy::is_good);
    let good = |base: &&RecoveryPoint| base.copies.iter().any(Copy::is_good);
    let here = log.complete().filter(good_here).find(old_enough);
    let anywhere = || log.complete().filter(good).find(old_enough);
    let first = here
        .or_else(anywhere)
        .or_else(|| first_base(log.complete().filter(good), begins))?;
    let needing: Vec<&WalSpan> = log
        .bases
        .iter()
        .filter(|base| base.captured_at >= first.captured_at)
        .filter_map(|base| base.wal.as_deref())
        .collect();
    let mut going = Going {
        first,
        ranges: Vec::new(),
        bytes: 0,
        segments: 0,
    };
    let mut runs: Vec<&WalRun> = there.runs.iter().collect();
    runs.sort_by_key(|run| (run.system_identifier, run.timeline, run.start));
    for run in runs {
        let cut = cut(run, there, &needing, first.captured_at);
        take(&mut going, run, cut, &log.bases);
    }
    (going.segments > 0).then_some(going)
}

/// Up to where nothing that can still be reached from a needed base is in the run.
fn cut(run: &WalRun, there: &WalTier, needing: &[&WalSpan], first: Timestamp) -> Lsn {
    let related = needing.iter().filter(|span| {
        span.system_identifier == run.system_identifier && are_related(run.timeline, span, there)
    });
    match related.map(|span| segment_start(span.start, run)).min() {
        Some(needed) => needed.min(run.end),
        // Of a cluster or a timeline that was left: only what was over before the window's first base was made.
        None if run.last_stored_at < first => run.end,
        None => run.start,
    }
}

/// Whether log of a timeline may have to be replayed over a base.
fn are_related(timeline: u32, base: &WalSpan, there: &WalTier) -> bool {
    if timeline == base.timeline {
        return true;
    }
    let (older, newer) = (timeline.min(base.timeline), timeline.max(base.timeline));
    let Some(history) = there.history(base.system_identifier, newer) else {
        return true;
    };
    let left = history.ancestors.iter().find(|left| left.timeline == older);
    match left {
        None => false,
        // The base's own timeline was left for the other one: before the base started, that is another future.
        Some(left) if older == base.timeline => left.at >= base.start,
        Some(_) => true,
    }
}

fn segment_start(at: Lsn, run: &WalRun) -> Lsn {
    Lsn::of_segment(at.segment(run.segment_bytes), run.segment_bytes)
}

/// Adds what lies in the run before `cut`, without the pieces that bases need for themselves.
fn take(going: &mut Going<'_>, run: &WalRun, cut: Lsn, bases: &[&RecoveryPoint]) {
    let mut own: Vec<(Lsn, Lsn)> = bases
        .iter()
        .filter(|base| !base.copies.is_empty())
        .filter_map(|base| base.wal.as_deref())
        .filter(|span| !span.included && span.system_identifier == run.system_identifier)
        .map(|span| {
            let after = span.end.segment_before(run.segment_bytes).saturating_add(1);
            (
                segment_start(span.start, run),
                Lsn::of_segment(after, run.segment_bytes),
            )
        })
        .filter(|(start, end)| *start < cut && *end > run.start)
        .collect();
    own.sort_unstable();
    let mut at = run.start;
    for (start, end) in own.into_iter().chain([(cut, cut)]) {
        if start > at {
            add(going, run, at, start);
        }
        at = at.max(end);
    }
}

fn add(going: &mut Going<'_>, run: &WalRun, start: Lsn, end: Lsn) {
    let segments = end.since(start) / run.segment_bytes.max(1);
    if segments == 0 {
        return;
    }
    going.segments += segments;
    // Which segments of a run compressed well is not known: a part of it counts by their number. Multiplied first, so that a whole one
    // is exact.
    let share = u128::from(run.bytes.0) * u128::from(segments) / u128::from(run.segments().max(1));
    going.bytes += u64::try_from(share).unwrap_or(run.bytes.0);
    going.ranges.push(WalRange {
        end,
        start,
        system_identifier: run.system_identifier,
        timeline: run.timeline,
    });
}
