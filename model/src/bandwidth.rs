//! How fast a tier may be read and written: a limit, and other limits at certain times of the day.
//!
//! Pure data. Times are of the wall clock in the policy's time zone; whoever asks converts its clock. Not here: the waiting
//! itself (`providers`), where a limit stands in a policy (`policy-schema`).

use crate::units::ByteCount;
use jiff::civil::Time;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Limits of one tier, in bytes per second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bandwidth {
    /// Outside of all windows; `None`: no limit.
    pub default: Option<ByteCount>,
    /// Times of the day with a limit of their own; the first that holds a time decides.
    pub windows: Vec<BandwidthWindow>,
}

/// A part of every day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BandwidthWindow {
    /// First moment.
    pub from: Time,
    /// The moment at which it is over; not after `from` when it crosses midnight.
    pub to: Time,
    /// Bytes per second.
    pub limit: ByteCount,
}

impl Bandwidth {
    /// The limit at a time of the day, in bytes per second; `None`: no limit.
    pub fn limit_at(&self, time: Time) -> Option<ByteCount> {
        let window = self.windows.iter().find(|window| window.holds(time));
        window.map_or(self.default, |window| Some(window.limit))
    }

    /// Reads a rate such as `50MiB/s`.
    pub fn parse_rate(text: &str) -> Result<ByteCount, String> {
        let text = text.trim();
        let example = "write it in bytes per second, like 50MiB/s";
        let Some((size, "s")) = text.rsplit_once('/') else {
            return Err(format!("`{text}` is not a rate; {example}"));
        };
        let bits = size.trim_end().trim_end_matches("ps").to_ascii_lowercase();
        if bits.ends_with("bit") || bits.ends_with("bits") {
            return Err(format!(
                "`{text}` counts bits; {example}, which is an eighth of that number"
            ));
        }
        let rate = ByteCount::parse(size).map_err(|why| format!("{why}; {example}"))?;
        if rate.0 == 0 {
            return Err(format!(
                "`{text}` would stop every transfer; leave `bandwidth` out for no limit"
            ));
        }
        Ok(rate)
    }

    /// Reads a time of the day such as `08:00`; `24:00` is midnight at the end of a day.
    pub fn parse_time(text: &str) -> Result<Time, String> {
        let wrong = || format!("`{text}` is not a time of the day; write it like 08:00 or 22:30");
        let (hours, minutes) = text.trim().split_once(':').ok_or_else(wrong)?;
        let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(hours) || !digits(minutes) {
            return Err(wrong());
        }
        if (hours, minutes) == ("24", "00") {
            return Ok(Time::midnight());
        }
        let number = |part: &str| part.parse::<i8>().map_err(|_| wrong());
        Time::new(number(hours)?, number(minutes)?, 0, 0).map_err(|_| wrong())
    }
}

impl BandwidthWindow {
    fn holds(&self, time: Time) -> bool {
        if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        }
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for window in &self.windows {
            let (from, to) = (window.from.strftime("%H:%M"), window.to.strftime("%H:%M"));
            write!(f, "{}/s from {from} to {to}, ", window.limit)?;
        }
        match (self.default, self.windows.is_empty()) {
            (Some(limit), true) => write!(f, "{limit}/s"),
            (Some(limit), false) => write!(f, "else {limit}/s"),
            (None, true) => f.write_str("no limit"),
            (None, false) => f.write_str("else no limit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::time;

    fn office_and_night() -> Bandwidth {
        let window = |from, to, mib: u64| BandwidthWindow {
            from,
            to,
            limit: ByteCount(mib << 20),
        };
        Bandwidth {
            default: Some(ByteCount(100 << 20)),
            windows: vec![
                window(time(8, 0, 0, 0), time(18, 0, 0, 0), 10),
                window(time(22, 0, 0, 0), time(6, 0, 0, 0), 200),
            ],
        }
    }

    #[test]
    fn the_window_that_holds_a_time_decides_also_across_midnight() {
        let bandwidth = office_and_night();
        for (hour, minute, mib) in [
            (7, 59, 100),
            (8, 0, 10),
            (17, 59, 10),
            (18, 0, 100),
            (22, 0, 200),
            (23, 59, 200),
            (0, 0, 200),
            (5, 59, 200),
            (6, 0, 100),
        ] {
            let limit = bandwidth.limit_at(time(hour, minute, 0, 0));
            assert_eq!(limit, Some(ByteCount(mib << 20)), "{hour}:{minute}");
        }
        assert_eq!(Bandwidth::default().limit_at(time(12, 0, 0, 0)), None);
        assert_eq!(
            bandwidth.to_string(),
            "10.0 MiB/s from 08:00 to 18:00, 200.0 MiB/s from 22:00 to 06:00, else 100.0 MiB/s"
        );
    }

    #[test]
    fn a_rate_has_a_unit_of_time_and_is_not_zero() {
        assert_eq!(Bandwidth::parse_rate("50MiB/s"), Ok(ByteCount(50 << 20)));
        assert_eq!(Bandwidth::parse_rate("1.5 MB/s"), Ok(ByteCount(1_500_000)));
        for wrong in [
            "50MiB",
            "50MiB/h",
            "0MiB/s",
            "/s",
            "fast/s",
            "",
            "100Mbit/s",
        ] {
            assert!(Bandwidth::parse_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_of_the_day_has_two_digits_each_and_exists() {
        assert_eq!(Bandwidth::parse_time("08:30"), Ok(time(8, 30, 0, 0)));
        assert_eq!(Bandwidth::parse_time("24:00"), Ok(Time::midnight()));
        for wrong in [
            "8:00", "25:00", "24:01", "08:60", "0800", "-1:00", "8am", "",
        ] {
            assert!(Bandwidth::parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
