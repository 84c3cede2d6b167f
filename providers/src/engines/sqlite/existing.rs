//! Files of SQLite that a script made, by their first bytes (<https://www.sqlite.org/fileformat2.html>, section 1.3).

use super::METHOD;
use crate::adopt::{Recognised, Recognition};
use std::collections::BTreeMap;

/// See `EngineEntry::recognise`.
pub(super) fn recognise(head: &[u8]) -> Option<Recognition> {
    if head.starts_with(b"PRAGMA foreign_keys=OFF;") {
        return Some(Recognition::Not(
            "SQL as sqlite3's `.dump` writes it: make a database file of it first (`sqlite3 NEW.db < FILE`)"
                .to_owned(),
        ));
    }
    head.starts_with(b"SQLite format 3\0").then(|| {
        Recognition::Point(Box::new(Recognised {
            content: "sqlite",
            words: "SQLite file",
            method: METHOD,
            file_stem: "data.sqlite",
            made: None,
            database: None,
            facts: BTreeMap::new(),
        }))
    })
}
