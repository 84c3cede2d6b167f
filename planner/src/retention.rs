//! Which points a `keep` keeps, and why: one pure function over one series on one tier.
//!
//! Semantics (`docs/formats/plan.md`, section Retention):
//! - A point's time is its slot. Each rule divides the points into calendar units and keeps one representative of each:
//!   the first (or last) *verified* point, or, where a unit has none, the first (or last) unverified one.
//! - Who uses up a count is asked twice ([`Occupy`]). `Complete` is the rule as it is written: every complete point counts.
//!   `Verified` is its caution: an unverified point is kept beside the others and uses up nothing. Only what neither keeps may
//!   be deleted, so an unverified point, however new, never displaces a verified one.
//! - Windows are measured back from the newest point that occupies, never from now.
//! - `pick = "last"` keeps the oldest point too while a rule still has room (restic's rule), so that a long rule fills up.
//! - A hold keeps its point beside all rules and changes nothing for the others.
//!
//! Invariants: the order of the input does not matter; evaluating the kept points again keeps them all.
//! Not here: chains, locks, what else a deletion needs (`rules/prune.rs`).

pub(crate) mod arrivals;
pub(crate) mod calendar;
pub(crate) mod kept_until;

use calendar::Moment;
use jiff::{Timestamp, tz::TimeZone};
use model::{
    Keep,
    retention::{Each, KeepCount, KeepRule, Pick, RetentionModel},
};
use std::fmt;

/// A complete point, as far as retention looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Its slot.
    pub at: Timestamp,
    /// Whether a person holds it.
    pub held: bool,
    /// Whether its copy has passed a verification.
    pub verified: bool,
}

/// What `keep` says of one point; without reasons it is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Everything that keeps it, in the order hold, for ever, rules as written.
    pub reasons: Vec<Why>,
}

impl Verdict {
    /// Whether anything keeps it.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// Which points use up a count and anchor a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupy {
    /// Every complete point.
    Complete,
    /// Verified points only (every one, if none is verified).
    Verified,
}

/// One reason to keep a point. Displayed as `daily 1 of 7`, `within 30d`, `monthly (all)`, `held`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// A person ordered it.
    Held,
    /// The tier keeps everything.
    Forever,
    /// A rule.
    Rule {
        /// The rule.
        rule: KeepRule,
        /// Which of the rule's points it is, the newest being 1; 0 while it is unverified and so uses up nothing.
        ordinal: u32,
        /// Kept because it is the oldest and the rule still has room.
        oldest: bool,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, ordinal, oldest) = match *self {
            Self::Held => return f.write_str("held"),
            Self::Forever => return f.write_str("forever"),
            Self::Rule {
                rule,
                ordinal,
                oldest,
            } => (rule, ordinal, oldest),
        };
        if oldest {
            f.write_str("oldest ")?;
        }
        match (rule.each, rule.count) {
            (each, KeepCount::Count(n)) if ordinal > 0 => {
                write!(f, "{} {ordinal} of {n}", each.count_key())?;
            }
            (each, KeepCount::Count(_)) => f.write_str(each.count_key())?,
            (Each::Point, KeepCount::Window(period)) => write!(f, "within {period}")?,
            (each, KeepCount::Window(period)) => {
                write!(f, "{} within {period}", each.count_key())?;
            }
            (each, KeepCount::All) => write!(f, "{} (all)", each.count_key())?,
        }
        if ordinal == 0 {
            f.write_str(", not verified yet")?;
        }
        Ok(())
    }
}

/// A point with its calendar fields, so that several tiers share one conversion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dated {
    pub(crate) moment: Moment,
    pub(crate) held: bool,
    pub(crate) verified: bool,
}

/// Evaluates `keep` over `points` (any order) with the calendar of `zone`; verdicts stand in the order of the points.
/// Points of the same time count in the order given.
pub fn evaluate(keep: &Keep, points: &[Point], zone: &TimeZone, occupy: Occupy) -> Vec<Verdict> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(points[*index].at));
    let newest_first: Vec<Dated> = order
        .iter()
        .map(|index| Dated {
            moment: Moment::new(points[*index].at, zone),
            held: points[*index].held,
            verified: points[*index].verified,
        })
        .collect();
    let mut verdicts = vec![Verdict::default(); points.len()];
    for (index, verdict) in order
        .iter()
        .zip(evaluate_dated(keep, &newest_first, zone, occupy))
    {
        verdicts[*index] = verdict;
    }
    verdicts
}

