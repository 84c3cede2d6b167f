//! What was promised is kept, whatever the rules: years of points arriving as scheduled, or failing to.

use super::super::{Dated, Occupy, calendar::Moment, evaluate_dated};
use super::{Ahead, kept_until};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{
    Keep, Period,
    retention::{Each, KeepCount, KeepRule, Pick, RetentionModel},
};
use policy_schema::Schedule;
use proptest::prelude::*;

fn keeps() -> impl Strategy<Value = Keep> {
    let each = prop::sample::select(Each::ALL.to_vec());
    let window = prop::sample::select(vec!["1d", "9d", "1mo", "2mo3d", "1y", "30h"]);
    let count = prop_oneof![
        4 => (1_u32..9).prop_map(KeepCount::Count),
        2 => window.prop_map(|text| KeepCount::Window(Period::parse(text).unwrap())),
        1 => Just(KeepCount::All),
    ];
    let rule = (each, count).prop_map(|(each, count)| KeepRule { each, count });
    (
        prop::collection::vec(rule, 1..4),
        prop::sample::select(vec![Pick::First, Pick::Last]),
        prop::sample::select(vec![RetentionModel::Overlap, RetentionModel::Additive]),
    )
        .prop_map(|(rules, pick, model)| Keep {
            forever: false,
            model,
            pick,
            rules,
        })
}

/// One chance in `odds`.
fn chance(seed: &mut u64, odds: u64) -> bool {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33).is_multiple_of(odds)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_vouched_for_is_kept_until_then(
        keep in keeps(),
        cron in prop::sample::select(vec!["0 2 * * *", "30 2 * * *", "15 */7 * * *", "0 3 * * 0", "0 0 1 * *", "0 12 * * 1-5"]),
        start in 0_i64..700,
        failing in prop::sample::select(vec![3_u64, 10, 1_000_000]),
        mut seed: u64,
    ) {
        let zone = TimeZone::get("Europe/Prague").unwrap();
        let schedule = Schedule::cron(cron).unwrap();
        let next = |after| schedule.next_after(after, &zone);
        let first: Timestamp = "2024-10-20T00:00:00Z".parse().unwrap();
        let mut slot = first + SignedDuration::from_hours(24 * start);
        // Newest first, each with what was promised of it.
        let mut points: Vec<(Dated, Option<Timestamp>)> = Vec::new();
        for _ in 0..250 {
            slot = next(slot).unwrap();
            if chance(&mut seed, failing) {
                continue;
            }
            let point = Dated {
                moment: Moment::new(slot, &zone),
                held: false,
                verified: !chance(&mut seed, failing),
            };
            points.insert(0, (point, None));
            let now = slot + SignedDuration::from_mins(10);
            let dated: Vec<Dated> = points.iter().map(|(point, _)| *point).collect();
            let verdicts = evaluate_dated(&keep, &dated, &zone, Occupy::Complete);
            let ahead = Ahead { now, from: now, next: &next, zone: &zone };
            let until = kept_until(&keep, &dated, &verdicts, &ahead);
            let mut left = Vec::new();
            for (index, ((point, promised), verdict)) in points.iter().zip(&verdicts).enumerate() {
                let kept = verdict.is_kept() || index == 0;
                prop_assert!(
                    kept || promised.is_none_or(|until| until <= now),
                    "{keep} {:?} {:?}, {cron}: {} was promised until {promised:?}, and goes at {now}",
                    keep.pick, keep.model, point.moment.at
                );
                if kept {
                    prop_assert!(until[index] > Some(now), "nothing is certain of a kept point");
                    // Nothing is locked before it is proved.
                    let certain = until[index].filter(|_| point.verified);
                    left.push((*point, (*promised).max(certain)));
                }
            }
            points = left;
        }
    }
}
