//! Calendar units of one instant in one zone, as typed keys: week 1 and month 1 are different values of different
//! variants, so rules of different units never meet in one set.
//!
//! Invariant: an instant is converted to the zone once; every key is then derived from civil fields.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use model::retention::Each;

/// An instant with its civil date and hour in the policy's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    date: Date,
    hour: i8,
    /// Keeps the two hours 02 of an autumn night apart.
    offset_seconds: i32,
}

/// The unit that a point falls into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PeriodKey {
    Hour {
        date: Date,
        hour: i8,
        offset_seconds: i32,
    },
    Day(Date),
    /// ISO 8601 week with its ISO year: 2027-01-01 is in week 53 of 2026.
    Week {
        iso_year: i16,
        week: i8,
    },
    Month {
        year: i16,
        month: i8,
    },
    Quarter {
        year: i16,
        quarter: i8,
    },
    Year(i16),
}

impl Moment {
    pub(crate) fn new(at: Timestamp, zone: &TimeZone) -> Self {
        let offset = zone.to_offset(at);
        let civil = offset.to_datetime(at);
        Self {
            at,
            date: civil.date(),
            hour: civil.hour(),
            offset_seconds: offset.seconds(),
        }
    }

    /// The unit of kind `each`; `None` where every point counts for itself.
    pub(crate) fn key(&self, each: Each) -> Option<PeriodKey> {
        let date = self.date;
        Some(match each {
            Each::Point => return None,
            Each::Hour => PeriodKey::Hour {
                date,
                hour: self.hour,
                offset_seconds: self.offset_seconds,
            },
            Each::Day => PeriodKey::Day(date),
            Each::Week => {
                let iso = date.iso_week_date();
                PeriodKey::Week {
                    iso_year: iso.year(),
                    week: iso.week(),
                }
            }
            Each::Month => PeriodKey::Month {
                year: date.year(),
                month: date.month(),
            },
            Each::Quarter => PeriodKey::Quarter {
                year: date.year(),
                quarter: (date.month() - 1) / 3,
            },
            Each::Year => PeriodKey::Year(date.year()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(at: &str, each: Each) -> Option<PeriodKey> {
        Moment::new(
            at.parse().unwrap(),
            &TimeZone::get("Europe/Prague").unwrap(),
        )
        .key(each)
    }

    #[test]
    fn weeks_carry_their_iso_year() {
        assert_eq!(
            key("2027-01-01T12:00:00Z", Each::Week),
            Some(PeriodKey::Week {
                iso_year: 2026,
                week: 53
            })
        );
        assert_eq!(
            key("2024-12-30T12:00:00Z", Each::Week),
            Some(PeriodKey::Week {
                iso_year: 2025,
                week: 1
            })
        );
    }

    #[test]
    fn periods_are_those_of_the_zone() {
        assert_eq!(
            key("2026-12-31T23:30:00Z", Each::Year),
            Some(PeriodKey::Year(2027))
        );
    }

    #[test]
    fn the_two_equal_hours_of_an_autumn_night_are_two() {
        assert_ne!(
            key("2026-10-25T00:30:00Z", Each::Hour),
            key("2026-10-25T01:30:00Z", Each::Hour)
        );
    }
}
