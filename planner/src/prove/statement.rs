//! The sentence: this database can be restored to any time in this window, within this many minutes, last proven on this date.
//!
//! It speaks of what exists now, not of what the policy will bring. Invariant: it is only said where every word is true: states that are verified on tiers
//! that could be observed, a time that was measured, a test that ended well and none that failed since, and no promise about now that is broken.
//! Not here: the words around it (root package).

use super::{
    proof::{DatabaseProof, Statement, Verdict},
    sources::{Known, Route},
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The sentence, if it is true.
pub(crate) fn statement(
    known: &Known<'_>,
    proof: &DatabaseProof,
    ways: &[Route],
) -> Option<Statement> {
    let tested = proof.last_tested.clone()?;
    let now = proof.ranges.first()?;
    let broken = |verdict| matches!(verdict, Verdict::Violated | Verdict::Unproven);
    if !proof.failed_drills.is_empty() || broken(now.rpo.verdict) || broken(now.rto.verdict) {
        return None;
    }
    let promised = now
        .rto
        .promised
        .map(|promise| promise.maximum_seconds.cast_signed());
    let fast = |way: &&Route| {
        let time = way.restore.most.filter(|_| way.restore.is_measured());
        time.is_some_and(|time| promised.is_none_or(|promised| time <= promised))
    };
    let by_log = ways
        .iter()
        .filter(fast)
        .filter(|way| way.way.log)
        .filter_map(|way| {
            let windows = known.log_windows(&way.way.tier).into_iter();
            let newest = windows.max_by_key(|window| (window.timeline, window.to))?;
            Some((newest.from_time, newest.stored_at?, way.restore.most?))
        });
    if let Some((from, to, within)) = by_log.min_by_key(|(from, _, within)| (*within, *from)) {
        return Some(Statement {
            apart_seconds: 0,
            from,
            tested,
            to,
            within_seconds: within,
        });
    }
    let fast: Vec<&Route> = ways
        .iter()
        .filter(fast)
        .filter(|way| !way.way.log)
        .collect();
    let mut states: BTreeSet<Timestamp> = BTreeSet::new();
    let mut within = 0;
    for way in fast {
        let before = states.len();
        let mine = known
            .points
            .iter()
            .filter(|point| point.series == way.way.series && known.is_good(point, &way.way.tier));
        states.extend(mine.map(|point| point.captured_at));
        if states.len() > before {
            within = within.max(way.restore.most?);
        }
    }
    let (from, to) = (*states.first()?, *states.last()?);
    let gaps = states
        .iter()
        .zip(states.iter().skip(1))
        .map(|(a, b)| b.duration_since(*a).as_secs());
    Some(Statement {
        apart_seconds: gaps.max().unwrap_or(0).max(1),
        from,
        tested,
        to,
        within_seconds: within,
    })
}
