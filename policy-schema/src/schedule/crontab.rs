//! Reads a crontab line after POSIX, with the byte of every mistake; the `cron` crate only turns checked fields into sets.
//!
//! That crate numbers weekdays from 1 = Sunday, wants seconds first and AND-s the two day fields (all measured), so it
//! sees numbers that were translated here and never decides when anything fires.
//!
//! Deliberately refused: six fields, `?`, `L`, `W`, `#`, and a step after a single number (`5/15`), which crons read
//! differently.

use super::{fields::Fields, wall_clock};
use cron::TimeUnitSpec as _;
use jiff::{Timestamp, tz::TimeZone};
use std::{ops::Range, str::FromStr as _};

/// Why a text is no schedule, and which bytes of the text show it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScheduleError {
    /// What kind of mistake it is.
    pub problem: ScheduleProblem,
    /// Bytes inside the schedule's text.
    pub bytes: Range<usize>,
    /// What is wrong, a lower-case fragment.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// Kinds of mistakes in a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleProblem {
    /// A field, or the number of fields, cannot be read.
    Syntax,
    /// Seconds in front.
    SixFields,
    /// No date matches, such as 30 February.
    NeverFires,
}

/// A parsed crontab line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crontab {
    text: String,
    fields: Fields,
}

struct FieldRule {
    name: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const RULES: [FieldRule; 5] = [
    FieldRule {
        name: "minute",
        least: 0,
        most: 59,
        names: &[],
    },
    FieldRule {
        name: "hour",
        least: 0,
        most: 23,
        names: &[],
    },
    FieldRule {
        name: "day of month",
        least: 1,
        most: 31,
        names: &[],
    },
    FieldRule {
        name: "month",
        least: 1,
        most: 12,
        names: MONTHS,
    },
    FieldRule {
        name: "day of week",
        least: 0,
        most: 7,
        names: WEEKDAYS,
    },
];

const MACROS: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const SHAPE: &str =
    "write five fields: minute, hour, day of month, month, day of week, as in `0 2 * * *`";

impl Crontab {
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let trimmed = text.trim();
        if trimmed.starts_with('@') {
            let Some((_, line)) = MACROS.iter().find(|(name, _)| *name == trimmed) else {
                return Err(unknown_macro(text, trimmed));
            };
            let mut cron = Self::parse(line)?;
            trimmed.clone_into(&mut cron.text);
            return Ok(cron);
        }
        let places = words(text);
        if places.len() != 5 {
            return Err(wrong_count(text, &places));
        }
        let mut sets = [0_u64; 5];
        for ((set, rule), place) in sets.iter_mut().zip(&RULES).zip(&places) {
            *set = read_field(text, place.clone(), rule)?;
        }
        let restricted = |place: &Range<usize>| !text[place.clone()].starts_with('*');
        let fields =
            compile(sets, restricted(&places[2]) && restricted(&places[4])).ok_or_else(|| {
                syntax(
                    0..text.len(),
                    "the schedule cannot be read".to_owned(),
                    None,
                )
            })?;
        if !fields.ever_fires() {
            return Err(ScheduleError {
                problem: ScheduleProblem::NeverFires,
                bytes: places[2].start..places[3].end,
                message: format!("`{trimmed}` never fires: no such date exists"),
                help: Some(
                    "choose a day that the month has; for the end of every month use day 28, or run daily and keep `monthly` with `pick = \"last\"`"
                        .to_owned(),
                ),
            });
        }
        Ok(Self {
            text: trimmed.to_owned(),
            fields,
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    pub(super) fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.fields.names_every_hour() {
            wall_clock::next_real(&self.fields, after, zone)
        } else {
            wall_clock::next_fixed(&self.fields, after, zone)
        }
    }

    pub(super) fn last_at_or_before(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.fields.names_every_hour() {
            wall_clock::last_real(&self.fields, at, zone)
        } else {
            wall_clock::last_fixed(&self.fields, at, zone)
        }
    }
}

/// Hands the checked numbers to the `cron` crate and takes back its sets.
fn compile(sets: [u64; 5], either_day: bool) -> Option<Fields> {
    let list = |set: u64, shift: u32| {
        let numbers: Vec<String> = (0..64)
            .filter(|bit| set >> bit & 1 == 1)
            .map(|bit| (bit + shift).to_string())
            .collect();
        numbers.join(",")
    };
    let [minutes, hours, days, months, weekdays] = sets;
    // 7 is Sunday too; theirs counts from 1 = Sunday.
    let weekdays = (weekdays | weekdays >> 7) & 0x7f;
    let line = format!(
        "0 {} {} {} {} {}",
        list(minutes, 0),
        list(hours, 0),
        list(days, 0),
        list(months, 0),
        list(weekdays, 1)
    );
    let parsed = cron::Schedule::from_str(&line).ok()?;
    let bits = |includes: &dyn Fn(u32) -> bool, range: Range<u32>| {
        range.fold(0_u64, |set, n| set | u64::from(includes(n)) << n)
    };
    Some(Fields {
        minutes: bits(&|n| parsed.minutes().includes(n), 0..60),
        hours: u32::try_from(bits(&|n| parsed.hours().includes(n), 0..24)).ok()?,
        days: u32::try_from(bits(&|n| parsed.days_of_month().includes(n), 1..32)).ok()?,
        months: u16::try_from(bits(&|n| parsed.months().includes(n), 1..13)).ok()?,
        weekdays: u8::try_from(bits(&|n| parsed.days_of_week().includes(n + 1), 0..7)).ok()?,
        either_day,
    })
}

fn read_field(text: &str, place: Range<usize>, rule: &FieldRule) -> Result<u64, ScheduleError> {
    let mut set = 0;
    let mut start = place.start;
    for item in text[place].split(',') {
        let bytes = start..start + item.len();
        start = bytes.end + 1;
        set |= read_item(item, bytes, rule)?;
    }
    Ok(set)
}

fn read_item(item: &str, bytes: Range<usize>, rule: &FieldRule) -> Result<u64, ScheduleError> {
    if item.is_empty() {
        let message = format!("the {} field has an empty item", rule.name);
        return Err(syntax(
            bytes,
            message,
            Some("remove the extra comma".to_owned()),
        ));
    }
    let (range, step) = match item.split_once('/') {
        None => (item, None),
        Some((range, step)) => (
            range,
            Some((step, bytes.start + range.len() + 1..bytes.end)),
        ),
    };
    let range_bytes = bytes.start..bytes.start + range.len();
    let (low, high) = if range == "*" {
        (rule.least, if rule.most == 7 { 6 } else { rule.most })
    } else if let Some((low, high)) = range.split_once('-') {
        let low_bytes = range_bytes.start..range_bytes.start + low.len();
        let high_bytes = low_bytes.end + 1..range_bytes.end;
        let (low, high) = (
            read_number(low, low_bytes, rule)?,
            read_number(high, high_bytes, rule)?,
        );
        // FRI-MON goes over the end of the week; other fields have no such habit.
        let high = if high < low && rule.most == 7 {
            high + 7
        } else {
            high
        };
        if high < low {
            let message = format!(
                "the range `{range}` of the {} field runs backwards",
                rule.name
            );
            return Err(syntax(
                range_bytes,
                message,
                Some("write the smaller number first".to_owned()),
            ));
        }
        (low, high)
    } else {
        let number = read_number(range, range_bytes.clone(), rule)?;
        if step.is_some() {
            let message = format!("`{item}` gives a step after a single number");
            let help = format!(
                "write `{range}-{}/…`, because crons read this differently",
                rule.most.min(if rule.most == 7 { 6 } else { 59 })
            );
            return Err(syntax(bytes, message, Some(help)));
        }
        (number, number)
    };
    let step = match step {
        None => 1,
        Some((text, bytes)) => match text.parse::<u8>() {
            Ok(step) if step > 0 => step,
            _ => {
                let message = format!("`{text}` is not a step of the {} field", rule.name);
                return Err(syntax(
                    bytes,
                    message,
                    Some("a step is a number from 1, as in `*/15`".to_owned()),
                ));
            }
        },
    };
    let week = if rule.most == 7 && high > 7 {
        7
    } else {
        u8::MAX
    };
    Ok((low..=high)
        .step_by(usize::from(step))
        .fold(0, |set, n| set | 1 << (n % week)))
}

fn read_number(text: &str, bytes: Range<usize>, rule: &FieldRule) -> Result<u8, ScheduleError> {
    if let Some(index) = rule
        .names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text))
    {
        // Months count from 1, weekdays from 0.
        return Ok(u8::try_from(index).unwrap_or(0) + rule.least);
    }
    if let Ok(number) = text.parse::<u8>()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (rule.least..=rule.most).contains(&number)
    {
        return Ok(number);
    }
    let message = if text.is_empty() {
        format!("a number is missing in the {} field", rule.name)
    } else {
        format!("`{text}` is no {}", rule.name)
    };
    let names = match rule.names {
        [first, .., last] => format!(" or {first} to {last}"),
        _ => String::new(),
    };
    let quartz = if matches!(text, "?" | "L" | "W") || text.contains('#') {
        "; `?`, `L`, `W` and `#` are not part of cron"
    } else {
        ""
    };
    let help = format!("use {} to {}{names}{quartz}", rule.least, rule.most);
    Err(syntax(bytes, message, Some(help)))
}

