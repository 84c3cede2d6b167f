//! Until when a point is certain to be kept: how long its copy may be locked without ever being in the way of retention.
//!
//! "Certain" means: points go on arriving as scheduled, no faster, and the rule stays as it is. Every rule that keeps a point
//! gives a time; the latest of them counts, because rules are OR-ed:
//! - a count of `n` units is used up when `n - newer units` further units get a point: the first instant of the last of
//!   those units; with `last = n`, the slot itself;
//! - a window ends its length after the point, because it is measured back from a newest point that cannot come earlier;
//! - what has no end is certain for a year, and for a year again in a later plan;
//! - whatever is kept stays at least until the next slot: without a new point no verdict changes.
//!
//! A unit whose point may still be replaced promises nothing: with `pick = "last"` one that is not over; with either,
//! one in which an unverified point stands where the representative would be. An unverified point itself is vouched for as
//! the verified one that it is when it gets locked.
//! Not here: chains (`rules/wanted.rs`), what is locked (`rules/locks.rs`).

use super::{Dated, Verdict, Why, calendar::Moment};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{
    Keep, Period,
    retention::{Each, KeepCount, KeepRule, Pick},
};
use std::collections::BTreeMap;

/// How far ahead something without an end is certain.
const A_YEAR: Period = Period {
    years: 1,
    months: 0,
    days: 0,
    seconds: 0,
};

/// Further units than this are not walked; what is certain up to there is certain.
const MOST_UNITS: u32 = 10_000;

/// What is still to come.
pub(crate) struct Ahead<'a> {
    pub(crate) now: Timestamp,
    /// Slots after this one may still get a point.
    pub(crate) from: Timestamp,
    /// The first slot after a time.
    pub(crate) next: &'a dyn Fn(Timestamp) -> Option<Timestamp>,
    pub(crate) zone: &'a TimeZone,
}

/// What is certain of one point.
pub(crate) struct Certain {
    /// Until the next slot, because without a new point no verdict changes.
    pub(crate) next_slot: Option<Timestamp>,
    /// What each reason of its verdict gives.
    pub(crate) by_reason: Vec<Option<Timestamp>>,
}

impl Certain {
    /// The latest of all: reasons are OR-ed.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        let reasons = self.by_reason.iter().copied().flatten();
        reasons.chain(self.next_slot).max()
    }
}

/// For each of `points` (newest first) with its verdict under `Occupy::Complete`; `None` when nothing is certain.
pub(crate) fn kept_until(
    keep: &Keep,
    points: &[Dated],
    verdicts: &[Verdict],
    ahead: &Ahead<'_>,
) -> Vec<Option<Timestamp>> {
    let certain = certain(keep, points, verdicts, ahead);
    certain.iter().map(Certain::latest).collect()
}

/// The same, reason by reason.
pub(crate) fn certain(
    keep: &Keep,
    points: &[Dated],
    verdicts: &[Verdict],
    ahead: &Ahead<'_>,
) -> Vec<Certain> {
    let Some(newest) = points.first() else {
        return Vec::new();
    };
    let mut coming = Coming {
        ahead,
        newest: newest.moment,
        from: newest.moment.at.max(ahead.from),
        walks: BTreeMap::new(),
    };
    let a_year = A_YEAR.after(ahead.now, ahead.zone);
    let next_slot = (ahead.next)(coming.from).unwrap_or(a_year);
    let today = Moment::new(ahead.now, ahead.zone);
    let next_moment = Moment::new(next_slot, ahead.zone);
    let ranks: BTreeMap<Each, Vec<u32>> = keep
        .rules
        .iter()
        .map(|rule| (rule.each, ranks(points, rule.each)))
        .collect();
    let mut all = Vec::with_capacity(verdicts.len());
    for (index, verdict) in verdicts.iter().enumerate() {
        let mut by_reason = Vec::with_capacity(verdict.reasons.len());
        for why in &verdict.reasons {
            by_reason.push(match *why {
                Why::Held => None,
                Why::Forever => Some(a_year),
                Why::Rule { rule, oldest, .. } => {
                    let open = !oldest
                        && (keep.pick == Pick::Last
                            && (same_unit(rule.each, &points[index].moment, &today)
                                || same_unit(rule.each, &points[index].moment, &next_moment))
                            || rivalled(keep.pick, rule.each, points, index));
                    if open {
                        None
                    } else {
                        let rank = ranks[&rule.each][index] + u32::from(oldest);
                        by_rule(rule, rank, points[index].moment.at, a_year, &mut coming)
                    }
                }
            });
        }
        let ruled = verdict.reasons.iter().any(|why| *why != Why::Held);
        all.push(Certain {
            next_slot: (ruled || index == 0).then_some(next_slot),
            by_reason,
        });
    }
    all
}

