//! `restic forget`: which option keeps what, and which has no part in it.
//!
//! Invariant: each option that has to do with retention becomes a note or a problem.

use super::VALUED;
use crate::commands::import::{
    found::{Fate, Place, Reading},
    options::{self, Given, Options},
    shell::{Command, Word},
    source::Text,
};
use model::{Period, retention::Each};
use planner::foreign::{Count, restic};

/// Options of `forget` that say what stays.
const KEEPS: [(&str, &str, Each); 6] = [
    ("--keep-last", "-l", Each::Point),
    ("--keep-hourly", "-H", Each::Hour),
    ("--keep-daily", "-d", Each::Day),
    ("--keep-weekly", "-w", Each::Week),
    ("--keep-monthly", "-m", Each::Month),
    ("--keep-yearly", "-y", Each::Year),
];
const WITHINS: [(&str, Each); 6] = [
    ("--keep-within", Each::Point),
    ("--keep-within-hourly", Each::Hour),
    ("--keep-within-daily", Each::Day),
    ("--keep-within-weekly", Each::Week),
    ("--keep-within-monthly", Each::Month),
    ("--keep-within-yearly", Each::Year),
];

/// One `forget`.
pub(super) struct Forget {
    pub(super) rules: restic::Rules,
    /// Which snapshots it looks at: `--tag`, `--host`, `--path`.
    pub(super) filters: Vec<String>,
    pub(super) place: Place,
    pub(super) repository: Option<(String, usize)>,
    pub(super) schedule: Option<(String, usize)>,
}

/// Reads the options; none where one of them lacks its value, which is a problem already.
pub(super) fn forget(
    text: &Text,
    command: &Command,
    arguments: &[Word],
    verb: usize,
    reading: &mut Reading,
) -> Option<Forget> {
    let problems = reading.problems.len();
    let short = ["-H", "-l", "-d", "-w", "-m", "-y", "-r", "-p", "-o", "-g"];
    let mut of_forget = OfForget {
        text,
        words: Options::new(arguments, &short),
        reading,
        forget: Forget {
            rules: restic::Rules::default(),
            filters: Vec::new(),
            place: text.at(arguments[verb].line),
            repository: None,
            schedule: command.schedule.clone(),
        },
    };
    while let Some(option) = of_forget.words.next() {
        of_forget.take(&option)?;
    }
    let forget = of_forget.forget;
    if reading.problems.len() == problems && !is_set(&forget.rules) {
        let says = "without --keep-… restic deletes nothing: `forever = true`";
        let place = Some(forget.place.clone());
        reading.note(place, Fate::Changed, "restic forget", says);
    }
    Some(forget)
}

/// The options of one `forget`, and what they have said so far.
struct OfForget<'a> {
    text: &'a Text,
    words: Options<'a>,
    reading: &'a mut Reading,
    forget: Forget,
}

impl OfForget<'_> {
    /// Takes one option with its value; none where the value is lacking.
    fn take(&mut self, option: &Given) -> Option<()> {
        let place = self.text.at(option.line);
        let name = option.name.as_str();
        let is_keep = |(long, short, _): &&(&str, &str, Each)| name == *long || name == *short;
        if let Some((long, _, each)) = KEEPS.iter().find(is_keep) {
            let value = self.value(option)?;
            if let Some(count) = count(long, &value, &place, self.reading) {
                let counts = &mut self.forget.rules.counts;
                counts.retain(|(one, _)| one != each);
                counts.push((*each, count));
            }
        } else if let Some((long, each)) = WITHINS.iter().find(|(long, _)| name == *long) {
            let value = self.value(option)?;
            self.within(long, *each, &value, place);
        } else if matches!(name, "-r" | "--repo") {
            self.forget.repository = Some((self.value(option)?, option.line));
        } else if matches!(name, "--tag" | "--host" | "--hostname" | "--path") {
            let filter = format!("{name} {}", self.value(option)?);
            let says = "what it looks at is a database of its own";
            let place = Some(place);
            self.reading.note(place, Fate::Changed, &filter, says);
            self.forget.filters.push(filter);
        } else if matches!(name, "--group-by" | "-g") {
            grouped(&self.value(option)?, place, self.reading);
        } else if name == "--keep-tag" {
            let setting = format!("--keep-tag {}", self.value(option)?);
            let says = "points have no tags: protect single ones with `mainstay hold`";
            let place = Some(place);
            self.reading.note(place, Fate::NotExpressed, setting, says);
        } else if VALUED.contains(&name) {
            self.value(option)?;
        } else {
            unusable(option, place, self.reading);
        }
        Some(())
    }

    fn value(&mut self, option: &Given) -> Option<String> {
        let place = self.text.at(option.line);
        self.words.value(option, &place, self.reading)
    }

    fn within(&mut self, long: &str, each: Each, value: &str, place: Place) {
        match window(value) {
            Ok(period) => {
                let says = format!("`{} = \"{period}\"`", long.trim_start_matches("--keep-"));
                let setting = format!("{long} {value}");
                self.reading.note(Some(place), Fate::Taken, setting, says);
                let windows = &mut self.forget.rules.windows;
                windows.retain(|(one, _)| *one != each);
                windows.push((each, period));
            }
            Err(why) => (self.reading).problem(place, format!("`{long} {value}`: {why}")),
        }
    }
}

