//! One small surface over two databases: a pool, a transaction, arguments, rows.
//!
//! An enum of the two concrete drivers instead of generics, so that every statement above is ordinary code, written once;
//! `sqlx::Any` has too few types. Both databases read `$1` as the first parameter.

use crate::error::CatalogError;
use jiff::Timestamp;
use sqlx::{
    AssertSqlSafe, Decode, PgPool, Postgres, Row as _, Sqlite, SqlitePool, Type, postgres::PgRow,
    sqlite::SqliteRow,
};
use std::sync::Arc;

/// Connections to one database.
#[derive(Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What a transaction is for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// Sees one state of the whole database, whatever others write meanwhile.
    Read,
    /// Takes the write lock of SQLite at once: a later upgrade could fail in the middle.
    Write,
}

/// A transaction of one call; rolls back when dropped.
pub(crate) struct Transaction {
    driver: Driver,
    place: Arc<str>,
    call: &'static str,
}

enum Driver {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// A parameter of a statement.
#[derive(Clone, Copy)]
pub(crate) enum Arg<'a> {
    Int(i64),
    MaybeInt(Option<i64>),
    Text(&'a str),
    MaybeText(Option<&'a str>),
    Flag(bool),
}

impl From<i64> for Arg<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Option<i64>> for Arg<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::MaybeInt(value)
    }
}

impl From<Timestamp> for Arg<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Int(value.as_microsecond())
    }
}

impl From<Option<Timestamp>> for Arg<'_> {
    fn from(value: Option<Timestamp>) -> Self {
        Self::MaybeInt(value.map(Timestamp::as_microsecond))
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<Option<&'a str>> for Arg<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::MaybeText(value)
    }
}

impl From<bool> for Arg<'_> {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

/// One row of a result.
pub(crate) struct Row {
    driver: DriverRow,
    place: Arc<str>,
}

enum DriverRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Binds the arguments of one statement; a macro because the two query types share no trait.
macro_rules! bound {
    ($sql:expr, $args:expr, $keep:expr) => {
        $args.iter().fold(
            sqlx::query($sql).persistent($keep),
            |query, arg| match arg {
                Arg::Int(value) => query.bind(*value),
                Arg::MaybeInt(value) => query.bind(*value),
                Arg::Text(value) => query.bind(*value),
                Arg::MaybeText(value) => query.bind(*value),
                Arg::Flag(value) => query.bind(*value),
            },
        )
    };
}

impl Pool {
    /// Begins a transaction on behalf of `call`.
    pub(crate) async fn begin(
        &self,
        purpose: Purpose,
        place: &Arc<str>,
        call: &'static str,
    ) -> Result<Transaction, CatalogError> {
        let begun = match (self, purpose) {
            (Self::Sqlite(pool), Purpose::Read) => pool.begin().await.map(Driver::Sqlite),
            (Self::Sqlite(pool), Purpose::Write) => {
                pool.begin_with("BEGIN IMMEDIATE").await.map(Driver::Sqlite)
            }
            (Self::Postgres(pool), Purpose::Read) => pool
                .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await
                .map(Driver::Postgres),
            (Self::Postgres(pool), Purpose::Write) => {
                // Read committed: a waiting conditional update must see what the transaction it waited for has written.
                pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")
                    .await
                    .map(Driver::Postgres)
            }
        };
        let driver = begun.map_err(|source| CatalogError::from_driver(place, call, source))?;
        Ok(Transaction {
            driver,
            place: Arc::clone(place),
            call,
        })
    }

    /// Ends all connections after what runs on them.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    /// Runs a statement and gives the number of rows that it changed.
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        args: &[Arg<'_>],
    ) -> Result<u64, CatalogError> {
        let changed = match &mut self.driver {
            Driver::Sqlite(inner) => bound!(sql, args, true)
                .execute(&mut **inner)
                .await
                .map(|done| done.rows_affected()),
            Driver::Postgres(inner) => bound!(sql, args, true)
                .execute(&mut **inner)
                .await
                .map(|done| done.rows_affected()),
        };
        changed.map_err(|source| self.failed(source))
    }

