//! When which kind of backup runs: as given, as a crontab says, or as the user guide of pgBackRest has it.

use super::word;
use crate::commands::import::{
    found::{Fate, Place, Reading},
    schedule::{self, Schedules},
    shell::{self, Word, base},
    source::Text,
};
use planner::foreign::Kind;

/// As the user guide has it.
const ASSUMED: [(Kind, &str); 2] = [
    (Kind::Full, "30 6 * * sun"),
    (Kind::Differential, "30 6 * * mon-sat"),
];

/// Each kind of backup of a stanza with its schedule; a full one is always among them.
pub(super) fn streams(
    text: &Text,
    stanza: &str,
    schedules: &Schedules,
    reading: &mut Reading,
) -> Vec<(Kind, String)> {
    let mut streams = given(schedules);
    if streams.is_empty()
        && let Some(crontab) = &schedules.crontab
    {
        streams = in_crontab(crontab, stanza, reading);
    }
    let assumed = ASSUMED.map(|(kind, cron)| (kind, cron.to_owned()));
    if streams.is_empty() {
        let says = "pgBackRest has no schedule of its own: full on Sundays, differential on the other days, as its user guide has it; give --crontab FILE or --schedule full=CRON --schedule diff=CRON";
        reading.note(None, Fate::Assumed, "when it runs", says);
        streams.extend(assumed.clone());
    }
    if !streams.iter().any(|(kind, _)| *kind == Kind::Full) {
        // Without one nothing ever expires, and pgBackRest makes the first a full one by itself.
        let says = "no full backup is scheduled: `30 6 * * sun` was put in";
        reading.note(Some(text.at(1)), Fate::Assumed, "full backups", says);
        streams.insert(0, assumed[0].clone());
    }
    streams.sort_by_key(|(kind, _)| *kind);
    streams
}

/// `--schedule KIND=CRON`; one without a kind is that of full backups.
fn given(schedules: &Schedules) -> Vec<(Kind, String)> {
    let full = schedules.given(word(Kind::Full));
    let mut streams: Vec<(Kind, String)> =
        full.map(|cron| (Kind::Full, cron)).into_iter().collect();
    for kind in [Kind::Differential, Kind::Incremental] {
        let mut all = schedules.given.iter();
        let named = all.find(|(name, _)| name.as_deref() == Some(word(kind)));
        streams.extend(named.map(|(_, cron)| (kind, cron.clone())));
    }
    streams
}

/// The lines that run `pgbackrest … backup` for this stanza.
fn in_crontab(crontab: &Text, stanza: &str, reading: &mut Reading) -> Vec<(Kind, String)> {
    let mut streams: Vec<(Kind, String)> = Vec::new();
    let script = shell::read(&crontab.text);
    for (command, arguments) in shell::runs_of(&script, "pgbackrest") {
        let Some((cron, line)) = &command.schedule else {
            continue;
        };
        let place = crontab.at(*line);
        if !backs_up(arguments, stanza) {
            continue;
        }
        let Some(kind) = kind(arguments, &place, reading) else {
            continue;
        };
        if !schedule::usable(reading, crontab, cron, *line) {
            continue;
        }
        let setting = format!("{cron} ({})", word(kind));
        if let Some((_, first)) = streams.iter().find(|(one, _)| *one == kind) {
            let says = format!(
                "a series has one schedule: `{first}` was taken; add a series for this one"
            );
            reading.note(Some(place), Fate::NotExpressed, setting, says);
            continue;
        }
        let says = format!("the schedule of the series `{}`", word(kind));
        reading.note(Some(place), Fate::Taken, setting, says);
        streams.push((kind, cron.clone()));
    }
    if streams.is_empty() {
        let says = format!("no line runs `pgbackrest --stanza={stanza} backup`");
        let file = base(&crontab.name);
        reading.note(Some(crontab.at(1)), Fate::NotExpressed, file, says);
    }
    streams
}

fn backs_up(arguments: &[Word], stanza: &str) -> bool {
    value(arguments, "--stanza=").is_none_or(|one| one == stanza)
        && arguments.iter().any(|word| word.text == "backup")
}

/// `--type`; none where it is no kind, which is a problem.
fn kind(arguments: &[Word], place: &Place, reading: &mut Reading) -> Option<Kind> {
    match value(arguments, "--type=") {
        Some("full") => Some(Kind::Full),
        Some("diff") => Some(Kind::Differential),
        None | Some("incr") => Some(Kind::Incremental),
        Some(other) => {
            let says = format!("`--type={other}` is no kind of backup: full, diff and incr are");
            reading.problem(place.clone(), says);
            None
        }
    }
}

fn value<'w>(arguments: &'w [Word], option: &str) -> Option<&'w str> {
    let mut words = arguments.iter();
    words.find_map(|word| word.text.strip_prefix(option))
}
