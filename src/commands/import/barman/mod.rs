//! Barman's `barman.conf` and the files of its servers. By default Barman stays the engine and goes on keeping its backups; with `--replace` Mainstay takes its place.
//!
//! What stays is read in `retention`.

mod retention;

use super::{
    engines,
    found::{Database, Found, Reading, Series, Tier, quoted},
    ini::{self, Entry},
    keeps, options,
    schedule::{Schedules, When},
    source::{self, Text},
};
use crate::failure::Result;
use planner::foreign::{Kind, Rules, barman};
use std::path::{Path, PathBuf};

const RETENTION: [&str; 4] = [
    "retention_policy",
    "retention_policy_mode",
    "wal_retention_policy",
    "minimum_redundancy",
];
const HOME: &str = "/etc/barman.conf";

/// Whose the backups will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Barman's, as before; Mainstay points to them.
    Barman,
    /// Mainstay's own.
    Postgres,
}

/// Files that belong to the configuration: those of `configuration_files_directory`.
pub(crate) fn beside(text: &Text) -> Vec<PathBuf> {
    let entries = ini::read(text, &mut Reading::default(), true);
    let folder = entries
        .iter()
        .find(|entry| entry.key == "configuration_files_directory");
    let Some(folder) = folder else {
        return Vec::new();
    };
    let here = Path::new(&text.name).parent().unwrap_or(Path::new("."));
    let Ok(list) = std::fs::read_dir(here.join(&folder.value)) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = list
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        })
        .collect();
    files.sort();
    files
}

struct Server<'e> {
    name: &'e str,
    text: &'e Text,
    own: Vec<&'e Entry>,
    global: &'e [(&'e Text, Entry)],
}

impl<'e> Server<'e> {
    fn get(&self, key: &str) -> Option<(&'e Text, &'e Entry)> {
        let own = self
            .own
            .iter()
            .rfind(|entry| entry.key == key)
            .map(|entry| (self.text, *entry));
        own.or_else(|| {
            let global = self.global.iter().rfind(|(_, entry)| entry.key == key);
            global.map(|(text, entry)| (*text, entry))
        })
    }
}

pub(crate) fn read(
    texts: &[Text],
    engine: Engine,
    schedules: &Schedules,
    when: &When,
    reading: &mut Reading,
) -> Result<Found> {
    let all: Vec<(&Text, Entry)> = texts
        .iter()
        .flat_map(|text| {
            ini::read(text, reading, true)
                .into_iter()
                .map(move |entry| (text, entry))
        })
        .collect();
    suspicious(&all, reading);
    let (global, of_servers): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|(_, entry)| entry.section == "barman" || entry.section.is_empty());
    let servers = servers(&of_servers, &global, reading);
    if servers.is_empty() && reading.problems.is_empty() {
        return Err(source::nothing(
            &texts[0],
            "no server of Barman",
            "name barman.conf with its `configuration_files_directory`, or the file of one server, such as /etc/barman.d/main.conf",
        ));
    }
    let mut found = Found::default();
    found.tiers.push(tier(engine, &global));
    found.remarks.extend(remarks(engine));
    for server in &servers {
        let database = database(server, &texts[0], engine, schedules, when, &found, reading);
        found.databases.push(database);
    }
    Ok(found)
}

/// What looks like retention and is not is a problem.
fn suspicious(all: &[(&Text, Entry)], reading: &mut Reading) {
    for (text, entry) in all {
        let suspicious = entry.key.contains("retention")
            || entry.key.contains("redundancy")
            || strsim::damerau_levenshtein(&entry.key, "retention_policy") <= 3;
        if suspicious && !RETENTION.contains(&entry.key.as_str()) {
            reading.problem(text.at(entry.line), options::unknown(&entry.key, RETENTION));
        }
    }
}

/// The servers in the order of the files; retention that is set twice for one is a problem.
fn servers<'e>(
    of_servers: &'e [(&'e Text, Entry)],
    global: &'e [(&'e Text, Entry)],
    reading: &mut Reading,
) -> Vec<Server<'e>> {
    let mut servers: Vec<Server<'e>> = Vec::new();
    for (text, entry) in of_servers {
        let known = servers
            .iter_mut()
            .find(|server| server.name == entry.section);
        let Some(server) = known else {
            servers.push(Server {
                name: &entry.section,
                text,
                own: vec![entry],
                global,
            });
            continue;
        };
        let mut own = server.own.iter();
        let twice = own.find(|one| one.key == entry.key && RETENTION.contains(&one.key.as_str()));
        if let Some(first) = twice {
            let first = server.text.at(first.line);
            let says = format!(
                "`{}` of `{}` is set already at {first}",
                entry.key, server.name
            );
            reading.problem(text.at(entry.line), says);
        }
        server.own.push(entry);
    }
    servers
}

