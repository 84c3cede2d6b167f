//! pgBackRest's `pgbackrest.conf`: each stanza becomes a database, each repository a tier, each kind of backup that is scheduled a series.

use super::{
    found::{Database, Fate, Found, Reading, Series, Tier, name_of, quoted, unique},
    ini::{self, Entry},
    keeps::{self, Reach},
    options,
    schedule::{Schedules, When},
    shell::{self, base},
    source::{self, Text},
};
use crate::failure::Result;
use planner::foreign::{Kind, Rules, pgbackrest};
use std::collections::{BTreeMap, BTreeSet};

/// Settings of a repository that say what stays; each with `repoN-` in front.
const RETENTION: [&str; 6] = [
    "retention-full",
    "retention-full-type",
    "retention-diff",
    "retention-archive",
    "retention-archive-type",
    "retention-history",
];
/// As the user guide has it.
const ASSUMED: [(Kind, &str); 2] = [
    (Kind::Full, "30 6 * * sun"),
    (Kind::Differential, "30 6 * * mon-sat"),
];

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Full => "full",
        Kind::Differential => "diff",
        Kind::Incremental => "incr",
    }
}

/// What one stanza says of one key: its own section before the global one, those of a command before both.
struct Settings<'e> {
    entries: &'e [Entry],
    stanza: &'e str,
}

impl<'e> Settings<'e> {
    fn get(&self, key: &str) -> Option<&'e Entry> {
        let stanza = self.stanza;
        let sections = [
            format!("{stanza}:expire"),
            format!("{stanza}:backup"),
            stanza.to_owned(),
            "global:expire".to_owned(),
            "global:backup".to_owned(),
            "global".to_owned(),
        ];
        sections.iter().find_map(|section| {
            self.entries
                .iter()
                .rfind(|entry| entry.section == *section && entry.key == key)
        })
    }
}

pub(crate) fn read(
    text: &Text,
    schedules: &Schedules,
    when: &When,
    reading: &mut Reading,
) -> Result<Found> {
    let mut entries = ini::read(text, reading, false);
    for entry in &mut entries {
        entry.key = canonical(&entry.key);
    }
    if entries.is_empty() && reading.problems.is_empty() {
        return Err(source::nothing(
            text,
            "no setting of pgBackRest",
            "name pgbackrest.conf, such as /etc/pgbackrest.conf",
        ));
    }
    let repositories = repositories(text, &entries, reading);
    let mut stanzas: Vec<&str> = Vec::new();
    for entry in &entries {
        let stanza = entry.section.split(':').next().unwrap_or_default();
        if stanza != "global" && !stanza.is_empty() && !stanzas.contains(&stanza) {
            stanzas.push(stanza);
        }
    }
    if stanzas.is_empty() {
        reading.note(
            None,
            Fate::Assumed,
            "stanza",
            "the file names none: the database is called `main`",
        );
        stanzas.push("main");
    }
    let mut found = Found::default();
    found.remarks.push("Mainstay takes pgBackRest's place: its own base backups and log archive. Let both run until the first drill has gone well.".to_owned());
    found.remarks.push("Each point is a whole base backup; from PostgreSQL 17 on `incremental = true` with `full-every` makes one series of both.".to_owned());
    for number in &repositories {
        let settings = Settings {
            entries: &entries,
            stanza: stanzas[0],
        };
        let cipher = settings
            .get(&format!("repo{number}-cipher-type"))
            .filter(|entry| entry.value != "none");
        if let Some(entry) = cipher {
            found.encrypted = true;
            reading.note(Some(text.at(entry.line)), Fate::Changed, format!("{}={}", entry.key, entry.value), "Mainstay encrypts with a key of its own, `[key.main]`; the passphrase is not copied");
        }
        found.tiers.push(tier(text, &settings, *number, reading));
    }
    for stanza in stanzas {
        let settings = Settings {
            entries: &entries,
            stanza,
        };
        let streams = streams(text, stanza, schedules, reading);
        let database = database(
            text,
            &settings,
            &repositories,
            &streams,
            when,
            &found,
            reading,
        );
        found.databases.push(database);
    }
    Ok(found)
}

