//! Checks of a database: integrity, expectations, a person's assertions. All read-only.

use super::open::quoted;
use crate::api::Check;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use model::{Assertion, Expect, Expectations, manifest::TableExpectation};
use rusqlite::{Connection, types::Value};
use std::{collections::BTreeMap, fmt::Write as _};

/// Lines of `integrity_check` that are shown.
const SHOWN: usize = 3;

/// Kinds of tables, as `PRAGMA table_list` calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKind {
    Ordinary,
    Virtual,
}

/// Tables that carry data: no views, no internal tables, no shadow tables (they belong to their virtual table).
pub(super) fn tables(connection: &Connection) -> rusqlite::Result<BTreeMap<String, TableKind>> {
    let mut statement = connection.prepare(
        "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual') \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let rows = statement.query_map([], |row| {
        let kind = match row.get_ref(1)?.as_str()? {
            "virtual" => TableKind::Virtual,
            _ => TableKind::Ordinary,
        };
        Ok((row.get(0)?, kind))
    })?;
    rows.collect()
}

/// Counts the rows of every table in the connection's present transaction. A virtual table that cannot be counted (its
/// module is not here) is expected without a number.
pub(super) fn expectations(connection: &Connection) -> rusqlite::Result<Expectations> {
    let mut expected = BTreeMap::new();
    for (name, kind) in tables(connection)? {
        let rows = match (count(connection, &name), kind) {
            (Ok(rows), _) => Some(rows),
            (Err(_), TableKind::Virtual) => None,
            (Err(error), TableKind::Ordinary) => return Err(error),
        };
        let exact = rows.is_some();
        expected.insert(name, TableExpectation { rows, exact });
    }
    Ok(Expectations { tables: expected })
}

fn count(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM main.{}", quoted(table));
    connection.query_row(&sql, [], |row| row.get::<_, i64>(0).map(i64::unsigned_abs))
}

/// `PRAGMA integrity_check`, and foreign keys for information: SQLite does not enforce them by default, so a violation was
/// most likely in the source too.
pub(super) fn integrity(connection: &Connection) -> Vec<Check> {
    let lines = rows_of(connection, "PRAGMA integrity_check(100)");
    let (passed, detail) = match lines {
        Ok(lines) if lines == ["ok"] => (true, "ok".to_owned()),
        Ok(lines) => (false, shorten(&lines)),
        Err(error) => (false, error.to_string()),
    };
    let mut checks = vec![Check {
        what: "integrity".to_owned(),
        passed,
        detail,
    }];
    if passed {
        let detail = match rows_of(connection, "SELECT \"table\" FROM pragma_foreign_key_check") {
            Ok(lines) if lines.is_empty() => "none violated".to_owned(),
            Ok(lines) => format!(
                "{} rows violate one; SQLite does not enforce them by default",
                lines.len()
            ),
            Err(error) => format!("not checked: {error}"),
        };
        checks.push(Check {
            what: "foreign keys (for information)".to_owned(),
            passed: true,
            detail,
        });
    }
    checks
}

