//! Level `full-read`: the tar is read to its end, and what it holds is counted.

use super::{CONTENT, errors};
use crate::api::{Check, PlainObject, ReadRequest, Result};
use model::Expectations;
use std::{collections::BTreeMap, io};

/// What an archive holds, by kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) files: u64,
    pub(super) folders: u64,
    pub(super) links: u64,
}

impl Held {
    pub(super) fn count(&mut self, kind: tar::EntryType) {
        match kind {
            tar::EntryType::Directory => self.folders += 1,
            tar::EntryType::Symlink => self.links += 1,
            _ => self.files += 1,
        }
    }

    /// Compares with what was captured.
    pub(super) fn checks(self, expected: &Expectations) -> Vec<Check> {
        let found = BTreeMap::from([
            ("files", self.files),
            ("folders", self.folders),
            ("links", self.links),
        ]);
        found
            .into_iter()
            .filter_map(|(name, found)| {
                let rows = expected.tables.get(name)?.rows?;
                Some(Check {
                    what: format!("number of {name}"),
                    passed: rows == found,
                    detail: format!("{found} found, {rows} expected"),
                })
            })
            .collect()
    }
}

/// Reads everything.
pub(super) fn run(request: ReadRequest) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let mut seen = false;
    for mut object in request.objects {
        let held = count(&mut object)?;
        if object.role == "data" {
            seen = true;
            checks.extend(held.checks(&request.manifest.expectations));
        }
    }
    if !seen {
        return Err(errors::unsupported(
            "this recovery point has no data object",
        ));
    }
    Ok(checks)
}

fn count(object: &mut PlainObject) -> Result<Held> {
    if object.content != CONTENT {
        return Err(errors::unsupported(
            "an object of this recovery point is no tar",
        ));
    }
    let mut held = Held::default();
    let mut archive = tar::Archive::new(&mut object.stream);
    for entry in archive.entries().map_err(errors::unreadable)? {
        let mut entry = entry.map_err(errors::unreadable)?;
        held.count(entry.header().entry_type());
        io::copy(&mut entry, &mut io::sink()).map_err(errors::unreadable)?;
    }
    // The digest behind the stream is compared at its very end.
    io::copy(&mut object.stream, &mut io::sink()).map_err(errors::unreadable)?;
    Ok(held)
}
