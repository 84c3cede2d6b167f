//! The data object of a recovery point: which backup of which server of Barman it is.
//!
//! Format `mainstay.barman-pointer.v1`, JSON, fields in alphabetical order. Holds what tells the backup from another one under
//! the same name: positions, timeline and the cluster's identifier.

use super::errors;
use crate::api::{PlainObject, ProviderError, Result};
use jiff::{Timestamp, fmt::temporal::DateTimeParser};
use model::{Disposition, WalFileName, wal::Lsn};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, io::Read};

/// What the bytes are.
pub(super) const CONTENT: &str = "barman-backup";
/// Name of the object.
pub(super) const STEM: &str = "barman-backup.json";
/// Value of [`Pointer::format`].
const FORMAT: &str = "mainstay.barman-pointer.v1";
/// A pointer is some hundred bytes.
const POINTER_BYTES: u64 = 1024 * 1024;

/// Which backup it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pointer {
    pub(super) backup_id: String,
    pub(super) begin_lsn: Lsn,
    pub(super) begin_time: Timestamp,
    pub(super) begin_wal: String,
    /// Size of the base backup in Barman.
    pub(super) bytes: u64,
    /// How Barman compressed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) compression: Option<String>,
    pub(super) end_lsn: Lsn,
    pub(super) end_time: Timestamp,
    pub(super) end_wal: String,
    pub(super) format: String,
    /// `postgres` (`pg_basebackup`), `rsync-concurrent` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<String>,
    /// `server_version_num`.
    pub(super) postgresql_version: u32,
    pub(super) segment_bytes: u64,
    pub(super) server: String,
    /// Identifier of the cluster, decimal; `None`: this Barman does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) system_identifier: Option<String>,
    /// Location of every tablespace, by name.
    pub(super) tablespaces: BTreeMap<String, String>,
    pub(super) timeline: u32,
}

impl Pointer {
    /// From `barman show-backup` and the keys of its `backup.info`, which holds what the former leaves out.
    pub(super) fn of(server: &str, shown: &Value, info: &BTreeMap<String, String>) -> Result<Self> {
        let base = shown.get("base_backup_information").unwrap_or(&Value::Null);
        let lacks = |key: &str| errors::unexpected("show-backup", &format!("no usable `{key}`"));
        let text = |from: &Value, key: &str| {
            let text = from.get(key).and_then(Value::as_str);
            text.map(str::to_owned).ok_or_else(|| lacks(key))
        };
        let number = |from: &Value, key: &str| {
            let number = from.get(key).and_then(Value::as_u64);
            number.ok_or_else(|| lacks(key))
        };
        let small =
            |from: &Value, key: &str| u32::try_from(number(from, key)?).map_err(|_| lacks(key));
        let lsn = |key: &str| Lsn::parse(&text(base, key)?).map_err(|_| lacks(key));
        let time = |key: &str| instant(&text(base, key)?).ok_or_else(|| lacks(key));
        let known = |key: &str| info.get(key).filter(|value| *value != "None").cloned();
        let told = |key: &str| shown.get(key).and_then(Value::as_str).map(str::to_owned);
        let tablespaces = shown.get("tablespaces").and_then(Value::as_array);
        let tablespaces = tablespaces
            .into_iter()
            .flatten()
            .map(|one| Ok((text(one, "name")?, text(one, "location")?)))
            .collect::<Result<_>>()?;
        let segment_bytes = known("xlog_segment_size").and_then(|size| size.parse().ok());
        Ok(Self {
            backup_id: text(shown, "backup_id")?,
            begin_lsn: lsn("begin_lsn")?,
            begin_time: time("begin_time")?,
            begin_wal: text(base, "begin_wal")?,
            bytes: number(base, "disk_usage_bytes")?,
            compression: known("compression"),
            end_lsn: lsn("end_lsn")?,
            end_time: time("end_time")?,
            end_wal: text(base, "end_wal")?,
            format: FORMAT.to_owned(),
            mode: known("mode"),
            postgresql_version: small(shown, "postgresql_version")?,
            segment_bytes: segment_bytes.unwrap_or(model::wal::DEFAULT_SEGMENT_BYTES),
            server: server.to_owned(),
            system_identifier: told("system_id")
                .or_else(|| told("systemid"))
                .or_else(|| known("systemid")),
            tablespaces,
            timeline: small(base, "timeline")?,
        })
    }

    /// Reads it from a point's objects, and the others to their end: only then have their digests agreed.
    pub(super) fn read(objects: Vec<PlainObject>) -> Result<Self> {
        let mut found = None;
        for mut object in objects {
            let mut bytes = Vec::new();
            let mut limited = object.stream.by_ref().take(POINTER_BYTES);
            limited
                .read_to_end(&mut bytes)
                .map_err(crate::stream::provider_error)?;
            std::io::copy(&mut object.stream, &mut std::io::sink())
                .map_err(crate::stream::provider_error)?;
            if object.role == "data" && object.content == CONTENT {
                found = Some(bytes);
            }
        }
        let bytes = found.ok_or_else(|| {
            errors::unsupported("this recovery point is no backup of Barman's".to_owned())
        })?;
        let unreadable = |why: String| {
            ProviderError::new(
                "mainstay::barman::pointer",
                Disposition::Permanent,
                format!("cannot read which backup of Barman's is meant: {why}"),
            )
            .help(
                "use another copy of the point; `barman list-backups SERVER` shows what Barman has",
            )
        };
        let pointer: Self =
            serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if pointer.format == FORMAT {
            Ok(pointer)
        } else {
            Err(unreadable(format!("its format is `{}`", pointer.format)))
        }
    }

