//! The chain: entries numbered without gaps, each with the digest of the one before and its own, over its canonical JSON.
//!
//! The first entry names [`beginning`], a digest of the catalog's identity, so that a chain belongs to one catalog.
//! [`ChainWalk`] reads entries in order, keeps nothing of the good ones, and says of each wrong one what is wrong with it. What it
//! cannot see: a chain that was computed anew from an edited entry to its end. That takes a signed checkpoint kept elsewhere
//! ([`super::checkpoint`]).

use super::details::AuditDetails;
use crate::{canonical, units::Digest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Value of [`ChainedEntry::format`].
pub const FORMAT: &str = "mainstay.audit.v1";

/// Wrong entries that are compared with each other, to tell which one stands in whose place.
const COMPARED: usize = 128;

/// One entry as it stands in the chain. Fields in alphabetical order: it is digested (`canonical`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainedEntry {
    /// When; whole microseconds.
    pub at: Timestamp,
    /// [`AuditDetails`] as they were written, keys in order; an older or newer version may have written other ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Digest of all the rest.
    pub digest: Digest,
    /// [`FORMAT`].
    pub format: String,
    /// Word of an [`super::AuditKind`], or of one that this version does not know.
    pub kind: String,
    /// Digest of the entry before, or [`beginning`].
    pub previous: Digest,
    /// Number, from 1, without gaps.
    pub sequence: u64,
    /// On what.
    pub what: String,
    /// Who ordered it.
    pub who: String,
    /// Why, or with what result.
    pub why: String,
}

/// What the digest of an entry is taken of. Fields in alphabetical order.
#[derive(Serialize)]
struct Digested<'a> {
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
    format: &'a str,
    kind: &'a str,
    previous: &'a Digest,
    sequence: u64,
    what: &'a str,
    who: &'a str,
    why: &'a str,
}

/// What the first entry of a catalog's chain holds as the digest of the one before.
pub fn beginning(catalog: &str) -> Digest {
    #[derive(Serialize)]
    struct Beginning<'a> {
        catalog: &'a str,
        format: &'a str,
    }
    let beginning = Beginning {
        catalog,
        format: FORMAT,
    };
    // Two texts: there is nothing in it that JSON cannot hold.
    canonical::digest(&beginning).unwrap_or_else(|_| Digest::sha256_of(catalog.as_bytes()))
}

impl ChainedEntry {
    /// The digest that its content gives.
    pub fn computed(&self) -> Digest {
        self.computed_as(self.sequence)
    }

    /// The digest that its content would give under another number.
    fn computed_as(&self, sequence: u64) -> Digest {
        let digested = Digested {
            at: self.at,
            details: self.details.as_ref(),
            format: &self.format,
            kind: &self.kind,
            previous: &self.previous,
            sequence,
            what: &self.what,
            who: &self.who,
            why: &self.why,
        };
        // Texts, numbers and JSON: there is nothing in it that JSON cannot hold.
        canonical::digest(&digested).unwrap_or_else(|_| Digest::sha256_of(&[]))
    }

    /// Its details, if this version knows them.
    pub fn typed(&self) -> Option<AuditDetails> {
        serde_json::from_value(self.details.clone()?).ok()
    }

    /// Reads one line of an export.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        let mut entry: Self = serde_json::from_slice(line)?;
        // Who wrote the line may have put the keys in another order; the digest is of the sorted ones.
        entry.details = entry.details.as_ref().map(canonical::sorted);
        Ok(entry)
    }
}

/// What is wrong with an entry, or with where it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "flaw", rename_all = "kebab-case")]
pub enum Flaw {
    /// Its content does not give its digest.
    Edited {
        /// Number of the entry.
        sequence: u64,
    },
    /// Numbers are not there.
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// What stands here was written as another entry.
    Moved {
        /// Number that it has now.
        sequence: u64,
        /// Number that it was written with.
        was: u64,
    },
    /// It is sound by itself, but does not hold the digest of the entry that stands before it.
    Unlinked {
        /// Number of the entry.
        sequence: u64,
    },
}

impl Flaw {
    /// The number of the entry that it is about.
    pub fn sequence(&self) -> u64 {
        match self {
            Self::Edited { sequence }
            | Self::Moved { sequence, .. }
            | Self::Unlinked { sequence } => *sequence,
            Self::Missing { from, .. } => *from,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { sequence } => {
                write!(
                    f,
                    "entry {sequence} was edited: its content does not give its digest"
                )
            }
            Self::Missing { from, to } if from == to => write!(f, "entry {from} was removed"),
            Self::Missing { from, to } => write!(f, "entries {from} to {to} were removed"),
            Self::Moved { sequence, was } => write!(
                f,
                "entry {sequence} was moved here: it was written as entry {was}"
            ),
            Self::Unlinked { sequence } => match sequence.checked_sub(1).filter(|n| *n > 0) {
                Some(before) => write!(
                    f,
                    "entry {sequence} does not follow entry {before} as it stands: entry {before} was replaced"
                ),
                None => write!(
                    f,
                    "entry {sequence} is not the beginning of this catalog's chain"
                ),
            },
        }
    }
}

