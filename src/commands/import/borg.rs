//! borg: `borg prune …` in a shell script, a crontab or a systemd unit, and `borg create …` beside it; borgmatic's YAML is next door.

use super::{
    borgmatic,
    found::{Database, Fate, Found, Place, Reading, Series, name_of, quoted, unique},
    keeps, options,
    repository::{self, without_password},
    schedule::Schedules,
    shell::{self, Word, base},
    source::{self, Text},
};
use crate::failure::Result;
use jiff::{Timestamp, tz::TimeZone};
use planner::foreign::{Count, Kind, Rules, borg};

/// The rules, as `borg prune --keep-X`, `-X` and borgmatic's `keep_X`.
pub(crate) const UNITS: [(&str, &str, borg::Unit); 8] = [
    ("last", "", borg::Unit::Second),
    ("secondly", "", borg::Unit::Second),
    ("minutely", "", borg::Unit::Minute),
    ("hourly", "-H", borg::Unit::Hour),
    ("daily", "-d", borg::Unit::Day),
    ("weekly", "-w", borg::Unit::Week),
    ("monthly", "-m", borg::Unit::Month),
    ("yearly", "-y", borg::Unit::Year),
];
const VALUED: [&str; 26] = [
    "-a",
    "--glob-archives",
    "-P",
    "--prefix",
    "--match-archives",
    "--rsh",
    "--remote-path",
    "--remote-ratelimit",
    "--upload-ratelimit",
    "--lock-wait",
    "--umask",
    "--debug-topic",
    "-C",
    "--compression",
    "-e",
    "--exclude",
    "--exclude-from",
    "--pattern",
    "--patterns-from",
    "--exclude-if-present",
    "--comment",
    "--timestamp",
    "-c",
    "--checkpoint-interval",
    "--chunker-params",
    "--files-cache",
];

/// Where the import is made: what depends on the calendar needs it.
#[derive(Debug, Clone)]
pub(crate) struct When {
    pub(crate) zone: TimeZone,
    pub(crate) from: Timestamp,
}

struct Prune {
    rules: borg::Rules,
    archives: Option<String>,
    repository: Option<(String, usize)>,
    place: Place,
    schedule: Option<(String, usize)>,
}

pub(crate) fn read(
    text: &Text,
    schedules: &Schedules,
    when: &When,
    reading: &mut Reading,
) -> Result<Found> {
    let is_yaml = [".yaml", ".yml"].iter().any(|end| text.name.ends_with(end));
    if is_yaml {
        return borgmatic::read(text, schedules, when, reading);
    }
    let script = shell::read(&text.text);
    let mut prunes: Vec<Prune> = Vec::new();
    let mut sources: Vec<String> = Vec::new();
    let (mut schedule, mut repository) = (None, None);
    let mut is_there = false;
    for (command, arguments) in shell::runs_of(&script, "borg") {
        let Some(verb) = arguments
            .iter()
            .position(|word| matches!(word.text.as_str(), "prune" | "create"))
        else {
            continue;
        };
        is_there = true;
        if arguments[verb].text == "prune" {
            prunes.push(prune(
                text,
                arguments,
                verb,
                command.schedule.clone(),
                reading,
            ));
        } else {
            let (archive, paths) = create(arguments);
            sources.extend(paths);
            repository = repository.or(archive);
        }
        schedule = schedule.or_else(|| command.schedule.clone());
    }
    if !is_there && reading.problems.is_empty() {
        return Err(source::nothing(
            text,
            "no `borg prune` and no `borg create`",
            "name the script that runs `borg prune --keep-…`, or borgmatic's config.yaml",
        ));
    }
    let environment = script
        .variable("BORG_REPO")
        .map(|word| (word.text.clone(), word.line));
    let repository = prunes
        .iter()
        .find_map(|one| one.repository.clone())
        .or(repository)
        .or(environment);
    let repository = repository
        .as_ref()
        .map(|(url, line)| (url.as_str(), text.at(*line)));
    let mut found = Found {
        encrypted: true,
        tiers: vec![repository::tier(reading, "repository", repository)],
        ..Found::default()
    };
    if prunes.is_empty() {
        let says = "no `borg prune` was found: borg keeps everything, and so does `forever = true`";
        reading.note(None, Fate::Assumed, "retention", says);
        prunes.push(Prune {
            rules: borg::Rules::default(),
            archives: None,
            repository: None,
            place: text.at(1),
            schedule: None,
        });
    }
    let mut different: Vec<&Prune> = Vec::new();
    for prune in &prunes {
        match different.iter().find(|one| one.archives == prune.archives && one.repository == prune.repository) {
            Some(first) if first.rules != prune.rules => reading.problem(
                prune.place.clone(),
                format!("this `borg prune` looks at the same archives as {} and keeps others: both together keep only what both keep; leave one of them", first.place),
            ),
            Some(_) => {}
            None => different.push(prune),
        }
    }
    for prune in different {
        let schedule = schedules.of(
            reading,
            text,
            "borg",
            prune.schedule.clone().or_else(|| schedule.clone()),
            &script.on_calendar,
        );
        let wish = prune
            .archives
            .as_deref()
            .map(|glob| glob.trim_end_matches('*').to_owned());
        let wish = wish.filter(|glob| !glob.contains(['{', '$']));
        let wish = wish.or_else(|| {
            sources
                .first()
                .map(|path| base(path.trim_end_matches('/')).to_owned())
        });
        let name = name_of(&wish.unwrap_or_default(), "files");
        let name = unique(&name, |name| {
            found.databases.iter().any(|one| one.name == name)
        });
        let tiers = ["repository".to_owned()];
        let files = files(&sources, reading);
        found.databases.push(database(
            name,
            files,
            &tiers,
            &prune.rules,
            schedule,
            when,
            &prune.place,
            reading,
        ));
    }
    Ok(found)
}

