//! What the arrival of one more verified point changes: the same rules, asked point by point instead of all at once.
//!
//! Over years of slots, evaluating everything that is kept at every slot is the greatest cost of a forecast; but a new point changes little. It stands
//! for its unit or not, and each rule lets go of what is beyond its count or its window. That holds where every point is verified, every arrival is the newest,
//! and each rule counts for itself (`model = "overlap"`). Where more may change, [`Arrivals::arrive`] says so and changes nothing: then
//! `evaluate_dated` decides.
//!
//! Invariant: after an arrival each rule keeps what `evaluate_dated` says that it keeps; a property test holds it to that.

use super::{Dated, Occupy, Why, calendar::Moment, evaluate_dated};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{
    Keep, Period,
    retention::{Each, KeepCount, KeepRule, Pick, RetentionModel},
};
use std::collections::VecDeque;

/// What each rule of a `keep` keeps on one tier.
pub(crate) struct Arrivals {
    rules: Vec<Followed>,
}

/// One rule and what it keeps, oldest first.
struct Followed {
    rule: KeepRule,
    /// A window is at least so long, whatever the calendar does.
    shortest: SignedDuration,
    kept: VecDeque<(u32, Moment)>,
}

impl Arrivals {
    /// Whether arrivals under such a `keep` can be followed.
    pub(crate) fn can_follow(keep: &Keep) -> bool {
        let counts = |rule: &KeepRule| rule.count != KeepCount::Count(0);
        let by_point = |rule: &KeepRule| rule.each == Each::Point;
        let mut rules = keep.rules.clone();
        rules.sort_unstable();
        rules.dedup();
        keep.model == RetentionModel::Overlap
            && rules.len() == keep.rules.len()
            && rules.iter().all(counts)
            && (keep.pick == Pick::First || rules.iter().all(by_point))
    }

    /// Begins with what is there, newest first, under numbers that grow with time; also tells by how many rules each point is kept.
    pub(crate) fn begin(
        keep: &Keep,
        numbers: &[u32],
        points: &[Dated],
        zone: &TimeZone,
    ) -> (Self, Vec<u32>) {
        let verdicts = evaluate_dated(keep, points, zone, Occupy::Complete);
        let mut rules: Vec<Followed> = keep
            .rules
            .iter()
            .map(|rule| Followed {
                rule: *rule,
                shortest: match rule.count {
                    KeepCount::Window(period) => shortest(period),
                    KeepCount::Count(_) | KeepCount::All => SignedDuration::MAX,
                },
                kept: VecDeque::new(),
            })
            .collect();
        let mut by = Vec::with_capacity(points.len());
        for ((number, point), verdict) in numbers.iter().zip(points).zip(&verdicts) {
            let mut reasons = 0;
            for why in &verdict.reasons {
                match why {
                    Why::Held => continue,
                    Why::Forever => {}
                    Why::Rule { rule, .. } => {
                        let mine = rules.iter_mut().find(|followed| followed.rule == *rule);
                        if let Some(mine) = mine {
                            mine.kept.push_front((*number, point.moment));
                        }
                    }
                }
                reasons += 1;
            }
            by.push(reasons);
        }
        (Self { rules }, by)
    }

    /// Whether a `keep` wants a point that is newer than everything else: where it stands for a unit of some rule.
    pub(crate) fn wants(keep: &Keep, new: &Moment, newest: Option<&Moment>) -> bool {
        keep.forever
            || keep.rules.iter().any(|rule| {
                rule.count != KeepCount::Count(0)
                    && (keep.pick == Pick::Last || begins_unit(rule.each, new, newest))
            })
    }

    /// A point arrives that is newer than `newest`, the newest here. `released` gets each point once for each rule that lets go of it; the
    /// result is the number of rules that keep the new one. `None`: more may change, and nothing was done.
    ///
    /// `following` names the point, here or on another tier, that comes after one in time.
    pub(crate) fn arrive(
        &mut self,
        number: u32,
        new: &Moment,
        newest: Option<&Moment>,
        zone: &TimeZone,
        following: impl Fn(u32) -> Option<Moment>,
        released: &mut Vec<u32>,
    ) -> Option<u32> {
        let mut outside = Vec::with_capacity(self.rules.len());
        for followed in &self.rules {
            outside.push(followed.outside(new, zone, &following)?);
        }
        let mut kept_by = 0;
        for (followed, outside) in self.rules.iter_mut().zip(outside) {
            released.extend(followed.kept.drain(..outside).map(|(number, _)| number));
            if !begins_unit(followed.rule.each, new, newest) {
                continue;
            }
            followed.kept.push_back((number, *new));
            kept_by += 1;
            if let KeepCount::Count(room) = followed.rule.count {
                while followed.kept.len() > room as usize {
                    released.extend(followed.kept.pop_front().map(|(number, _)| number));
                }
            }
        }
        Some(kept_by)
    }

    /// Whether the removal of a point that no rule keeps may make another one stand for its unit.
    pub(crate) fn may_be_replaced(
        &self,
        gone: &Moment,
        newest: &Moment,
        following: Option<&Moment>,
    ) -> bool {
        self.rules.iter().any(|followed| {
            matches!(followed.rule.count, KeepCount::Window(_))
                && followed.rule.each != Each::Point
                && newest.at.duration_since(gone.at) >= followed.shortest
                && !begins_unit(followed.rule.each, gone, following)
        })
    }
}

impl Followed {
    /// How many of the oldest fall out of the window; `None`: another point of the unit may take the place of one.
    fn outside(
        &self,
        new: &Moment,
        zone: &TimeZone,
        following: impl Fn(u32) -> Option<Moment>,
    ) -> Option<usize> {
        let KeepCount::Window(period) = self.rule.count else {
            return Some(0);
        };
        let oldest = self.kept.front().map(|(_, moment)| moment.at);
        if oldest.is_none_or(|oldest| new.at.duration_since(oldest) < self.shortest) {
            return Some(0);
        }
        let boundary: Timestamp = period.before(new.at, zone);
        let mut count = 0;
        for (number, moment) in &self.kept {
            if moment.at > boundary {
                break;
            }
            if !begins_unit(self.rule.each, moment, following(*number).as_ref()) {
                return None;
            }
            count += 1;
        }
        Some(count)
    }
}

/// Whether two points are of different units; points that count for themselves always are.
fn begins_unit(each: Each, one: &Moment, other: Option<&Moment>) -> bool {
    match (one.key(each), other) {
        (Some(key), Some(other)) => other.key(each) != Some(key),
        _ => true,
    }
}

/// A length that the calendar never undercuts.
fn shortest(period: Period) -> SignedDuration {
    let days =
        i64::from(period.years) * 365 + i64::from(period.months) * 28 + i64::from(period.days);
    let seconds = i64::try_from(period.seconds).unwrap_or(i64::MAX / 4);
    // Changes of clocks, and of zones across the date line.
    SignedDuration::from_secs(
        (days.saturating_mul(86_400))
            .saturating_add(seconds)
            .saturating_sub(26 * 3_600)
            .max(0),
    )
}

#[cfg(test)]
mod tests;
