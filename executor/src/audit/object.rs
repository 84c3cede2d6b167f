//! Names of exports on a tier, and reading one line by line.

use model::{
    audit::{ChainedEntry, SignedCheckpoint},
    canonical,
};
use providers::api::{ObjectKey, ObjectReader, Result, Tier};

/// Folder of all exports on a tier, with its slash.
pub(crate) const FOLDER: &str = "mainstay-audit/";

/// No line is longer; more is no export.
const LONGEST_LINE: usize = 16 << 20;

/// What the name of an export tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// Identity of the catalog.
    pub(super) catalog: String,
    /// Number of the first entry in it.
    pub(super) first: u64,
    /// Number of the last entry in it.
    pub(super) last: u64,
}

impl Name {
    /// Reads the key of an export.
    pub(super) fn parse(key: &ObjectKey) -> Option<Self> {
        let (catalog, file) = key.as_str().strip_prefix(FOLDER)?.split_once('/')?;
        let (first, last) = file.strip_suffix(".jsonl")?.split_once('-')?;
        let name = Self {
            catalog: catalog.to_owned(),
            first: first.parse().ok()?,
            last: last.parse().ok()?,
        };
        let is_ours = name.key().as_ref() == Some(key)
            && name.first > 0
            && name.first <= name.last
            && catalog.len() == 32
            && catalog.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_ours.then_some(name)
    }

    /// The key. Numbers have as many digits as any chain needs, so that a listing is in their order.
    pub(super) fn key(&self) -> Option<ObjectKey> {
        ObjectKey::new(format!(
            "{FOLDER}{}/{:012}-{:012}.jsonl",
            self.catalog, self.first, self.last
        ))
    }
}

/// Whether an object of a tier is an export.
pub(crate) fn is_part(key: &ObjectKey) -> bool {
    Name::parse(key).is_some()
}

/// One line of an export.
pub(super) enum Line {
    Entry(Box<ChainedEntry>),
    Checkpoint(Box<SignedCheckpoint>),
    /// Neither.
    Other,
}

/// Reads an export line by line; holds a line and what the tier gives at once.
pub(super) struct Lines {
    reader: Box<dyn ObjectReader>,
    rest: Vec<u8>,
    /// Where the next line begins in `rest`.
    at: usize,
    ended: bool,
    /// Whether the last line is written as an export writes it.
    exact: bool,
}

impl Lines {
    pub(super) async fn open(tier: &dyn Tier, key: &ObjectKey) -> Result<Self> {
        Ok(Self {
            reader: tier.open(key).await?,
            rest: Vec::new(),
            at: 0,
            ended: false,
            exact: true,
        })
    }

    /// The next line; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Line>> {
        loop {
            let ahead = self.rest.get(self.at..).unwrap_or_default();
            if let Some(length) = ahead.iter().position(|byte| *byte == b'\n') {
                let line = read(&ahead[..length]);
                self.exact = line.is_written_as(&ahead[..length]);
                self.at += length + 1;
                return Ok(Some(line));
            }
            if self.ended || ahead.len() > LONGEST_LINE {
                // A line without its end was cut off.
                let cut = !ahead.is_empty();
                self.at = self.rest.len();
                return Ok(cut.then_some(Line::Other));
            }
            self.rest.drain(..self.at);
            self.at = 0;
            match self.reader.read().await? {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None => self.ended = true,
            }
        }
    }
}

impl Lines {
    /// Whether the line that came last is written byte for byte as an export writes it. What was put beside what is digested or
    /// signed, a reader would take for part of it.
    pub(super) fn is_exact(&self) -> bool {
        self.exact
    }
}

impl Line {
    fn is_written_as(&self, bytes: &[u8]) -> bool {
        let again = match self {
            Self::Entry(entry) => canonical::to_vec(entry),
            Self::Checkpoint(checkpoint) => canonical::to_vec(checkpoint),
            Self::Other => return false,
        };
        again.is_ok_and(|again| again == bytes)
    }
}

fn read(line: &[u8]) -> Line {
    if let Ok(entry) = ChainedEntry::parse(line) {
        return Line::Entry(Box::new(entry));
    }
    serde_json::from_slice(line).map_or(Line::Other, |checkpoint| {
        Line::Checkpoint(Box::new(checkpoint))
    })
}

/// The checkpoint at the end of an export; `None`: there is none.
pub(super) async fn checkpoint(
    tier: &dyn Tier,
    key: &ObjectKey,
) -> Result<Option<SignedCheckpoint>> {
    let mut lines = Lines::open(tier, key).await?;
    let mut last = None;
    while let Some(line) = lines.next().await? {
        last = match line {
            Line::Checkpoint(checkpoint) => Some(*checkpoint),
            Line::Entry(_) | Line::Other => None,
        };
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_catalog_and_the_entries() {
        let name = Name {
            catalog: "00112233445566778899aabbccddeeff".to_owned(),
            first: 7,
            last: 12,
        };
        let key = name.key().unwrap();
        assert_eq!(
            key.as_str(),
            "mainstay-audit/00112233445566778899aabbccddeeff/000000000007-000000000012.jsonl"
        );
        assert_eq!(Name::parse(&key), Some(name));
        for other in [
            "mainstay-audit/00112233445566778899aabbccddeeff/7-12.jsonl",
            "mainstay-audit/00112233445566778899aabbccddeeff/000000000012-000000000007.jsonl",
            "mainstay-audit/notes/000000000007-000000000012.jsonl",
            "mainstay-audit/notes.txt",
            "orders/00112233445566778899aabbccddeeff/000000000007-000000000012.jsonl",
        ] {
            assert!(!is_part(&ObjectKey::new(other).unwrap()), "{other}");
        }
    }
}
