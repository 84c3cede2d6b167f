//! What the controls ask: a parameter that the policy sets counts for its database, is said to come from there, and never hides a stricter promise.

use super::{assess, expect, ten_days};
use model::{
    DatabaseName,
    evidence::{AskedParameters, ControlVerdict, EvidenceFacts, SubjectResult},
};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The ten days, with what checks ask of a database.
fn asking(database: &str, asked: AskedParameters) -> EvidenceFacts {
    let mut facts = ten_days();
    let name = DatabaseName::new(database).unwrap();
    facts.parameters.asked.insert(name, asked);
    facts
}

fn orders(facts: &EvidenceFacts, id: &str) -> SubjectResult {
    let assessment = assess(facts);
    let control = assessment
        .controls
        .into_iter()
        .find(|control| control.id == id);
    control.unwrap().subjects.remove(0)
}

#[test]
fn a_minimum_retention_counts_for_the_database_that_it_is_asked_of_and_no_other() {
    let asked = AskedParameters {
        retention_seconds: Some(3 * DAY),
        ..AskedParameters::default()
    };
    let id = "retention.minimum";
    expect(&assess(&asking("orders", asked)), id, ControlVerdict::Met);
    let set = orders(&asking("orders", asked), id);
    assert_eq!(
        set.why,
        "something is kept for 3 days, 3 days are asked for by check minimum-retention of the policy"
    );
    assert_eq!(
        (set.numbers["asked-days"], set.numbers["asked-by-policy"]),
        (3, 1)
    );
    let other = orders(&asking("shop", asked), id);
    assert_eq!(other.verdict, ControlVerdict::NotMet);
    assert_eq!(
        other.why,
        "something is kept for 3 days, 35 days are asked for by the default"
    );
    assert_eq!(other.numbers["asked-by-policy"], 0);
    let more = AskedParameters {
        retention_seconds: Some(3 * DAY + HOUR),
        ..AskedParameters::default()
    };
    expect(&assess(&asking("orders", more)), id, ControlVerdict::NotMet);
}

#[test]
fn a_loose_parameter_does_not_hide_a_stricter_rpo() {
    let loose = AskedParameters {
        frequency_seconds: Some(7 * DAY),
        last_point_seconds: Some(7 * DAY),
        ..AskedParameters::default()
    };
    let facts = asking("orders", loose);
    let gap = orders(&facts, "schedule.frequency");
    assert_eq!(gap.why, "at most 24 h apart, 26 h are asked for by its RPO");
    let age = orders(&facts, "recency.newest");
    assert_eq!(
        age.why,
        "newest good point is 9 h old, 26 h are allowed by its RPO"
    );
    let strict = AskedParameters {
        frequency_seconds: Some(6 * HOUR),
        last_point_seconds: Some(6 * HOUR),
        ..AskedParameters::default()
    };
    let facts = asking("orders", strict);
    for (id, check) in [
        ("schedule.frequency", "minimum-frequency"),
        ("recency.newest", "newest-within"),
    ] {
        let subject = orders(&facts, id);
        assert_eq!(subject.verdict, ControlVerdict::NotMet, "{}", subject.why);
        assert!(
            subject
                .why
                .ends_with(&format!("by check {check} of the policy")),
            "{}",
            subject.why
        );
    }
}

#[test]
fn a_lock_that_is_shorter_than_what_is_asked_is_not_met() {
    let lock = |seconds| {
        let mut facts = asking(
            "orders",
            AskedParameters {
                lock_seconds: seconds,
                ..AskedParameters::default()
            },
        );
        let newest = facts.copies.last_mut().unwrap();
        let made = newest.captured_at.unwrap();
        newest.locked_until = Some(made + jiff::SignedDuration::from_hours(48));
        orders(&facts, "immutability.lock")
    };
    assert_eq!(lock(None).verdict, ControlVerdict::Met);
    assert_eq!(lock(Some(2 * DAY)).verdict, ControlVerdict::Met);
    let short = lock(Some(3 * DAY));
    assert_eq!(short.verdict, ControlVerdict::NotMet);
    assert!(
        short.why.ends_with("0 of them for as long as check minimum-lock of the policy asks, 72 h from when the point was made"),
        "{}",
        short.why
    );
    assert_eq!(
        (short.numbers["locked"], short.numbers["locked-long-enough"]),
        (1, 0)
    );
}