/// The same over points that stand newest first.
pub(crate) fn evaluate_dated(
    keep: &Keep,
    points: &[Dated],
    zone: &TimeZone,
    occupy: Occupy,
) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::default(); points.len()];
    for (verdict, point) in verdicts.iter_mut().zip(points) {
        if point.held {
            verdict.reasons.push(Why::Held);
        }
        if keep.forever {
            verdict.reasons.push(Why::Forever);
        }
    }
    match keep.model {
        RetentionModel::Overlap => {
            for rule in &keep.rules {
                for (index, why) in kept_by(*rule, keep.pick, points, zone, occupy, |_| false) {
                    verdicts[index].reasons.push(why);
                }
            }
        }
        RetentionModel::Additive => {
            let mut taken = vec![false; points.len()];
            let mut finest_first = keep.rules.clone();
            finest_first.sort_unstable();
            for rule in finest_first {
                for (index, why) in
                    kept_by(rule, keep.pick, points, zone, occupy, |index| taken[index])
                {
                    verdicts[index].reasons.push(why);
                    taken[index] = true;
                }
            }
        }
    }
    verdicts
}

/// The points that one rule keeps; units whose representative is `taken` by a finer rule are passed over uncounted.
fn kept_by(
    rule: KeepRule,
    pick: Pick,
    points: &[Dated],
    zone: &TimeZone,
    occupy: Occupy,
    taken: impl Fn(usize) -> bool,
) -> Vec<(usize, Why)> {
    let occupies = |point: &Dated| point.verified || occupy == Occupy::Complete;
    let Some(newest) = points
        .iter()
        .find(|point| occupies(point))
        .or(points.first())
    else {
        return Vec::new();
    };
    // Strictly after the boundary, as in restic: a window of 7 days over daily points holds 7 of them.
    let boundary = match rule.count {
        KeepCount::Window(period) => Some(period.before(newest.moment.at, zone)),
        KeepCount::Count(_) | KeepCount::All => None,
    };
    let room = match rule.count {
        KeepCount::Count(n) => n,
        KeepCount::Window(_) | KeepCount::All => u32::MAX,
    };
    let inside = |index: usize| boundary.is_none_or(|from| points[index].moment.at > from);
    let mut kept = Vec::new();
    let mut used = 0;
    let mut start = 0;
    while start < points.len() && used < room {
        if !inside(start) {
            break;
        }
        let end = end_of_unit(rule.each, points, start);
        let index = representative(pick, points, start, end);
        start = end;
        if taken(index) || !inside(index) {
            continue;
        }
        let counts = occupies(&points[index]);
        used += u32::from(counts);
        let ordinal = if counts { used } else { 0 };
        kept.push((
            index,
            Why::Rule {
                rule,
                ordinal,
                oldest: false,
            },
        ));
    }
    if pick == Pick::Last && used < room {
        let oldest = points
            .iter()
            .rposition(occupies)
            .unwrap_or(points.len() - 1);
        let known = kept.iter().any(|(index, _)| *index == oldest);
        if !known && !taken(oldest) && inside(oldest) {
            let ordinal = if occupies(&points[oldest]) {
                used + 1
            } else {
                0
            };
            kept.push((
                oldest,
                Why::Rule {
                    rule,
                    ordinal,
                    oldest: true,
                },
            ));
        }
    }
    kept
}

fn end_of_unit(each: Each, points: &[Dated], start: usize) -> usize {
    let Some(key) = points[start].moment.key(each) else {
        return start + 1;
    };
    let same = |point: &Dated| point.moment.key(each) == Some(key);
    start
        + points[start..]
            .iter()
            .position(|point| !same(point))
            .unwrap_or(points.len() - start)
}

fn representative(pick: Pick, points: &[Dated], start: usize, end: usize) -> usize {
    let unit = &points[start..end];
    // Newest first: the first point of a unit in time stands last.
    match pick {
        Pick::First => unit
            .iter()
            .rposition(|point| point.verified)
            .map_or(end - 1, |index| start + index),
        Pick::Last => unit
            .iter()
            .position(|point| point.verified)
            .map_or(start, |index| start + index),
    }
}