/// `repo-path` and `retention-full` are old ways to say `repo1-…`.
fn canonical(key: &str) -> String {
    if let Some(rest) = key.strip_prefix("repo-") {
        format!("repo1-{rest}")
    } else if key.starts_with("retention-") {
        format!("repo1-{key}")
    } else {
        key.to_owned()
    }
}

/// Numbers of the repositories; what looks like retention and is not is a problem.
fn repositories(text: &Text, entries: &[Entry], reading: &mut Reading) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    for entry in entries {
        let digits: String = entry
            .key
            .strip_prefix("repo")
            .unwrap_or_default()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let number: Option<u32> = digits.parse().ok();
        numbers.extend(number);
        let rest = number.and_then(|_| entry.key[4 + digits.len()..].strip_prefix('-'));
        let suspicious = entry.key.contains("retent")
            || entry.key.contains("retain")
            || rest.is_some_and(|rest| strsim::damerau_levenshtein(rest, "retention-full") <= 3);
        if suspicious && !rest.is_some_and(|rest| RETENTION.contains(&rest)) {
            let known: Vec<String> = RETENTION
                .iter()
                .map(|name| format!("repo{}-{name}", number.unwrap_or(1)))
                .collect();
            reading.problem(
                text.at(entry.line),
                options::unknown(&entry.key, known.iter().map(String::as_str)),
            );
        }
    }
    if numbers.is_empty() {
        numbers.insert(1);
    }
    numbers
}

fn tier(text: &Text, settings: &Settings<'_>, number: u32, reading: &mut Reading) -> Tier {
    let get = |name: &str| settings.get(&format!("repo{number}-{name}"));
    let value = |name: &str| get(name).map(|entry| entry.value.as_str());
    let mut table = Vec::new();
    let kind = value("type").unwrap_or("posix");
    let path = value("path")
        .unwrap_or("/var/lib/pgbackrest")
        .trim_end_matches('/');
    if kind == "s3" {
        table.push("kind = \"s3\"".to_owned());
        table.push(format!(
            "bucket = {}",
            quoted(value("s3-bucket").unwrap_or("CHANGE-ME"))
        ));
        table.push(format!(
            "prefix = {}",
            quoted(&format!("{}-mainstay", path.trim_start_matches('/')))
        ));
        if let Some(region) = value("s3-region") {
            table.push(format!("region = {}", quoted(region)));
        }
        if let Some(endpoint) =
            value("s3-endpoint").filter(|endpoint| !endpoint.contains("amazonaws.com"))
        {
            let endpoint = if endpoint.contains("://") {
                endpoint.to_owned()
            } else {
                format!("https://{endpoint}")
            };
            table.push(format!("endpoint = {}", quoted(&endpoint)));
        }
        if let Some(entry) = get("s3-key").or_else(|| get("s3-key-secret")) {
            let says = format!(
                "not copied: put them into REPO{number}_ACCESS_KEY_ID and REPO{number}_SECRET_ACCESS_KEY"
            );
            reading.note(
                Some(text.at(entry.line)),
                Fate::Changed,
                format!("repo{number}-s3-key, repo{number}-s3-key-secret"),
                says,
            );
            table.push(format!("credentials = {{ access-key-id = {{ env = \"REPO{number}_ACCESS_KEY_ID\" }}, secret-access-key = {{ env = \"REPO{number}_SECRET_ACCESS_KEY\" }} }}"));
        }
    } else {
        table.push("kind = \"filesystem\"".to_owned());
        let place = get("type")
            .or_else(|| get("host"))
            .or_else(|| get("path"))
            .map(|entry| text.at(entry.line));
        let host = get("host").map(|entry| entry.value.as_str());
        if kind == "posix" && host.is_none() || kind == "cifs" {
            let says = format!(
                "`path = \"{path}-mainstay\"`: beside the old repository, which is left alone"
            );
            reading.note(
                place,
                Fate::Changed,
                format!("repo{number}-path={path}"),
                says,
            );
            table.push(format!("path = {}", quoted(&format!("{path}-mainstay"))));
        } else {
            let was = host.map_or_else(|| kind.to_owned(), |host| format!("on the host {host}"));
            let says = format!(
                "there is no such tier: `path = \"/srv/mainstay-repo{number}\"`; change it to a mounted folder or to S3"
            );
            reading.note(
                place,
                Fate::NotExpressed,
                format!("repo{number} is {was}"),
                says,
            );
            table.push(format!(
                "# CHANGE: the repository was {}",
                was.replace('\n', " ")
            ));
            table.push(format!("path = \"/srv/mainstay-repo{number}\""));
        }
    }
    Tier {
        name: format!("repo{number}"),
        table,
    }
}

