//! restic: `restic forget …` in a shell script, a crontab or a systemd unit, and `restic backup …` beside it.

use super::{
    found::{Database, Fate, Found, Place, Reading, Series, name_of, quoted, unique},
    keeps, options, repository,
    schedule::Schedules,
    shell::{self, Command, Word, base},
    source::{self, Text},
};
use crate::failure::Result;
use model::{Period, retention::Each};
use planner::foreign::{Count, Kind, Rules, restic};

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
/// Options with a value that have no part in retention.
const VALUED: [&str; 45] = [
    "-r",
    "--repo",
    "--repository-file",
    "-p",
    "--password-file",
    "--password-command",
    "-o",
    "--option",
    "--cache-dir",
    "--cacert",
    "--tls-client-cert",
    "--limit-upload",
    "--limit-download",
    "--key-hint",
    "--pack-size",
    "--compression",
    "--retry-lock",
    "--http-user-agent",
    "--stuck-request-timeout",
    "-e",
    "--exclude",
    "--iexclude",
    "--exclude-file",
    "--iexclude-file",
    "--exclude-larger-than",
    "--exclude-if-present",
    "--files-from",
    "--files-from-verbatim",
    "--files-from-raw",
    "--parent",
    "--time",
    "--stdin-filename",
    "--read-concurrency",
    "--max-unused",
    "--max-repack-size",
    "--repack-uncompressed-size",
    "--group-by",
    "-g",
    "--tag",
    "--host",
    "-H",
    "--hostname",
    "--path",
    "--verbose-level",
    "--keep-tag",
];

/// One `forget`.
struct Forget {
    rules: restic::Rules,
    /// Which snapshots it looks at: `--tag`, `--host`, `--path`.
    filters: Vec<String>,
    place: Place,
    repository: Option<(String, usize)>,
    schedule: Option<(String, usize)>,
}

/// One `backup`.
struct Backup {
    paths: Vec<String>,
    tags: Vec<String>,
    dumps: Option<String>,
    excludes: Option<usize>,
    schedule: Option<(String, usize)>,
    repository: Option<(String, usize)>,
}

pub(crate) fn read(text: &Text, schedules: &Schedules, reading: &mut Reading) -> Result<Found> {
    let script = shell::read(&text.text);
    let runs = shell::runs_of(&script, "restic");
    let mut forgets: Vec<Forget> = Vec::new();
    let mut backups: Vec<Backup> = Vec::new();
    let mut before: Option<&Command> = None;
    for command in &script.commands {
        let piped_from = before.filter(|before| before.piped);
        before = Some(command);
        let Some((_, arguments)) = runs.iter().find(|(one, _)| std::ptr::eq(*one, command)) else {
            continue;
        };
        let verb = arguments
            .iter()
            .position(|word| matches!(word.text.as_str(), "forget" | "backup"));
        let Some(verb) = verb else { continue };
        if arguments[verb].text == "forget" {
            forgets.extend(forget(text, command, arguments, verb, reading));
        } else {
            backups.push(backup(command, arguments, piped_from));
        }
    }
    if forgets.is_empty() && backups.is_empty() && reading.problems.is_empty() {
        return Err(source::nothing(
            text,
            "no `restic forget` and no `restic backup`",
            "name the shell script, crontab or systemd unit that runs `restic forget --keep-…`; of resticprofile or autorestic, save the command that they show (`resticprofile --dry-run forget`) and name that",
        ));
    }
    conflicts(text, &mut forgets, reading);
    let environment = script.variable("RESTIC_REPOSITORY");
    let named = forgets.iter().find_map(|one| one.repository.clone());
    let named = named.or_else(|| backups.iter().find_map(|one| one.repository.clone()));
    let repository = named.or_else(|| environment.map(|word| (word.text.clone(), word.line)));
    let repository = repository
        .as_ref()
        .map(|(url, line)| (url.as_str(), text.at(*line)));
    let mut found = Found {
        encrypted: true,
        tiers: vec![repository::tier(reading, "repository", repository)],
        ..Found::default()
    };
    found
        .remarks
        .push("restic encrypts whatever it stores, so this policy does too.".to_owned());
    if forgets.is_empty() {
        let says =
            "no `restic forget` was found: restic keeps everything, and so does `forever = true`";
        reading.note(None, Fate::Assumed, "retention", says);
    }
    databases(
        text,
        schedules,
        &script.on_calendar,
        &forgets,
        &backups,
        &mut found,
        reading,
    );
    Ok(found)
}

