//! Of when a file is: from its name, from inside it, or from its modification time when a person asks for that.
//!
//! A wrong time makes retention delete the wrong points, so whatever is unclear, in the future, or contradicts itself is refused.
//! Pure.

use super::{
    Made, Recognised,
    find::ExistingFile,
    inspect::{Unfit, UnfitKind},
    name_time::{self, Stamp},
};
use jiff::{
    SignedDuration, Timestamp,
    civil::{DateTime, Time},
    fmt::strtime,
    tz::TimeZone,
};
use std::path::{Component, Path};

/// A time inside and a time in the name may differ by this much: one may be of the day, the other of the night after it.
const TOLERANCE: SignedDuration = SignedDuration::from_hours(24);
/// Clocks of several machines differ a little.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// Where a time is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeChoice {
    /// The name; the time inside where it is more exact, or where the name has none.
    #[default]
    Found,
    /// The name alone, whatever the time inside says.
    Name,
    /// The time inside alone.
    Inside,
    /// When the file was written last.
    Modified,
}

/// Where a time was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapturedFrom {
    /// The name.
    Name,
    /// The head of the file.
    Inside,
    /// The modification time.
    Modified,
}

impl CapturedFrom {
    /// The word in manifests and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Inside => "inside",
            Self::Modified => "modified",
        }
    }
}

/// Of when a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// The instant, in whole seconds: the slot of its point.
    pub at: Timestamp,
    /// How that is known.
    pub from: CapturedFrom,
}

/// A person's pattern for the time in names, as `strptime` reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeFormat(String);

impl TimeFormat {
    /// Takes a pattern that can give a day.
    pub fn new(format: &str) -> Result<Self, String> {
        let example = DateTime::constant(2024, 11, 21, 13, 14, 15, 0);
        let zoned = example
            .to_zoned(TimeZone::UTC)
            .map_err(|error| error.to_string())?;
        let text = strtime::format(format, &zoned).map_err(|error| error.to_string())?;
        let read =
            strtime::BrokenDownTime::parse(format, &text).map_err(|error| error.to_string())?;
        if read.to_date().is_err() && read.to_timestamp().is_err() {
            return Err(
                "it gives no day: it needs a year, a month and a day, such as %Y-%m-%d, or %s"
                    .to_owned(),
            );
        }
        Ok(Self(format.to_owned()))
    }

    /// The leftmost place that reads so; digits are never cut.
    fn find(&self, name: &str) -> Option<Stamp> {
        let bytes = name.as_bytes();
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        (0..bytes.len()).find_map(|at| {
            let cut = at > 0 && digit(at) && digit(at - 1);
            let (read, length) =
                strtime::BrokenDownTime::parse_prefix(&self.0, &bytes[at..]).ok()?;
            let end = at + length;
            if cut || length == 0 || (digit(end) && digit(end - 1)) {
                return None;
            }
            // `%Y` takes two digits too; the year 3 is where the match began too early.
            let plausible = |date: &jiff::civil::Date| name_time::YEARS.contains(&date.year());
            if let Ok(instant) = read.to_timestamp() {
                return Some(Stamp::Instant(instant));
            }
            let date = read.to_date().ok().filter(plausible)?;
            match read.hour() {
                Some(_) => Some(Stamp::Local(read.to_datetime().ok()?)),
                None => Some(Stamp::Day(date)),
            }
        })
    }
}

/// How times are found.
#[derive(Debug, Clone)]
pub(super) struct Rules<'a> {
    pub(super) choice: TimeChoice,
    pub(super) format: Option<&'a TimeFormat>,
    pub(super) zone: &'a TimeZone,
    pub(super) now: Timestamp,
}

/// Of when a recognised file is.
pub(super) fn captured(
    file: &ExistingFile,
    recognised: &Recognised,
    rules: &Rules<'_>,
) -> Result<Captured, Unfit> {
    let inside = recognised.made.and_then(|made| match made {
        Made::At(at) => Some(at),
        Made::Local(local) => instant(local, rules.zone),
    });
    let from = |at: Timestamp, from| Captured {
        at: whole(at),
        from,
    };
    let captured = match rules.choice {
        TimeChoice::Modified => from(file.modified, CapturedFrom::Modified),
        TimeChoice::Inside => match inside {
            Some(at) => from(at, CapturedFrom::Inside),
            None => {
                return Err(Unfit::new(
                    UnfitKind::NoTime,
                    "it has no time inside: take it from the names",
                ));
            }
        },
        TimeChoice::Name | TimeChoice::Found => {
            let named = in_name(&file.place.path(), rules)?;
            let inside = inside.filter(|_| rules.choice == TimeChoice::Found);
            match (named, inside) {
                (Some(named), Some(inside)) => {
                    agree(named, inside, rules.zone)?;
                    match at(named, rules.zone) {
                        // The name knows the day, the head the second.
                        _ if matches!(named, Stamp::Day(_)) => from(inside, CapturedFrom::Inside),
                        Some(at) => from(at, CapturedFrom::Name),
                        None => from(inside, CapturedFrom::Inside),
                    }
                }
                (Some(named), None) => match at(named, rules.zone) {
                    Some(at) => from(at, CapturedFrom::Name),
                    None => return Err(no_time()),
                },
                (None, Some(inside)) => from(inside, CapturedFrom::Inside),
                (None, None) => return Err(no_time()),
            }
        }
    };
    if captured.at.duration_since(rules.now) > AHEAD {
        return Err(Unfit::new(
            UnfitKind::Future,
            format!(
                "its time, {}, is in the future: look at the clock, or give --time-format or --time-zone",
                captured.at
            ),
        ));
    }
    Ok(captured)
}

