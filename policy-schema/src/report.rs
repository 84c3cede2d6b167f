//! Collects findings: each once, each with its bytes, sorted at the end; remembers which values are already known wrong.
//!
//! Invariant: a value that holds a secret is never part of a message.

use crate::{files::Source, tree::Place};
use model::{Finding, Label, Severity};
use std::{
    collections::{BTreeSet, HashSet},
    path::PathBuf,
};

pub(crate) struct Report<'a> {
    sources: &'a [Source],
    findings: Vec<Finding>,
    places: Vec<Option<Place>>,
    reported: HashSet<(&'static str, Place)>,
    reported_keys: HashSet<(&'static str, Place, String)>,
    /// Values and keys that later checks leave out.
    pub(crate) wrong: HashSet<Place>,
    /// Files with syntax errors: what seems to be missing there may only be unreadable.
    broken: BTreeSet<u32>,
}

/// A finding while it is put together.
pub(crate) struct Draft {
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) labels: Vec<(Place, String)>,
}

impl Draft {
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            help: None,
            labels: Vec::new(),
        }
    }

    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    pub(crate) fn at(mut self, place: Place, text: impl Into<String>) -> Self {
        self.labels.push((place, text.into()));
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

impl<'a> Report<'a> {
    pub(crate) fn new(sources: &'a [Source]) -> Self {
        Self {
            sources,
            findings: Vec::new(),
            places: Vec::new(),
            reported: HashSet::new(),
            reported_keys: HashSet::new(),
            wrong: HashSet::new(),
            broken: BTreeSet::new(),
        }
    }

    /// Adds a finding, unless the same one was made at the same place (a profile is seen once per database).
    pub(crate) fn add(&mut self, draft: Draft) {
        if let Some((place, _)) = draft.labels.first()
            && !self.reported.insert((draft.code, *place))
        {
            return;
        }
        self.places
            .push(draft.labels.first().map(|(place, _)| *place));
        let labels = draft
            .labels
            .into_iter()
            .map(|(place, text)| self.label(place, text))
            .collect();
        self.findings.push(Finding {
            code: draft.code,
            severity: draft.severity,
            message: draft.message,
            help: draft.help,
            labels,
        });
    }

    /// Adds a finding about a value that later checks must leave out.
    pub(crate) fn reject(&mut self, place: Place, draft: Draft) {
        self.wrong.insert(place);
        self.add(draft);
    }

    /// Notes that a file could not be read in full.
    pub(crate) fn broken(&mut self, file: u32) {
        self.broken.insert(file);
    }

    /// Whether the file of a place could not be read in full.
    pub(crate) fn is_broken(&self, place: Place) -> bool {
        self.broken.contains(&place.file)
    }

    /// Adds a finding about something that is not there, unless it may only be unreadable.
    pub(crate) fn add_absence(&mut self, draft: Draft, what: &str) {
        if draft
            .labels
            .first()
            .is_none_or(|(place, _)| !self.is_broken(*place))
        {
            self.add_each(draft, what);
        }
    }

    /// As [`Self::add`], for findings that share a place and differ in `what`.
    pub(crate) fn add_each(&mut self, draft: Draft, what: &str) {
        let Some((place, _)) = draft.labels.first() else {
            return self.add(draft);
        };
        if self
            .reported_keys
            .insert((draft.code, *place, what.to_owned()))
        {
            self.reported.remove(&(draft.code, *place));
            self.add(draft);
        }
    }

    /// An empty report about the same files, to try something.
    pub(crate) fn attempt(&self) -> Self {
        Self {
            broken: self.broken.clone(),
            ..Self::new(self.sources)
        }
    }

    /// Takes over what an attempt found.
    pub(crate) fn absorb(&mut self, attempt: Self) {
        for place in attempt.wrong {
            self.wrong.insert(place);
        }
        for (finding, place) in attempt.findings.into_iter().zip(attempt.places) {
            if place.is_none_or(|place| self.reported.insert((finding.code, place))) {
                self.findings.push(finding);
                self.places.push(place);
            }
        }
    }

    /// How many findings there are.
    pub(crate) fn len(&self) -> usize {
        self.findings.len()
    }

    pub(crate) fn source_text(&self, file: u32) -> &'a str {
        self.sources
            .get(file as usize)
            .map_or("", |source| source.text.as_str())
    }

    pub(crate) fn source_path(&self, file: u32) -> PathBuf {
        self.sources
            .get(file as usize)
            .map_or_else(PathBuf::new, |source| source.path.clone())
    }

    fn label(&self, place: Place, text: String) -> Label {
        Label {
            file: self.source_path(place.file),
            bytes: place.start as usize..place.end as usize,
            text,
        }
    }

    /// The bytes of a part of a string, if the string is written without escapes; else those of the string.
    pub(crate) fn inside(&self, place: Place, text: &str, part: std::ops::Range<usize>) -> Place {
        let raw = self
            .source_text(place.file)
            .get(place.start as usize..place.end as usize)
            .unwrap_or("");
        let Some(offset) = raw.find(text).filter(|_| !text.is_empty()) else {
            return place;
        };
        let start = place.start + u32::try_from(offset + part.start).unwrap_or(0);
        let end = place.start + u32::try_from(offset + part.end).unwrap_or(0);
        Place {
            file: place.file,
            start,
            end,
        }
    }

    /// All findings by file and place.
    pub(crate) fn finish(mut self) -> Vec<Finding> {
        self.findings.sort_by(|a, b| {
            let key = |finding: &Finding| {
                finding
                    .labels
                    .first()
                    .map(|label| (label.file.clone(), label.bytes.start, label.bytes.end))
            };
            key(a).cmp(&key(b)).then_with(|| a.code.cmp(b.code))
        });
        self.findings
    }
}

/// `did you mean …?`, when something near enough is allowed.
pub(crate) fn near<'a>(given: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<String> {
    allowed
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(given, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.chars().count() / 4)
        .min()
        .map(|(_, word)| format!("did you mean `{word}`?"))
}

/// The suggestion, or else everything that is allowed.
pub(crate) fn near_or_all(given: &str, allowed: &[&str], what: &str) -> String {
    near(given, allowed.iter().copied()).unwrap_or_else(|| match allowed {
        [] => "none is declared".to_owned(),
        all if all.len() <= 12 => format!("{what}: {}", all.join(", ")),
        all => format!("{what}: {}, …", all[..12].join(", ")),
    })
}