    /// As it is stored.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// What differs when the same backup is looked at again; nothing if it is the same. Its size may change (deduplication).
    pub(super) fn differs(&self, now: &Self) -> Option<String> {
        let mut different = Vec::new();
        let mut compare = |what: &str, then: String, now: String| {
            if then != now {
                different.push(format!("{what} was {then} and is {now}"));
            }
        };
        compare(
            "its begin",
            self.begin_lsn.to_string(),
            now.begin_lsn.to_string(),
        );
        compare("its end", self.end_lsn.to_string(), now.end_lsn.to_string());
        compare(
            "its timeline",
            self.timeline.to_string(),
            now.timeline.to_string(),
        );
        if let (Some(then), Some(now)) = (&self.system_identifier, &now.system_identifier) {
            compare("its cluster", then.clone(), now.clone());
        }
        (!different.is_empty()).then(|| different.join(", "))
    }

    /// Major version of its server.
    pub(super) fn major(&self) -> u32 {
        self.postgresql_version / 10_000
    }
}

/// `2026-11-21 19:21:49.067090+00:00`.
fn instant(text: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text).ok()
}

/// The segments from the first to the last of them that are not in `there`, and whether what follows has a hole.
pub(super) fn holes(
    pointer: &Pointer,
    there: &[WalFileName],
) -> (Vec<WalFileName>, Vec<WalFileName>) {
    let parse = |name: &str| WalFileName::parse(name).ok();
    let (Some(first), Some(last)) = (parse(&pointer.begin_wal), parse(&pointer.end_wal)) else {
        return (Vec::new(), Vec::new());
    };
    let size = pointer.segment_bytes;
    let between = |from: WalFileName, to: WalFileName| {
        let mut missing = Vec::new();
        let mut at = Some(from);
        while let Some(segment) = at.filter(|segment| *segment <= to && missing.len() < 1000) {
            if !there.contains(&segment) {
                missing.push(segment);
            }
            at = segment.next(size);
        }
        missing
    };
    let newest = there
        .iter()
        .filter(|file| file.is_segment() && file.timeline() == last.timeline())
        .max();
    let later = match (newest, last.next(size)) {
        (Some(newest), Some(next)) => between(next, *newest),
        _ => Vec::new(),
    };
    (between(first, last), later)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown() -> Value {
        json!({"backup_id": "20261121T192149", "base_backup_information": {
            "begin_lsn": "0/3000028", "begin_time": "2026-11-21 19:21:49.067090+00:00", "begin_wal": "000000010000000000000003",
            "disk_usage_bytes": 23_138_305, "end_lsn": "0/5000000", "end_time": "2026-11-21 21:21:49.775578+02:00",
            "end_wal": "000000010000000000000004", "timeline": 1},
            "postgresql_version": 150_018, "status": "DONE", "tablespaces": [{"name": "fast", "location": "/mnt/fast", "oid": 16384}]})
    }

    #[test]
    fn a_pointer_reads_like_this() {
        let info = [
            ("systemid", "7710707080691617370"),
            ("mode", "postgres"),
            ("compression", "None"),
        ];
        let info = info
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let pointer = Pointer::of("main", &shown(), &info).unwrap();
        let bytes = pointer.to_bytes().unwrap();
        insta::assert_snapshot!(String::from_utf8(bytes.clone()).unwrap());
        let object = PlainObject {
            role: "data".to_owned(),
            content: CONTENT.to_owned(),
            stream: Box::new(std::io::Cursor::new(bytes)),
        };
        assert_eq!(Pointer::read(vec![object]).unwrap(), pointer);
        assert_eq!(pointer.differs(&pointer), None);
    }

    #[test]
    fn another_backup_under_the_same_name_is_told_apart() {
        let then = Pointer::of("main", &shown(), &BTreeMap::new()).unwrap();
        let now = Pointer {
            begin_lsn: Lsn(1),
            timeline: 2,
            ..then.clone()
        };
        insta::assert_snapshot!(then.differs(&now).unwrap(), @"its begin was 0/3000028 and is 0/1, its timeline was 1 and is 2");
    }

    #[test]
    fn a_hole_in_the_log_is_found_also_after_the_backup() {
        let pointer = Pointer::of("main", &shown(), &BTreeMap::new()).unwrap();
        let name = |n: u64| WalFileName::of_segment(1, n, pointer.segment_bytes);
        assert_eq!(holes(&pointer, &[name(3), name(4)]), (vec![], vec![]));
        assert_eq!(holes(&pointer, &[name(4)]), (vec![name(3)], vec![]));
        assert_eq!(
            holes(&pointer, &[name(3), name(4), name(6)]),
            (vec![], vec![name(5)])
        );
    }

    #[test]
    fn an_answer_without_what_is_needed_is_refused() {
        let mut shown = shown();
        shown["base_backup_information"]["end_lsn"] = Value::Null;
        let error = Pointer::of("main", &shown, &BTreeMap::new()).unwrap_err();
        assert_eq!(error.code, "mainstay::barman::unexpected");
        assert!(error.message.contains("end_lsn"), "{error}");
    }
}
