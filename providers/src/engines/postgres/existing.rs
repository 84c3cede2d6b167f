//! Dumps that a script made with `pg_dump`, by their first bytes, and what they say of themselves.
//!
//! The head of an archive is read as `ReadHead` of PostgreSQL's `pg_backup_archiver.c` does it: it has the time of the dump by
//! the wall clock of the machine that made it, the name of the database, and the versions of server and `pg_dump`. A plain dump
//! has the versions in comments, and a time only with `--verbose`. Pure.

use crate::adopt::{Made, Recognised, Recognition};
use jiff::{
    civil::{DateTime, date},
    fmt::strtime,
    tz::Offset,
};
use std::collections::BTreeMap;

const METHOD: &str = "logical";
/// Names of its own `pg_dump` gives no longer than this.
const LONGEST_TEXT: usize = 4096;
/// Codes of formats in an archive's head.
const CUSTOM: u8 = 1;
const TAR_BLOCK: usize = 512;

/// See `EngineEntry::recognise`.
pub(super) fn recognise(head: &[u8]) -> Option<Recognition> {
    if let Some(archive) = Archive::read(head) {
        if archive.format != CUSTOM {
            return Some(not(
                "a part of a folder in pg_dump's directory format: pack the folder first (`tar -C FOLDER -cf NAME.tar toc.dat $(ls FOLDER | grep -v toc.dat)`)",
            ));
        }
        return Some(archive.recognised("pg-custom", "pg_dump custom", "data.dump"));
    }
    if head.starts_with(b"PGDMP") {
        return Some(not("cut short: not even the head of the dump is whole"));
    }
    if head.get(257..262) == Some(b"ustar") || head.starts_with(b"toc.dat\0") {
        let archive = head
            .starts_with(b"toc.dat\0")
            .then(|| Archive::read(head.get(TAR_BLOCK..)?))
            .flatten();
        return Some(match archive {
            Some(archive) => archive.recognised("pg-directory-tar", "pg_dump tar", "data.tar"),
            None => not(
                "a tar archive that no pg_dump made, or one that holds a folder: `toc.dat` must be its first member",
            ),
        });
    }
    plain(head)
}

fn not(words: &str) -> Recognition {
    Recognition::Not(words.to_owned())
}

/// What stands at the beginning of an archive.
struct Archive {
    format: u8,
    made: Option<DateTime>,
    database: String,
    server_version: String,
    tool_version: String,
}

impl Archive {
    fn read(head: &[u8]) -> Option<Self> {
        let mut rest = Bytes(head.strip_prefix(b"PGDMP")?);
        let (major, minor, _revision) = (rest.byte()?, rest.byte()?, rest.byte()?);
        let version = (major, minor);
        let integer = usize::from(rest.byte()?);
        if version >= (1, 7) {
            rest.byte()?;
        }
        let format = rest.byte()?;
        if version >= (1, 15) {
            rest.byte()?;
        } else {
            rest.integer(integer)?;
        }
        let mut parts = [0_i64; 7];
        for part in &mut parts {
            *part = rest.integer(integer)?;
        }
        let [second, minute, hour, day, month, year, _summer] = parts;
        let small = |number: i64| i8::try_from(number).ok();
        let made = || {
            let date = jiff::civil::Date::new(
                i16::try_from(year + 1900).ok()?,
                small(month + 1)?,
                small(day)?,
            )
            .ok()?;
            // A leap second is a time for C, and none for us.
            let time =
                jiff::civil::Time::new(small(hour)?, small(minute)?, small(second.min(59))?, 0);
            Some(date.to_datetime(time.ok()?))
        };
        Some(Self {
            format,
            made: made().filter(|made| made.date() > date(1996, 1, 1)),
            database: rest.text(integer)?,
            server_version: rest.text(integer)?,
            tool_version: rest.text(integer)?,
        })
    }

    fn recognised(
        self,
        content: &'static str,
        words: &'static str,
        file_stem: &'static str,
    ) -> Recognition {
        let facts = [
            ("server_version", self.server_version),
            ("tool_version", self.tool_version),
        ];
        Recognition::Point(Box::new(Recognised {
            content,
            words,
            method: METHOD,
            file_stem,
            made: self.made.map(Made::Local),
            database: Some(self.database).filter(|name| !name.is_empty()),
            facts: facts
                .into_iter()
                .map(|(name, value)| (name.to_owned(), first_word(&value)))
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        }))
    }
}

