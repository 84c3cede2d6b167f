//! Laws of retention and of planning, for random points and rules. A failure prints its seed.

use super::support::{apply_to, inventory, keep, plan, policy, show};
use jiff::{Timestamp, tz::TimeZone};
use mainstay_planner::retention::{Occupy, Point, Verdict, evaluate};
use model::{Keep, retention::KeepCount};
use proptest::prelude::*;

/// Within a few years around new years, so that periods of every kind change often.
fn times(range: std::ops::Range<i64>) -> impl Strategy<Value = Timestamp> {
    range.prop_map(|hours| Timestamp::from_second(hours * 3600).unwrap())
}

/// 2019-06 to 2028-01, by the hour.
fn some_years() -> std::ops::Range<i64> {
    433_000..508_000
}

pub(super) fn points(verified: bool) -> impl Strategy<Value = Vec<Point>> {
    let close = prop::collection::vec(times(490_000..490_900), 0..25);
    let far = prop::collection::vec(times(some_years()), 0..25);
    (close, far, prop::collection::vec(any::<(bool, u8)>(), 50)).prop_map(
        move |(close, far, flags)| {
            let mut all: Vec<Timestamp> = close.into_iter().chain(far).collect();
            all.sort();
            all.dedup();
            all.into_iter()
                .zip(flags)
                .map(|(at, (proved, held))| Point {
                    at,
                    held: held == 0,
                    verified: verified || proved,
                })
                .collect()
        },
    )
}

pub(super) fn keeps(windows: bool) -> impl Strategy<Value = Keep> {
    let units = prop::sample::select(vec![
        "last",
        "hourly",
        "daily",
        "weekly",
        "monthly",
        "quarterly",
        "yearly",
    ]);
    let value = if windows {
        prop::sample::select(vec!["1", "2", "5", "all", "3d", "2mo", "1y"]).boxed()
    } else {
        (1_u32..9)
            .prop_map(|count| -> &'static str {
                ["1", "2", "3", "4", "5", "6", "7", "8"][count as usize - 1]
            })
            .boxed()
    };
    let rules = prop::collection::vec((units, value), 1..4);
    let pick = prop::sample::select(vec!["pick=first", "pick=last"]);
    let model = prop::sample::select(vec!["", "model=additive"]);
    (rules, pick, model).prop_map(|(mut rules, pick, model)| {
        rules.sort_unstable();
        rules.dedup_by_key(|(unit, _)| *unit);
        let words: Vec<String> = rules
            .iter()
            .map(|(unit, value)| format!("{unit}={value}"))
            .collect();
        let text = words.join(" ");
        keep(&format!("{text} {pick} {model}"))
    })
}

fn zone() -> TimeZone {
    TimeZone::get("Europe/Prague").unwrap()
}

fn kept(keep: &Keep, points: &[Point]) -> Vec<Point> {
    evaluate(keep, points, &zone(), Occupy::Verified)
        .iter()
        .zip(points)
        .filter(|(verdict, _)| verdict.is_kept())
        .map(|(_, point)| *point)
        .collect()
}

/// What a prune leaves: what is kept, and, as in every plan, the newest and the newest verified point.
fn left(keep: &Keep, points: &[Point]) -> Vec<Point> {
    let kept = kept(keep, points);
    let newest = points.iter().max_by_key(|point| point.at);
    let proved = points
        .iter()
        .filter(|point| point.verified)
        .max_by_key(|point| point.at);
    points
        .iter()
        .filter(|point| kept.contains(point) || [newest, proved].contains(&Some(point)))
        .copied()
        .collect()
}

/// Points that a rule (not a hold) keeps.
fn ruled(keep: &Keep, points: &[Point]) -> Vec<Point> {
    let bare: Vec<Point> = points
        .iter()
        .map(|point| Point {
            held: false,
            ..*point
        })
        .collect();
    kept(keep, &bare)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pruning_twice_equals_once(keep in keeps(true), points in points(false)) {
        let once = left(&keep, &points);
        prop_assert_eq!(left(&keep, &once), once);
    }

    #[test]
    fn adding_a_point_never_removes_more_than_one_verified_per_rule(
        keep in keeps(false), points in points(false), new in times(some_years()), verified: bool,
    ) {
        prop_assume!(points.iter().all(|point| point.at != new));
        let mut more = points.clone();
        more.push(Point { at: new, held: false, verified });
        let after = ruled(&keep, &more);
        let lost = ruled(&keep, &points).into_iter().filter(|point| point.verified && !after.contains(point)).count();
        prop_assert!(lost <= keep.rules.len(), "{} lost {}", keep, lost);
    }

    #[test]
    fn an_unverified_point_never_displaces_a_verified_one(
        keep in keeps(true), points in points(false), new in times(some_years()),
    ) {
        prop_assume!(points.iter().any(|point| point.verified) && points.iter().all(|point| point.at != new));
        let mut more = points.clone();
        more.push(Point { at: new, held: false, verified: false });
        let after = ruled(&keep, &more);
        for point in ruled(&keep, &points) {
            prop_assert!(!point.verified || after.contains(&point), "{} lost {}", keep, point.at);
        }
    }

    #[test]
    fn raising_a_count_never_removes_a_kept_point(keep in keeps(false), points in points(false), which: prop::sample::Index) {
        let before = kept(&keep, &points);
        let mut raised = keep.clone();
        let rule = which.index(raised.rules.len());
        if let KeepCount::Count(count) = &mut raised.rules[rule].count {
            *count += 1;
        }
        let after = kept(&raised, &points);
        for point in before {
            prop_assert!(after.contains(&point), "{} lost {}", raised, point.at);
        }
    }

    #[test]
    fn the_order_of_the_points_does_not_matter(keep in keeps(true), points in points(false), seed: u64) {
        let mut shuffled = points.clone();
        shuffle(&mut shuffled, seed);
        let find = |at| points.iter().position(|point| point.at == at).unwrap();
        let straight = evaluate(&keep, &points, &zone(), Occupy::Verified);
        let mixed: Vec<Verdict> = evaluate(&keep, &shuffled, &zone(), Occupy::Verified);
        for (verdict, point) in mixed.iter().zip(&shuffled) {
            prop_assert_eq!(verdict, &straight[find(point.at)]);
        }
    }
}

