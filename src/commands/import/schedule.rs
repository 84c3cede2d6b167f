//! When the tool ran: cron as it is, systemd's `OnCalendar` where cron can say the same.

use super::{
    found::{Fate, Reading},
    shell::{self, base},
    source::Text,
};
use policy_schema::Schedule;
use std::path::Path;

/// What is taken when nothing says when a tool ran.
pub(crate) const NIGHTLY: &str = "0 2 * * *";

/// Where schedules may come from besides the configuration itself.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    /// `--schedule [KIND=]CRON`.
    pub(crate) given: Vec<(Option<String>, String)>,
    /// `--crontab FILE`.
    pub(crate) crontab: Option<Text>,
    /// A timer beside a unit.
    pub(crate) timer: Option<Text>,
}

impl Schedules {
    /// The one that was given for this kind of backup, or for all.
    pub(crate) fn given(&self, kind: &str) -> Option<String> {
        let mut all = self.given.iter();
        let named = all.find(|(name, _)| name.as_deref() == Some(kind));
        let any = || self.given.iter().find(|(name, _)| name.is_none());
        named.or_else(any).map(|(_, cron)| cron.clone())
    }

    /// When the only thing that the tool does runs: as given, as the command's own line of a crontab says, as the crontab or the timer says, or at night.
    pub(crate) fn of(
        &self,
        reading: &mut Reading,
        config: &Text,
        program: &str,
        own: Option<(String, usize)>,
        on_calendar: &[(String, usize)],
    ) -> String {
        if let Some(given) = self.given("") {
            return given;
        }
        if let Some((cron, line)) = own {
            if usable(reading, config, &cron, line) {
                reading.note(
                    Some(config.at(line)),
                    Fate::Taken,
                    cron.clone(),
                    "the schedule",
                );
                return cron;
            }
        } else if let Some((cron, line, text)) = self.in_crontab(program, config) {
            if usable(reading, text, &cron, line) {
                reading.note(
                    Some(text.at(line)),
                    Fate::Taken,
                    cron.clone(),
                    "the schedule",
                );
                return cron;
            }
        } else if let Some(cron) = self.in_timer(reading, config, on_calendar) {
            return cron;
        }
        reading.note(
            None,
            Fate::Assumed,
            "when it runs",
            format!("nothing says, so `schedule = \"{NIGHTLY}\"`; give --schedule or --crontab"),
        );
        NIGHTLY.to_owned()
    }

    fn in_crontab(&self, program: &str, config: &Text) -> Option<(String, usize, &Text)> {
        let text = self.crontab.as_ref()?;
        let script = shell::read(&text.text);
        let file = base(&config.name).to_owned();
        let command = script.commands.iter().find(|command| {
            let mut words = command.words.iter();
            command.schedule.is_some()
                && words.any(|word| base(&word.text) == program || base(&word.text) == file)
        })?;
        let (cron, line) = command.schedule.clone()?;
        Some((cron, line, text))
    }

    fn in_timer(
        &self,
        reading: &mut Reading,
        config: &Text,
        on_calendar: &[(String, usize)],
    ) -> Option<String> {
        let beside = self.timer.as_ref().map(|timer| {
            let script = shell::read(&timer.text);
            (timer, script.on_calendar)
        });
        let own = (config, on_calendar.to_vec());
        for (text, times) in std::iter::once(own).chain(beside) {
            let Some((written, line)) = times.first() else {
                continue;
            };
            let setting = format!("OnCalendar={written}");
            let Some(cron) = from_calendar(written).filter(|_| times.len() == 1) else {
                let says =
                    format!("cron cannot say it: `schedule = \"{NIGHTLY}\"`; give --schedule");
                reading.note(Some(text.at(*line)), Fate::Changed, setting, says);
                return Some(NIGHTLY.to_owned());
            };
            reading.note(
                Some(text.at(*line)),
                Fate::Taken,
                setting,
                format!("`schedule = \"{cron}\"`"),
            );
            return Some(cron);
        }
        None
    }
}