/// A database of borg's rules on every tier.
#[expect(
    clippy::too_many_arguments,
    reason = "all of it is what borgmatic and a script say, each in its way"
)]
pub(crate) fn database(
    name: String,
    table: Vec<String>,
    tiers: &[String],
    rules: &borg::Rules,
    schedule: String,
    when: &When,
    place: &Place,
    reading: &mut Reading,
) -> Database {
    let is_set =
        rules.within_hours.is_some() || rules.counts.iter().any(|(_, count)| count.is_set());
    let (keep, rules) = if is_set {
        let (keep, notes) = keeps::of_borg(rules, &schedule, &when.zone, when.from, Some(place));
        reading.notes.extend(notes);
        (keep, Rules::Borg(rules.clone()))
    } else {
        (keeps::FOREVER.to_owned(), Rules::Everything)
    };
    Database {
        name,
        table,
        series: vec![Series {
            name: "all".to_owned(),
            kind: Kind::Full,
            table: Vec::new(),
            schedule,
            keeps: tiers
                .iter()
                .map(|tier| (tier.clone(), keep.clone()))
                .collect(),
        }],
        log: Vec::new(),
        rules: tiers
            .iter()
            .map(|tier| (tier.clone(), rules.clone()))
            .collect(),
        pointers: false,
    }
}

/// The table of what is backed up as files.
pub(crate) fn files(paths: &[String], reading: &mut Reading) -> Vec<String> {
    let mut table = vec!["engine = \"files\"".to_owned()];
    if paths.is_empty() {
        let says = "nothing says, so `paths = [\"/CHANGE/ME\"]`; for a database take its engine instead of `files`";
        reading.note(None, Fate::Assumed, "what is backed up", says);
        table.push("# CHANGE: what is backed up; for a database: engine = \"postgres\" and url, or \"sqlite\" and path".to_owned());
        table.push("paths = [\"/CHANGE/ME\"]".to_owned());
    } else {
        let paths: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
        table.push(format!("paths = [{}]", paths.join(", ")));
    }
    table
}

fn prune(
    text: &Text,
    arguments: &[Word],
    verb: usize,
    schedule: Option<(String, usize)>,
    reading: &mut Reading,
) -> Prune {
    let mut prune = Prune {
        rules: borg::Rules::default(),
        archives: None,
        repository: None,
        place: text.at(arguments[verb].line),
        schedule,
    };
    let mut words = options::Options::new(arguments, &["-H", "-d", "-w", "-m", "-y", "-a", "-P"]);
    while let Some(option) = words.next() {
        let place = text.at(option.line);
        let name = option.name.as_str();
        let unit = UNITS.iter().find(|(long, short, _)| {
            name.strip_prefix("--keep-") == Some(*long) || (!short.is_empty() && name == *short)
        });
        if let Some((long, _, unit)) = unit {
            let Some(value) = words.value(&option, &place, reading) else {
                continue;
            };
            rule(
                &mut prune.rules,
                *unit,
                &format!("--keep-{long} {value}"),
                &value,
                &place,
                reading,
            );
        } else if name == "--keep-within" {
            let Some(value) = words.value(&option, &place, reading) else {
                continue;
            };
            within(
                &mut prune.rules,
                &format!("--keep-within {value}"),
                &value,
                &place,
                reading,
            );
        } else if matches!(name, "--keep-13weekly" | "--keep-3monthly") {
            reading.problem(
                place,
                format!(
                    "`{name}` of borg 1.4 has nothing like it; `quarterly` counts calendar quarters"
                ),
            );
        } else if name.starts_with("--keep") || name.starts_with("-keep") {
            let known: Vec<String> = UNITS
                .iter()
                .map(|(long, ..)| format!("--keep-{long}"))
                .chain(["--keep-within".to_owned()])
                .collect();
            reading.problem(
                place,
                options::unknown(name, known.iter().map(String::as_str)),
            );
        } else if matches!(
            name,
            "-a" | "--glob-archives" | "-P" | "--prefix" | "--match-archives"
        ) {
            let Some(value) = words.value(&option, &place, reading) else {
                continue;
            };
            reading.note(
                Some(place),
                Fate::Changed,
                format!("{name} {value}"),
                "what it looks at is a database of its own",
            );
            prune.archives = Some(value);
        } else if VALUED.contains(&name) {
            words.value(&option, &place, reading);
        } else if !name.starts_with('-') && name != "prune" {
            if option.is_open
                && !name.contains(['/', ':'])
                && !name.starts_with("$BORG")
                && !name.starts_with("$REPO")
                && !name.starts_with("${REPO")
            {
                reading.problem(place, format!("only running the script shows what `{}` stands for; write the options of `borg prune` out", without_password(name)));
            } else {
                prune.repository = Some((name.trim_end_matches("::").to_owned(), option.line));
            }
        }
    }
    let is_set = prune.rules.within_hours.is_some()
        || prune.rules.counts.iter().any(|(_, count)| count.is_set());
    if !is_set && reading.problems.is_empty() {
        let says = "without --keep-… borg refuses to prune and everything stays: `forever = true`";
        reading.note(Some(prune.place.clone()), Fate::Changed, "borg prune", says);
    }
    prune
}