/// When which kind of backup runs.
fn streams(
    text: &Text,
    stanza: &str,
    schedules: &Schedules,
    reading: &mut Reading,
) -> Vec<(Kind, String)> {
    let kinds = [Kind::Full, Kind::Differential, Kind::Incremental];
    let mut streams: Vec<(Kind, String)> = Vec::new();
    for kind in kinds {
        let named = schedules
            .given
            .iter()
            .find(|(name, _)| name.as_deref() == Some(word(kind)));
        let all = schedules
            .given
            .iter()
            .find(|(name, _)| name.is_none() && kind == Kind::Full);
        streams.extend(named.or(all).map(|(_, cron)| (kind, cron.clone())));
    }
    if streams.is_empty()
        && let Some(crontab) = &schedules.crontab
    {
        let script = shell::read(&crontab.text);
        for (command, arguments) in shell::runs_of(&script, "pgbackrest") {
            let Some((cron, line)) = &command.schedule else {
                continue;
            };
            let value = |name: &str| {
                let mut words = arguments.iter();
                words.find_map(|word| {
                    word.text
                        .strip_prefix(name)?
                        .strip_prefix('=')
                        .map(str::to_owned)
                })
            };
            let other = value("--stanza").is_some_and(|one| one != stanza);
            if other || !arguments.iter().any(|word| word.text == "backup") {
                continue;
            }
            let kind = match value("--type").as_deref() {
                Some("full") => Kind::Full,
                Some("diff") => Kind::Differential,
                None | Some("incr") => Kind::Incremental,
                Some(other) => {
                    reading.problem(
                        crontab.at(*line),
                        format!("`--type={other}` is no kind of backup: full, diff and incr are"),
                    );
                    continue;
                }
            };
            if let Err(error) = policy_schema::Schedule::cron(cron) {
                reading.problem(
                    crontab.at(*line),
                    format!("`{cron}` is no schedule: {error}"),
                );
                continue;
            }
            if let Some((_, first)) = streams.iter().find(|(one, _)| *one == kind) {
                let says = format!(
                    "a series has one schedule: `{first}` was taken; add a series for this one"
                );
                reading.note(
                    Some(crontab.at(*line)),
                    Fate::NotExpressed,
                    format!("{cron} ({})", word(kind)),
                    says,
                );
                continue;
            }
            reading.note(
                Some(crontab.at(*line)),
                Fate::Taken,
                format!("{cron} ({})", word(kind)),
                format!("the schedule of the series `{}`", word(kind)),
            );
            streams.push((kind, cron.clone()));
        }
        if streams.is_empty() {
            reading.note(
                Some(crontab.at(1)),
                Fate::NotExpressed,
                base(&crontab.name),
                format!("no line runs `pgbackrest --stanza={stanza} backup`"),
            );
        }
    }
    if streams.is_empty() {
        let says = "pgBackRest has no schedule of its own: full on Sundays, differential on the other days, as its user guide has it; give --crontab FILE or --schedule full=CRON --schedule diff=CRON";
        reading.note(None, Fate::Assumed, "when it runs", says);
        streams.extend(ASSUMED.map(|(kind, cron)| (kind, cron.to_owned())));
    }
    if !streams.iter().any(|(kind, _)| *kind == Kind::Full) {
        // Without one nothing ever expires, and pgBackRest makes the first a full one by itself.
        let says = "no full backup is scheduled: `30 6 * * sun` was put in";
        reading.note(Some(text.at(1)), Fate::Assumed, "full backups", says);
        streams.insert(
            0,
            ASSUMED.map(|(kind, cron)| (kind, cron.to_owned()))[0].clone(),
        );
    }
    streams.sort_by_key(|(kind, _)| *kind);
    streams
}

