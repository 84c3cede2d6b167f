//! Schedules against a second implementation, the table of clock changes, and every refused spelling.

use super::*;
use jiff::Timestamp;
use std::fmt::Write as _;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn runs(text: &str, zone_name: &str, from: &str, to: &str) -> Vec<String> {
    let (schedule, zone, end) = (Schedule::cron(text).unwrap(), zone(zone_name), at(to));
    std::iter::successors(schedule.next_after(at(from), &zone), |slot| {
        schedule.next_after(*slot, &zone)
    })
    .take_while(|slot| *slot < end)
    .map(|slot| {
        slot.to_zoned(zone.clone())
            .strftime("%m-%d %H:%M %Z")
            .to_string()
    })
    .collect()
}

const ZONES: [&str; 12] = [
    "UTC",
    "Europe/Prague",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Pacific/Apia",
];

/// Croner fires `0 2,3 * * *` twice at the end of a spring gap, so schedules with neighbouring hours are not compared;
/// it also follows Vixie cron in treating `*/20 2 * * *` and `0 */6 * * *` as real hours, where ours are wall-clock times.
#[test]
fn ten_years_in_a_dozen_zones_equal_croner() {
    let (start, end) = (at("2024-01-01T00:00:00Z"), at("2034-01-01T00:00:00Z"));
    let rare = [
        "30 2 * * *",
        "0 2 * * 0",
        "0 0 13 * FRI",
        "0 3 1 * *",
        "5 4 * * 7",
        "0 0 29 2 *",
        "10 2 * * 6,0",
        "15 1,13 1-7 */3 mon-wed",
        "0 0 1 1 *",
    ];
    let mut compared = 0_usize;
    for (index, name) in ZONES.into_iter().enumerate() {
        let zone = zone(name);
        // Frequent schedules cost most and differ least: each in some of the zones.
        let frequent = (index % 4 == 1).then_some("15 * * * *");
        for text in rare.into_iter().chain(frequent) {
            let ours = Schedule::cron(text).unwrap();
            let theirs: croner::Cron = text.parse().unwrap();
            let mut last = start;
            for expected in theirs
                .iter_after(start.to_zoned(zone.clone()))
                .map(|run| run.timestamp())
                .take_while(|run| *run < end)
            {
                let next = ours.next_after(last, &zone);
                assert_eq!(next, Some(expected), "{text} in {name} after {last}");
                assert_eq!(ours.last_at_or_before(expected, &zone), Some(expected));
                let just_before = expected - SignedDuration::from_nanos(1);
                let previous = ours.last_at_or_before(just_before, &zone);
                if last > start {
                    assert_eq!(previous, Some(last), "{text} in {name} before {expected}");
                }
                last = expected;
                compared += 1;
            }
        }
    }
    assert!(compared > 100_000, "{compared}");
}

#[test]
fn a_daily_job_in_the_spring_gap_runs_once_after_it() {
    assert_eq!(
        runs(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00:00Z",
            "2026-03-31T00:00:00Z"
        ),
        ["03-28 02:30 CET", "03-29 03:00 CEST", "03-30 02:30 CEST"]
    );
}

#[test]
fn a_daily_job_in_the_autumn_overlap_runs_once_at_the_first() {
    assert_eq!(
        runs(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T00:00:00Z",
            "2026-10-27T00:00:00Z"
        ),
        ["10-24 02:30 CEST", "10-25 02:30 CEST", "10-26 02:30 CET"]
    );
}

#[test]
fn an_hourly_job_follows_real_hours_in_autumn_and_spring() {
    assert_eq!(
        runs(
            "30 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:00:00Z",
            "2026-10-25T03:00:00Z"
        ),
        [
            "10-25 01:30 CEST",
            "10-25 02:30 CEST",
            "10-25 02:30 CET",
            "10-25 03:30 CET"
        ]
    );
    assert_eq!(
        runs(
            "30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            "2026-03-29T03:00:00Z"
        ),
        ["03-29 01:30 CET", "03-29 03:30 CEST", "03-29 04:30 CEST"]
    );
}