fn no_time() -> Unfit {
    Unfit::new(
        UnfitKind::NoTime,
        "no time in its name and none inside: give --time-format, or --captured-at modified if that time can be trusted",
    )
}

/// The time in the file's own name, else in that of the nearest folder that has one.
fn in_name(path: &str, rules: &Rules<'_>) -> Result<Option<Stamp>, Unfit> {
    let parts: Vec<String> = Path::new(path)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if let Some(format) = rules.format {
        let found = if format.0.contains('/') {
            format.find(path)
        } else {
            parts.last().and_then(|name| format.find(name))
        };
        return found.map(Some).ok_or_else(|| {
            Unfit::new(
                UnfitKind::NoTime,
                format!("its name has no time like `{}`", format.0),
            )
        });
    }
    for part in parts.iter().rev() {
        let found = name_time::find(part).map_err(|why| {
            Unfit::new(
                UnfitKind::UnclearTime,
                format!("{why}: give --time-format, such as %d-%m-%Y"),
            )
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn at(stamp: Stamp, zone: &TimeZone) -> Option<Timestamp> {
    match stamp {
        Stamp::Instant(at) => Some(at),
        Stamp::Local(local) => instant(local, zone),
        Stamp::Day(day) => instant(day.to_datetime(Time::midnight()), zone),
    }
}

/// A wall clock's time that comes twice is the first one, one that is left out the moment after the gap.
fn instant(local: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(local).compatible().ok()
}

fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// A day agrees with every time of it, of the evening before and of the day after it.
fn agree(named: Stamp, inside: Timestamp, zone: &TimeZone) -> Result<(), Unfit> {
    let apart = match (named, at(named, zone)) {
        (Stamp::Day(day), Some(begins)) => {
            let ends = day
                .tomorrow()
                .ok()
                .and_then(|next| at(Stamp::Day(next), zone))
                .unwrap_or(begins);
            if inside < begins {
                begins.duration_since(inside)
            } else {
                inside.duration_since(ends.min(inside))
            }
        }
        (_, Some(at)) => at.duration_since(inside).abs(),
        (_, None) => SignedDuration::ZERO,
    };
    if apart <= TOLERANCE {
        return Ok(());
    }
    let name = at(named, zone).map_or_else(String::new, |at| {
        at.to_zoned(zone.clone()).date().to_string()
    });
    Err(Unfit::new(
        UnfitKind::TimesDiffer,
        format!(
            "its name says {name}, but it was made on {}: choose with --captured-at name or --captured-at inside",
            inside.to_zoned(zone.clone()).date()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::find::Place;
    use model::ByteCount;
    use std::{collections::BTreeMap, path::PathBuf};

    struct Case<'a> {
        name: &'a str,
        made: Option<&'a str>,
        choice: TimeChoice,
        format: Option<&'a str>,
        zone: &'a str,
    }

    const PLAIN: Case<'_> = Case {
        name: "",
        made: None,
        choice: TimeChoice::Found,
        format: None,
        zone: "UTC",
    };

    fn told(case: &Case<'_>) -> String {
        let file = ExistingFile {
            place: Place::File(PathBuf::from("/mnt/nas").join(case.name)),
            name: case.name.to_owned(),
            bytes: ByteCount(1),
            modified: "2024-05-05T05:05:05.5Z".parse().unwrap(),
            named: true,
        };
        let recognised = Recognised {
            content: "pg-custom",
            words: "pg_dump custom",
            method: "logical",
            file_stem: "data.dump",
            made: case.made.map(|made| Made::Local(made.parse().unwrap())),
            database: None,
            facts: BTreeMap::new(),
        };
        let format = case.format.map(|format| TimeFormat::new(format).unwrap());
        let rules = Rules {
            choice: case.choice,
            format: format.as_ref(),
            zone: &TimeZone::get(case.zone).unwrap(),
            now: "2026-11-22T00:00:00Z".parse().unwrap(),
        };
        match captured(&file, &recognised, &rules) {
            Ok(captured) => format!("{} ({})", captured.at, captured.from.word()),
            Err(unfit) => format!("{}: {}", unfit.kind.word(), unfit.why),
        }
    }

    #[test]
    fn a_time_is_taken_from_the_name_and_made_exact_by_the_head() {
        let day = Case {
            name: "erp_2024-03-01.dump",
            ..PLAIN
        };
        assert_eq!(told(&day), "2024-03-01T00:00:00Z (name)");
        assert_eq!(
            told(&Case {
                zone: "Europe/Prague",
                ..day
            }),
            "2024-02-29T23:00:00Z (name)"
        );
        let both = Case {
            made: Some("2024-03-01T02:00:07"),
            ..day
        };
        assert_eq!(told(&both), "2024-03-01T02:00:07Z (inside)");
        // Named by the business day that it closes.
        let after = Case {
            made: Some("2024-03-02T03:00:00"),
            ..day
        };
        assert_eq!(told(&after), "2024-03-02T03:00:00Z (inside)");
        let name = Case {
            choice: TimeChoice::Name,
            ..both
        };
        assert_eq!(told(&name), "2024-03-01T00:00:00Z (name)");
        let folder = Case {
            name: "2024-03-01/erp.dump",
            ..PLAIN
        };
        assert_eq!(told(&folder), "2024-03-01T00:00:00Z (name)");
        let inside = Case {
            name: "latest.dump",
            made: Some("2024-03-01T02:00:07"),
            ..PLAIN
        };
        assert_eq!(told(&inside), "2024-03-01T02:00:07Z (inside)");
        let modified = Case {
            name: "latest.dump",
            choice: TimeChoice::Modified,
            ..PLAIN
        };
        assert_eq!(told(&modified), "2024-05-05T05:05:05Z (modified)");
    }

    #[test]
    fn local_times_that_come_twice_or_never_have_one_meaning() {
        let prague = Case {
            zone: "Europe/Prague",
            ..PLAIN
        };
        let twice = Case {
            name: "2024-10-27_02-30.db",
            ..prague
        };
        assert_eq!(told(&twice), "2024-10-27T00:30:00Z (name)");
        let never = Case {
            name: "2024-03-31_02-30.db",
            ..prague
        };
        assert_eq!(told(&never), "2024-03-31T01:30:00Z (name)");
    }

    #[test]
    fn unclear_future_and_contradictory_times_are_refused() {
        let cases = [
            Case {
                name: "erp.dump",
                ..PLAIN
            },
            Case {
                name: "erp_01-03-2024.dump",
                ..PLAIN
            },
            Case {
                name: "erp_2031-01-01.dump",
                ..PLAIN
            },
            Case {
                name: "erp_2024-03-01.dump",
                made: Some("2024-03-09T02:00:00"),
                ..PLAIN
            },
            Case {
                name: "erp_2024-03-01_02-00.dump",
                made: Some("2024-02-28T02:00:00"),
                ..PLAIN
            },
            Case {
                name: "erp_2024-03-01.dump",
                choice: TimeChoice::Inside,
                ..PLAIN
            },
            Case {
                name: "erp_2024-03-01.dump",
                format: Some("%d-%m-%Y"),
                ..PLAIN
            },
        ];
        insta::assert_snapshot!(
            "times_refused",
            cases.iter().map(told).collect::<Vec<_>>().join("\n")
        );
    }

    #[test]
    fn a_format_finds_the_time_wherever_it_stands() {
        let case = |name, format| {
            told(&Case {
                name,
                format: Some(format),
                ..PLAIN
            })
        };
        assert_eq!(
            case("erp_01-03-2024.dump", "%d-%m-%Y"),
            "2024-03-01T00:00:00Z (name)"
        );
        assert_eq!(
            case("erp_240301_0200.sql", "%y%m%d_%H%M"),
            "2024-03-01T02:00:00Z (name)"
        );
        assert_eq!(
            case("5-01-03-2024.dump", "%d-%m-%Y"),
            "2024-03-01T00:00:00Z (name)"
        );
        assert_eq!(
            case("2024/03/01/erp.dump", "%Y/%m/%d"),
            "2024-03-01T00:00:00Z (name)"
        );
        assert_eq!(case("x1709258400.sql", "%s"), "2024-03-01T02:00:00Z (name)");
        assert!(TimeFormat::new("%H:%M").is_err());
        assert!(TimeFormat::new("%Q%").is_err());
    }
}