fn database(
    text: &Text,
    settings: &Settings<'_>,
    repositories: &BTreeSet<u32>,
    streams: &[(Kind, String)],
    when: &When,
    found: &Found,
    reading: &mut Reading,
) -> Database {
    let stanza = settings.stanza;
    let name = name_of(stanza, "main");
    let name = unique(&name, |name| {
        found.databases.iter().any(|one| one.name == name)
    });
    let mut database = Database {
        table: server(&name, settings),
        name,
        series: streams
            .iter()
            .map(|(kind, schedule)| Series {
                name: word(*kind).to_owned(),
                kind: *kind,
                table: vec!["method = \"physical\"".to_owned()],
                schedule: schedule.clone(),
                keeps: Vec::new(),
            })
            .collect(),
        log: Vec::new(),
        rules: Vec::new(),
        pointers: false,
    };
    for number in repositories {
        let tier = format!("repo{number}");
        let rules = retention(text, settings, *number, reading);
        let foreign = Rules::PgBackRest(rules);
        let reaches = match rules.full {
            Some(_) => keeps::reaches(&foreign, streams, &when.zone, when.from),
            None => BTreeMap::new(),
        };
        for series in &mut database.series {
            let keep = reaches.get(&series.kind).map_or_else(
                || keeps::FOREVER.to_owned(),
                |reach| format!("{{ pick = \"last\", last = {} }}", reach.backups.max(1)),
            );
            series.keeps.push((tier.clone(), keep));
        }
        say(text, settings, *number, rules, &reaches, reading);
        let age = archive(
            text, settings, *number, rules, &reaches, streams, when, reading,
        );
        database.log.push((tier.clone(), age));
        database.rules.push((tier, foreign));
    }
    database
}

/// What became of the counts, now that it is known how far they reach.
fn say(
    text: &Text,
    settings: &Settings<'_>,
    repo: u32,
    rules: pgbackrest::Rules,
    reaches: &BTreeMap<Kind, Reach>,
    reading: &mut Reading,
) {
    let get = |name: &str| settings.get(&format!("repo{repo}-{name}"));
    let last = |kind: Kind| reaches.get(&kind).map_or(0, |reach| reach.backups);
    match (get("retention-full"), rules.full) {
        (Some(entry), Some(pgbackrest::Full::Count(n))) => {
            let says = format!("`last = {n}` in the series `full`; the others reach as far back");
            let setting = format!("{}={n}", entry.key);
            reading.note(Some(text.at(entry.line)), Fate::Taken, setting, says);
        }
        (Some(entry), Some(pgbackrest::Full::Days(n))) => {
            let n_last = last(Kind::Full);
            let says = format!(
                "`last = {n_last}` in the series `full`: as many as there are at most until another one is older than {n} days"
            );
            let setting = format!("{}={n} (time)", entry.key);
            reading.note(Some(text.at(entry.line)), Fate::Changed, setting, says);
        }
        _ => reading.note(
            None,
            Fate::Assumed,
            format!("repo{repo}-retention-full"),
            "it is not set: no full backup expires, and `forever = true`",
        ),
    }
    if let (Some(entry), Some(n)) = (get("retention-diff"), rules.differential) {
        let says = format!(
            "`last = {}` in the series `diff`: full ones count among the {n}",
            last(Kind::Differential)
        );
        let setting = format!("{}={n}", entry.key);
        reading.note(Some(text.at(entry.line)), Fate::Changed, setting, says);
    }
}

fn server(name: &str, settings: &Settings<'_>) -> Vec<String> {
    let value = |key: &str| settings.get(key).map(|entry| entry.value.as_str());
    let host = value("pg1-host").unwrap_or("localhost");
    let port = value("pg1-port").map_or(String::new(), |port| format!(":{port}"));
    let user = value("pg1-user").map_or(String::new(), |user| format!("{user}@"));
    let database = value("pg1-database").unwrap_or("postgres");
    let variable = format!("{}_URL", name.to_uppercase().replace('-', "_"));
    let url: String = format!("postgres://{user}{host}{port}/{database}")
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    vec![
        "engine = \"postgres\"".to_owned(),
        format!("url = {{ env = \"{variable}\" }} # {url}"),
    ]
}

