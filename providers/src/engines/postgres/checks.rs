//! Checks a restored database: the expectations of its snapshot, then a person's own assertions.
//!
//! Everything runs in read-only transactions. A check that does not hold is a [`Check`], not an error; only a lost
//! connection is.

use super::{
    connection::{Address, run, sqlstate, texts},
    expectations::rows_of,
    names::{literal, read_name},
};
use crate::api::{Check, Result};
use model::{Assertion, Expect, Expectations, Timestamp, manifest::TableExpectation};
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// Beginning of the `what` of a person's checks.
pub(super) const ASSERT: &str = "assert ";

/// Compares tables and rows with the expectations.
pub(super) async fn expectations(
    connection: &mut PgConnection,
    address: &Address,
    expected: &BTreeMap<&String, TableExpectation>,
) -> Result<Vec<Check>> {
    let failed = |error| address.failed("check the tables of", error);
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off";
    run(connection, begin).await.map_err(failed)?;
    let mut checks = Vec::new();
    for (name, expected) in expected {
        let Some((parts, _)) = read_name(name) else {
            continue;
        };
        let Ok([schema, table]) = <[String; 2]>::try_from(parts) else {
            continue;
        };
        if !exists(connection, &schema, &table).await.map_err(failed)? {
            checks.push(Check {
                what: format!("table {name}"),
                passed: false,
                detail: "missing".to_owned(),
            });
            continue;
        }
        let Some(rows) = expected.rows.filter(|_| expected.exact) else {
            checks.push(Check {
                what: format!("table {name}"),
                passed: true,
                detail: "present".to_owned(),
            });
            continue;
        };
        let found = rows_of(connection, &schema, &table).await.map_err(failed)?;
        checks.push(Check {
            what: format!("rows of {name}"),
            passed: found == rows,
            detail: format!("{found} of {rows}"),
        });
    }
    run(connection, "COMMIT").await.map_err(failed)?;
    Ok(checks)
}

/// Whether an ordinary table is there.
pub(super) async fn exists(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = {} AND c.relkind = 'r'",
        literal(schema),
        literal(table)
    );
    Ok(!texts(connection, &sql).await?.is_empty())
}

/// The expectations that a restore of everything must meet.
pub(super) fn all(expectations: &Expectations) -> BTreeMap<&String, TableExpectation> {
    let tables = expectations.tables.iter();
    tables.map(|(name, expected)| (name, *expected)).collect()
}

/// Evaluates a person's assertions, each in a transaction of its own.
pub(super) async fn assertions(
    connection: &mut PgConnection,
    address: &Address,
    asserts: &[Assertion],
    captured_at: Timestamp,
) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for assertion in asserts {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let failed = |error| address.failed("evaluate an assertion in", error);
        run(connection, begin).await.map_err(failed)?;
        let sql = assertion.sql.trim().trim_end_matches(';');
        let answer = texts(connection, sql).await;
        let (passed, detail) = match answer {
            Ok(rows) => {
                let rows_count = rows.len();
                match rows
                    .into_iter()
                    .next()
                    .and_then(|row| row.into_iter().next())
                {
                    None => (false, format!("gave {rows_count} rows without a value")),
                    Some(None) => (false, "gave null".to_owned()),
                    Some(Some(value)) => judge(&value, &assertion.expect, captured_at),
                }
            }
            // Only the server's verdict on the statement is the assertion's fault.
            Err(error) if sqlstate(&error).is_some() => {
                let message = error
                    .as_database_error()
                    .map_or("", |error| error.message());
                (false, format!("the statement failed: {message}"))
            }
            Err(error) => return Err(failed(error)),
        };
        run(connection, "ROLLBACK").await.map_err(failed)?;
        checks.push(Check {
            what: format!("{ASSERT}{}", assertion.sql),
            passed,
            detail,
        });
    }
    Ok(checks)
}

fn judge(value: &str, expect: &Expect, captured_at: Timestamp) -> (bool, String) {
    match expect {
        Expect::AtLeast(least) => match at_least(value, *least) {
            Some(passed) => (passed, format!("{value}, at least {least} expected")),
            None => (false, format!("`{value}` is not a number")),
        },
        Expect::Equals(text) => (value == text, format!("`{value}`, `{text}` expected")),
        Expect::NewerThan(period) => {
            let oldest = period.before(captured_at, &jiff::tz::TimeZone::UTC);
            match instant(value) {
                Some(found) => (
                    found >= oldest,
                    format!("{found}, not older than {oldest} expected"),
                ),
                None => (false, format!("`{value}` is not a time")),
            }
        }
    }
}

/// Compares whole numbers exactly; fractions and exponents as floating point.
fn at_least(value: &str, least: i64) -> Option<bool> {
    if let Ok(whole) = value.parse::<i128>() {
        return Some(whole >= i128::from(least));
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a fractional value is compared approximately"
    )]
    let least = least as f64;
    value.parse::<f64>().ok().map(|value| value >= least)
}

/// Reads a timestamp, with or without zone (then UTC, the session's), or a date, as PostgreSQL prints them with ISO style.
fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text == "infinity" {
        return Some(Timestamp::MAX);
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok();
    let civil = civil.or_else(|| {
        Some(
            text.parse::<jiff::civil::Date>()
                .ok()?
                .to_datetime(jiff::civil::Time::midnight()),
        )
    });
    Some(civil?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Period;

    #[test]
    fn times_are_compared_with_the_capture_and_not_with_now() {
        let captured: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let day = Expect::NewerThan(Period::parse("1d").unwrap());
        for (value, holds) in [
            ("2026-11-20 02:00:00+00", true),
            ("2026-11-20 01:59:59.999999+00", false),
            ("2026-11-20 23:30:00.5+05:30", true),
            ("2026-11-21 01:00:00", true),
            ("2026-11-21", true),
            ("infinity", true),
            ("soon", false),
        ] {
            assert_eq!(judge(value, &day, captured).0, holds, "{value}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_texts_as_texts() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(judge("10", &Expect::AtLeast(9), now).0);
        assert!(judge("9.5", &Expect::AtLeast(9), now).0);
        assert!(!judge("nine", &Expect::AtLeast(9), now).0);
        assert!(judge("t", &Expect::Equals("t".into()), now).0);
        assert!(!judge("true", &Expect::Equals("t".into()), now).0);
    }
}
