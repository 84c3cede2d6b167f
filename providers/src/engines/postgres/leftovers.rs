//! Databases that restores make on the way: their names, the sign that somebody still works on them, their removal.
//!
//! A database of ours is dropped only if its name is one that we give, nobody is connected to it, and the session lock that
//! its maker holds is free: a maker that died lost the lock with its connection.

use super::{
    connection::{Address, run, text, texts},
    names::{literal, quoted},
};
use crate::api::{ProviderError, Result};
use aws_lc_rs::rand;
use model::Disposition;
use sqlx::PgConnection;

/// Beginning of the names of scratch databases.
pub(super) const SCRATCH: &str = "mainstay_scratch_";
/// Beginning of the names of databases that will be renamed to a restore's target.
pub(super) const NEW: &str = "mainstay_new_";
/// The longest name that PostgreSQL keeps (NAMEDATALEN - 1).
const LONGEST_NAME: usize = 63;

/// Connects to where databases can be created and dropped: the given one, else `postgres`, else `template1`.
pub(super) async fn maintenance(
    address: &Address,
    given: Option<&str>,
) -> Result<(PgConnection, Address)> {
    let names = given.map_or(vec!["postgres", "template1"], |name| vec![name]);
    let mut first_error = None;
    for name in names {
        let there = address.with_database(name);
        match there.connect().await {
            Ok(connection) => return Ok((connection, there)),
            Err(error) if error.code == "mainstay::postgres::unreachable" => return Err(error),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error
        .unwrap_or_else(|| {
            ProviderError::new(
                "mainstay::postgres::database-missing",
                Disposition::NeedsOperator,
                "there is no maintenance database",
            )
        })
        .help("name a database that this user may connect to with `maintenance-database`"))
}

/// Eight random hexadecimal digits.
pub(super) fn random_digits() -> String {
    let mut bytes = [0_u8; 4];
    // Failing to be random costs uniqueness, and CREATE DATABASE refuses a name that is taken.
    let _ = rand::fill(&mut bytes);
    format!("{:08x}", u32::from_be_bytes(bytes))
}

/// The server's time as `20261121t020000`, for names.
pub(super) async fn stamp(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let sql = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD\"t\"HH24MISS')";
    Ok(text(connection, sql).await?.unwrap_or_default())
}

/// Cuts a name to what PostgreSQL keeps, at a character's border.
pub(super) fn fitting(name: &str) -> String {
    let mut end = name.len().min(LONGEST_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

fn lock(name: &str) -> String {
    format!("7145, hashtext({})", literal(name))
}

/// Takes the lock that says "somebody works on this database", until the connection ends.
pub(super) async fn mark(connection: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    text(
        connection,
        &format!("SELECT pg_advisory_lock({})", lock(name)),
    )
    .await
    .map(|_| ())
}

/// Drops a database of ours, whoever is connected.
pub(super) async fn drop_database(
    connection: &mut PgConnection,
    name: &str,
) -> Result<(), sqlx::Error> {
    disconnect(connection, name).await?;
    run(
        connection,
        &format!("DROP DATABASE IF EXISTS {}", quoted(name)),
    )
    .await
}

/// Ends all connections to a database.
pub(super) async fn disconnect(
    connection: &mut PgConnection,
    name: &str,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND pid <> pg_backend_pid()",
        literal(name)
    );
    texts(connection, &sql).await.map(|_| ())
}

/// See [`crate::api::Engine::clean_leftovers`].
pub(super) async fn clean(address: &Address, given: Option<&str>) -> Result<Vec<String>> {
    let (mut connection, there) = maintenance(address, given).await?;
    let failed = |error| there.failed("drop leftovers beside", error);
    let sql = format!(
        "SELECT datname FROM pg_database d WHERE (strpos(datname, '{SCRATCH}') = 1 OR strpos(datname, '{NEW}') = 1) \
         AND pg_has_role(datdba, 'MEMBER') \
         AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid) ORDER BY 1"
    );
    let names = texts(&mut connection, &sql).await.map_err(failed)?;
    let mut dropped = Vec::new();
    for name in names.into_iter().flatten().flatten() {
        let free = format!("SELECT pg_try_advisory_lock({})", lock(&name));
        if text(&mut connection, &free)
            .await
            .map_err(failed)?
            .as_deref()
            != Some("t")
        {
            continue;
        }
        // Not forced: should somebody have connected meanwhile, the server refuses, and that is right.
        let result = run(
            &mut connection,
            &format!("DROP DATABASE IF EXISTS {}", quoted(&name)),
        )
        .await;
        let unlock = format!("SELECT pg_advisory_unlock({})", lock(&name));
        text(&mut connection, &unlock).await.map_err(failed)?;
        match result {
            Ok(()) => dropped.push(format!(
                "database `{name}` on `{}:{}`",
                there.host, there.port
            )),
            Err(error) => tracing::debug!(%error, name, "a leftover database could not be dropped"),
        }
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_at_a_characters_border() {
        assert_eq!(fitting("short"), "short");
        assert_eq!(fitting(&"é".repeat(40)).len(), 62);
    }
}