#[test]
fn neighbouring_hours_are_neither_lost_nor_doubled_around_clock_changes() {
    assert_eq!(
        runs(
            "0 2,3 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-29T12:00:00Z"
        ),
        ["03-29 03:00 CEST"]
    );
    assert_eq!(
        runs(
            "0 2,3 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            "2026-10-25T12:00:00Z"
        ),
        ["10-25 02:00 CEST", "10-25 03:00 CET"]
    );
    assert_eq!(
        runs(
            "*/20 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            "2026-10-25T12:00:00Z"
        ),
        ["10-25 02:00 CEST", "10-25 02:20 CEST", "10-25 02:40 CEST"]
    );
    assert_eq!(
        runs(
            "*/20 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-29T12:00:00Z"
        ),
        ["03-29 03:00 CEST"]
    );
}

#[test]
fn looking_back_from_the_second_copy_of_an_hour_finds_its_first() {
    let (schedule, berlin) = (Schedule::cron("30 2 * * *").unwrap(), zone("Europe/Berlin"));
    // 02:10 for the second time: 02:30 was due, and happened, in the first copy.
    assert_eq!(
        schedule.last_at_or_before(at("2026-10-25T01:10:00Z"), &berlin),
        Some(at("2026-10-25T00:30:00Z"))
    );
}

#[test]
fn both_day_fields_are_or_ed_as_in_cron() {
    assert_eq!(
        runs(
            "0 0 13 * FRI",
            "UTC",
            "2026-02-01T00:00:00Z",
            "2026-02-28T00:00:00Z"
        ),
        [
            "02-06 00:00 UTC",
            "02-13 00:00 UTC",
            "02-20 00:00 UTC",
            "02-27 00:00 UTC"
        ]
    );
}

#[test]
fn intervals_count_from_their_anchor_in_both_directions() {
    let quarter =
        Schedule::every(SignedDuration::from_mins(15), at("2026-01-01T00:05:00Z")).unwrap();
    let utc = TimeZone::UTC;
    assert_eq!(
        quarter.next_after(at("2026-01-01T00:05:00Z"), &utc),
        Some(at("2026-01-01T00:20:00Z"))
    );
    assert_eq!(
        quarter.last_at_or_before(at("2025-12-31T23:59:59.5Z"), &utc),
        Some(at("2025-12-31T23:50:00Z"))
    );
    assert_eq!(
        quarter.last_at_or_before(at("1969-12-31T23:50:00Z"), &utc),
        Some(at("1969-12-31T23:50:00Z"))
    );
    assert_eq!(
        quarter.last_at_or_before(at("1969-12-31T23:49:59.5Z"), &utc),
        Some(at("1969-12-31T23:35:00Z"))
    );
    assert!(Schedule::every(SignedDuration::ZERO, Timestamp::UNIX_EPOCH).is_none());
}

#[test]
fn jitter_is_stable_and_below_its_bound() {
    let delay = |seed| {
        Schedule::cron("0 2 * * *")
            .unwrap()
            .with_jitter(SignedDuration::from_mins(10), seed)
            .start_delay()
            .as_secs()
    };
    // The very number: a release that draws it anew would move every backup of every user.
    assert_eq!((delay("orders/daily"), delay("wiki/daily")), (350, 54));
    assert!((0..600).contains(&delay("a/b")));
}

#[test]
fn largest_gap_equals_walking_every_slot() {
    for name in ZONES {
        let zone = zone(name);
        for text in [
            "0 2 * * *",
            "30 2 * * *",
            "0 */6 * * *",
            "45 1-4 * * 1-5",
            "0 3 1 * *",
            "0 0 * * 0",
            "0 0 1 1 *",
            "0 0 1,25 * *",
            "20 * * * *",
            "0 2,3 * * *",
        ] {
            let schedule = Schedule::cron(text).unwrap();
            for from in ["2026-01-10T05:00:00Z", "2026-10-25T00:40:00Z"] {
                let from = at(from);
                let end = from + SignedDuration::from_hours(366 * 24);
                let mut slot = schedule.last_at_or_before(from, &zone).unwrap();
                let mut expected = SignedDuration::ZERO;
                while slot <= end {
                    let next = schedule.next_after(slot, &zone).unwrap();
                    expected = expected.max(next.duration_since(slot));
                    slot = next;
                }
                let found = schedule.largest_gap(from, &zone);
                assert_eq!(found, expected, "{text} in {name} from {from}");
            }
        }
    }
}

