//! What borgmatic backs up: folders, and databases that it dumps.

use super::Settings;
use crate::commands::import::{
    engines,
    found::{Fate, Reading, quoted},
    source::Text,
    yaml::{Node, Value},
};

/// Dumps that Mainstay has no engine for.
const OTHER_DATABASES: [&str; 3] = ["mysql_databases", "mariadb_databases", "mongodb_databases"];
const PATTERNS: [&str; 4] = [
    "exclude_patterns",
    "patterns",
    "exclude_from",
    "patterns_from",
];
/// Stands in a table for the name of the database, as a variable has it.
const NAME: &str = "{NAME}";

/// One thing that is backed up.
pub(super) struct Source {
    /// What it might be called.
    pub(super) wish: String,
    table: Vec<String>,
}

impl Source {
    /// The lines of its table, once it has a name.
    pub(super) fn table_for(&self, name: &str) -> Vec<String> {
        let name = engines::variable_part(name);
        let lines = self.table.iter().map(|line| line.replace(NAME, &name));
        lines.collect()
    }
}

/// Everything that is backed up; folders, or a place for them, come first.
pub(super) fn all(text: &Text, settings: &Settings<'_>, reading: &mut Reading) -> Vec<Source> {
    let databases = settings.items("postgresql_databases").iter();
    let mut all: Vec<Source> = databases
        .map(|database| postgres(text, database, reading))
        .collect();
    let databases = settings.items("sqlite_databases").iter();
    all.extend(databases.filter_map(|database| sqlite(text, database, reading)));
    not_taken(text, settings, reading);
    let paths = settings.items("source_directories").iter();
    let paths: Vec<String> = paths.filter_map(Node::text).map(str::to_owned).collect();
    if !paths.is_empty() || all.is_empty() {
        let files = Source {
            wish: "files".to_owned(),
            table: engines::files(&paths, reading),
        };
        all.insert(0, files);
    }
    all
}

fn postgres(text: &Text, database: &Node, reading: &mut Reading) -> Source {
    let value = |key: &str| database.get(key).and_then(Node::text);
    let name = value("name").unwrap_or("database");
    let host = value("hostname").unwrap_or("localhost");
    let port = value("port").map_or(String::new(), |port| format!(":{port}"));
    let user = value("username").map_or(String::new(), |user| format!("{user}@"));
    let (one, fate, says) = if name == "all" {
        (
            "postgres",
            Fate::NotExpressed,
            "a policy names each database: add one table for each; this one is of `postgres`",
        )
    } else {
        (
            name,
            Fate::Changed,
            "`engine = \"postgres\"`; the password is not copied, give the URL in the environment",
        )
    };
    let setting = format!("postgresql_databases: {name}");
    reading.note(Some(text.at(database.line)), fate, setting, says);
    Source {
        wish: one.to_owned(),
        table: engines::postgres(
            &engines::url_variable(NAME),
            &format!("postgres://{user}{host}{port}/{one}"),
        ),
    }
}

fn sqlite(text: &Text, database: &Node, reading: &mut Reading) -> Option<Source> {
    let path = database.get("path").and_then(Node::text)?;
    let name = database.get("name").and_then(Node::text);
    let name = name.unwrap_or("sqlite").to_owned();
    let setting = format!("sqlite_databases: {name}");
    let place = Some(text.at(database.line));
    reading.note(place, Fate::Taken, setting, "`engine = \"sqlite\"`");
    Some(Source {
        wish: name,
        table: vec![
            "engine = \"sqlite\"".to_owned(),
            format!("path = {}", quoted(path)),
        ],
    })
}

/// What a policy cannot say, or says in another way.
fn not_taken(text: &Text, settings: &Settings<'_>, reading: &mut Reading) {
    let is_something = |node: &&Node| !matches!(node.value, Value::Nothing);
    for key in OTHER_DATABASES {
        if let Some(node) = settings.get(key) {
            let says =
                "there is no engine for it yet: dump it to a folder, and back that up as files";
            reading.note(Some(text.at(node.line)), Fate::NotExpressed, key, says);
        }
    }
    for key in PATTERNS {
        if let Some(node) = settings.get(key).filter(is_something) {
            let says =
                "patterns of borg are not those of `exclude`; write `exclude = [\"…\"]` yourself";
            reading.note(Some(text.at(node.line)), Fate::NotExpressed, key, says);
        }
    }
    for key in ["archive_name_format", "match_archives", "prefix"] {
        if let Some(node) = settings.get(key) {
            let says = "each series is judged alone, whatever its points are called";
            reading.note(Some(text.at(node.line)), Fate::Changed, key, says);
        }
    }
}