fn number(text: &Text, entry: Option<&Entry>, reading: &mut Reading) -> Option<u32> {
    let entry = entry?;
    match entry.value.parse::<u32>() {
        Ok(number) if (1..=9_999_999).contains(&number) => Some(number),
        _ => {
            reading.problem(
                text.at(entry.line),
                format!(
                    "`{}={}`: pgBackRest takes whole numbers from 1 to 9999999",
                    entry.key, entry.value
                ),
            );
            None
        }
    }
}

fn retention(
    text: &Text,
    settings: &Settings<'_>,
    repo: u32,
    reading: &mut Reading,
) -> pgbackrest::Rules {
    let get = |name: &str| settings.get(&format!("repo{repo}-{name}"));
    let full = number(text, get("retention-full"), reading);
    let kind = get("retention-full-type");
    let is_time = match kind.map(|entry| entry.value.as_str()) {
        None | Some("count") => false,
        Some("time") => true,
        Some(other) => {
            let line = kind.map_or(1, |entry| entry.line);
            reading.problem(
                text.at(line),
                format!(
                    "`repo{repo}-retention-full-type={other}`: `count` and `time` are its values"
                ),
            );
            false
        }
    };
    pgbackrest::Rules {
        full: full.map(|n| {
            if is_time {
                pgbackrest::Full::Days(n)
            } else {
                pgbackrest::Full::Count(n)
            }
        }),
        differential: number(text, get("retention-diff"), reading),
    }
}

/// How far back every moment can be reached.
#[expect(
    clippy::too_many_arguments,
    reason = "the log follows from everything else"
)]
fn archive(
    text: &Text,
    settings: &Settings<'_>,
    repo: u32,
    rules: pgbackrest::Rules,
    reaches: &BTreeMap<Kind, Reach>,
    streams: &[(Kind, String)],
    when: &When,
    reading: &mut Reading,
) -> String {
    let entry = settings.get(&format!("repo{repo}-retention-archive"));
    let kind = settings
        .get(&format!("repo{repo}-retention-archive-type"))
        .map_or("full", |entry| entry.value.as_str());
    let count = number(text, entry, reading);
    let age = match (entry, count) {
        (Some(entry), Some(n)) => {
            let counted: Vec<(Kind, String)> = streams
                .iter()
                .filter(|(one, _)| {
                    *one == Kind::Full
                        || kind == "incr"
                        || (kind == "diff" && *one == Kind::Differential)
                })
                .map(|(_, schedule)| (Kind::Full, schedule.clone()))
                .collect();
            let newest = Rules::PgBackRest(pgbackrest::Rules {
                full: Some(pgbackrest::Full::Count(n)),
                differential: None,
            });
            let reach = keeps::reaches(&newest, &counted, &when.zone, when.from);
            let age = reach.get(&Kind::Full).map(|reach| reach.age);
            let days = age.map_or(1, keeps::days).max(1);
            let says = format!(
                "`keep.repo{repo} = \"{days}d\"` of the log: the age that the {n} newest reach"
            );
            reading.note(
                Some(text.at(entry.line)),
                Fate::Changed,
                format!("{}={n} ({kind})", entry.key),
                says,
            );
            Some(days)
        }
        _ => reaches
            .get(&Kind::Full)
            .map(|reach| keeps::days(reach.age).max(1)),
    };
    let Some(days) = age else {
        // Without end: longer than anything is asked back for.
        return "100y".to_owned();
    };
    if entry.is_none() && rules.full.is_some() {
        let says = format!(
            "`keep.repo{repo} = \"{days}d\"` of the log: as old as the oldest full backup gets, so that no moment is lost"
        );
        reading.note(
            None,
            Fate::Assumed,
            format!("repo{repo}-retention-archive"),
            says,
        );
    }
    format!("{days}d")
}