/// One rule of a count; -1 is without end.
pub(crate) fn rule(
    rules: &mut borg::Rules,
    unit: borg::Unit,
    setting: &str,
    value: &str,
    place: &Place,
    reading: &mut Reading,
) {
    let key = match unit {
        borg::Unit::Second | borg::Unit::Minute => "last",
        borg::Unit::Hour => "hourly",
        borg::Unit::Day => "daily",
        borg::Unit::Week => "weekly",
        borg::Unit::Month => "monthly",
        borg::Unit::Year => "yearly",
    };
    let count = match value.trim().parse::<i64>() {
        Err(_) => {
            let open = value.contains(['$', '`', '{']);
            let why = if open {
                "only running it shows this number; write it out"
            } else {
                "this is no number"
            };
            reading.problem(place.clone(), format!("`{setting}`: {why}"));
            return;
        }
        Ok(number) if number < 0 => Count::Unlimited,
        Ok(number) => u32::try_from(number).map_or(Count::Unlimited, Count::Of),
    };
    let says = match count {
        Count::Of(0) => "the rule is off".to_owned(),
        Count::Of(n) => format!("`{key} = {n}`"),
        Count::Unlimited => format!("`{key} = \"all\"`"),
    };
    reading.note(Some(place.clone()), Fate::Taken, setting, says);
    rules.counts.retain(|(one, _)| *one != unit);
    rules.counts.push((unit, count));
}

/// `10d`, `48H`, `3w`, `6m` (of 31 days), `2y` (of 365).
pub(crate) fn within(
    rules: &mut borg::Rules,
    setting: &str,
    value: &str,
    place: &Place,
    reading: &mut Reading,
) {
    let value = value.trim();
    let hours = value.char_indices().last().and_then(|(at, unit)| {
        let factor = match unit {
            'H' => 1,
            'd' => 24,
            'w' => 24 * 7,
            'm' => 24 * 31,
            'y' => 24 * 365,
            _ => return None,
        };
        value[..at]
            .parse::<u32>()
            .ok()?
            .checked_mul(factor)
            .filter(|hours| *hours > 0)
    });
    let Some(hours) = hours else {
        reading.problem(
            place.clone(),
            format!("`{setting}`: write it as borg does: a number and H, d, w, m or y"),
        );
        return;
    };
    let fate = if value.ends_with('H') {
        Fate::Taken
    } else {
        Fate::Changed
    };
    let says = format!(
        "`within = \"{hours}h\"`: borg counts hours, the calendar's days differ when clocks change"
    );
    reading.note(Some(place.clone()), fate, setting, says);
    rules.within_hours = Some(hours);
}

/// Repository and paths of `borg create REPO::ARCHIVE PATH…`.
fn create(arguments: &[Word]) -> (Option<(String, usize)>, Vec<String>) {
    let mut ignored = Reading::default();
    let (mut repository, mut paths, mut named) = (None, Vec::new(), false);
    let mut words = options::Options::new(arguments, &["-C", "-e", "-c"]);
    while let Some(option) = words.next() {
        let nowhere = Place {
            file: String::new(),
            line: option.line,
        };
        let name = option.name.as_str();
        if VALUED.contains(&name) {
            words.value(&option, &nowhere, &mut ignored);
        } else if let Some((before, _)) = name.split_once("::") {
            named = true;
            if !before.is_empty() {
                repository = Some((before.to_owned(), option.line));
            }
        } else if named && !name.starts_with('-') && !option.is_open {
            paths.push(name.to_owned());
        }
    }
    (repository, paths)
}