/// How many units are used up by each point and those newer, its own included.
fn ranks(points: &[Dated], each: Each) -> Vec<u32> {
    let mut rank = 0;
    (0..points.len())
        .map(|index| {
            let same =
                index > 0 && same_unit(each, &points[index].moment, &points[index - 1].moment);
            rank += u32::from(!same);
            rank
        })
        .collect()
}

fn same_unit(each: Each, a: &Moment, b: &Moment) -> bool {
    a.key(each).is_some_and(|key| b.key(each) == Some(key))
}

/// Whether a point of the same unit would stand for it if it were verified.
fn rivalled(pick: Pick, each: Each, points: &[Dated], index: usize) -> bool {
    let rival = match pick {
        Pick::First => points.get(index + 1),
        Pick::Last => index.checked_sub(1).map(|newer| &points[newer]),
    };
    rival.is_some_and(|rival| same_unit(each, &points[index].moment, &rival.moment))
}

fn by_rule(
    rule: KeepRule,
    rank: u32,
    at: Timestamp,
    a_year: Timestamp,
    coming: &mut Coming<'_>,
) -> Option<Timestamp> {
    match rule.count {
        KeepCount::All => Some(a_year),
        KeepCount::Window(period) => Some(end_of_window(period, at, coming.ahead.zone)),
        KeepCount::Count(n) => {
            coming.unit(rule.each, n.saturating_add(1).checked_sub(rank)?, a_year)
        }
    }
}

/// The last instant of which the window, measured back, still holds `at`.
fn end_of_window(period: Period, at: Timestamp, zone: &TimeZone) -> Timestamp {
    let mut end = period.after(at, zone);
    // There and back by the calendar is not the same: months have different lengths, and clocks change.
    for _ in 0..8 {
        let back = period.before(end, zone);
        if back <= at {
            break;
        }
        end = earlier(end, back.duration_since(at));
    }
    // Local times that a change of clocks leaves out are pushed on, so that earlier instants may reach as far back.
    for _ in 0..48 {
        let half_an_hour_earlier = earlier(end, SignedDuration::from_mins(30));
        if period.before(half_an_hour_earlier, zone) < at {
            break;
        }
        end = half_an_hour_earlier;
    }
    end
}

fn earlier(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// The units that will get a point, walked once for all points.
struct Coming<'a> {
    ahead: &'a Ahead<'a>,
    newest: Moment,
    from: Timestamp,
    walks: BTreeMap<Each, Walk>,
}

/// The first instants of the units found so far, and where the walk stands.
struct Walk {
    starts: Vec<Timestamp>,
    last: Moment,
    after: Timestamp,
}

impl Coming<'_> {
    /// When the `count`-th further unit may get its point at the earliest.
    fn unit(&mut self, each: Each, count: u32, a_year: Timestamp) -> Option<Timestamp> {
        let wanted = usize::try_from(count.min(MOST_UNITS)).ok()?;
        let Ahead { next, zone, .. } = *self.ahead;
        let walk = self.walks.entry(each).or_insert(Walk {
            starts: Vec::new(),
            last: self.newest,
            after: self.from,
        });
        while walk.starts.len() < wanted {
            let Some(slot) = next(walk.after) else {
                // Nothing will ever take its place.
                return Some(a_year);
            };
            let moment = Moment::new(slot, zone);
            walk.after = slot;
            if !same_unit(each, &moment, &walk.last) {
                walk.starts.push(moment.unit_start(each, zone));
                walk.last = moment;
            }
            // Straight to the end of the unit: an hourly schedule has thousands of slots in a year.
            let end = moment.unit_end(each, zone);
            if let Ok(before) = end.checked_sub(SignedDuration::from_secs(1)) {
                walk.after = walk.after.max(before);
            }
        }
        wanted.checked_sub(1).map(|index| walk.starts[index])
    }
}

#[cfg(test)]
mod tests;