/// Walks along a chain.
#[derive(Debug)]
pub struct ChainWalk {
    /// What the next entry must name; `None`: the walk begins in the middle.
    previous: Option<Digest>,
    next: u64,
    flaws: Vec<Flaw>,
    flawed: u64,
    odd: Vec<ChainedEntry>,
}

impl ChainWalk {
    /// From the beginning of a catalog's chain.
    pub fn from_beginning(catalog: &str) -> Self {
        Self::new(1, Some(beginning(catalog)))
    }

    /// From behind the entry `sequence`, which has this digest.
    pub fn after(sequence: u64, digest: Digest) -> Self {
        Self::new(sequence.saturating_add(1), Some(digest))
    }

    /// From the entry `sequence` on, whatever stands before it.
    pub fn from_entry(sequence: u64) -> Self {
        Self::new(sequence, None)
    }

    fn new(next: u64, previous: Option<Digest>) -> Self {
        Self {
            previous,
            next,
            flaws: Vec::new(),
            flawed: 0,
            odd: Vec::new(),
        }
    }

    /// Takes the next entry.
    pub fn take(&mut self, entry: &ChainedEntry) {
        if entry.sequence > self.next {
            self.missing(self.next, entry.sequence - 1);
            self.previous = None;
        }
        let follows = self
            .previous
            .as_ref()
            .is_none_or(|previous| *previous == entry.previous);
        if entry.computed() != entry.digest || entry.format != FORMAT {
            self.note(Flaw::Edited {
                sequence: entry.sequence,
            });
            if self.odd.len() < COMPARED {
                self.odd.push(entry.clone());
            }
        } else if !follows {
            self.note(Flaw::Unlinked {
                sequence: entry.sequence,
            });
        }
        // What stands behind an edited entry is judged by the digest that was written, so that one edit is one flaw.
        self.previous = Some(entry.digest.clone());
        self.next = entry.sequence.saturating_add(1);
    }

    /// Number of the last entry that was taken; 0 before the first.
    pub fn last(&self) -> u64 {
        self.next - 1
    }

    /// Digest of the last entry that was taken.
    pub fn digest(&self) -> Option<&Digest> {
        self.previous.as_ref()
    }

    /// Ends the walk where the chain should end: the flaws, by number (the first few hundred), and how many there are.
    pub fn finish(mut self, end: u64) -> (Vec<Flaw>, u64) {
        if end >= self.next {
            self.missing(self.next, end);
        }
        for entry in &self.odd {
            // By the entries that are wrong as well, and by the neighbours, if everything behind a gap was numbered anew.
            let others = self.odd.iter().map(|other| other.sequence);
            let near = [entry.sequence + 1, entry.sequence.saturating_sub(1)];
            let was = others
                .chain(near)
                .filter(|number| *number != entry.sequence)
                .find(|number| entry.computed_as(*number) == entry.digest);
            let edited = Flaw::Edited {
                sequence: entry.sequence,
            };
            if let Some(was) = was
                && let Some(flaw) = self.flaws.iter_mut().find(|flaw| **flaw == edited)
            {
                *flaw = Flaw::Moved {
                    sequence: entry.sequence,
                    was,
                };
            }
        }
        // What follows a moved entry cannot follow; that is said already.
        let moved: Vec<u64> = self
            .flaws
            .iter()
            .filter(|flaw| matches!(flaw, Flaw::Moved { .. }))
            .map(Flaw::sequence)
            .collect();
        let before = self.flaws.len();
        self.flaws.retain(|flaw| match flaw {
            Flaw::Unlinked { sequence } => !moved.contains(&(sequence - 1)),
            _ => true,
        });
        self.flawed -= (before - self.flaws.len()) as u64;
        (self.flaws, self.flawed)
    }

    fn missing(&mut self, from: u64, to: u64) {
        self.note(Flaw::Missing { from, to });
    }

    fn note(&mut self, flaw: Flaw) {
        self.flawed += 1;
        if self.flaws.len() < 2 * COMPARED {
            self.flaws.push(flaw);
        }
    }
}

#[cfg(test)]
mod tests;
