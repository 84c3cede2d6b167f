//! borgmatic's `config.yaml`, with its keys at the top (since 1.8) or below `location:`, `storage:`, `retention:` and `hooks:` (before).

use super::{
    borg::{self, UNITS, When},
    found::{Fate, Found, Reading, name_of, quoted, unique},
    options, repository,
    schedule::Schedules,
    source::{self, Text},
    yaml::{self, Node, Value},
};
use crate::failure::Result;
use planner::foreign::borg::Rules;

const SECTIONS: [&str; 6] = [
    "location",
    "storage",
    "retention",
    "consistency",
    "output",
    "hooks",
];
/// Dumps that Mainstay has no engine for.
const OTHER_DATABASES: [&str; 3] = ["mysql_databases", "mariadb_databases", "mongodb_databases"];

pub(crate) fn read(
    text: &Text,
    schedules: &Schedules,
    when: &When,
    reading: &mut Reading,
) -> Result<Found> {
    let root = match yaml::read(text) {
        Ok(root) => root,
        Err(problem) => {
            reading.problems.push(problem);
            return Ok(Found::default());
        }
    };
    let mut entries: Vec<(&str, &Node)> = Vec::new();
    for (key, node) in root.entries() {
        if SECTIONS.contains(&key.as_str()) {
            entries.extend(
                node.entries()
                    .iter()
                    .map(|(key, node)| (key.as_str(), node)),
            );
        } else {
            entries.push((key, node));
        }
    }
    let known = |key: &str| {
        key.starts_with("keep_")
            || matches!(
                key,
                "repositories" | "source_directories" | "postgresql_databases"
            )
    };
    if !entries.iter().any(|(key, _)| known(key)) {
        return Err(source::nothing(
            text,
            "no `keep_…`, no `repositories` and no `source_directories`",
            "name borgmatic's config.yaml, or the script that runs `borg prune`",
        ));
    }
    let get = |name: &str| {
        entries
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, node)| *node)
    };
    let mut rules = rules(text, &entries, reading);
    if let Some(skipped) = get("skip_actions")
        && skipped
            .items()
            .iter()
            .any(|item| item.text() == Some("prune"))
    {
        reading.note(
            Some(text.at(skipped.line)),
            Fate::Taken,
            "skip_actions: [prune]",
            "nothing is pruned: `forever = true`",
        );
        rules = Rules::default();
    } else if rules.within_hours.is_none()
        && rules.counts.iter().all(|(_, count)| !count.is_set())
        && reading.problems.is_empty()
    {
        reading.note(
            None,
            Fate::Assumed,
            "retention",
            "no `keep_…` is set: nothing is pruned, and `forever = true`",
        );
    }
    let mut found = Found {
        encrypted: true,
        ..Found::default()
    };
    tiers(text, get("repositories"), &mut found, reading);
    for key in ["encryption_passphrase", "encryption_passcommand"] {
        if let Some(node) = get(key) {
            reading.note(
                Some(text.at(node.line)),
                Fate::Changed,
                key,
                "not copied: Mainstay encrypts with a key of its own, `[key.main]`",
            );
        }
    }
    let place = entries
        .iter()
        .find(|(key, _)| key.starts_with("keep_"))
        .map_or_else(|| text.at(1), |(_, node)| text.at(node.line));
    let schedule = schedules.of(reading, text, "borgmatic", None, &[]);
    let tiers: Vec<String> = found.tiers.iter().map(|tier| tier.name.clone()).collect();
    for (wish, table) in what(text, &get, reading) {
        let name = name_of(&wish, "files");
        let name = unique(&name, |name| {
            found.databases.iter().any(|one| one.name == name)
        });
        let table = table
            .iter()
            .map(|line| line.replace("{NAME}", &name.to_uppercase().replace('-', "_")))
            .collect();
        let database = borg::database(
            name,
            table,
            &tiers,
            &rules,
            schedule.clone(),
            when,
            &place,
            reading,
        );
        found.databases.push(database);
    }
    Ok(found)
}

fn rules(text: &Text, entries: &[(&str, &Node)], reading: &mut Reading) -> Rules {
    let mut rules = Rules::default();
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for (key, node) in entries {
        let Some(unit) = key
            .strip_prefix("keep_")
            .or_else(|| key.strip_prefix("keep-"))
        else {
            // A typing error in front is one too.
            if key.contains("keep") {
                reading.problem(
                    text.at(node.line),
                    options::unknown(key, ["keep_daily", "keep_within"]),
                );
            }
            continue;
        };
        let place = text.at(node.line);
        if let Some((_, line)) = seen.iter().find(|(one, _)| one == key) {
            reading.problem(
                place.clone(),
                format!("`{key}` is set already at {}", text.at(*line)),
            );
        }
        seen.push((key, node.line));
        if matches!(unit, "exclude_tags") {
            continue;
        }
        let Some(value) = node.text() else {
            reading.problem(place, format!("`{key}` has no value"));
            continue;
        };
        let setting = format!("{key}: {value}");
        if unit == "within" {
            borg::within(&mut rules, &setting, value, &place, reading);
        } else if let Some((_, _, unit)) = UNITS
            .iter()
            .find(|(name, ..)| *name == unit && key.contains('_'))
        {
            borg::rule(&mut rules, *unit, &setting, value, &place, reading);
        } else if matches!(unit, "13weekly" | "3monthly") {
            reading.problem(
                place,
                format!(
                    "`{key}` of borg 1.4 has nothing like it; `quarterly` counts calendar quarters"
                ),
            );
        } else {
            let known: Vec<String> = UNITS
                .iter()
                .map(|(name, ..)| format!("keep_{name}"))
                .chain(["keep_within".to_owned()])
                .collect();
            reading.problem(
                place,
                options::unknown(key, known.iter().map(String::as_str)),
            );
        }
    }
    rules
}

