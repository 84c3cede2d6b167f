//! Which tables a dump will carry, and how many rows they have in its snapshot.
//!
//! The choice follows `pg_dump`'s own rules (`pg_dump.c`, `selectDumpableTable`): named tables override schemas, extensions'
//! members and temporary tables are left out. Only ordinary tables carry rows: a partitioned table's rows are in its
//! partitions, a materialized view is filled anew, a foreign table's rows are elsewhere.

use super::{
    config::{Content, SeriesTable},
    connection::{Address, text, texts},
    names::{literal, pattern, qualified, quoted},
};
use crate::api::Result;
use model::{ByteCount, Expectations, manifest::TableExpectation};
use sqlx::PgConnection;
use std::fmt::Write;

/// A table that will be in the dump.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) schema: String,
    pub(super) name: String,
    /// The server's estimate, if it has one.
    estimate: Option<u64>,
    /// Size of its rows on the server's disk.
    pub(super) bytes: u64,
}

/// Lists the tables that a dump of this series will carry rows of (with `content = "schema"`: definitions of).
pub(super) async fn candidates(
    connection: &mut PgConnection,
    address: &Address,
    series: &SeriesTable,
    standby: bool,
) -> Result<Vec<Candidate>> {
    let mut conditions = String::new();
    if series.include_tables.is_empty() {
        if !series.include_schemas.is_empty() {
            let _ = write!(conditions, " AND {}", any_schema(&series.include_schemas));
        }
        if !series.exclude_schemas.is_empty() {
            let _ = write!(
                conditions,
                " AND NOT {}",
                any_schema(&series.exclude_schemas)
            );
        }
    } else {
        let _ = write!(conditions, " AND {}", any_table(&series.include_tables));
    }
    if !series.exclude_tables.is_empty() {
        let _ = write!(conditions, " AND NOT {}", any_table(&series.exclude_tables));
    }
    if standby {
        // Unlogged tables are empty and unreadable on a standby; their rows are left out of the dump there.
        conditions.push_str(" AND c.relpersistence <> 'u'");
    }
    let sql = format!(
        "SELECT n.nspname, c.relname, c.reltuples::bigint, pg_table_size(c.oid) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' \
         AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
         WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'){conditions} \
         ORDER BY 1, 2"
    );
    let rows = texts(connection, &sql)
        .await
        .map_err(|error| address.failed("list the tables of", error))?;
    let candidates = rows.into_iter().filter_map(|row| {
        let mut values = row.into_iter();
        let mut next = || values.next().flatten();
        Some(Candidate {
            schema: next()?,
            name: next()?,
            estimate: next().and_then(|rows| rows.parse().ok()),
            bytes: next().and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
        })
    });
    Ok(candidates.collect())
}

/// Largest table to count; `None` when nothing shall be counted, because no rows are dumped either.
pub(super) fn limit(series: &SeriesTable) -> Option<ByteCount> {
    match series.content {
        Content::Schema => None,
        Content::All | Content::Data => series.count_limit(),
    }
}

/// Counts the tables up to `limit` in the connection's snapshot and takes the server's estimates for the others.
pub(super) async fn count(
    connection: &mut PgConnection,
    address: &Address,
    candidates: Vec<Candidate>,
    limit: Option<ByteCount>,
) -> Result<Expectations> {
    let mut expectations = Expectations::default();
    for table in candidates {
        let name = qualified(&table.schema, &table.name);
        let exact = limit.is_some_and(|limit| table.bytes <= limit.0 && limit.0 > 0);
        let rows = if exact {
            Some(
                rows_of(connection, &table.schema, &table.name)
                    .await
                    .map_err(|error| {
                        address.failed(&format!("count the rows of `{name}` in"), error)
                    })?,
            )
        } else {
            limit.and(table.estimate)
        };
        expectations
            .tables
            .insert(name, TableExpectation { rows, exact });
    }
    Ok(expectations)
}

/// Rows of one table itself, without tables that inherit from it, as `pg_dump` copies it.
pub(super) async fn rows_of(
    connection: &mut PgConnection,
    schema: &str,
    name: &str,
) -> Result<u64, sqlx::Error> {
    let sql = format!(
        "SELECT count(*) FROM ONLY {}.{}",
        quoted(schema),
        quoted(name)
    );
    let count = text(connection, &sql).await?;
    Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
}

fn any_schema(patterns: &[String]) -> String {
    let all: Vec<_> = patterns
        .iter()
        .map(|text| matches("n.nspname", &pattern(text).name))
        .collect();
    format!("({})", all.join(" OR "))
}

fn any_table(patterns: &[String]) -> String {
    let all: Vec<_> = patterns
        .iter()
        .map(|text| {
            let pattern = pattern(text);
            let name = matches("c.relname", &pattern.name);
            let schema = pattern.schema.map_or_else(
                || "pg_catalog.pg_table_is_visible(c.oid)".to_owned(),
                |schema| matches("n.nspname", &schema),
            );
            format!("({name} AND {schema})")
        })
        .collect();
    format!("({})", all.join(" OR "))
}

fn matches(column: &str, expression: &str) -> String {
    format!(
        "{column} OPERATOR(pg_catalog.~) {} COLLATE pg_catalog.\"default\"",
        literal(expression)
    )
}
