//! How long points stay under a `keep`: the shortest and the longest life that its rules give, from the schedule alone.
//!
//! Pure. Slots of three years, starting at a fixed date, stand for all; nobody's clock is asked. A life ends when the first point
//! arrives that pushes the old one out. Not here: which points a rule keeps in truth (`planner`), what follows from it
//! (`archives`).

use crate::schedule::Schedule;
use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::date, tz::TimeZone};
use model::{
    Keep, Period,
    retention::{Each, KeepCount, KeepRule, Pick},
};
use std::collections::HashMap;

/// No schedule is walked further than this; later points live as those before them.
const MOST_POINTS: usize = 2_000;

/// The life that a rule gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    /// The rule, by its number in the keep.
    pub(crate) rule: usize,
    /// How long; `None`: for ever.
    pub(crate) length: Option<SignedDuration>,
}

/// How long the longest-lived point stays under a keep: `None` for ever, zero when nothing is kept.
pub fn longest_life(schedule: &Schedule, keep: &Keep, zone: &TimeZone) -> Option<SignedDuration> {
    let life = Lifetimes::new(zone.clone()).longest(schedule, keep);
    life.map_or(Some(SignedDuration::ZERO), |life| life.length)
}

/// Remembers what equal schedules have in common.
pub(crate) struct Lifetimes {
    zone: TimeZone,
    firsts: HashMap<(String, Each), Vec<Timestamp>>,
}

impl Lifetimes {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            firsts: HashMap::new(),
        }
    }

    /// The shortest life of a point that is stored for this keep, and the rule that gives it. `None` when nothing is kept.
    ///
    /// A point that two rules want stays for the longer of them; what counts is the point that only a short rule wants.
    pub(crate) fn shortest(&mut self, schedule: &Schedule, keep: &Keep) -> Option<Life> {
        if keep.forever {
            return Some(Life {
                rule: 0,
                length: None,
            });
        }
        let wanted: Vec<(Vec<Timestamp>, Life)> = keep
            .rules
            .iter()
            .enumerate()
            .map(|(rule, one)| {
                let churn = self.churn(schedule, one.each, keep.pick);
                let each = if churn.is_some() {
                    Each::Point
                } else {
                    one.each
                };
                let length = churn.or_else(|| Some(self.lives(schedule, *one)?.0));
                (self.firsts(schedule, each), Life { rule, length })
            })
            .collect();
        let longest_of = |points: &Vec<Timestamp>| {
            let others = wanted.iter().filter(|(others, _)| holds(others, points));
            others.map(|(_, life)| *life).reduce(longer)
        };
        wanted
            .iter()
            .filter_map(|(points, _)| longest_of(points))
            .reduce(|a, b| if longer(a, b) == a { b } else { a })
    }

    /// The longest life of a point, and the rule that gives it. `None` when nothing is kept.
    pub(crate) fn longest(&mut self, schedule: &Schedule, keep: &Keep) -> Option<Life> {
        if keep.forever {
            return Some(Life {
                rule: 0,
                length: None,
            });
        }
        let lives = keep.rules.iter().enumerate().map(|(rule, one)| Life {
            rule,
            length: self.lives(schedule, *one).map(|(_, longest)| longest),
        });
        lives.reduce(longer)
    }

    /// With `pick = "last"`, every new point of a period takes the place of the one before it.
    fn churn(&mut self, schedule: &Schedule, each: Each, pick: Pick) -> Option<SignedDuration> {
        if pick == Pick::First || each == Each::Point {
            return None;
        }
        let points = self.firsts(schedule, Each::Point);
        points
            .windows(2)
            .filter(|pair| next_unit(pair[0], each, &self.zone).is_some_and(|end| pair[1] < end))
            .map(|pair| pair[1].duration_since(pair[0]))
            .min()
    }

    /// Shortest and longest life under one rule; `None` for ever.
    fn lives(
        &mut self,
        schedule: &Schedule,
        rule: KeepRule,
    ) -> Option<(SignedDuration, SignedDuration)> {
        let points = self.firsts(schedule, rule.each);
        let lengths: Vec<SignedDuration> = match rule.count {
            KeepCount::All => return None,
            KeepCount::Count(count) => {
                let count = count as usize;
                if count < points.len() {
                    let pairs = points.iter().zip(points.iter().skip(count));
                    pairs.map(|(old, new)| new.duration_since(*old)).collect()
                } else {
                    vec![extended(&points, count)?]
                }
            }
            KeepCount::Window(period) => points
                .iter()
                .take(400)
                .filter_map(|point| {
                    let end = after(*point, period, &self.zone)?;
                    let just_before = end.checked_sub(1.nanoseconds()).ok()?;
                    let pushes_out = schedule.next_after(just_before, &self.zone)?;
                    Some(pushes_out.duration_since(*point))
                })
                .collect(),
        };
        let (shortest, longest) = (lengths.iter().min()?, lengths.iter().max()?);
        Some((*shortest, *longest))
    }

    /// The first slot of each unit.
    fn firsts(&mut self, schedule: &Schedule, each: Each) -> Vec<Timestamp> {
        let zone = &self.zone;
        let key = (schedule.to_string(), each);
        let firsts = self
            .firsts
            .entry(key)
            .or_insert_with(|| first_slots(schedule, each, zone).unwrap_or_default());
        firsts.clone()
    }
}

