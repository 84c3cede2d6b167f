//! Durations of the policy language: `15m 24h 7d 4w 12mo 7y`, composed `1y2mo3d`, with calendar parts kept apart.
//!
//! Not `std::time::Duration`: a month has no fixed length. Calendar parts are applied in the policy's time zone.

use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A calendar duration; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Period {
    /// Calendar years.
    pub years: u32,
    /// Calendar months.
    pub months: u32,
    /// Weeks and days, in days.
    pub days: u32,
    /// Hours, minutes and seconds, in seconds.
    pub seconds: u64,
}

impl Period {
    /// Reads `1y2mo3d4h5m6s`; each unit at most once, largest first; `m` is minutes and `mo` months.
    pub fn parse(text: &str) -> Result<Self, String> {
        let example = "write it like 15m, 24h, 7d, 4w, 12mo, 7y or 1y2mo3d";
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(format!("a duration is empty; {example}"));
        }
        let mut period = Self::default();
        let mut last_rank = 0;
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let letters = tail
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            if number.is_empty() {
                return Err(format!("`{text}` is not a duration; {example}"));
            }
            let number: u32 = number
                .parse()
                .map_err(|_| format!("`{number}` in `{text}` is too large"))?;
            let rank = match unit {
                "y" => 1,
                "mo" => 2,
                "w" => 3,
                "d" => 4,
                "h" => 5,
                "m" => 6,
                "s" => 7,
                "" => return Err(format!("`{text}` lacks a unit after {number}; {example}")),
                other => {
                    return Err(format!(
                        "`{other}` in `{text}` is not a unit of time; {example}"
                    ));
                }
            };
            if rank <= last_rank {
                return Err(format!(
                    "`{text}` must name each unit once, largest first; {example}"
                ));
            }
            last_rank = rank;
            let too_large = || format!("`{text}` is too large");
            let wide = u64::from(number);
            match rank {
                1 => period.years = number,
                2 => period.months = number,
                3 => period.days = number.checked_mul(7).ok_or_else(too_large)?,
                4 => period.days = period.days.checked_add(number).ok_or_else(too_large)?,
                5 => period.seconds += wide * 3600,
                6 => period.seconds += wide * 60,
                _ => period.seconds += wide,
            }
            rest = tail;
        }
        if period.years > 9999 || period.months > 120_000 || period.days > 3_650_000 {
            return Err(format!("`{text}` is longer than 9999 years"));
        }
        Ok(period)
    }

    /// True for `0d` and the like.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// The exact length, if there are no calendar months or years; a day counts 24 hours.
    pub fn fixed(self) -> Option<SignedDuration> {
        (self.years == 0 && self.months == 0).then(|| {
            SignedDuration::from_secs((u64::from(self.days) * 86_400 + self.seconds).cast_signed())
        })
    }

    /// A rough length (a month 30.44 days, a year 365.25) for comparing sizes, never for deciding a deletion.
    pub fn approximate(self) -> SignedDuration {
        let days = u64::from(self.days) * 86_400;
        let months = u64::from(self.months) * 2_629_746;
        let years = u64::from(self.years) * 31_556_952;
        SignedDuration::from_secs((days + months + years + self.seconds).cast_signed())
    }

    /// The instant one period before `at`, by the calendar of `tz`; the earliest instant when that is out of range.
    pub fn before(self, at: Timestamp, tz: &TimeZone) -> Timestamp {
        let calendar = Span::new()
            .try_years(self.years)
            .and_then(|span| span.try_months(self.months))
            .and_then(|span| span.try_days(self.days));
        let Ok(calendar) = calendar else {
            return Timestamp::MIN;
        };
        at.to_zoned(tz.clone())
            .checked_sub(calendar)
            .and_then(|zoned| {
                zoned.checked_sub(SignedDuration::from_secs(self.seconds.cast_signed()))
            })
            .map_or(Timestamp::MIN, |zoned| zoned.timestamp())
    }

    /// The instant one period after `at`, by the calendar of `tz`; the latest instant when that is out of range.
    pub fn after(self, at: Timestamp, tz: &TimeZone) -> Timestamp {
        let calendar = Span::new()
            .try_years(self.years)
            .and_then(|span| span.try_months(self.months))
            .and_then(|span| span.try_days(self.days));
        let Ok(calendar) = calendar else {
            return Timestamp::MAX;
        };
        at.to_zoned(tz.clone())
            .checked_add(SignedDuration::from_secs(self.seconds.cast_signed()))
            .and_then(|zoned| zoned.checked_add(calendar))
            .map_or(Timestamp::MAX, |zoned| zoned.timestamp())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0s");
        }
        let mut part = |number: u64, unit: &str| {
            if number > 0 {
                write!(f, "{number}{unit}")
            } else {
                Ok(())
            }
        };
        part(u64::from(self.years), "y")?;
        part(u64::from(self.months), "mo")?;
        part(u64::from(self.days), "d")?;
        part(self.seconds / 3600, "h")?;
        part(self.seconds % 3600 / 60, "m")?;
        part(self.seconds % 60, "s")
    }
}

impl std::str::FromStr for Period {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "mainstay-duration",
            "description": "A duration: 15m, 24h, 7d, 4w, 12mo, 7y, or composed as 1y2mo3d.",
            "pattern": "^([0-9]+y)?([0-9]+mo)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_show() {
        for (text, shown) in [
            ("15m", "15m"),
            ("24h", "24h"),
            ("4w", "28d"),
            ("1y2mo3d", "1y2mo3d"),
            ("13d23h", "13d23h"),
            ("90m", "1h30m"),
        ] {
            assert_eq!(Period::parse(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "7",
            "d",
            "7x",
            "3d1y",
            "1d1d",
            "-1d",
            "1.5h",
            "99999999999d",
        ] {
            assert!(Period::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_month_before_the_31st_is_the_end_of_the_shorter_month() {
        let at: Timestamp = "2026-03-31T10:00:00Z".parse().unwrap();
        assert_eq!(
            Period::parse("1mo")
                .unwrap()
                .before(at, &TimeZone::UTC)
                .to_string(),
            "2026-02-28T10:00:00Z"
        );
    }

    #[test]
    fn a_month_after_the_31st_is_the_end_of_the_shorter_month() {
        let at: Timestamp = "2026-01-31T10:00:00Z".parse().unwrap();
        assert_eq!(
            Period::parse("1mo2h")
                .unwrap()
                .after(at, &TimeZone::UTC)
                .to_string(),
            "2026-02-28T12:00:00Z"
        );
    }
}
