//! Times, sizes and lengths as people read them in a document.

use jiff::{Timestamp, tz::TimeZone};

/// `850 ms`, `12.4 s`, `14 min 3 s`, `2 h 5 min`.
pub(crate) fn milliseconds(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => seconds(ms / 1000),
    }
}

/// `45 s`, `14 min 3 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn seconds(s: u64) -> String {
    let pair = |large: u64, large_word: &str, small: u64, small_word: &str| {
        if small == 0 {
            format!("{large} {large_word}")
        } else {
            format!("{large} {large_word} {small} {small_word}")
        }
    };
    match s {
        0..60 => format!("{s} s"),
        60..3600 => pair(s / 60, "min", s % 60, "s"),
        3600..172_800 => pair(s / 3600, "h", s % 3600 / 60, "min"),
        _ => pair(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

/// A time where the policy lives, and the same in UTC.
pub(crate) fn time(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_zoned(zone.clone());
    let local = zoned.strftime("%Y-%m-%d %H:%M:%S %:z");
    if zoned.offset().seconds() == 0 {
        return format!("{} UTC", zoned.strftime("%Y-%m-%d %H:%M:%S"));
    }
    let utc = at.to_zoned(TimeZone::UTC);
    format!("{local} ({} UTC)", utc.strftime("%Y-%m-%d %H:%M:%S"))
}

/// `12.4 MiB (13 002 345 bytes)`.
pub(crate) fn size(bytes: model::ByteCount) -> String {
    let digits = bytes.0.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    if bytes.0 < 1024 {
        return format!("{grouped} bytes");
    }
    format!("{bytes} ({grouped} bytes)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_units_at_most() {
        let shown = [5, 999, 12_450, 60_000, 843_000, 7_500_000, 280_000_000].map(milliseconds);
        assert_eq!(
            shown,
            [
                "5 ms",
                "999 ms",
                "12.4 s",
                "1 min",
                "14 min 3 s",
                "2 h 5 min",
                "3 d 5 h"
            ]
        );
    }

    #[test]
    fn times_are_shown_where_the_policy_lives_and_in_utc() {
        let at = "2026-11-21T02:00:00Z".parse().unwrap();
        let prague = TimeZone::get("Europe/Prague").unwrap();
        assert_eq!(
            time(at, &prague),
            "2026-11-21 03:00:00 +01:00 (2026-11-21 02:00:00 UTC)"
        );
        assert_eq!(time(at, &TimeZone::UTC), "2026-11-21 02:00:00 UTC");
    }
}