fn first_slots(schedule: &Schedule, each: Each, zone: &TimeZone) -> Option<Vec<Timestamp>> {
    // 2026 begins within a week; every other unit begins with it.
    let begin = match each {
        Each::Week => date(2026, 1, 5),
        _ => date(2026, 1, 1),
    };
    let begin = begin.to_zoned(zone.clone()).ok()?;
    let end = begin.checked_add(3.years()).ok()?.timestamp();
    let mut before = begin.timestamp().checked_sub(1.nanoseconds()).ok()?;
    let mut firsts = Vec::new();
    while let Some(slot) = schedule.next_after(before, zone) {
        firsts.push(slot);
        if (slot > end && firsts.len() > 1) || firsts.len() == MOST_POINTS {
            break;
        }
        before = match next_unit(slot, each, zone) {
            Some(next) => next.checked_sub(1.nanoseconds()).ok()?,
            None => slot,
        };
    }
    Some(firsts)
}

/// Where the next unit begins; `None` where every point is its own.
fn next_unit(at: Timestamp, each: Each, zone: &TimeZone) -> Option<Timestamp> {
    let local = at.to_zoned(zone.clone());
    let day = local.date();
    let next = match each {
        Each::Point => return None,
        Each::Hour => {
            let offset = i64::from(local.offset().seconds());
            let hour = (at.as_second() + offset).div_euclid(3_600) + 1;
            return Timestamp::from_second(hour * 3_600 - offset).ok();
        }
        Each::Day => day.tomorrow(),
        Each::Week => day.checked_add(i64::from(7 - day.weekday().to_monday_zero_offset()).days()),
        Each::Month => day.first_of_month().checked_add(1.month()),
        Each::Quarter => {
            let month = (day.month() - 1) / 3 * 3 + 1;
            date(day.year(), month, 1).checked_add(3.months())
        }
        Each::Year => day.first_of_year().checked_add(1.year()),
    };
    Some(next.ok()?.to_zoned(zone.clone()).ok()?.timestamp())
}

/// An instant one period later, by the calendar.
fn after(at: Timestamp, period: Period, zone: &TimeZone) -> Option<Timestamp> {
    let span = jiff::Span::new()
        .try_years(period.years)
        .ok()?
        .try_months(period.months)
        .ok()?
        .try_days(period.days)
        .ok()?;
    let later = at.to_zoned(zone.clone()).checked_add(span).ok()?;
    let seconds = SignedDuration::from_secs(i64::try_from(period.seconds).ok()?);
    Some(later.checked_add(seconds).ok()?.timestamp())
}

/// The life of a count that reaches further than the points that were looked at: as many average gaps.
fn extended(points: &[Timestamp], count: usize) -> Option<SignedDuration> {
    let (first, last) = (points.first()?, points.last()?);
    let gaps = i64::try_from(points.len().checked_sub(1)?).ok()?;
    let seconds = i128::from(last.duration_since(*first).as_secs());
    let seconds = seconds * i128::try_from(count).ok()? / i128::from(gaps.max(1));
    Some(SignedDuration::from_secs(i64::try_from(seconds).ok()?))
}

/// Whether all of `points` are among `others`, as far as both were looked at.
fn holds(others: &[Timestamp], points: &[Timestamp]) -> bool {
    let (Some(first), Some(last)) = (others.first(), others.last()) else {
        return false;
    };
    points
        .iter()
        .filter(|point| first <= *point && *point <= last)
        .all(|point| others.binary_search(point).is_ok())
}

