//! Existing files that become recovery points: found, recognised by their content, dated, and captured as they are.
//!
//! `find` looks for files in a folder or on a tier, `content` tells what is inside of which compression (engines tell their own
//! formats), `name_time` and `captured` say of when a file is, `source` reads it, `engine` is an engine whose captures read files.
//! Invariants: a file is only ever read; what it is, is told by its bytes and never by its name; a capture ends well only when
//! the format's own reader has read the same bytes to their end, and the file has not changed meanwhile.
//! Not here: which of them retention keeps (`planner`), how a point is stored (`executor`).

mod captured;
mod content;
mod engine;
mod find;
mod inspect;
mod name_time;
mod source;
mod tee;

pub use captured::{Captured, CapturedFrom, TimeChoice, TimeFormat};
pub use engine::{AdoptingEngine, FileOfPoint};
pub use find::{ExistingFile, Found, Place, files, objects};
pub use inspect::{Inspected, Unfit, UnfitKind, Wanted, inspect};
pub use source::{digest, facts};

use jiff::{Timestamp, civil::DateTime};
use std::collections::BTreeMap;

/// What the first plain bytes of a file say, in the words of the engine that knows the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognition {
    /// It can become a recovery point.
    Point(Box<Recognised>),
    /// It is of this engine's world, but no recovery point can be made of it; why, and what to do.
    Not(String),
}

/// A format that an engine reads back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recognised {
    /// The manifest's word for it, such as `pg-custom`.
    pub content: &'static str,
    /// For people: `pg_dump custom`.
    pub words: &'static str,
    /// Method of the engine whose points are like this.
    pub method: &'static str,
    /// Name of the stored file without the compression's ending.
    pub file_stem: &'static str,
    /// When it was made, as it says itself.
    pub made: Option<Made>,
    /// Name of the database that it is a state of, as it says itself.
    pub database: Option<String>,
    /// What else it says of itself, for the manifest's `source`: versions. Never an identity that is only guessed.
    pub facts: BTreeMap<String, String>,
}

/// A time inside a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// By the clock on the wall of the machine that made it.
    Local(DateTime),
    /// With its zone.
    At(Timestamp),
}

/// How many plain bytes are enough to recognise every format.
pub const HEAD: usize = 64 * 1024;

/// A name as it can be shown and kept: what is no text, or would break a line, is escaped.
pub fn shown(name: &std::ffi::OsStr) -> String {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '\\' {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    #[test]
    fn names_that_are_no_text_or_would_break_a_line_are_escaped() {
        let show = |bytes: &[u8]| shown(OsStr::from_bytes(bytes));
        assert_eq!(
            show("dump of Jan 5 ü.sql".as_bytes()),
            "dump of Jan 5 ü.sql"
        );
        assert_eq!(show(b"a\nb\x1b[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(show(b"erp\xff.dump"), "erp\\xff.dump");
        assert_eq!(show(b"a\\b"), "a\\\\b");
    }
}
