//! Simulations of small policies, added up by hand.

use super::{Days, days::Counter};
use jiff::{Timestamp, tz::TimeZone};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn days_end_at_the_midnights_of_the_zone_and_at_the_end() {
    let zone = TimeZone::get("Europe/Prague").unwrap();
    // The night of the autumn change has 25 hours.
    let days = Days::new(
        at("2026-10-24T10:00:00Z"),
        at("2026-10-27T10:00:00Z"),
        &zone,
    );
    assert_eq!(days.len(), 4);
    assert_eq!(days.first().to_string(), "2026-10-24");
    assert_eq!(days.date(3).to_string(), "2026-10-27");
    assert_eq!(days.number(at("2026-10-24T21:59:59Z")), 0);
    assert_eq!(days.number(at("2026-10-24T22:00:00Z")), 1);
    assert_eq!(days.number(at("2026-10-25T22:30:00Z")), 1);
    assert_eq!(days.number(at("2026-10-25T23:00:00Z")), 2);
}

#[test]
fn what_is_there_at_a_midnight_counts_on_the_day_that_it_ends() {
    let days = Days::new(
        at("2026-11-21T00:00:00Z"),
        at("2026-11-25T00:00:00Z"),
        &TimeZone::UTC,
    );
    let mut counter: Counter = days.counter();
    counter.add(
        &days.range(at("2026-11-21T02:00:00Z"), Some(at("2026-11-23T02:00:00Z"))),
        5,
    );
    counter.add(&days.range(at("2026-11-22T00:00:00Z"), None), 1);
    // Gone before midnight: on no day.
    counter.add(
        &days.range(at("2026-11-24T01:00:00Z"), Some(at("2026-11-24T02:00:00Z"))),
        100,
    );
    assert_eq!(counter.totals(), [6, 6, 1, 1]);
}