/// What is no option that is known: a problem where it may have to do with retention.
fn unusable(option: &Given, place: Place, reading: &mut Reading) {
    let name = option.name.as_str();
    if name == "--unsafe-allow-remove-all" {
        let says = "`--unsafe-allow-remove-all` deletes everything; no policy says that";
        reading.problem(place, says);
    } else if name.starts_with("--keep") || name.starts_with("-keep") {
        let known = KEEPS.iter().map(|(long, ..)| *long);
        let known = known.chain(WITHINS.iter().map(|(long, _)| *long));
        reading.problem(place, options::unknown(name, known.chain(["--keep-tag"])));
    } else if option.is_open {
        reading.problem(place, format!("only running the script shows what `{name}` stands for; write the options of `restic forget` out"));
    }
}

/// Whether anything is kept by a rule; without one restic keeps everything.
pub(super) fn is_set(rules: &restic::Rules) -> bool {
    rules.counts.iter().any(|(_, count)| count.is_set())
        || rules.windows.iter().any(|(_, window)| !window.is_zero())
}

fn grouped(value: &str, place: Place, reading: &mut Reading) {
    let (fate, says) = match value {
        "host" | "host,paths" | "paths,host" | "paths" | "host,tags" | "host,paths,tags"
        | "tags" | "paths,tags" => (Fate::Changed, "each series is judged alone, always"),
        _ => (
            Fate::NotExpressed,
            "each series is judged alone, always: with more than one the old rules counted them together",
        ),
    };
    reading.note(Some(place), fate, format!("--group-by '{value}'"), says);
}

fn count(long: &str, value: &str, place: &Place, reading: &mut Reading) -> Option<Count> {
    let key = long.trim_start_matches("--keep-");
    if value == "unlimited" {
        reading.note(
            Some(place.clone()),
            Fate::Taken,
            format!("{long} {value}"),
            format!("`{key} = \"all\"`"),
        );
        return Some(Count::Unlimited);
    }
    match value.parse::<i64>() {
        Ok(number) if number < 0 => {
            reading.problem(
                place.clone(),
                format!("`{long} {value}`: restic refuses this (before 0.16 it counted as 0, and everything else was deleted); write `unlimited`, or leave it out"),
            );
            None
        }
        Ok(number) => {
            let Ok(n) = u32::try_from(number) else {
                reading.note(
                    Some(place.clone()),
                    Fate::Changed,
                    format!("{long} {value}"),
                    format!("`{key} = \"all\"`: nobody counts that far"),
                );
                return Some(Count::Unlimited);
            };
            let says = if n == 0 {
                "the rule is off".to_owned()
            } else {
                format!("`{key} = {n}`")
            };
            reading.note(
                Some(place.clone()),
                Fate::Taken,
                format!("{long} {value}"),
                says,
            );
            Some(Count::Of(n))
        }
        Err(_) => {
            let why = if value.contains('$') || value.contains('`') {
                "only running the script shows this number; write it out"
            } else {
                "this is no number"
            };
            reading.problem(place.clone(), format!("`{long} {value}`: {why}"));
            None
        }
    }
}

/// restic's `1y5m7d2h`, units in any order; `m` is months.
fn window(text: &str) -> Result<Period, String> {
    let mut period = Period::default();
    let mut number = String::new();
    for c in text.trim().chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let n: u32 = number
            .parse()
            .map_err(|_| "write it like 7d, 1y5m7d2h".to_owned())?;
        number.clear();
        match c {
            'y' => period.years = n,
            'm' => period.months = n,
            'd' => period.days = n,
            'h' => period.seconds = u64::from(n) * 3600,
            other => {
                return Err(format!(
                    "`{other}` is no unit of restic's: y, m (months), d and h are"
                ));
            }
        }
    }
    if number.is_empty() && !period.is_zero() {
        Ok(period)
    } else {
        Err("write it like 7d, 1y5m7d2h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_restic_have_months_where_ours_have_minutes() {
        assert_eq!(window("1y5m7d2h").unwrap().to_string(), "1y5mo7d2h");
        assert_eq!(window("2h3m").unwrap().to_string(), "3mo2h");
        assert!(window("7").is_err());
        assert!(window("7w").unwrap_err().contains("`w` is no unit"));
        assert!(window("").is_err());
    }
}