/// `15.4 (Debian 15.4-1)` → `15.4`, as the engine itself notes it.
fn first_word(text: &str) -> String {
    text.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Bytes that are read one after the other.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A sign, then so many bytes, the lowest first.
    fn integer(&mut self, size: usize) -> Option<i64> {
        let negative = self.byte()? != 0;
        let mut value = 0_i64;
        for place in 0..size.min(7) {
            value |= i64::from(self.byte()?) << (8 * place);
        }
        for _ in 7..size {
            self.byte()?;
        }
        Some(if negative { -value } else { value })
    }

    /// A length, then the text, which may be null (then it is empty here); `None`: the head ends in it.
    fn text(&mut self, size: usize) -> Option<String> {
        let Ok(length) = usize::try_from(self.integer(size)?) else {
            return Some(String::new());
        };
        let text = self.0.get(..length).filter(|_| length <= LONGEST_TEXT)?;
        self.0 = &self.0[length..];
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

/// A dump as SQL.
fn plain(head: &[u8]) -> Option<Recognition> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines().take(60).map(str::trim_end);
    let first = lines.find(|line| !line.is_empty() && *line != "--")?;
    if first == "-- PostgreSQL database cluster dump" {
        return Some(not(
            "a dump of a whole cluster (pg_dumpall): only a dump of one database can become its recovery point",
        ));
    }
    if first != "-- PostgreSQL database dump" {
        return None;
    }
    let mut facts = BTreeMap::new();
    let mut made = None;
    for line in lines {
        if let Some(version) = line.strip_prefix("-- Dumped from database version ") {
            facts.insert("server_version".to_owned(), first_word(version));
        } else if let Some(version) = line.strip_prefix("-- Dumped by pg_dump version ") {
            facts.insert("tool_version".to_owned(), first_word(version));
        } else if let Some(time) = line.strip_prefix("-- Started on ") {
            made = started(time);
        }
    }
    Some(Recognition::Point(Box::new(Recognised {
        content: "pg-plain",
        words: "pg_dump plain SQL",
        method: METHOD,
        file_stem: "data.sql",
        made,
        database: None,
        facts,
    })))
}

/// `2024-03-01 02:00:00 CET`: abbreviations of zones are not unique, only that of UTC says something.
fn started(text: &str) -> Option<Made> {
    let (time, read) = strtime::BrokenDownTime::parse_prefix("%Y-%m-%d %H:%M:%S", text).ok()?;
    let local = time.to_datetime().ok()?;
    match text.get(read..)?.trim() {
        "UTC" | "GMT" => Some(Made::At(Offset::UTC.to_timestamp(local).ok()?)),
        _ => Some(Made::Local(local)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(head: &[u8]) -> Recognised {
        match recognise(head) {
            Some(Recognition::Point(known)) => *known,
            other => panic!("{other:?}"),
        }
    }

    fn refused(head: &[u8]) -> String {
        match recognise(head) {
            Some(Recognition::Not(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    /// The head of an archive of version 1.14 (PostgreSQL 12 to 15), as `pg_dump` 15 wrote it.
    fn archive(format: u8) -> Vec<u8> {
        let mut head = b"PGDMP\x01\x0e\x00\x04\x08".to_vec();
        head.push(format);
        let integer = |head: &mut Vec<u8>, value: i32| {
            head.push(u8::from(value < 0));
            head.extend(value.unsigned_abs().to_le_bytes());
        };
        integer(&mut head, -1);
        for part in [5, 0, 2, 1, 2, 124, 0] {
            integer(&mut head, part);
        }
        for text in ["erp", "15.4 (Debian 15.4-1)", "15.6"] {
            integer(&mut head, i32::try_from(text.len()).unwrap());
            head.extend(text.as_bytes());
        }
        head.extend(b"\0\x01\0\0\0");
        head
    }

    #[test]
    fn the_head_of_an_archive_tells_when_and_of_what_it_is() {
        let known = point(&archive(1));
        assert_eq!(known.content, "pg-custom");
        assert_eq!(
            known.made,
            Some(Made::Local(date(2024, 3, 1).at(2, 0, 5, 0)))
        );
        assert_eq!(known.database.as_deref(), Some("erp"));
        assert_eq!(known.facts["server_version"], "15.4");
        assert_eq!(known.facts["tool_version"], "15.6");
        for cut in 5..archive(1).len() - 5 {
            assert!(refused(&archive(1)[..cut]).contains("cut short"), "{cut}");
        }
    }

    #[test]
    fn a_tar_of_pg_dump_is_told_from_another_one_and_from_a_part_of_a_folder() {
        let mut tar = vec![0; 512];
        tar[..7].copy_from_slice(b"toc.dat");
        tar[257..262].copy_from_slice(b"ustar");
        let known = point(&[&tar[..], &archive(3)].concat());
        assert_eq!(
            (known.content, known.words),
            ("pg-directory-tar", "pg_dump tar")
        );
        assert!(refused(&archive(3)).contains("directory format"));
        tar[..7].copy_from_slice(b"erp/toc");
        assert!(refused(&[&tar[..], &archive(3)].concat()).contains("tar archive"));
    }

    #[test]
    fn a_plain_dump_tells_its_versions_and_sometimes_its_time() {
        let head = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped from database version 15.4 (Debian)\n\
                    -- Dumped by pg_dump version 16.1\n\n-- Started on 2024-03-01 02:00:00 CET\n\nSET x = 1;\n";
        let known = point(head.as_bytes());
        assert_eq!(known.content, "pg-plain");
        assert_eq!(known.facts["tool_version"], "16.1");
        assert_eq!(
            known.made,
            Some(Made::Local(date(2024, 3, 1).at(2, 0, 0, 0)))
        );
        let utc = point(head.replace("CET", "UTC").as_bytes());
        assert_eq!(
            utc.made,
            Some(Made::At("2024-03-01T02:00:00Z".parse().unwrap()))
        );
        let cluster = "--\n-- PostgreSQL database cluster dump\n--\n";
        assert!(refused(cluster.as_bytes()).contains("whole cluster"));
        assert_eq!(recognise(b"CREATE TABLE a (b int);\n"), None);
        assert_eq!(recognise(b""), None);
    }
}