fn tiers(text: &Text, repositories: Option<&Node>, found: &mut Found, reading: &mut Reading) {
    for item in repositories.map(Node::items).unwrap_or_default() {
        let path = item
            .text()
            .or_else(|| item.get("path").and_then(Node::text));
        let Some(path) = path else { continue };
        let label = item.get("label").and_then(Node::text);
        let fallback = if found.tiers.is_empty() {
            "repository".to_owned()
        } else {
            format!("repository-{}", found.tiers.len() + 1)
        };
        let name = label.map_or(fallback.clone(), |label| name_of(label, &fallback));
        let name = unique(&name, |name| {
            found.tiers.iter().any(|tier| tier.name == name)
        });
        let tier = repository::tier(reading, &name, Some((path, text.at(item.line))));
        found.tiers.push(tier);
    }
    if found.tiers.is_empty() {
        found
            .tiers
            .push(repository::tier(reading, "repository", None));
    }
}

/// What is backed up: for each the name that it might have, and its table.
fn what<'n>(
    text: &Text,
    get: &impl Fn(&str) -> Option<&'n Node>,
    reading: &mut Reading,
) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    let paths: Vec<String> = get("source_directories")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .filter_map(Node::text)
        .map(str::to_owned)
        .collect();
    let databases = get("postgresql_databases")
        .map(Node::items)
        .unwrap_or_default();
    for database in databases {
        let name = database
            .get("name")
            .and_then(Node::text)
            .unwrap_or("database");
        let host = database
            .get("hostname")
            .and_then(Node::text)
            .unwrap_or("localhost");
        let port = database
            .get("port")
            .and_then(Node::text)
            .map_or(String::new(), |port| format!(":{port}"));
        let user = database
            .get("username")
            .and_then(Node::text)
            .map_or(String::new(), |user| format!("{user}@"));
        let says =
            "`engine = \"postgres\"`; the password is not copied, give the URL in the environment";
        let setting = format!("postgresql_databases: {name}");
        if name == "all" {
            let says =
                "a policy names each database: add one table for each; this one is of `postgres`";
            reading.note(
                Some(text.at(database.line)),
                Fate::NotExpressed,
                setting,
                says,
            );
        } else {
            reading.note(Some(text.at(database.line)), Fate::Changed, setting, says);
        }
        let url = format!(
            "postgres://{user}{host}{port}/{}",
            if name == "all" { "postgres" } else { name }
        );
        let url: String = url.chars().filter(|c| !c.is_control()).collect();
        let table = vec![
            "engine = \"postgres\"".to_owned(),
            format!("url = {{ env = \"{{NAME}}_URL\" }} # {url}"),
        ];
        all.push((
            if name == "all" {
                "postgres".to_owned()
            } else {
                name.to_owned()
            },
            table,
        ));
    }
    for database in get("sqlite_databases").map(Node::items).unwrap_or_default() {
        let Some(path) = database.get("path").and_then(Node::text) else {
            continue;
        };
        let name = database
            .get("name")
            .and_then(Node::text)
            .unwrap_or("sqlite");
        reading.note(
            Some(text.at(database.line)),
            Fate::Taken,
            format!("sqlite_databases: {name}"),
            "`engine = \"sqlite\"`",
        );
        all.push((
            name.to_owned(),
            vec![
                "engine = \"sqlite\"".to_owned(),
                format!("path = {}", quoted(path)),
            ],
        ));
    }
    for key in OTHER_DATABASES {
        if let Some(node) = get(key) {
            reading.note(
                Some(text.at(node.line)),
                Fate::NotExpressed,
                key,
                "there is no engine for it yet: dump it to a folder, and back that up as files",
            );
        }
    }
    for key in [
        "exclude_patterns",
        "patterns",
        "exclude_from",
        "patterns_from",
    ] {
        if let Some(node) = get(key).filter(|node| !matches!(node.value, Value::Nothing)) {
            let says =
                "patterns of borg are not those of `exclude`; write `exclude = [\"…\"]` yourself";
            reading.note(Some(text.at(node.line)), Fate::NotExpressed, key, says);
        }
    }
    for key in ["archive_name_format", "match_archives", "prefix"] {
        if let Some(node) = get(key) {
            reading.note(
                Some(text.at(node.line)),
                Fate::Changed,
                key,
                "each series is judged alone, whatever its points are called",
            );
        }
    }
    if !paths.is_empty() || all.is_empty() {
        all.insert(0, ("files".to_owned(), borg::files(&paths, reading)));
    }
    all
}