/// Two that look at the same snapshots: what one keeps the other may delete.
fn conflicts(text: &Text, forgets: &mut Vec<Forget>, reading: &mut Reading) {
    let mut different: Vec<Forget> = Vec::new();
    for forget in forgets.drain(..) {
        let same = different
            .iter()
            .find(|one| one.filters == forget.filters && one.repository == forget.repository);
        match same {
            Some(first) if first.rules != forget.rules => reading.problem(
                forget.place.clone(),
                format!(
                    "this `restic forget` looks at the same snapshots as {} and keeps others: both together keep only what both keep; leave one of them",
                    text.at(first.place.line)
                ),
            ),
            Some(_) => {}
            None => different.push(forget),
        }
    }
    *forgets = different;
}

fn databases(
    text: &Text,
    schedules: &Schedules,
    on_calendar: &[(String, usize)],
    forgets: &[Forget],
    backups: &[Backup],
    found: &mut Found,
    reading: &mut Reading,
) {
    let assumed = Backup {
        paths: Vec::new(),
        tags: Vec::new(),
        dumps: None,
        excludes: None,
        schedule: None,
        repository: None,
    };
    let mut pairs: Vec<(&Backup, Option<&Forget>)> = Vec::new();
    for backup in backups {
        let tagged = |forget: &&Forget| {
            !forget.filters.is_empty()
                && forget.filters.iter().any(|filter| {
                    backup.tags.iter().any(|tag| {
                        filter
                            .strip_prefix("--tag ")
                            .is_some_and(|tags| tags.split(',').any(|one| one == tag))
                    })
                })
        };
        let any = || forgets.iter().find(|forget| forget.filters.is_empty());
        pairs.push((backup, forgets.iter().find(tagged).or_else(any)));
    }
    for forget in forgets {
        let used = pairs
            .iter()
            .any(|(_, used)| used.is_some_and(|used| std::ptr::eq(used, forget)));
        if !used {
            pairs.push((&assumed, Some(forget)));
        }
    }
    for (backup, forget) in pairs {
        let schedule = backup
            .schedule
            .clone()
            .or_else(|| forget.and_then(|forget| forget.schedule.clone()));
        let schedule = schedules.of(reading, text, "restic", schedule, on_calendar);
        let tag = forget
            .and_then(|forget| forget.filters.first())
            .map(|filter| {
                filter
                    .rsplit([' ', ','])
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            });
        let wish = backup
            .dumps
            .clone()
            .or_else(|| backup.tags.first().cloned())
            .or(tag);
        let wish = wish.or_else(|| {
            backup
                .paths
                .first()
                .map(|path| base(path.trim_end_matches('/')).to_owned())
        });
        let name = name_of(&wish.unwrap_or_default(), "files");
        let name = unique(&name, |name| {
            found.databases.iter().any(|one| one.name == name)
        });
        let rules = forget.map_or(Rules::Everything, |forget| {
            Rules::Restic(forget.rules.clone())
        });
        let keep = match &rules {
            Rules::Restic(rules) if is_set(rules) => keeps::of_restic(rules),
            _ => keeps::FOREVER.to_owned(),
        };
        let rules = match rules {
            Rules::Restic(rules) if is_set(&rules) => Rules::Restic(rules),
            _ => Rules::Everything,
        };
        if let Some(line) = backup.excludes {
            let says =
                "patterns of restic are not those of `exclude`; write `exclude = [\"…\"]` yourself";
            reading.note(Some(text.at(line)), Fate::NotExpressed, "--exclude", says);
        }
        found.databases.push(Database {
            table: table(&name, backup, reading),
            name,
            series: vec![Series {
                name: "all".to_owned(),
                kind: Kind::Full,
                table: Vec::new(),
                schedule,
                keeps: vec![("repository".to_owned(), keep)],
            }],
            log: Vec::new(),
            rules: vec![("repository".to_owned(), rules)],
            pointers: false,
        });
    }
}