fn remarks(engine: Engine) -> Vec<String> {
    let text = match engine {
        Engine::Barman => {
            "Barman stays: it goes on keeping its backups and the log by its own retention_policy; what Mainstay stores are pointers to them. `--replace` writes a policy that takes Barman's place."
        }
        Engine::Postgres => {
            "Mainstay takes Barman's place: its own base backups and log archive. Let both run until the first drill has gone well. Without `--replace` Barman stays the engine."
        }
    };
    vec![text.to_owned()]
}

fn tier(engine: Engine, global: &[(&Text, Entry)]) -> Tier {
    let home = global.iter().find(|(_, entry)| entry.key == "barman_home");
    let home = home.map_or("/var/lib/barman", |(_, entry)| {
        entry.value.trim_end_matches('/')
    });
    let (name, path) = match engine {
        Engine::Barman => ("pointers", "/var/lib/mainstay/pointers".to_owned()),
        Engine::Postgres => ("store", format!("{home}-mainstay")),
    };
    Tier {
        name: name.to_owned(),
        table: vec![
            "kind = \"filesystem\"".to_owned(),
            format!("path = {}", quoted(&path)),
        ],
    }
}

fn database(
    server: &Server<'_>,
    main: &Text,
    engine: Engine,
    schedules: &Schedules,
    when: &When,
    found: &Found,
    reading: &mut Reading,
) -> Database {
    let schedule = schedules.of(reading, main, "barman", None, &[]);
    let rules = retention::read(server, engine, reading);
    let name = found.free_name(server.name, "main");
    let tier = found.tiers[0].name.clone();
    let reach = rules.and_then(|rules| {
        let streams = [(Kind::Full, schedule.clone())];
        keeps::reaches(&Rules::Barman(rules), &streams, &when.zone, when.from)
            .get(&Kind::Full)
            .copied()
    });
    let keep = match (rules, reach) {
        (Some(rules), Some(reach)) => keep(rules, reach, engine),
        _ => keeps::FOREVER.to_owned(),
    };
    let mut database = Database {
        table: table(&name, server, main, engine),
        name,
        series: vec![Series {
            name: "base".to_owned(),
            kind: Kind::Full,
            table: match engine {
                Engine::Barman => Vec::new(),
                Engine::Postgres => vec!["method = \"physical\"".to_owned()],
            },
            schedule,
            keeps: vec![(tier.clone(), keep)],
        }],
        log: Vec::new(),
        rules: vec![(tier.clone(), rules.map_or(Rules::Everything, Rules::Barman))],
        pointers: engine == Engine::Barman,
    };
    if engine == Engine::Postgres {
        let days = match rules.map(|rules| rules.policy) {
            Some(barman::Policy::WindowDays(days)) => i64::from(days),
            _ => reach.map_or(36_500, |reach| keeps::days(reach.age).max(1)),
        };
        database.log.push((tier, format!("{}d", days.max(1))));
    }
    database
}

fn keep(rules: barman::Rules, reach: keeps::Reach, engine: Engine) -> String {
    match (rules.policy, engine) {
        (barman::Policy::WindowDays(days), Engine::Barman) => {
            let minimum = if rules.minimum > 0 {
                format!(", last = {}", rules.minimum)
            } else {
                String::new()
            };
            format!("{{ pick = \"last\", within = \"{days}d\"{minimum} }}")
        }
        _ => format!("{{ pick = \"last\", last = {} }}", reach.backups.max(1)),
    }
}

fn table(name: &str, server: &Server<'_>, main: &Text, engine: Engine) -> Vec<String> {
    if engine == Engine::Postgres {
        let conninfo = server
            .get("conninfo")
            .map_or("", |(_, entry)| entry.value.as_str());
        let of = |key: &str, fallback: &str| {
            let mut pairs = conninfo
                .split_whitespace()
                .filter_map(|pair| pair.split_once('='));
            let value = pairs
                .find(|(name, _)| *name == key)
                .map_or(fallback, |(_, value)| value);
            value.trim_matches(['\'', '"']).to_owned()
        };
        let url = format!(
            "postgres://{}@{}/{}",
            of("user", "barman"),
            of("host", "localhost"),
            of("dbname", "postgres")
        );
        return engines::postgres(&engines::url_variable(name), &url);
    }
    let mut table = vec![
        "engine = \"barman\"".to_owned(),
        format!("server = {}", quoted(server.name)),
    ];
    // Barman finds its own configuration; another file must be named.
    if Path::new(&main.name)
        .file_name()
        .is_some_and(|file| file == "barman.conf")
        && main.name != HOME
    {
        table.push(format!("config = {}", quoted(&main.name)));
    }
    table
}