fn longer(a: Life, b: Life) -> Life {
    match (a.length, b.length) {
        (None, _) => a,
        (_, None) => b,
        (Some(one), Some(other)) if other > one => b,
        _ => a,
    }
}

/// A length in whole days, so that an hour of daylight saving does not count.
pub(crate) fn days(length: SignedDuration) -> i64 {
    (length.as_hours() + 12).div_euclid(24)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::retention::RetentionModel;

    fn keep(pick: Pick, rules: &[(Each, KeepCount)]) -> Keep {
        Keep {
            forever: false,
            model: RetentionModel::Overlap,
            pick,
            rules: rules
                .iter()
                .map(|(each, count)| KeepRule {
                    each: *each,
                    count: *count,
                })
                .collect(),
        }
    }

    fn shortest_days(schedule: &str, pick: Pick, rules: &[(Each, KeepCount)]) -> Option<i64> {
        let schedule = Schedule::cron(schedule).unwrap();
        let zone = TimeZone::get("Europe/Prague").unwrap();
        let life = Lifetimes::new(zone).shortest(&schedule, &keep(pick, rules));
        life.unwrap().length.map(days)
    }

    const NIGHTLY: &str = "30 2 * * *";

    #[test]
    fn what_only_the_shortest_rule_wants_goes_first() {
        use KeepCount::{All, Count, Window};
        let days = |rules: &[(Each, KeepCount)]| shortest_days(NIGHTLY, Pick::First, rules);
        assert_eq!(days(&[(Each::Day, Count(30))]), Some(30));
        assert_eq!(
            days(&[(Each::Day, Count(30)), (Each::Month, Count(12))]),
            Some(30)
        );
        assert_eq!(
            days(&[(Each::Week, Count(4)), (Each::Month, Count(12))]),
            Some(28)
        );
        assert_eq!(days(&[(Each::Month, Count(12))]), Some(365));
        assert_eq!(days(&[(Each::Month, Count(6))]), Some(181));
        assert_eq!(days(&[(Each::Month, Count(3))]), Some(89));
        assert_eq!(days(&[(Each::Month, All)]), None);
        let year = Window(Period::parse("1y").unwrap());
        assert_eq!(
            days(&[(Each::Day, Count(7)), (Each::Point, year)]),
            Some(365)
        );
        // The monthly point is one of the daily points and stays for the longer of both.
        let long = Window(Period::parse("180d").unwrap());
        assert_eq!(
            days(&[(Each::Day, long), (Each::Month, Count(3))]),
            Some(180)
        );
        assert_eq!(days(&[(Each::Year, Count(7))]), Some(7 * 365 + 2));
    }

    #[test]
    fn a_coarse_schedule_makes_fine_rules_reach_further() {
        use KeepCount::{Count, Window};
        let days = |schedule: &str, rules: &[(Each, KeepCount)]| {
            shortest_days(schedule, Pick::First, rules)
        };
        let monthly = "0 4 1 * *";
        assert_eq!(days(monthly, &[(Each::Day, Count(7))]), Some(212));
        assert_eq!(
            days(monthly, &[(Each::Day, Count(3)), (Each::Month, Count(12))]),
            Some(365)
        );
        let hour = Window(Period::parse("1h").unwrap());
        assert_eq!(days(NIGHTLY, &[(Each::Point, hour)]), Some(1));
        assert_eq!(days("0 2 * * 1-5", &[(Each::Point, Count(5))]), Some(7));
        // The first point of a month may be a week old when the month is; six months later it is on the first.
        assert_eq!(days("0 2 * * 0", &[(Each::Month, Count(6))]), Some(175));
        assert_eq!(
            days("* * * * *", &[(Each::Point, Count(144_000))]),
            Some(100)
        );
    }

    #[test]
    fn the_last_point_of_a_period_is_replaced_by_the_next() {
        use KeepCount::Count;
        let days = |rules: &[(Each, KeepCount)]| shortest_days(NIGHTLY, Pick::Last, rules);
        assert_eq!(days(&[(Each::Month, Count(12))]), Some(1));
        assert_eq!(days(&[(Each::Day, Count(30))]), Some(30));
        assert_eq!(
            days(&[(Each::Day, Count(30)), (Each::Month, Count(12))]),
            Some(30)
        );
    }
}