fn words(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut start = None;
    for (index, character) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, character.is_whitespace()) {
            (None, false) => start = Some(index),
            (Some(from), true) => {
                places.push(from..index);
                start = None;
            }
            _ => {}
        }
    }
    places
}

fn syntax(bytes: Range<usize>, message: String, help: Option<String>) -> ScheduleError {
    ScheduleError {
        problem: ScheduleProblem::Syntax,
        bytes,
        message,
        help,
    }
}

fn wrong_count(text: &str, places: &[Range<usize>]) -> ScheduleError {
    let whole = match places {
        [first, .., last] => first.start..last.end,
        [only] => only.clone(),
        [] => 0..text.len(),
    };
    if let [seconds, rest @ ..] = places
        && rest.len() == 5
    {
        let five: Vec<&str> = rest.iter().map(|place| &text[place.clone()]).collect();
        return ScheduleError {
            problem: ScheduleProblem::SixFields,
            bytes: seconds.clone(),
            message: "the schedule has six fields; there is no field for seconds".to_owned(),
            help: Some(format!(
                "if the first field is seconds, write `{}`",
                five.join(" ")
            )),
        };
    }
    let message = format!(
        "the schedule has {} instead of five",
        match places.len() {
            0 => "no fields".to_owned(),
            1 => "one field".to_owned(),
            n => format!("{n} fields"),
        }
    );
    syntax(whole, message, Some(SHAPE.to_owned()))
}

fn unknown_macro(text: &str, trimmed: &str) -> ScheduleError {
    let start = text.find('@').unwrap_or(0);
    let names: Vec<&str> = MACROS.iter().map(|(name, _)| *name).collect();
    let message = format!("`{trimmed}` is not a schedule");
    syntax(
        start..start + trimmed.len(),
        message,
        Some(format!("use one of {}, or five fields", names.join(", "))),
    )
}
