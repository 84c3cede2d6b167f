//! Calendar units of one instant in one zone, as typed keys: week 1 and month 1 are different values of different
//! variants, so rules of different units never meet in one set.
//!
//! Invariant: an instant is converted to the zone once; every key is then derived from civil fields.

use jiff::{SignedDuration, Timestamp, ToSpan, civil::Date, tz::TimeZone};
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

    /// The first instant of its unit; itself where every point counts for itself.
    pub(crate) fn unit_start(&self, each: Each, zone: &TimeZone) -> Timestamp {
        match each {
            Each::Point => self.at,
            Each::Hour => {
                let into = self.at.as_second() + i64::from(self.offset_seconds);
                let into = SignedDuration::from_secs(into.rem_euclid(3600));
                self.at.checked_sub(into).unwrap_or(self.at)
            }
            _ => start_of_day(self.first_day(each), zone).unwrap_or(self.at),
        }
    }

    /// The first instant after its unit; itself where a unit has no length or is short.
    pub(crate) fn unit_end(&self, each: Each, zone: &TimeZone) -> Timestamp {
        let span = match each {
            Each::Point | Each::Hour => return self.at,
            Each::Day => 1.day(),
            Each::Week => 1.week(),
            Each::Month => 1.month(),
            Each::Quarter => 3.months(),
            Each::Year => 1.year(),
        };
        self.first_day(each)
            .checked_add(span)
            .ok()
            .and_then(|date| start_of_day(date, zone))
            .unwrap_or(self.at)
    }

    fn first_day(&self, each: Each) -> Date {
        let date = self.date;
        match each {
            Each::Point | Each::Hour | Each::Day => date,
            Each::Week => {
                let days = i64::from(date.weekday().to_monday_zero_offset());
                date.checked_sub(days.days()).unwrap_or(date)
            }
            Each::Month => date.first_of_month(),
            Each::Quarter => {
                let months = i64::from((date.month() - 1) % 3);
                let first = date.first_of_month();
                first.checked_sub(months.months()).unwrap_or(first)
            }
            Each::Year => date.first_of_year(),
        }
    }
}

fn start_of_day(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    Some(date.to_zoned(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_begins_and_ends_where_its_key_changes() {
        let zone = TimeZone::get("Europe/Prague").unwrap();
        let all = [
            Each::Hour,
            Each::Day,
            Each::Week,
            Each::Month,
            Each::Quarter,
            Each::Year,
        ];
        let first: Timestamp = "2026-01-01T05:17:31Z".parse().unwrap();
        for step in 0..400 {
            let moment = Moment::new(first + SignedDuration::from_hours(step * 31), &zone);
            for each in all {
                let start = moment.unit_start(each, &zone);
                let before = Moment::new(start - SignedDuration::from_secs(1), &zone);
                assert_eq!(Moment::new(start, &zone).key(each), moment.key(each));
                assert_ne!(before.key(each), moment.key(each), "{each:?} {start}");
                if each != Each::Hour {
                    let end = moment.unit_end(each, &zone);
                    let last = Moment::new(end - SignedDuration::from_secs(1), &zone);
                    assert_eq!(last.key(each), moment.key(each), "{each:?} {end}");
                    assert_ne!(Moment::new(end, &zone).key(each), moment.key(each));
                }
            }
        }
    }

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
