//! borgmatic's `config.yaml`, with its keys at the top (since 1.8) or below `location:`, `storage:`, `retention:` and `hooks:` (before).
//!
//! What is backed up is read in `sources`; what a rule keeps is borg's (`borg::rules`).

mod sources;

use super::{
    borg::rules,
    found::{Database, Fate, Found, Reading, name_of, unique},
    options, repository,
    schedule::{Schedules, When},
    source::{self, Text},
    yaml::{self, Node},
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

/// The settings, wherever a version of borgmatic has them.
struct Settings<'n> {
    entries: Vec<(&'n str, &'n Node)>,
}

impl<'n> Settings<'n> {
    fn of(root: &'n Node) -> Self {
        let mut entries: Vec<(&str, &Node)> = Vec::new();
        for (key, node) in root.entries() {
            if SECTIONS.contains(&key.as_str()) {
                let inside = node.entries().iter();
                entries.extend(inside.map(|(key, node)| (key.as_str(), node)));
            } else {
                entries.push((key, node));
            }
        }
        Self { entries }
    }

    fn get(&self, name: &str) -> Option<&'n Node> {
        let mut entries = self.entries.iter();
        entries.find(|(key, _)| *key == name).map(|(_, node)| *node)
    }

    fn items(&self, name: &str) -> &'n [Node] {
        self.get(name).map(Node::items).unwrap_or_default()
    }

    /// Something that only borgmatic says.
    fn is_any(&self) -> bool {
        let known = ["repositories", "source_directories", "postgresql_databases"];
        let mut entries = self.entries.iter();
        entries.any(|(key, _)| key.starts_with("keep_") || known.contains(key))
    }
}

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
    let settings = Settings::of(&root);
    if !settings.is_any() {
        return Err(source::nothing(
            text,
            "no `keep_…`, no `repositories` and no `source_directories`",
            "name borgmatic's config.yaml, or the script that runs `borg prune`",
        ));
    }
    let rules = retention(text, &settings, reading);
    let mut found = Found {
        encrypted: true,
        ..Found::default()
    };
    tiers(text, settings.get("repositories"), &mut found, reading);
    for key in ["encryption_passphrase", "encryption_passcommand"] {
        if let Some(node) = settings.get(key) {
            let says = "not copied: Mainstay encrypts with a key of its own, `[key.main]`";
            reading.note(Some(text.at(node.line)), Fate::Changed, key, says);
        }
    }
    let mut entries = settings.entries.iter();
    let keep = entries.find(|(key, _)| key.starts_with("keep_"));
    let place = text.at(keep.map_or(1, |(_, node)| node.line));
    let schedule = schedules.of(reading, text, "borgmatic", None, &[]);
    for source in sources::all(text, &settings, reading) {
        let name = found.free_name(&source.wish, "files");
        let table = source.table_for(&name);
        let (keep, rules) = rules::keep(&rules, &schedule, when, &place, reading);
        let schedule = schedule.clone();
        let database = Database::of_one_series(name, table, schedule, &found.tiers, &keep, &rules);
        found.databases.push(database);
    }
    Ok(found)
}

/// The rules, unless pruning is left out altogether.
fn retention(text: &Text, settings: &Settings<'_>, reading: &mut Reading) -> Rules {
    let rules = keeps(text, settings, reading);
    let skipped = settings.get("skip_actions").filter(|skipped| {
        let mut items = skipped.items().iter();
        items.any(|item| item.text() == Some("prune"))
    });
    if let Some(skipped) = skipped {
        let says = "nothing is pruned: `forever = true`";
        let place = Some(text.at(skipped.line));
        reading.note(place, Fate::Taken, "skip_actions: [prune]", says);
        return Rules::default();
    }
    if !rules::is_set(&rules) && reading.problems.is_empty() {
        let says = "no `keep_…` is set: nothing is pruned, and `forever = true`";
        reading.note(None, Fate::Assumed, "retention", says);
    }
    rules
}

/// What the settings `keep_…` say; one that is unknown is a problem.
fn keeps(text: &Text, settings: &Settings<'_>, reading: &mut Reading) -> Rules {
    let mut rules = Rules::default();
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for (key, node) in &settings.entries {
        let place = text.at(node.line);
        let unit = key.strip_prefix("keep_").or(key.strip_prefix("keep-"));
        let Some(unit) = unit else {
            // A typing error in front is one too.
            if key.contains("keep") {
                let says = options::unknown(key, ["keep_daily", "keep_within"]);
                reading.problem(place, says);
            }
            continue;
        };
        if let Some((_, line)) = seen.iter().find(|(one, _)| one == key) {
            let says = format!("`{key}` is set already at {}", text.at(*line));
            reading.problem(place.clone(), says);
        }
        seen.push((key, node.line));
        if unit == "exclude_tags" {
            continue;
        }
        let Some(value) = node.text() else {
            reading.problem(place, format!("`{key}` has no value"));
            continue;
        };
        let setting = format!("{key}: {value}");
        let known = rules::UNITS.iter().find(|(name, ..)| *name == unit);
        if unit == "within" {
            rules::within(&mut rules, &setting, value, &place, reading);
        } else if let Some((_, _, unit)) = known.filter(|_| key.contains('_')) {
            rules::rule(&mut rules, *unit, &setting, value, &place, reading);
        } else {
            let of_unit = |unit: &str| format!("keep_{unit}");
            rules::not_a_rule(key, unit, of_unit, place, reading);
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