fn is_set(rules: &restic::Rules) -> bool {
    rules.counts.iter().any(|(_, count)| count.is_set())
        || rules.windows.iter().any(|(_, window)| !window.is_zero())
}

fn table(name: &str, backup: &Backup, reading: &mut Reading) -> Vec<String> {
    if backup.dumps.is_some() {
        let variable = format!("{}_URL", name.to_uppercase().replace('-', "_"));
        let says = format!(
            "Mainstay makes the dump itself: `engine = \"postgres\"`; put the connection URL into {variable}"
        );
        reading.note(
            None,
            Fate::Changed,
            "pg_dump … | restic backup --stdin",
            says,
        );
        return vec![
            "engine = \"postgres\"".to_owned(),
            format!(
                "url = {{ env = \"{variable}\" }} # postgres://host/database, kept out of this file"
            ),
        ];
    }
    let mut table = vec!["engine = \"files\"".to_owned()];
    if backup.paths.is_empty() {
        let says = "nothing says, so `paths = [\"/CHANGE/ME\"]`; for a database take its engine instead of `files`";
        reading.note(None, Fate::Assumed, "what is backed up", says);
        table.push("# CHANGE: what is backed up; for a database: engine = \"postgres\" and url, or \"sqlite\" and path".to_owned());
        table.push("paths = [\"/CHANGE/ME\"]".to_owned());
    } else {
        let paths: Vec<String> = backup.paths.iter().map(|path| quoted(path)).collect();
        table.push(format!("paths = [{}]", paths.join(", ")));
    }
    table
}

