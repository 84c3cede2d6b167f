//! Followed point by point, a `keep` keeps what it keeps when everything is evaluated at every arrival.

use super::{super::Dated, Arrivals, Occupy, evaluate_dated};
use crate::retention::calendar::Moment;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{
    Keep, Period,
    retention::{Each, KeepCount, KeepRule, Pick},
};
use std::collections::BTreeMap;

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn some_keep(chance: &mut Chance) -> Keep {
    let mut keep = Keep::default();
    if chance.below(6) == 0 {
        keep.pick = Pick::Last;
    }
    for _ in 0..=chance.below(3) {
        let each = Each::ALL[usize::try_from(chance.below(7)).unwrap()];
        let length = u32::try_from(1 + chance.below(12)).unwrap();
        let window = match chance.below(3) {
            0 => format!("{}h", length * 13),
            1 => format!("{length}w"),
            _ => format!("{length}mo"),
        };
        let count = match chance.below(8) {
            0..=4 => KeepCount::Count(length),
            5 | 6 => KeepCount::Window(Period::parse(&window).unwrap()),
            _ => KeepCount::All,
        };
        keep.rules.push(KeepRule { count, each });
    }
    keep
}

/// The points that are there, as a tier keeps them: what no rule keeps goes, except the newest.
struct Tier {
    points: BTreeMap<u32, Moment>,
}

impl Tier {
    fn newest_first(&self) -> (Vec<u32>, Vec<Dated>) {
        let dated = |moment: &Moment| Dated {
            moment: *moment,
            held: false,
            verified: true,
        };
        let points = self.points.iter().rev();
        points
            .map(|(number, moment)| (*number, dated(moment)))
            .unzip()
    }

    fn begin(&self, keep: &Keep, zone: &TimeZone) -> (Arrivals, BTreeMap<u32, u32>) {
        let (numbers, points) = self.newest_first();
        let (arrivals, by) = Arrivals::begin(keep, &numbers, &points, zone);
        (arrivals, numbers.into_iter().zip(by).collect())
    }

    fn reasons(&self, keep: &Keep, zone: &TimeZone) -> BTreeMap<u32, u32> {
        let (numbers, points) = self.newest_first();
        let verdicts = evaluate_dated(keep, &points, zone, Occupy::Complete);
        let counts = verdicts
            .iter()
            .map(|verdict| u32::try_from(verdict.reasons.len()).unwrap());
        numbers.into_iter().zip(counts).collect()
    }
}

#[test]
fn arrivals_change_what_evaluating_everything_says_that_they_change() {
    let zone = TimeZone::get("Europe/Prague").unwrap();
    let mut chance = Chance(20_261_121);
    let (mut followed, mut handed_back) = (0, 0);
    for _ in 0..300 {
        let keep = some_keep(&mut chance);
        if !Arrivals::can_follow(&keep) {
            continue;
        }
        let step = [1, 6, 24, 100][usize::try_from(chance.below(4)).unwrap()];
        let mut at: Timestamp = "2026-01-20T05:10:00Z".parse().unwrap();
        let mut tier = Tier {
            points: BTreeMap::new(),
        };
        let mut reasons: BTreeMap<u32, u32> = BTreeMap::new();
        let (mut arrivals, _) = Arrivals::begin(&keep, &[], &[], &zone);
        for number in 0..150 {
            at += SignedDuration::from_hours(i64::try_from(1 + chance.below(step)).unwrap());
            let new = Moment::new(at, &zone);
            let newest = tier.points.last_key_value().map(|(_, moment)| *moment);
            let wanted = Arrivals::wants(&keep, &new, newest.as_ref());
            tier.points.insert(number, new);
            let expected = tier.reasons(&keep, &zone);
            assert_eq!(wanted, expected[&number] > 0, "{keep} at {at}");
            let following = |one: u32| {
                tier.points
                    .range(one + 1..)
                    .next()
                    .map(|(_, moment)| *moment)
            };
            let mut released = Vec::new();
            let kept_by = arrivals.arrive(
                number,
                &new,
                newest.as_ref(),
                &zone,
                following,
                &mut released,
            );
            if let Some(kept_by) = kept_by {
                followed += 1;
                reasons.insert(number, kept_by);
                for one in released {
                    *reasons.get_mut(&one).unwrap() -= 1;
                }
            } else {
                handed_back += 1;
                (arrivals, reasons) = tier.begin(&keep, &zone);
            }
            assert_eq!(reasons, expected, "{keep} at {at}");
            let unkept: Vec<u32> = reasons
                .iter()
                .filter(|(one, by)| **by == 0 && **one != number)
                .map(|(one, _)| *one)
                .collect();
            let mut doubt = false;
            for one in unkept {
                let gone = tier.points.remove(&one).unwrap();
                reasons.remove(&one);
                let mut after = tier.points.range(one + 1..);
                let following = after.next().map(|(_, moment)| *moment);
                doubt |= arrivals.may_be_replaced(&gone, &new, following.as_ref());
            }
            let after = tier.reasons(&keep, &zone);
            if doubt {
                (arrivals, reasons) = tier.begin(&keep, &zone);
            }
            assert_eq!(reasons, after, "{keep}: something went at {at}");
        }
    }
    // The quick way is the usual one, and both were tried.
    assert!(
        followed > 10 * handed_back && handed_back > 50,
        "{followed} {handed_back}"
    );
}
