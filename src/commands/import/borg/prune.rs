//! The command line of borg: what `borg prune` keeps, and what `borg create` stores.
//!
//! Invariant: each option of `prune` that has to do with retention becomes a note or a problem.

use super::rules;
use crate::commands::import::{
    found::{Fate, Place, Reading},
    options::{Given, Options},
    repository::without_password,
    shell::Word,
    source::Text,
};
use planner::foreign::borg;

/// Options with a value that have no part in retention.
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

/// One `prune`.
pub(super) struct Prune {
    pub(super) rules: borg::Rules,
    /// The archives that it looks at; none: all.
    pub(super) archives: Option<String>,
    pub(super) repository: Option<(String, usize)>,
    pub(super) place: Place,
    pub(super) schedule: Option<(String, usize)>,
}

impl Prune {
    /// One that keeps everything.
    pub(super) fn at(place: Place, schedule: Option<(String, usize)>) -> Self {
        Self {
            rules: borg::Rules::default(),
            archives: None,
            repository: None,
            place,
            schedule,
        }
    }
}

/// Reads the options of `prune`.
pub(super) fn prune(
    text: &Text,
    arguments: &[Word],
    verb: usize,
    schedule: Option<(String, usize)>,
    reading: &mut Reading,
) -> Prune {
    let mut of_prune = OfPrune {
        text,
        words: Options::new(arguments, &["-H", "-d", "-w", "-m", "-y", "-a", "-P"]),
        reading,
        prune: Prune::at(text.at(arguments[verb].line), schedule),
    };
    // A value that is lacking is a problem already, and nothing comes behind it.
    while let Some(option) = of_prune.words.next() {
        of_prune.take(&option);
    }
    let prune = of_prune.prune;
    if !rules::is_set(&prune.rules) && reading.problems.is_empty() {
        let says = "without --keep-… borg refuses to prune and everything stays: `forever = true`";
        reading.note(Some(prune.place.clone()), Fate::Changed, "borg prune", says);
    }
    prune
}

/// The options of one `prune`, and what they have said so far.
struct OfPrune<'a> {
    text: &'a Text,
    words: Options<'a>,
    reading: &'a mut Reading,
    prune: Prune,
}

impl OfPrune<'_> {
    /// Takes one option with its value; none where the value is lacking.
    fn take(&mut self, option: &Given) -> Option<()> {
        let place = self.text.at(option.line);
        let name = option.name.as_str();
        let unit = rules::UNITS.iter().find(|(long, short, _)| {
            name.strip_prefix("--keep-") == Some(*long) || (!short.is_empty() && name == *short)
        });
        if let Some((long, _, unit)) = unit {
            let value = self.value(option)?;
            let setting = format!("--keep-{long} {value}");
            let rules = &mut self.prune.rules;
            rules::rule(rules, *unit, &setting, &value, &place, self.reading);
        } else if name == "--keep-within" {
            let value = self.value(option)?;
            let setting = format!("--keep-within {value}");
            let rules = &mut self.prune.rules;
            rules::within(rules, &setting, &value, &place, self.reading);
        } else if name.starts_with("--keep") || name.starts_with("-keep") {
            let unit = name.strip_prefix("--keep-").unwrap_or_default();
            let long = |unit: &str| format!("--keep-{unit}");
            rules::not_a_rule(name, unit, long, place, self.reading);
        } else if matches!(
            name,
            "-a" | "--glob-archives" | "-P" | "--prefix" | "--match-archives"
        ) {
            let value = self.value(option)?;
            let setting = format!("{name} {value}");
            let says = "what it looks at is a database of its own";
            let place = Some(place);
            self.reading.note(place, Fate::Changed, setting, says);
            self.prune.archives = Some(value);
        } else if VALUED.contains(&name) {
            self.value(option)?;
        } else if !name.starts_with('-') && name != "prune" {
            self.repository(option, place);
        }
        Some(())
    }

    fn value(&mut self, option: &Given) -> Option<String> {
        let place = self.text.at(option.line);
        self.words.value(option, &place, self.reading)
    }

    /// An argument is the repository, unless running the script may show options in its place.
    fn repository(&mut self, option: &Given, place: Place) {
        let name = option.name.as_str();
        let is_address = name.contains(['/', ':'])
            || ["$BORG", "$REPO", "${REPO"]
                .iter()
                .any(|start| name.starts_with(start));
        if option.is_open && !is_address {
            self.reading.problem(place, format!("only running the script shows what `{}` stands for; write the options of `borg prune` out", without_password(name)));
        } else {
            self.prune.repository = Some((name.trim_end_matches("::").to_owned(), option.line));
        }
    }
}

/// Repository and paths of `borg create REPO::ARCHIVE PATH…`.
pub(super) fn create(arguments: &[Word]) -> (Option<(String, usize)>, Vec<String>) {
    let mut ignored = Reading::default();
    let (mut repository, mut paths, mut named) = (None, Vec::new(), false);
    let mut words = Options::new(arguments, &["-C", "-e", "-c"]);
    while let Some(option) = words.next() {
        let nowhere = Place::nowhere(option.line);
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
