//! When the tool ran: cron as it is, systemd's `OnCalendar` where cron can say the same.

use super::{
    calendar::from_calendar,
    found::{Fate, Reading},
    shell::{self, base},
    source::Text,
};
use jiff::{Timestamp, tz::TimeZone};
use policy_schema::Schedule;
use std::path::Path;

/// What is taken when nothing says when a tool ran.
pub(crate) const NIGHTLY: &str = "0 2 * * *";

/// Where and when the import is made: what depends on the calendar needs it.
#[derive(Debug, Clone)]
pub(crate) struct When {
    pub(crate) zone: TimeZone,
    pub(crate) from: Timestamp,
}

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

/// Whether a line of a crontab is a schedule; a problem where it is none.
pub(crate) fn usable(reading: &mut Reading, text: &Text, cron: &str, line: usize) -> bool {
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