proptest! {
    // Whole plans, with hourly schedules walked over years: fewer, because each takes long.
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_the_inventory_does_not_matter(points in points(false), seed: u64) {
        let policy = policy(r#"
            zone Europe/Prague
            orders/daily "0 2 * * *" nas{daily=3 weekly=2} archive{monthly=3}
            erp/hourly "0 * * * *" nas{last=4} archive{daily=2 pick=last}
        "#);
        let lines: Vec<String> = points.iter().enumerate().map(|(index, point)| {
            let stamp = point.at.strftime("%Y%m%dT%H%M%SZ");
            let name = ["orders/daily", "erp/hourly", "gone/x"][index % 3];
            let nas = ["v", "u", "m", "d", "vh", "x"][index % 6];
            let copies = if point.verified { format!("nas:{nas} archive:v") } else { format!("archive:u nas:{nas}") };
            format!("{name}/{stamp} {copies}\n")
        }).collect();
        let text = lines.concat();
        let now = "2028-02-01T10:00:00Z";
        let straight = inventory(now, &text);
        let mut mixed = straight.clone();
        shuffle(&mut mixed.recovery_points, seed);
        for point in &mut mixed.recovery_points {
            point.copies.reverse();
        }
        let (a, b) = (plan(&policy, &straight, now), plan(&policy, &mixed, now));
        prop_assert_eq!(a.id.clone(), b.id.clone(), "{}\n{}", show(&a), show(&b));
        prop_assert_eq!(serde_json::to_vec(&a).unwrap(), serde_json::to_vec(&b).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_rules_and_the_damage_a_few_applies_lead_to_no_changes(
        keeps in prop::collection::vec(keeps(true), 3),
        points in points(false),
        states in prop::collection::vec(0_usize..343, 50),
    ) {
        let mut policy = policy(r#"orders/yearly "0 2 1 1 *" nas{last=1} vault{last=1} archive{last=1}"#);
        let series = policy.databases.values_mut().flat_map(|database| database.series.values_mut()).next().unwrap();
        for ((_, keep), random) in series.keep.iter_mut().zip(keeps) {
            *keep = random;
        }
        let words = ["v", "v", "u", "m", "d", "x", ""];
        let lines: Vec<String> = points.iter().zip(states).map(|(point, state)| {
            let copies: Vec<String> = ["nas", "vault", "archive"].iter()
                .zip([state % 7, state / 7 % 7, state / 49])
                .filter(|(_, state)| *state < 6)
                .map(|(tier, state)| format!("{tier}:{}{}", words[state], if point.held { "h" } else { "" }))
                .collect();
            format!("orders/yearly/{} {}\n", point.at.strftime("%Y%m%dT%H%M%SZ"), copies.join(" "))
        }).collect();
        let now = "2028-02-01T10:00:00Z";
        let mut inventory = inventory(now, &lines.concat());
        // The clock is not what is tested here.
        inventory.last_activity = Some(now.parse().unwrap());
        let mut shown = Vec::new();
        loop {
            let plan = plan(&policy, &inventory, now);
            if !plan.applyable {
                break;
            }
            shown.push(show(&plan));
            prop_assert!(shown.len() < 6, "{}", shown.join("\n\n"));
            apply_to(&mut inventory, &plan);
        }
    }
}

/// Fisher and Yates with a small generator of its own: the test's input decides all.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for index in (1..items.len()).rev() {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        items.swap(index, (seed >> 33) as usize % (index + 1));
    }
}

#[test]
fn every_year_boundary_from_2000_to_2100_keeps_its_week_and_its_month() {
    let keep = keep("weekly=3 monthly=2 yearly=2 pick=last");
    for year in 2000..=2100 {
        // Noon of every day from 5 December to 25 January.
        let first: Timestamp = format!("{year}-12-05T12:00:00Z").parse().unwrap();
        let points: Vec<Point> = (0..52)
            .map(|day| Point {
                at: first + jiff::SignedDuration::from_hours(24 * day),
                held: false,
                verified: true,
            })
            .collect();
        let kept: Vec<String> = kept(&keep, &points)
            .iter()
            .map(|point| point.at.strftime("%m-%d %a").to_string())
            .collect();
        let newest = "01-25";
        assert!(kept.last().unwrap().starts_with(newest), "{year}: {kept:?}");
        // The last day of the old year stands for its month and for its year, whatever its week is called.
        assert!(
            kept.iter().any(|day| day.starts_with("12-31")),
            "{year}: {kept:?}"
        );
        let sundays = kept.iter().filter(|day| day.ends_with("Sun")).count();
        assert!(sundays >= 2, "{year}: {kept:?}");
    }
}

#[test]
fn a_plans_json_is_canonical() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=2} archive{monthly=2}"#);
    let now = "2026-11-21T03:00:00Z";
    let points = super::support::daily("orders/daily", "2026-11-10", 11, "nas:v archive:u");
    let plan = plan(&policy, &inventory(now, &points), now);
    assert!(model::canonical::is_sorted(&plan).unwrap());
    assert!(plan.is_intact().unwrap());
}
