//! What was found in another tool's configuration, in the words of a policy, with the place of each setting.
//!
//! Invariant: whatever has to do with retention becomes a [`Note`] (taken, changed, assumed, not expressed) or a [`Problem`]; nothing is dropped.
//! Secrets never get in here.

use planner::foreign::{Kind, Rules};
use serde::Serialize;
use std::fmt;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    /// The file, as it was named.
    pub(crate) file: String,
    /// 1-based.
    pub(crate) line: usize,
}

impl Place {
    /// For what is read without being reported.
    pub(crate) fn nowhere(line: usize) -> Self {
        let file = String::new();
        Self { file, line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What became of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// Taken as it is.
    Taken,
    /// Something else that comes near.
    Changed,
    /// Nothing was said; this was put in.
    Assumed,
    /// A policy cannot say it.
    NotExpressed,
}

/// A setting and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Note {
    /// Where it stands.
    pub(crate) place: Option<Place>,
    /// The setting, as it is written there; never a secret.
    pub(crate) setting: String,
    /// What became of it.
    pub(crate) fate: Fate,
    /// What it is now, or why not.
    pub(crate) says: String,
}

/// Something that must be mended before anything can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) says: String,
}

/// Collects what is found along the way.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) notes: Vec<Note>,
    pub(crate) problems: Vec<Problem>,
}

impl Reading {
    pub(crate) fn note(
        &mut self,
        place: Option<Place>,
        fate: Fate,
        setting: impl Into<String>,
        says: impl Into<String>,
    ) {
        let note = Note {
            place,
            setting: setting.into(),
            fate,
            says: says.into(),
        };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// By file and line; what has no place comes last.
    pub(crate) fn sort(&mut self) {
        let key = |place: &Option<Place>| {
            let place = place.as_ref().map(|place| (place.file.clone(), place.line));
            (place.is_none(), place)
        };
        self.notes.sort_by_key(|note| key(&note.place));
    }

    pub(crate) fn problem(&mut self, place: Place, says: impl Into<String>) {
        let says = says.into();
        self.problems.push(Problem { place, says });
    }
}

/// What a policy is written from.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) tiers: Vec<Tier>,
    pub(crate) databases: Vec<Database>,
    /// What is stored is encrypted, so it shall be in future.
    pub(crate) encrypted: bool,
    /// What else could be chosen; lines of the header.
    pub(crate) remarks: Vec<String>,
}

impl Found {
    /// The name that comes nearest to the wish and that no database has yet.
    pub(crate) fn free_name(&self, wish: &str, fallback: &str) -> String {
        unique(&name_of(wish, fallback), |name| {
            self.databases.iter().any(|one| one.name == name)
        })
    }
}

/// A place of copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tier {
    pub(crate) name: String,
    /// Lines of its table.
    pub(crate) table: Vec<String>,
}

/// One database, or what else is backed up together.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) name: String,
    /// Lines of its table, from `engine` on.
    pub(crate) table: Vec<String>,
    pub(crate) series: Vec<Series>,
    /// For each tier how long any moment stays recoverable there.
    pub(crate) log: Vec<(String, String)>,
    /// The tool's retention on each tier.
    pub(crate) rules: Vec<(String, Rules)>,
    /// Mainstay's points only point to what the tool goes on keeping.
    pub(crate) pointers: bool,
}

impl Database {
    /// All of its backups are alike: one series, under one rule on every tier.
    pub(crate) fn of_one_series(
        name: String,
        table: Vec<String>,
        schedule: String,
        tiers: &[Tier],
        keep: &str,
        rules: &Rules,
    ) -> Self {
        let keeps = tiers
            .iter()
            .map(|tier| (tier.name.clone(), keep.to_owned()));
        let of_tiers = tiers.iter().map(|tier| (tier.name.clone(), rules.clone()));
        Self {
            name,
            table,
            series: vec![Series {
                name: "all".to_owned(),
                kind: Kind::Full,
                table: Vec::new(),
                schedule,
                keeps: keeps.collect(),
            }],
            log: Vec::new(),
            rules: of_tiers.collect(),
            pointers: false,
        }
    }
}

/// One series.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Which of the tool's backups it stands for.
    pub(crate) kind: Kind,
    /// Lines of its table besides name, schedule and keep.
    pub(crate) table: Vec<String>,
    pub(crate) schedule: String,
    /// The rule for each tier, as TOML.
    pub(crate) keeps: Vec<(String, String)>,
}

/// A TOML string.
pub(crate) fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name that a policy takes, made of any text; `fallback` where nothing is left of it.
pub(crate) fn name_of(text: &str, fallback: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let parts: Vec<&str> = text.split('-').filter(|part| !part.is_empty()).collect();
    let name: String = parts.join("-").chars().take(40).collect();
    let name = name.trim_end_matches('-').to_owned();
    if name.is_empty() {
        fallback.to_owned()
    } else {
        name
    }
}

/// The name, with a number where it is taken already.
pub(crate) fn unique(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut free = name.to_owned();
    let mut number = 2;
    while is_taken(&free) {
        free = format!("{name}-{number}");
        number += 1;
    }
    free
}
