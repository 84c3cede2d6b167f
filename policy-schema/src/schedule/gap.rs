//! The largest gap between neighbouring slots over the coming year, without walking a year of slots.
//!
//! Away from clock changes a gap is a difference of civil times: either inside a matching day (the same for all days) or
//! between neighbouring matching days. Around each change the real slots are walked for a few hours.

use super::crontab::Crontab;
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

/// Largest gap of slots from the one at or before `from` to the first one a year later.
pub(super) fn largest(cron: &Crontab, from: Timestamp, zone: &TimeZone) -> SignedDuration {
    let fields = cron.fields();
    let year = SignedDuration::from_hours(366 * 24);
    let Ok(end) = from.checked_add(year) else {
        return SignedDuration::ZERO;
    };
    let changes: Vec<Timestamp> = zone
        .following(from)
        .map(|change| change.timestamp())
        .take_while(|change| *change <= end)
        .collect();
    let mut largest = SignedDuration::from_mins(fields.largest_gap_in_a_day());
    for change in &changes {
        largest = largest.max(around(cron, *change, zone));
    }
    let start = cron
        .last_at_or_before(from, zone)
        .or_else(|| cron.next_after(from, zone));
    if let Some(start) = start {
        let days = (zone.to_datetime(start).date(), zone.to_datetime(end).date());
        largest = largest.max(between_days(cron, days, &changes, zone));
    }
    largest
}

fn around(cron: &Crontab, change: Timestamp, zone: &TimeZone) -> SignedDuration {
    let mut largest = SignedDuration::ZERO;
    let Ok(before) = change.checked_sub(SignedDuration::from_nanos(1)) else {
        return largest;
    };
    let mut slot = cron.last_at_or_before(before, zone);
    // A repeated hour suppresses wall-clock slots for as long as the clock was set back; no zone does more than this.
    let settled = SignedDuration::from_hours(3);
    while let Some(this) = slot.filter(|slot| slot.duration_since(change) <= settled) {
        slot = cron.next_after(this, zone);
        if let Some(next) = slot {
            largest = largest.max(next.duration_since(this));
        }
    }
    largest
}

fn between_days(
    cron: &Crontab,
    (start, end): (Date, Date),
    changes: &[Timestamp],
    zone: &TimeZone,
) -> SignedDuration {
    let fields = cron.fields();
    let (first, last) = (minutes(fields.first_time()), minutes(fields.last_time()));
    let days_of_change: Vec<Date> = changes
        .iter()
        .map(|change| zone.to_datetime(*change).date())
        .collect();
    let mut largest = SignedDuration::ZERO;
    let mut day = start;
    while day <= end {
        let Some(next) = day.tomorrow().ok().and_then(|from| fields.first_day(from)) else {
            break;
        };
        let near_a_change = days_of_change
            .iter()
            .any(|change| *change >= day && *change <= next);
        let gap = if near_a_change {
            real_gap(cron, day, zone)
        } else {
            SignedDuration::from_hours(24 * days_between(day, next))
                + SignedDuration::from_mins(first - last)
        };
        largest = largest.max(gap);
        day = next;
    }
    largest
}

/// From the last slot of a day to the next one, by the clock of the zone.
fn real_gap(cron: &Crontab, day: Date, zone: &TimeZone) -> SignedDuration {
    let (hour, minute) = cron.fields().last_time();
    let last_of_day = super::wall_clock::instant(day.at(hour, minute, 0, 0), zone);
    let Some(slot) = last_of_day.and_then(|at| cron.last_at_or_before(at, zone)) else {
        return SignedDuration::ZERO;
    };
    cron.next_after(slot, zone)
        .map_or(SignedDuration::ZERO, |next| next.duration_since(slot))
}

fn days_between(day: Date, next: Date) -> i64 {
    day.duration_until(next).as_hours() / 24
}

fn minutes((hour, minute): (i8, i8)) -> i64 {
    i64::from(hour) * 60 + i64::from(minute)
}
