//! The calendar units of restic and borg, as both tell them apart: by what a clock on the wall shows.
//!
//! So the two hours 02 of an autumn night are one to them, which our own calendar (`retention::calendar`) keeps apart.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use model::retention::Each;

/// The instant in the zone in which the tool runs.
pub(super) fn wall_clock(at: Timestamp, zone: &TimeZone) -> DateTime {
    zone.to_datetime(at)
}

/// A number that is the same for two times of one unit, and for no others of the same kind; `Point` has seconds.
pub(super) fn unit(each: Each, time: DateTime) -> i64 {
    let (year, month, day) = (
        i64::from(time.year()),
        i64::from(time.month()),
        i64::from(time.day()),
    );
    let date = year * 10_000 + month * 100 + day;
    match each {
        Each::Point => {
            let (hour, minute) = (i64::from(time.hour()), i64::from(time.minute()));
            date * 1_000_000 + hour * 10_000 + minute * 100 + i64::from(time.second())
        }
        Each::Hour => date * 100 + i64::from(time.hour()),
        Each::Day => date,
        Each::Week => {
            let week = time.date().iso_week_date();
            i64::from(week.year()) * 100 + i64::from(week.week())
        }
        Each::Month => year * 100 + month,
        Each::Quarter => year * 10 + (month - 1) / 3,
        Each::Year => year,
    }
}
