//! A time in a file's name: the usual ways of scripts, and nothing that could be read in two ways.
//!
//! Year first, with or without separators, optionally followed by a time of day and a zone; or seconds since 1970. Day or month
//! first is never guessed, because a series that is off by a month deletes the wrong points. Pure.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::Offset,
};

/// A time as a name tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// An instant.
    Instant(Timestamp),
    /// A wall clock's time.
    Local(DateTime),
    /// A day without a time.
    Day(Date),
}

/// Scripts that wrote dumps before that do not exist, and years after it are numbers of something else.
pub(super) const YEARS: std::ops::RangeInclusive<i16> = 1990..=2099;
/// The same for seconds since 1970: from 2000 on.
const EPOCH_SECONDS: std::ops::RangeInclusive<i64> = 946_684_800..=4_102_444_799;

/// The time in `name`; `None`: there is none. An error says which part can be read in several ways.
pub(super) fn find(name: &str) -> Result<Option<Stamp>, String> {
    let text = name.as_bytes();
    let mut found: Vec<(Stamp, &str)> = Vec::new();
    let mut epochs: Vec<(Stamp, &str)> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let run = digits(text, at);
        if run == 0 {
            at += 1;
            continue;
        }
        if let Some((stamp, end)) = year_first(text, at) {
            if let Some(end) = unclear_offset(text, stamp, end) {
                return Err(format!("`{}` can be read in several ways", &name[at..end]));
            }
            found.push((stamp, &name[at..end]));
            at = end;
        } else if let Some(end) = unclear(text, at) {
            return Err(format!("`{}` can be read in several ways", &name[at..end]));
        } else {
            epochs.extend(epoch(text, at).map(|stamp| (stamp, &name[at..at + run])));
            at += run;
        }
    }
    if found.is_empty() {
        found = epochs;
    }
    match found.as_slice() {
        [] => Ok(None),
        [(first, _), rest @ ..] if rest.iter().all(|(other, _)| other == first) => Ok(Some(*first)),
        [(_, first), rest @ ..] => {
            let other = rest.last().map_or("", |(_, text)| text);
            Err(format!("it has several times: `{first}` and `{other}`"))
        }
    }
}

/// What a file's name calls its database: the words before the time, else those behind it; empty where a name is a time alone.
pub(super) fn words(name: &str) -> String {
    let text = name.as_bytes();
    let starts = || {
        (0..text.len())
            .filter(|at| digits(text, *at) > 0 && (*at == 0 || digits(text, *at - 1) == 0))
    };
    let time = starts()
        .find_map(|at| {
            let end = year_first(text, at).map(|(_, end)| end);
            end.or_else(|| unclear(text, at)).map(|end| (at, end))
        })
        .or_else(|| starts().find_map(|at| epoch(text, at).map(|_| (at, at + digits(text, at)))));
    let plain = |part: &str| {
        let part = part.trim_matches(|letter: char| !letter.is_alphanumeric());
        part.to_lowercase()
    };
    let Some((at, end)) = time else {
        // Numbers in sequence, as logrotate gives them.
        return plain(name.trim_end_matches(|letter: char| letter.is_ascii_digit()));
    };
    let before = plain(&name[..at]);
    if before.is_empty() {
        plain(name[end..].split('.').next().unwrap_or_default())
    } else {
        before
    }
}

