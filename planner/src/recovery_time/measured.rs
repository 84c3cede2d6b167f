//! What measured restores say of another one: scaled to its size, and the slow end of several.
//!
//! Not here: which restores belong together, what is promised.

use jiff::Timestamp;
use model::{RecoveryPoint, RecoveryPointId, inventory::MeasuredRestore};
use std::collections::{BTreeMap, BTreeSet};

/// Of each restore this much does not grow with its size: starting programs, looking for a copy.
const FIXED_MS: u64 = 2_000;

/// The slow end of restores that were really done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlowEnd {
    /// The newest of them.
    pub(crate) at: Timestamp,
    /// What that one read.
    pub(crate) bytes: u64,
    /// How many.
    pub(crate) count: usize,
    /// 95 of 100 are not slower than this (nearest rank).
    pub(crate) seconds: i64,
}

/// What a restore of so many bytes takes, by those of at least half and at most double its size: further away size alone tells nothing. Without
/// a size all of them count as they are.
pub(crate) fn slow_end<'a>(
    restores: impl Iterator<Item = &'a MeasuredRestore>,
    bytes: Option<u64>,
) -> Option<SlowEnd> {
    let near = |one: &&MeasuredRestore| {
        bytes.is_none_or(|bytes| {
            bytes <= one.bytes.0.saturating_mul(2) && one.bytes.0 <= bytes.saturating_mul(2)
        })
    };
    let mut times: Vec<u64> = Vec::new();
    let mut newest: Option<&MeasuredRestore> = None;
    for one in restores.filter(near) {
        times.push(scaled(one, bytes.unwrap_or(0)));
        if newest.is_none_or(|newest| newest.at < one.at) {
            newest = Some(one);
        }
    }
    times.sort_unstable();
    let newest = newest?;
    let rank = (times.len() * 95).div_ceil(100);
    let slow = times.get(rank.checked_sub(1)?)?;
    Some(SlowEnd {
        at: newest.at,
        bytes: newest.bytes.0,
        count: times.len(),
        seconds: i64::try_from(slow.div_ceil(1000)).unwrap_or(i64::MAX),
    })
}

/// Stored bytes of a point and of all that it is incremental to.
pub(crate) fn chain_bytes(
    by_id: &BTreeMap<&RecoveryPointId, &RecoveryPoint>,
    point: &RecoveryPoint,
) -> u64 {
    let mut bytes = point.bytes.0;
    let mut seen = BTreeSet::from([&point.id]);
    let mut parent = point.parent.as_ref();
    while let Some(link) = parent.and_then(|id| by_id.get(id)) {
        if !seen.insert(&link.id) {
            break;
        }
        bytes = bytes.saturating_add(link.bytes.0);
        parent = link.parent.as_ref();
    }
    bytes
}

/// What a measured restore would have taken with so many bytes, in milliseconds.
pub(crate) fn scaled(one: &MeasuredRestore, bytes: u64) -> u64 {
    if bytes <= one.bytes.0 || one.bytes.0 == 0 {
        return one.milliseconds;
    }
    let fixed = one.milliseconds.min(FIXED_MS);
    let growing = u128::from(one.milliseconds - fixed);
    let grown = growing * u128::from(bytes) / u128::from(one.bytes.0);
    fixed.saturating_add(u64::try_from(grown).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ByteCount, MethodName, TierName};

    fn took(milliseconds: u64, bytes: u64) -> MeasuredRestore {
        MeasuredRestore {
            at: "2026-11-20T02:00:00Z".parse().unwrap(),
            bytes: ByteCount(bytes),
            method: MethodName::new("logical").unwrap(),
            milliseconds,
            tier: TierName::new("nas").unwrap(),
        }
    }

    #[test]
    fn a_larger_point_takes_longer_and_a_smaller_one_no_less() {
        assert_eq!(scaled(&took(102_000, 1000), 3000), 302_000);
        assert_eq!(scaled(&took(102_000, 1000), 100), 102_000);
        // All of a short one is the start of programs.
        assert_eq!(scaled(&took(800, 10), 1_000_000), 800);
        assert_eq!(scaled(&took(102_000, 0), 100), 102_000);
    }

    #[test]
    fn one_of_twenty_may_be_slower_than_what_is_counted_with() {
        let mut restores: Vec<MeasuredRestore> = (1..=20).map(|n| took(n * 10_000, 1000)).collect();
        assert_eq!(
            slow_end(restores.iter(), Some(1000)).map(|slow| (slow.seconds, slow.count)),
            Some((190, 20))
        );
        restores.truncate(3);
        assert_eq!(slow_end(restores.iter(), None).unwrap().seconds, 30);
    }

    #[test]
    fn a_restore_of_another_size_tells_nothing() {
        let restores = [took(102_000, 1000)];
        let of = |bytes| slow_end(restores.iter(), Some(bytes)).map(|slow| slow.seconds);
        assert_eq!(
            [of(499), of(500), of(1000), of(2000), of(2001)],
            [None, Some(102), Some(102), Some(202), None]
        );
    }
}
