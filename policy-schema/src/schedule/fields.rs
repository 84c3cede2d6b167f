//! Which civil minutes, hours and days a crontab matches, as bit sets; finds the next or the previous match.
//!
//! Civil time only: no zone, no offset (that is `wall_clock`). Days are searched month by month, times by bits, so a
//! search costs well under a microsecond however rare the schedule is.

use jiff::civil::{Date, DateTime, Weekday, date};

/// The sets of a parsed crontab. Bit `n` of a set stands for the number `n`; Sunday is weekday 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) minutes: u64,
    pub(super) hours: u32,
    pub(super) days: u32,
    pub(super) months: u16,
    pub(super) weekdays: u8,
    /// Both day fields are restricted: either may match (POSIX crontab).
    pub(super) either_day: bool,
}

/// Rarest possible: 29 February on one weekday, across a century that is no leap year.
const SEARCH_YEARS: i16 = 45;

impl Fields {
    /// Whether every hour of a matching day is named.
    pub(super) fn names_every_hour(&self) -> bool {
        self.hours == (1 << 24) - 1
    }

    /// Whether any date of the 400-year cycle of the calendar matches.
    pub(super) fn ever_fires(&self) -> bool {
        self.minutes != 0 && self.hours != 0 && self.first_day(date(2000, 1, 1)).is_some()
    }

    fn matches_day(&self, day: Date) -> bool {
        if self.months >> day.month() & 1 == 0 {
            return false;
        }
        let by_month = self.days >> day.day() & 1 == 1;
        let by_week = self.weekdays >> sunday_offset(day.weekday()) & 1 == 1;
        if self.either_day {
            by_month || by_week
        } else {
            by_month && by_week
        }
    }

    /// First matching day at or after `from`.
    pub(super) fn first_day(&self, from: Date) -> Option<Date> {
        let last_year = from.year().saturating_add(SEARCH_YEARS);
        let mut day = from;
        loop {
            if self.months >> day.month() & 1 == 0 {
                day = day.last_of_month().tomorrow().ok()?;
                if day.year() > last_year {
                    return None;
                }
            } else if self.matches_day(day) {
                return Some(day);
            } else {
                day = day.tomorrow().ok()?;
            }
        }
    }

    /// Last matching day at or before `from`.
    pub(super) fn last_day(&self, from: Date) -> Option<Date> {
        let first_year = from.year().saturating_sub(SEARCH_YEARS);
        let mut day = from;
        loop {
            if self.months >> day.month() & 1 == 0 {
                day = day.first_of_month().yesterday().ok()?;
                if day.year() < first_year {
                    return None;
                }
            } else if self.matches_day(day) {
                return Some(day);
            } else {
                day = day.yesterday().ok()?;
            }
        }
    }

    /// First match strictly after `after`.
    pub(super) fn next_after(&self, after: DateTime) -> Option<DateTime> {
        let mut day = after.date();
        if self.matches_day(day)
            && let Some((hour, minute)) = self.time_after(after.hour(), after.minute())
        {
            return Some(day.at(hour, minute, 0, 0));
        }
        day = self.first_day(day.tomorrow().ok()?)?;
        let (hour, minute) = self.first_time();
        Some(day.at(hour, minute, 0, 0))
    }

    /// Last match at or before `at`.
    pub(super) fn last_at_or_before(&self, at: DateTime) -> Option<DateTime> {
        let mut day = at.date();
        if self.matches_day(day)
            && let Some((hour, minute)) = self.time_at_or_before(at.hour(), at.minute())
        {
            return Some(day.at(hour, minute, 0, 0));
        }
        day = self.last_day(day.yesterday().ok()?)?;
        let (hour, minute) = self.last_time();
        Some(day.at(hour, minute, 0, 0))
    }

    /// First time of a matching day.
    pub(super) fn first_time(&self) -> (i8, i8) {
        (lowest(u64::from(self.hours)), lowest(self.minutes))
    }

    /// Last time of a matching day.
    pub(super) fn last_time(&self) -> (i8, i8) {
        (highest(u64::from(self.hours)), highest(self.minutes))
    }

    /// The largest distance in minutes between neighbouring times of one matching day.
    pub(super) fn largest_gap_in_a_day(&self) -> i64 {
        let mut largest = 0;
        let mut previous = None;
        for hour in (0..24).filter(|hour| self.hours >> hour & 1 == 1) {
            for minute in (0..60).filter(|minute| self.minutes >> minute & 1 == 1) {
                let now = hour * 60 + minute;
                largest = largest.max(now - previous.unwrap_or(now));
                previous = Some(now);
            }
        }
        largest
    }

    fn time_after(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        let later_minutes = self.minutes & (!0 << (minute + 1));
        if self.hours >> hour & 1 == 1 && later_minutes != 0 {
            return Some((hour, lowest(later_minutes)));
        }
        let later_hours = self.hours & (!0 << (hour + 1));
        (later_hours != 0).then(|| (lowest(u64::from(later_hours)), lowest(self.minutes)))
    }

    fn time_at_or_before(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        let earlier_minutes = self.minutes & !(!0 << (minute + 1));
        if self.hours >> hour & 1 == 1 && earlier_minutes != 0 {
            return Some((hour, highest(earlier_minutes)));
        }
        let earlier_hours = self.hours & !(!0 << hour);
        (earlier_hours != 0).then(|| (highest(u64::from(earlier_hours)), highest(self.minutes)))
    }
}

fn sunday_offset(weekday: Weekday) -> i8 {
    weekday.to_sunday_zero_offset()
}

#[expect(clippy::cast_possible_truncation, reason = "a bit's index is below 64")]
fn lowest(set: u64) -> i8 {
    set.trailing_zeros() as i8
}

#[expect(clippy::cast_possible_truncation, reason = "a bit's index is below 64")]
fn highest(set: u64) -> i8 {
    63 - set.leading_zeros() as i8
}