fn rows_of(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare(sql)?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn shorten(lines: &[String]) -> String {
    let mut text = lines[..lines.len().min(SHOWN)].join("; ");
    if lines.len() > SHOWN {
        let _ = write!(text, "; and {} more", lines.len() - SHOWN);
    }
    text
}

/// Compares the tables that are there with those that were there when the state was captured.
pub(super) fn expected(connection: &Connection, expectations: &Expectations) -> Vec<Check> {
    let there = match tables(connection) {
        Ok(there) => there,
        Err(error) => {
            return vec![Check {
                what: "tables".to_owned(),
                passed: false,
                detail: error.to_string(),
            }];
        }
    };
    let missing: Vec<&str> = expectations
        .tables
        .keys()
        .filter(|name| !there.contains_key(*name))
        .map(String::as_str)
        .collect();
    let mut checks = vec![Check {
        what: "tables".to_owned(),
        passed: missing.is_empty(),
        detail: if missing.is_empty() {
            format!("all {} found", expectations.tables.len())
        } else {
            format!("missing: {}", missing.join(", "))
        },
    }];
    for (name, expectation) in &expectations.tables {
        if !there.contains_key(name) || !expectation.exact {
            continue;
        }
        let Some(rows) = expectation.rows else {
            continue;
        };
        let (passed, detail) = match count(connection, name) {
            Ok(found) if found == rows => (true, format!("{rows}")),
            Ok(found) => (false, format!("{found} found, {rows} expected")),
            Err(error) => (false, error.to_string()),
        };
        checks.push(Check {
            what: format!("rows of {name}"),
            passed,
            detail,
        });
    }
    checks
}

/// Evaluates a person's checks. The connection is read-only, so a statement that writes fails.
pub(super) fn assertions(
    connection: &Connection,
    asserts: &[Assertion],
    captured_at: Timestamp,
) -> Vec<Check> {
    asserts
        .iter()
        .map(|assertion| {
            let (passed, detail) = match connection.query_row(&assertion.sql, [], |row| row.get(0))
            {
                Ok(value) => evaluate(&value, &assertion.expect, captured_at),
                Err(rusqlite::Error::QueryReturnedNoRows) => (false, "it gave no row".to_owned()),
                Err(error) => (false, format!("it cannot be evaluated: {error}")),
            };
            Check {
                what: format!("assert `{}`", assertion.sql),
                passed,
                detail,
            }
        })
        .collect()
}

fn evaluate(value: &Value, expect: &Expect, captured_at: Timestamp) -> (bool, String) {
    let shown = text(value);
    match expect {
        Expect::AtLeast(least) => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "only compared with a real number"
            )]
            let enough = match value {
                Value::Integer(found) => Some(found >= least),
                Value::Real(found) => Some(*found >= *least as f64),
                Value::Text(found) => found
                    .trim()
                    .parse::<i64>()
                    .ok()
                    .map(|found| found >= *least),
                Value::Null | Value::Blob(_) => None,
            };
            match enough {
                Some(passed) => (passed, format!("{shown} found, at least {least} expected")),
                None => (false, format!("{shown} is not a number")),
            }
        }
        Expect::Equals(expected) => (
            shown == *expected,
            format!("{shown} found, {expected} expected"),
        ),
        Expect::NewerThan(period) => {
            let oldest = period.before(captured_at, &TimeZone::UTC);
            match instant(value) {
                Some(found) => (
                    found >= oldest,
                    format!("{found} found, not before {oldest} expected"),
                ),
                None => (false, format!("{shown} is not a time")),
            }
        }
    }
}

/// A value as text, as `sqlite3` prints it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
    }
}

/// A time in the ways that SQLite databases keep it: RFC 3339, `YYYY-MM-DD[ HH:MM:SS]` in UTC, seconds or milliseconds
/// since 1970 (<https://www.sqlite.org/lang_datefunc.html>).
fn instant(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Integer(number) if number.abs() >= 100_000_000_000 => {
            Timestamp::from_millisecond(*number).ok()
        }
        Value::Integer(number) => Timestamp::from_second(*number).ok(),
        Value::Real(seconds) => jiff::SignedDuration::try_from_secs_f64(*seconds)
            .ok()
            .and_then(|since| Timestamp::from_duration(since).ok()),
        Value::Text(text) => text.trim().parse().ok().or_else(|| {
            let civil: DateTime = text.trim().parse().ok()?;
            Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
        }),
        Value::Null | Value::Blob(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Period;

    #[test]
    fn times_are_understood_in_the_ways_that_databases_keep_them() {
        let at: Timestamp = "2026-11-20T02:00:00Z".parse().unwrap();
        for value in [
            Value::Text("2026-11-20T02:00:00Z".to_owned()),
            Value::Text("2026-11-20T03:00:00+01:00".to_owned()),
            Value::Text("2026-11-20 02:00:00".to_owned()),
            Value::Integer(at.as_second()),
            Value::Integer(at.as_millisecond()),
            Value::Real(1_795_140_000.0),
        ] {
            assert_eq!(instant(&value), Some(at), "{value:?}");
        }
        assert_eq!(instant(&Value::Text("yesterday".to_owned())), None);
    }

    #[test]
    fn assertions_compare_numbers_texts_and_times() {
        let at: Timestamp = "2026-11-20T02:00:00Z".parse().unwrap();
        let connection = Connection::open_in_memory().unwrap();
        let day = Period::parse("1d").unwrap();
        for (sql, expect, passed) in [
            ("select 3", Expect::AtLeast(3), true),
            ("select 2.5", Expect::AtLeast(3), false),
            ("select null", Expect::AtLeast(0), false),
            ("select 'ok'", Expect::Equals("ok".to_owned()), true),
            ("select 7", Expect::Equals("7".to_owned()), true),
            ("select 7", Expect::Equals("8".to_owned()), false),
            ("select '2026-11-19 02:00:00'", Expect::NewerThan(day), true),
            (
                "select '2026-11-19 01:59:59'",
                Expect::NewerThan(day),
                false,
            ),
            ("select 1 where 0", Expect::AtLeast(0), false),
            ("selec 1", Expect::AtLeast(0), false),
        ] {
            let assertion = Assertion {
                sql: sql.to_owned(),
                expect,
            };
            let checks = assertions(&connection, std::slice::from_ref(&assertion), at);
            assert_eq!(checks[0].passed, passed, "{checks:?}");
        }
    }
}