fn forget(
    text: &Text,
    command: &Command,
    arguments: &[Word],
    verb: usize,
    reading: &mut Reading,
) -> Option<Forget> {
    let mut forget = Forget {
        rules: restic::Rules::default(),
        filters: Vec::new(),
        place: text.at(arguments[verb].line),
        repository: None,
        schedule: command.schedule.clone(),
    };
    let problems = reading.problems.len();
    let mut words = options::Options::new(
        arguments,
        &["-H", "-l", "-d", "-w", "-m", "-y", "-r", "-p", "-o", "-g"],
    );
    while let Some(option) = words.next() {
        let place = text.at(option.line);
        let name = option.name.as_str();
        let keep = KEEPS
            .iter()
            .find(|(long, short, _)| name == *long || name == *short);
        if let Some((long, _, each)) = keep {
            let Some(value) = words.value(&option, &place, reading) else {
                continue;
            };
            if let Some(count) = count(long, &value, &place, reading) {
                forget.rules.counts.retain(|(one, _)| one != each);
                forget.rules.counts.push((*each, count));
            }
        } else if let Some((long, each)) = WITHINS.iter().find(|(long, _)| name == *long) {
            let Some(value) = words.value(&option, &place, reading) else {
                continue;
            };
            match window(&value) {
                Ok(period) => {
                    reading.note(
                        Some(place),
                        Fate::Taken,
                        format!("{long} {value}"),
                        format!("`{} = \"{period}\"`", long.trim_start_matches("--keep-")),
                    );
                    forget.rules.windows.retain(|(one, _)| one != each);
                    forget.rules.windows.push((*each, period));
                }
                Err(why) => reading.problem(place, format!("`{long} {value}`: {why}")),
            }
        } else if name == "--keep-tag" {
            let Some(value) = words.value(&option, &place, reading) else {
                continue;
            };
            let says = "points have no tags: protect single ones with `mainstay hold`";
            reading.note(
                Some(place),
                Fate::NotExpressed,
                format!("--keep-tag {value}"),
                says,
            );
        } else if matches!(name, "--group-by" | "-g") {
            let Some(value) = words.value(&option, &place, reading) else {
                continue;
            };
            grouped(&value, place, reading);
        } else if matches!(name, "--tag" | "--host" | "--hostname" | "--path") {
            let Some(value) = words.value(&option, &place, reading) else {
                continue;
            };
            let says = "what it looks at is a database of its own";
            reading.note(Some(place), Fate::Changed, format!("{name} {value}"), says);
            forget.filters.push(format!("{name} {value}"));
        } else if matches!(name, "-r" | "--repo") {
            let value = words.value(&option, &place, reading)?;
            forget.repository = Some((value, option.line));
        } else if name == "--unsafe-allow-remove-all" {
            reading.problem(
                place,
                "`--unsafe-allow-remove-all` deletes everything; no policy says that",
            );
        } else if name.starts_with("--keep") || name.starts_with("-keep") {
            let known = KEEPS
                .iter()
                .map(|(long, ..)| *long)
                .chain(WITHINS.iter().map(|(long, _)| *long));
            reading.problem(place, options::unknown(name, known.chain(["--keep-tag"])));
        } else if VALUED.contains(&name) {
            words.value(&option, &place, reading);
        } else if option.is_open {
            reading.problem(place, format!("only running the script shows what `{name}` stands for; write the options of `restic forget` out"));
        }
    }
    if reading.problems.len() == problems && !is_set(&forget.rules) {
        let says = "without --keep-… restic deletes nothing: `forever = true`";
        reading.note(
            Some(forget.place.clone()),
            Fate::Changed,
            "restic forget",
            says,
        );
    }
    Some(forget)
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

fn backup(command: &Command, arguments: &[Word], piped_from: Option<&Command>) -> Backup {
    let mut backup = Backup {
        paths: Vec::new(),
        tags: Vec::new(),
        dumps: None,
        excludes: None,
        schedule: command.schedule.clone(),
        repository: None,
    };
    let mut ignored = Reading::default();
    let mut stdin = None;
    let mut words = options::Options::new(arguments, &["-r", "-p", "-o", "-e"]);
    while let Some(option) = words.next() {
        let nowhere = Place {
            file: String::new(),
            line: option.line,
        };
        match option.name.as_str() {
            "backup" => {}
            "--stdin" | "--stdin-from-command" => stdin = stdin.or(Some(String::new())),
            "--stdin-filename" => stdin = words.value(&option, &nowhere, &mut ignored),
            "--tag" => {
                let value = words.value(&option, &nowhere, &mut ignored);
                backup.tags.extend(
                    value
                        .iter()
                        .flat_map(|tags| tags.split(','))
                        .map(str::to_owned),
                );
            }
            "-r" | "--repo" => {
                let value = words.value(&option, &nowhere, &mut ignored);
                backup.repository = value.map(|value| (value, option.line));
            }
            name if name.starts_with("--exclude")
                || name.starts_with("--iexclude")
                || name == "-e" =>
            {
                backup.excludes = Some(option.line);
                if name != "--exclude-caches" {
                    words.value(&option, &nowhere, &mut ignored);
                }
            }
            name if VALUED.contains(&name) => {
                words.value(&option, &nowhere, &mut ignored);
            }
            name if name.starts_with('-') || option.is_open => {}
            path => backup.paths.push(path.to_owned()),
        }
    }
    let dumps = piped_from.is_some_and(|command| {
        command
            .words
            .iter()
            .any(|word| matches!(base(&word.text), "pg_dump" | "pg_dumpall"))
    });
    if dumps && let Some(name) = stdin {
        let name = base(&name).split('.').next().unwrap_or_default().to_owned();
        backup.dumps = Some(if name.is_empty() {
            "database".to_owned()
        } else {
            name
        });
        backup.paths.clear();
    }
    backup
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