fn usable(reading: &mut Reading, text: &Text, cron: &str, line: usize) -> bool {
    let schedule = Schedule::cron(cron);
    if let Err(error) = &schedule {
        reading.problem(text.at(line), format!("`{cron}` is no schedule: {error}"));
    }
    schedule.is_ok()
}

/// The name of the timer that belongs to a unit.
pub(crate) fn timer_of(config: &Path) -> Option<std::path::PathBuf> {
    let is_unit = config
        .extension()
        .is_some_and(|extension| extension == "service");
    is_unit.then(|| config.with_extension("timer"))
}

/// systemd's calendar expression as cron; `None` where cron cannot say it.
pub(crate) fn from_calendar(text: &str) -> Option<String> {
    let simple = match text.trim().to_ascii_lowercase().as_str() {
        "minutely" => "* * * * *",
        "hourly" => "0 * * * *",
        "daily" => "0 0 * * *",
        "weekly" => "0 0 * * mon",
        "monthly" => "0 0 1 * *",
        "quarterly" => "0 0 1 1,4,7,10 *",
        "semiannually" => "0 0 1 1,7 *",
        "yearly" | "annually" => "0 0 1 1 *",
        _ => "",
    };
    if !simple.is_empty() {
        return Some(simple.to_owned());
    }
    let (mut days, mut date, mut time) = ("*".to_owned(), None, None);
    for part in text.split_whitespace() {
        if part.contains(':') {
            time = Some(part);
        } else if part.contains('-') && !part.starts_with(|c: char| c.is_ascii_alphabetic()) {
            date = Some(part);
        } else {
            days = part.to_ascii_lowercase().replace("..", "-");
            let named = |day: &str| day.len() >= 3 && day.chars().all(|c| c.is_ascii_alphabetic());
            if !days.split([',', '-']).all(named) {
                return None;
            }
            let short = |day: &str| day.chars().take(3).collect::<String>();
            let lists = days.split(',').map(|range| {
                let range: Vec<String> = range.split('-').map(short).collect();
                range.join("-")
            });
            days = lists.collect::<Vec<_>>().join(",");
        }
    }
    let (hour, minute) = match time {
        None => ("0".to_owned(), "0".to_owned()),
        Some(time) => {
            let parts: Vec<&str> = time.split(':').collect();
            let [hour, minute, seconds @ ..] = parts.as_slice() else {
                return None;
            };
            if !matches!(seconds, [] | ["0" | "00"]) {
                return None;
            }
            (field(hour, 23)?, field(minute, 59)?)
        }
    };
    let (month, day) = match date {
        None => ("*".to_owned(), "*".to_owned()),
        Some(date) => {
            let parts: Vec<&str> = date.split('-').collect();
            match parts.as_slice() {
                ["*", month, day] | [month, day] => (field(month, 12)?, field(day, 31)?),
                _ => return None,
            }
        }
    };
    let cron = format!("{minute} {hour} {day} {month} {days}");
    // Both days restricted are OR-ed by cron and AND-ed by systemd.
    let same = day == "*" || days == "*";
    (same && Schedule::cron(&cron).is_ok()).then_some(cron)
}

/// `02`, `*`, `1,15`, `0/6`, `8..18`.
fn field(text: &str, last: u32) -> Option<String> {
    let mut parts = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, format!("/{}", step.parse::<u32>().ok()?)),
            None => (part, String::new()),
        };
        let range = if range == "*" {
            range.to_owned()
        } else if let Some((from, to)) = range.split_once("..") {
            format!("{}-{}", from.parse::<u32>().ok()?, to.parse::<u32>().ok()?)
        } else {
            let from: u32 = range.parse().ok()?;
            match (step.is_empty(), from) {
                (true, from) => from.to_string(),
                (false, 0) => "*".to_owned(),
                (false, from) => format!("{from}-{last}"),
            }
        };
        parts.push(range + &step);
    }
    Some(parts.join(","))
}