    /// Runs `INSERT … VALUES (…), (…) …` for many rows of `width` arguments each: `head`, the placeholders, `tail`.
    pub(crate) async fn insert_many(
        &mut self,
        head: &'static str,
        width: usize,
        args: &[Arg<'_>],
        tail: &'static str,
    ) -> Result<(), CatalogError> {
        let sql = many(head, width, args.len(), tail);
        let inserted = match &mut self.driver {
            Driver::Sqlite(inner) => bound!(AssertSqlSafe(sql), args, false)
                .execute(&mut **inner)
                .await
                .map(drop),
            Driver::Postgres(inner) => bound!(AssertSqlSafe(sql), args, false)
                .execute(&mut **inner)
                .await
                .map(drop),
        };
        inserted.map_err(|source| self.failed(source))
    }

    /// Runs a statement and gives its rows.
    pub(crate) async fn rows(
        &mut self,
        sql: &'static str,
        args: &[Arg<'_>],
    ) -> Result<Vec<Row>, CatalogError> {
        let place = &self.place;
        let row = |driver| Row {
            driver,
            place: Arc::clone(place),
        };
        let rows = match &mut self.driver {
            Driver::Sqlite(inner) => bound!(sql, args, true)
                .fetch_all(&mut **inner)
                .await
                .map(|rows| rows.into_iter().map(DriverRow::Sqlite).map(row).collect()),
            Driver::Postgres(inner) => bound!(sql, args, true)
                .fetch_all(&mut **inner)
                .await
                .map(|rows| rows.into_iter().map(DriverRow::Postgres).map(row).collect()),
        };
        rows.map_err(|source| self.failed(source))
    }

    /// Runs a statement and gives its first row, if it has one.
    pub(crate) async fn row(
        &mut self,
        sql: &'static str,
        args: &[Arg<'_>],
    ) -> Result<Option<Row>, CatalogError> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// Makes everything durable.
    pub(crate) async fn commit(self) -> Result<(), CatalogError> {
        let (place, call) = (self.place, self.call);
        match self.driver {
            Driver::Sqlite(inner) => inner.commit().await,
            Driver::Postgres(inner) => inner.commit().await,
        }
        .map_err(|source| CatalogError::from_driver(&place, call, source))
    }

    /// Something in the database that no version of the program wrote.
    pub(crate) fn corrupt(&self, what: impl Into<String>) -> CatalogError {
        CatalogError::Corrupt {
            place: self.place.to_string(),
            what: what.into(),
            source: None,
        }
    }

    fn failed(&self, source: sqlx::Error) -> CatalogError {
        CatalogError::from_driver(&self.place, self.call, source)
    }
}

impl Row {
    /// The value of a column, counted from 0.
    pub(crate) fn get<T>(&self, column: usize) -> Result<T, CatalogError>
    where
        T: for<'r> Decode<'r, Sqlite>
            + Type<Sqlite>
            + for<'r> Decode<'r, Postgres>
            + Type<Postgres>,
    {
        match &self.driver {
            DriverRow::Sqlite(row) => row.try_get(column),
            DriverRow::Postgres(row) => row.try_get(column),
        }
        .map_err(|source| CatalogError::from_driver(&self.place, "row", source))
    }

    /// A time.
    pub(crate) fn time(&self, column: usize) -> Result<Timestamp, CatalogError> {
        let micros: i64 = self.get(column)?;
        Timestamp::from_microsecond(micros).map_err(|_| self.bad("a time"))
    }

    /// A time that may be absent.
    pub(crate) fn maybe_time(&self, column: usize) -> Result<Option<Timestamp>, CatalogError> {
        let micros: Option<i64> = self.get(column)?;
        micros
            .map(|micros| Timestamp::from_microsecond(micros).map_err(|_| self.bad("a time")))
            .transpose()
    }

    /// A number that is never negative.
    pub(crate) fn natural(&self, column: usize) -> Result<u64, CatalogError> {
        u64::try_from(self.get::<i64>(column)?).map_err(|_| self.bad("a number"))
    }

    /// A text that must parse as `T`; `what` names it in the error.
    pub(crate) fn parsed<T: std::str::FromStr>(
        &self,
        column: usize,
        what: &str,
    ) -> Result<T, CatalogError> {
        self.get::<String>(column)?
            .parse()
            .map_err(|_| self.bad(what))
    }

    /// A text that must be JSON of a `T`; `what` names it in the error.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: usize,
        what: &str,
    ) -> Result<T, CatalogError> {
        serde_json::from_str(&self.get::<String>(column)?).map_err(|_| self.bad(what))
    }

    /// A row that no version of the program wrote.
    pub(crate) fn bad(&self, what: &str) -> CatalogError {
        CatalogError::Corrupt {
            place: self.place.to_string(),
            what: format!("{what} in it cannot be read"),
            source: None,
        }
    }
}

/// A size as it is stored: databases have no unsigned numbers.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The text of a statement that inserts `count / width` rows.
fn many(head: &str, width: usize, count: usize, tail: &str) -> String {
    use std::fmt::Write as _;
    let mut sql = String::with_capacity(head.len() + count * 7 + tail.len());
    sql.push_str(head);
    for index in 0..count {
        let opening = match (index, index % width) {
            (0, _) => " (",
            (_, 0) => "), (",
            _ => ", ",
        };
        let _ = write!(sql, "{opening}${}", index + 1);
    }
    sql.push_str(") ");
    sql.push_str(tail);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_become_one_statement_with_a_parameter_for_each_value() {
        assert_eq!(
            many(
                "INSERT INTO t (a, b) VALUES",
                2,
                4,
                "ON CONFLICT DO NOTHING"
            ),
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING"
        );
    }
}
