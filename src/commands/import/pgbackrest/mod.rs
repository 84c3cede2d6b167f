//! pgBackRest's `pgbackrest.conf`: each stanza becomes a database, each repository a tier, each kind of backup that is scheduled a series.
//!
//! Where the copies are is read in `repositories`, when backups run in `streams`, what stays in `retention`.

mod repositories;
mod retention;
mod streams;

use super::{
    engines,
    found::{Database, Fate, Found, Reading, Series},
    ini::{self, Entry},
    schedule::{Schedules, When},
    source::{self, Text},
};
use crate::failure::Result;
use planner::foreign::{Kind, Rules};
use repositories::Repository;
use std::collections::BTreeSet;

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Full => "full",
        Kind::Differential => "diff",
        Kind::Incremental => "incr",
    }
}

/// What one stanza says of one key: its own section before the global one, those of a command before both.
struct Settings<'e> {
    text: &'e Text,
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
    let numbers = repositories::numbers(text, &entries, reading);
    let stanzas = stanzas(text, &entries, reading);
    let mut found = Found::default();
    found.remarks.push("Mainstay takes pgBackRest's place: its own base backups and log archive. Let both run until the first drill has gone well.".to_owned());
    found.remarks.push("Each point is a whole base backup; from PostgreSQL 17 on `incremental = true` with `full-every` makes one series of both.".to_owned());
    for number in &numbers {
        let repository = Repository::new(&stanzas[0], *number);
        found.encrypted |= repository.is_encrypted(reading);
        found.tiers.push(repository.tier(reading));
    }
    for settings in &stanzas {
        let streams = streams::streams(text, settings.stanza, schedules, reading);
        let database = database(settings, &numbers, &streams, when, &found, reading);
        found.databases.push(database);
    }
    Ok(found)
}

/// The settings of each stanza, in the order of the file; one that is assumed where it names none.
fn stanzas<'e>(text: &'e Text, entries: &'e [Entry], reading: &mut Reading) -> Vec<Settings<'e>> {
    let mut names: Vec<&str> = Vec::new();
    for entry in entries {
        let stanza = entry.section.split(':').next().unwrap_or_default();
        if stanza != "global" && !stanza.is_empty() && !names.contains(&stanza) {
            names.push(stanza);
        }
    }
    if names.is_empty() {
        let says = "the file names none: the database is called `main`";
        reading.note(None, Fate::Assumed, "stanza", says);
        names.push("main");
    }
    let settings = names.into_iter().map(|stanza| Settings {
        text,
        entries,
        stanza,
    });
    settings.collect()
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

fn database(
    settings: &Settings<'_>,
    repositories: &BTreeSet<u32>,
    streams: &[(Kind, String)],
    when: &When,
    found: &Found,
    reading: &mut Reading,
) -> Database {
    let name = found.free_name(settings.stanza, "main");
    let series = streams.iter().map(|(kind, schedule)| Series {
        name: word(*kind).to_owned(),
        kind: *kind,
        table: vec!["method = \"physical\"".to_owned()],
        schedule: schedule.clone(),
        keeps: Vec::new(),
    });
    let mut database = Database {
        table: server(&name, settings),
        name,
        series: series.collect(),
        log: Vec::new(),
        rules: Vec::new(),
        pointers: false,
    };
    for number in repositories {
        let repository = Repository::new(settings, *number);
        let retention = retention::read(&repository, streams, when, reading);
        let tier = repository.name();
        for series in &mut database.series {
            let keep = retention.keep(series.kind);
            series.keeps.push((tier.clone(), keep));
        }
        database.log.push((tier.clone(), retention.log));
        let rules = Rules::PgBackRest(retention.rules);
        database.rules.push((tier, rules));
    }
    database
}

fn server(name: &str, settings: &Settings<'_>) -> Vec<String> {
    let value = |key: &str| settings.get(key).map(|entry| entry.value.as_str());
    let host = value("pg1-host").unwrap_or("localhost");
    let port = value("pg1-port").map_or(String::new(), |port| format!(":{port}"));
    let user = value("pg1-user").map_or(String::new(), |user| format!("{user}@"));
    let database = value("pg1-database").unwrap_or("postgres");
    engines::postgres(
        &engines::url_variable(name),
        &format!("postgres://{user}{host}{port}/{database}"),
    )
}
