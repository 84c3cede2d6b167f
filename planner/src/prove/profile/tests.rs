//! Profiles of lives that are written out, and of any lives at all against somebody who asks at every hour.

use super::*;
use model::ByteCount;
use proptest::prelude::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn at(hours: i64) -> Timestamp {
    Timestamp::from_second(hours * HOUR).unwrap()
}

/// A state of an hour, relied upon from then until another.
fn life(captured: i64, from: i64, until: Option<i64>) -> Life {
    Life {
        slot: at(captured),
        captured_at: at(captured),
        from: at(from),
        verified_from: Some(at(from)),
        until: until.map(at),
        end: None,
        bytes: ByteCount(0),
        point: None,
        parent: None,
        held: false,
        locked_until: None,
    }
}

fn profile(lives: &[Life], from: i64, until: i64) -> Profile {
    Profile::of(lives.iter(), (at(from), at(until)), false)
}

fn gap_at(profile: &Profile, age: i64) -> Option<i64> {
    profile.gap_in((age, Some(age + 1)))
}

/// A state a day, each for seven days.
fn daily() -> Vec<Life> {
    (0..60)
        .map(|day| life(day * 24, day * 24, Some((day + 7) * 24)))
        .collect()
}

#[test]
fn daily_states_are_a_day_apart_as_far_back_as_they_are_kept() {
    let profile = profile(&daily(), 20 * 24, 40 * 24);
    assert_eq!(profile.now, Some(DAY));
    assert_eq!(gap_at(&profile, HOUR), Some(DAY));
    assert_eq!(gap_at(&profile, 5 * DAY), Some(DAY));
    // The oldest goes at the very moment at which it is seven days old, and the next is six.
    assert_eq!(profile.reach, Some(6 * DAY));
    assert_eq!(gap_at(&profile, 6 * DAY), None);
}

#[test]
fn what_is_lost_now_waits_for_the_verification_of_the_next_state() {
    let slow: Vec<Life> = (0..60)
        .map(|day| life(day * 24, day * 24 + 3, Some((day + 7) * 24 + 3)))
        .collect();
    assert_eq!(profile(&slow, 480, 960).now, Some(27 * HOUR));
    let mut unverified = daily();
    unverified[30].verified_from = None;
    assert_eq!(profile(&unverified, 480, 960).now, Some(2 * DAY));
}

#[test]
fn older_states_are_as_far_apart_as_what_thinning_left() {
    // One a day for a week, one in seven for five weeks.
    let lives: Vec<Life> = (0..200)
        .map(|day| {
            let kept = if day % 7 == 0 { 35 } else { 7 };
            life(day * 24, day * 24, Some((day + kept) * 24))
        })
        .collect();
    let profile = profile(&lives, 60 * 24, 150 * 24);
    assert_eq!(gap_at(&profile, 4 * DAY), Some(DAY));
    assert_eq!(gap_at(&profile, 20 * DAY), Some(7 * DAY));
    assert_eq!(profile.reach, Some(28 * DAY));
    let case = profile.witness((20 * DAY, None), DAY).unwrap();
    let age = seconds(case.wanted, case.at);
    assert!(age >= 20 * DAY, "{case:?}");
    let there = lives.iter().filter(|life| life.is_proved(case.seen));
    let state = there.filter(|life| life.captured_at <= case.wanted);
    let lost = seconds(
        state.map(|life| life.captured_at).max().unwrap(),
        case.wanted,
    );
    assert!(lost > DAY && lost < 7 * DAY, "{lost} in {case:?}");
    assert!(profile.witness((0, Some(4 * DAY)), DAY).is_none());
}

#[test]
fn a_time_without_any_state_is_no_protection_at_all() {
    let mut lives = daily();
    lives.drain(25..34);
    let profile = profile(&lives, 480, 960);
    assert_eq!((profile.now, profile.reach), (None, Some(0)));
    assert_eq!(gap_at(&profile, 0), None);
}

#[test]
fn the_order_of_lives_does_not_matter_and_copies_count_once() {
    let mut lives = daily();
    lives.extend(daily());
    let forward = profile(&lives, 480, 960);
    lives.reverse();
    let backward = profile(&lives, 480, 960);
    assert_eq!(forward.steps, backward.steps);
    assert_eq!(forward.now, Some(DAY));
}

/// States of any hour, relied upon after a while, for a while.
fn any_lives() -> impl Strategy<Value = Vec<Life>> {
    let one = (0_i64..200, 0_i64..6, 1_i64..90);
    let lives = one.prop_map(|(captured, wait, kept)| {
        life(captured, captured + wait, Some(captured + wait + kept))
    });
    proptest::collection::vec(lives, 1..60)
}

proptest! {
    /// Whenever somebody asks, and for whatever age: what is lost is never more than what was told.
    #[test]
    fn nobody_ever_loses_more_than_was_told(lives in any_lives(), age in 0_i64..120) {
        let profile = profile(&lives, 60, 150);
        for hour in 60..150 {
            let asked = at(hour);
            let wanted = at(hour - age);
            let there = lives.iter().filter(|life| life.is_proved(asked) && life.captured_at <= wanted);
            let lost = there.map(|life| seconds(life.captured_at, wanted)).min();
            if age == 0 && let Some(now) = profile.now {
                prop_assert!(lost.is_some_and(|lost| lost <= now), "{lost:?} at {hour} h, {now} told");
            }
            if let Some(gap) = gap_at(&profile, age * HOUR) {
                prop_assert!(lost.is_some_and(|lost| lost <= gap), "{lost:?} at {hour} h of age {age} h, {gap} told");
            }
        }
    }

    /// A case that is shown is one: at that instant there is no state as near as was allowed.
    #[test]
    fn a_case_that_is_shown_is_one(lives in any_lives(), age in 0_i64..100, allowed in 0_i64..40) {
        let profile = profile(&lives, 60, 150);
        if let Some(case) = profile.witness((age * HOUR, None), allowed * HOUR) {
            prop_assert!(seconds(case.wanted, case.at) >= age * HOUR, "{case:?}");
            let there = lives.iter().filter(|life| life.is_proved(case.seen) && life.captured_at <= case.wanted);
            if let Some(newest) = there.map(|life| life.captured_at).max() {
                let lost = seconds(newest, case.wanted);
                prop_assert!(lost >= allowed * HOUR, "{lost} s lost, {case:?}");
            }
        }
    }
}