#[test]
fn every_mistake_names_its_bytes() {
    let mut shown = String::new();
    for text in [
        "",
        "0 2 * *",
        "0 0 2 * * *",
        "0 0 2 * * * *",
        "@dayly",
        "61 * * * *",
        "0 24 * * *",
        "0 2 0 * *",
        "0 2 * 13 *",
        "0 2 * * 8",
        "0 2 * * fryday",
        "0 2 ? * *",
        "0 2 L * *",
        "0 2 * * 5#3",
        "5/15 * * * *",
        "*/0 * * * *",
        "1,,2 * * * *",
        "30-10 * * * *",
        "0 2 30 2 *",
        "0 2 31 4,6,9 *",
        "0 2 * * mon-",
        "+5 2 * * *",
        "é 2 * * *",
    ] {
        let error = Schedule::cron(text).unwrap_err();
        let _ = writeln!(
            shown,
            "{text}\n{:width$}{} {error}{}",
            "",
            "^".repeat(error.bytes.len().max(1)),
            error
                .help
                .as_ref()
                .map(|help| format!(" ({help})"))
                .unwrap_or_default(),
            width = text[..error.bytes.start].chars().count(),
        );
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn weekday_names_numbers_and_wrapping_ranges_mean_the_same() {
    for (one, other) in [
        ("0 2 * * 7", "0 2 * * SUN"),
        ("0 2 * * fri-mon", "0 2 * * 5,6,0,1"),
        ("0 2 * * 0-7", "0 2 * * *"),
        ("0 2 * jan-mar *", "0 2 * 1,2,3 *"),
        ("@weekly", "0 0 * * sun"),
    ] {
        let fields = |text| match Schedule::cron(text).unwrap().rhythm {
            Rhythm::Cron(cron) => *cron.fields(),
            Rhythm::Every(_) => unreachable!(),
        };
        let (mut one, mut other) = (fields(one), fields(other));
        one.either_day = false;
        other.either_day = false;
        assert_eq!(one, other);
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in ".{0,40}", digits in "[0-9*,/ -]{0,24}") {
        for text in [text, digits] {
            if let Err(error) = Schedule::cron(&text) {
                proptest::prop_assert!(text.get(error.bytes).is_some());
            }
        }
    }

    #[test]
    fn next_and_last_agree(
        minute in 0..60_u8, hour in 0..24_u8, day in 1..29_u8, second in 0..2_000_000_000_i64, pattern in 0..5_usize, name in 0..12_usize,
    ) {
        let text = [
            format!("{minute} {hour} * * *"), format!("{minute} * * * *"), format!("{minute} {hour} {day} * *"),
            format!("*/7 {hour} * * 1"), format!("{minute} */3 * * *"),
        ][pattern].clone();
        let (schedule, zone, from) = (Schedule::cron(&text).unwrap(), zone(ZONES[name]), Timestamp::from_second(second).unwrap());
        let next = schedule.next_after(from, &zone).unwrap();
        proptest::prop_assert!(next > from);
        proptest::prop_assert_eq!(schedule.last_at_or_before(next, &zone), Some(next));
        let last = schedule.last_at_or_before(from, &zone).unwrap();
        proptest::prop_assert!(last <= from);
        proptest::prop_assert_eq!(schedule.next_after(last, &zone), Some(next));
        proptest::prop_assert_eq!(schedule.last_at_or_before(next - SignedDuration::from_nanos(1), &zone), Some(last));
    }
}