/// How many digits stand there.
fn digits(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The number of so many digits at `at`.
fn number<T: TryFrom<i64>>(text: &[u8], at: usize, count: usize) -> Option<T> {
    let part = std::str::from_utf8(text.get(at..at + count)?).ok()?;
    part.parse::<i64>().ok()?.try_into().ok()
}

fn date(text: &[u8], year: usize, month: usize, day: usize) -> Option<Date> {
    let year: i16 = number(text, year, 4)?;
    let date = Date::new(year, number(text, month, 2)?, number(text, day, 2)?).ok()?;
    YEARS.contains(&year).then_some(date)
}

fn is(text: &[u8], at: usize, any_of: &[u8]) -> bool {
    text.get(at).is_some_and(|byte| any_of.contains(byte))
}

/// `20240301`, `2024-03-01`, `20240301020000` and what follows; with the place behind it.
fn year_first(text: &[u8], at: usize) -> Option<(Stamp, usize)> {
    let (date, end) = match digits(text, at) {
        8 => (date(text, at, at + 4, at + 6)?, at + 8),
        // Compact to the end: 202403010200, 20240301020000.
        run @ (12 | 14) => {
            let date = date(text, at, at + 4, at + 6)?;
            let time = compact_time(text, at + 8, run - 8)?;
            return Some(zoned(text, date.to_datetime(time), at + run));
        }
        4 => {
            let separator = *text.get(at + 4)?;
            let parts = digits(text, at + 5) == 2 && digits(text, at + 8) == 2;
            if !parts || !b"-_.".contains(&separator) || text.get(at + 7) != Some(&separator) {
                return None;
            }
            (date(text, at, at + 5, at + 8)?, at + 10)
        }
        _ => return None,
    };
    match time_behind(text, end) {
        Some((time, end)) => Some(zoned(text, date.to_datetime(time), end)),
        None => Some((Stamp::Day(date), end)),
    }
}

/// A time of day behind a date, with one separator or none.
fn time_behind(text: &[u8], date_end: usize) -> Option<(Time, usize)> {
    let announced = is(text, date_end, b"Tt");
    let at = date_end + usize::from(is(text, date_end, b"Tt_-. @"));
    match digits(text, at) {
        // The year of another date: 2024-03-01-2024-03-08.
        4 if year_first(text, at).is_some() => None,
        run @ (4 | 6) => Some((compact_time(text, at, run)?, fraction(text, at + run))),
        2 => {
            let hour: i8 = number(text, at, 2)?;
            let minutes = is(text, at + 2, b":-_.h") && digits(text, at + 3) == 2;
            if !minutes {
                let time = Time::new(hour, 0, 0, 0).ok()?;
                return announced.then_some((time, at + 2));
            }
            let minute: i8 = number(text, at + 3, 2)?;
            let seconds = is(text, at + 5, b":-_.m") && digits(text, at + 6) == 2;
            let second: i8 = if seconds { number(text, at + 6, 2)? } else { 0 };
            let end = if seconds { at + 8 } else { at + 5 };
            Some((
                Time::new(hour, minute, second, 0).ok()?,
                fraction(text, end),
            ))
        }
        _ => None,
    }
}

fn compact_time(text: &[u8], at: usize, count: usize) -> Option<Time> {
    let second: i8 = if count == 6 {
        number(text, at + 4, 2)?
    } else {
        0
    };
    Time::new(number(text, at, 2)?, number(text, at + 2, 2)?, second, 0).ok()
}

/// Passes over `.123456`; a slot has whole seconds.
fn fraction(text: &[u8], at: usize) -> usize {
    let run = digits(text, at + 1);
    if is(text, at, b".,") && (3..=9).contains(&run) {
        at + 1 + run
    } else {
        at
    }
}

/// `Z`, `UTC`, `+0100`, `+01:00` behind a time.
fn zoned(text: &[u8], local: DateTime, end: usize) -> (Stamp, usize) {
    let at_offset = |offset: Offset, end| {
        let instant = offset.to_timestamp(local).ok();
        (instant.map_or(Stamp::Local(local), Stamp::Instant), end)
    };
    let ends = |at: usize| !text.get(at).is_some_and(u8::is_ascii_alphanumeric);
    if is(text, end, b"Zz") && ends(end + 1) {
        return at_offset(Offset::UTC, end + 1);
    }
    let word = end + usize::from(is(text, end, b"_- "));
    let utc = text.get(word..word + 3);
    if utc.is_some_and(|utc| utc.eq_ignore_ascii_case(b"UTC")) && ends(word + 3) {
        return at_offset(Offset::UTC, word + 3);
    }
    let west = is(text, end, b"-") && announced(text, end) && west_of(text, end) == Some(true);
    if (is(text, end, b"+") && digits(text, end + 1) >= 2) || west {
        let hours: Option<i32> = number(text, end + 1, 2);
        let (minutes, end): (Option<i32>, usize) = match digits(text, end + 1) {
            4 => (number(text, end + 3, 2), end + 5),
            2 if is(text, end + 3, b":") => (number(text, end + 4, 2), end + 6),
            _ => (Some(0), end + 3),
        };
        let sign = if west { -1 } else { 1 };
        let seconds = hours.zip(minutes).map(|(h, m)| sign * (h * 3600 + m * 60));
        if let Some(Ok(offset)) = seconds.map(Offset::from_seconds) {
            return at_offset(offset, end);
        }
    }
    (Stamp::Local(local), end)
}

/// Whether a time that ends there is written with the `T` of ISO 8601.
fn announced(text: &[u8], end: usize) -> bool {
    let time = &text[end.saturating_sub("1T02:00:00".len())..end];
    time.windows(3).any(|three| {
        three[0].is_ascii_digit() && b"Tt".contains(&three[1]) && three[2].is_ascii_digit()
    })
}

/// Whether what follows a time reads like an offset to the west: `-0500` and `-05:00` are whole (`true`), `-05` may be a number.
fn west_of(text: &[u8], end: usize) -> Option<bool> {
    if !is(text, end, b"-") {
        return None;
    }
    let (minutes, whole) = match (digits(text, end + 1), is(text, end + 3, b":")) {
        (4, _) => (number(text, end + 3, 2)?, true),
        (2, true) => (number(text, end + 4, 2)?, true),
        (2, false) => (0, false),
        _ => return None,
    };
    let hours: u8 = number(text, end + 1, 2)?;
    (hours <= 12 && [0_u8, 30, 45].contains(&minutes)).then_some(whole)
}

/// A number behind a time that may be its offset to the west; where it ends.
fn unclear_offset(text: &[u8], stamp: Stamp, end: usize) -> Option<usize> {
    let local = matches!(stamp, Stamp::Local(_));
    let whole = west_of(text, end).filter(|whole| local && (*whole || announced(text, end)))?;
    let colon = usize::from(is(text, end + 3, b":"));
    Some(end + 3 + if whole { 2 + colon } else { 0 })
}

/// Day or month first (`01-03-2024`, `01032024`), or a year of two digits (`24-03-01`); where it ends.
fn unclear(text: &[u8], at: usize) -> Option<usize> {
    let plausible = |day: usize, month: usize| {
        let (day, month): (Option<u8>, Option<u8>) = (number(text, day, 2), number(text, month, 2));
        day.zip(month)
            .is_some_and(|(one, other)| (1..=31).contains(&one) && (1..=31).contains(&other))
    };
    let year = |at: usize| number::<i16>(text, at, 4).is_some_and(|year| YEARS.contains(&year));
    match digits(text, at) {
        8 if plausible(at, at + 2) && year(at + 4) => Some(at + 8),
        2 => {
            let separator = *text.get(at + 2)?;
            let joined = b"-_.".contains(&separator)
                && digits(text, at + 3) == 2
                && text.get(at + 5) == Some(&separator);
            match digits(text, at + 6) {
                4 if joined && plausible(at, at + 3) && year(at + 6) => Some(at + 10),
                2 if joined && plausible(at + 3, at + 6) => Some(at + 8),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Seconds or milliseconds since 1970.
fn epoch(text: &[u8], at: usize) -> Option<Stamp> {
    let seconds: i64 = match digits(text, at) {
        10 => number(text, at, 10)?,
        13 => number::<i64>(text, at, 13)? / 1000,
        _ => return None,
    };
    let instant = Timestamp::from_second(seconds).ok()?;
    EPOCH_SECONDS
        .contains(&seconds)
        .then_some(Stamp::Instant(instant))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> String {
        match find(name) {
            Ok(Some(Stamp::Instant(at))) => at.to_string(),
            Ok(Some(Stamp::Local(local))) => local.to_string(),
            Ok(Some(Stamp::Day(day))) => day.to_string(),
            Ok(None) => "none".to_owned(),
            Err(why) => format!("unclear: {why}"),
        }
    }

    #[test]
    fn the_usual_names_are_read() {
        for (name, time) in [
            ("erp_2024-03-01.dump", "2024-03-01"),
            ("erp20240301.sql", "2024-03-01"),
            ("backup-2024_03_01.tar", "2024-03-01"),
            ("2024.03.01-erp.sql.gz", "2024-03-01"),
            ("orders-20240301-0200.sql.gz", "2024-03-01T02:00:00"),
            ("orders_20240301_020005.sql", "2024-03-01T02:00:05"),
            ("20240301T020000Z.dump", "2024-03-01T02:00:00Z"),
            ("shop-2024-03-01T02:00:00.db.zst", "2024-03-01T02:00:00"),
            ("2024-03-01_02-00-00.dump", "2024-03-01T02:00:00"),
            ("2024-03-01_02-00.dump", "2024-03-01T02:00:00"),
            ("2024-03-01_02h15.dump", "2024-03-01T02:15:00"),
            ("2024-03-01 02.00.07.sql", "2024-03-01T02:00:07"),
            ("20240301020005.db", "2024-03-01T02:00:05"),
            ("202403010200.db", "2024-03-01T02:00:00"),
            ("2024-03-01T02:00:00+01:00.db", "2024-03-01T01:00:00Z"),
            ("2024-03-01T02:00:00-05:00.db", "2024-03-01T07:00:00Z"),
            ("20240301T020000-0330.db", "2024-03-01T05:30:00Z"),
            ("20240301-0200-0017.db", "2024-03-01T02:00:00"),
            // A range of one day.
            ("erp_2024-03-01-2024-03-01.db", "2024-03-01"),
            ("2024-03-01T02:00:00.123456Z.db", "2024-03-01T02:00:00Z"),
            ("2024-03-01_02-00-00_UTC.db", "2024-03-01T02:00:00Z"),
            ("20240301T02.dump", "2024-03-01T02:00:00"),
            ("erp_1709258400.dump", "2024-03-01T02:00:00Z"),
            ("erp_1709258400123.dump", "2024-03-01T02:00:00Z"),
            ("erp.2024-02-29.4.dump", "2024-02-29"),
            // A number in sequence is no hour.
            ("erp-20240301-02.dump", "2024-03-01"),
            // The same twice is one.
            ("20240301/erp_2024-03-01.sql", "2024-03-01"),
            ("v15.4_erp_2024-03-01.dump", "2024-03-01"),
        ] {
            assert_eq!(told(name), time, "{name}");
        }
    }

    #[test]
    fn what_can_be_read_in_several_ways_is_not_guessed() {
        insta::assert_snapshot!(
            [
                "erp-01-03-2024.dump",
                "erp_25.12.2024.dump",
                "01032024.dump",
                "24-03-01.sql",
                "erp_2024-03-01_to_2024-03-08.sql",
                "erp_2024-03-01-2024-03-08.sql",
                "erp_2024-03-01_02-00-00-0500.sql",
                "erp_20240301T020000-05.sql",
            ]
            .map(|name| format!("{name}: {}", told(name)))
            .join("\n"),
            @r"
        erp-01-03-2024.dump: unclear: `01-03-2024` can be read in several ways
        erp_25.12.2024.dump: unclear: `25.12.2024` can be read in several ways
        01032024.dump: unclear: `01032024` can be read in several ways
        24-03-01.sql: unclear: `24-03-01` can be read in several ways
        erp_2024-03-01_to_2024-03-08.sql: unclear: it has several times: `2024-03-01` and `2024-03-08`
        erp_2024-03-01-2024-03-08.sql: unclear: it has several times: `2024-03-01` and `2024-03-08`
        erp_2024-03-01_02-00-00-0500.sql: unclear: `2024-03-01_02-00-00-0500` can be read in several ways
        erp_20240301T020000-05.sql: unclear: `20240301T020000-05` can be read in several ways
        ");
    }

    #[test]
    fn the_words_beside_a_time_are_the_databases() {
        for (name, database) in [
            ("erp_2024-03-01.dump", "erp"),
            ("ERP-20240301-0200.sql.gz", "erp"),
            ("erp_01-03-2024.dump", "erp"),
            ("erp_1709258400.dump", "erp"),
            ("tel2015551234_2026-11-09.db", "tel2015551234"),
            ("2024-03-01_02-00-00_crm.sql.gz", "crm"),
            ("2024.03.01-erp.sql.gz", "erp"),
            ("erp3_2024-03-01_02h15m.Friday.sql.gz", "erp3"),
            ("erp_2024-03-01.db.bak", "erp"),
            ("20240301T020000Z.dump", ""),
            ("erp.sql.7", "erp.sql"),
        ] {
            assert_eq!(words(name), database, "{name}");
        }
    }

    #[test]
    fn other_numbers_are_no_times() {
        for name in [
            "erp.dump",
            "erp-15.4.dump",
            "invoice-12345678.pdf",
            "2024-13-01.sql",
            "2023-02-29.sql",
            "erp_240301.sql",
            "0000000001.dump",
            "erp_20240301999999.sql",
            "",
            "ü2024-3-1",
        ] {
            assert_eq!(told(name), "none", "{name}");
        }
    }
}
