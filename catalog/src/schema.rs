//! The versions of the tables: which there are, which one a database has, and bringing it up to date.
//!
//! Invariant: a file under `migrations/` never changes after a release; each database has the same versions.
//! The files are listed here instead of with `sqlx::migrate!`, whose feature builds all of sqlx a second time for its macros.

use crate::{
    audit::adopt,
    connection::{Pool, Purpose, Transaction},
    error::CatalogError,
};
use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};
use std::{sync::Arc, time::Duration};

const SQLITE: &[(i64, &str, &str)] = &[
    (
        1,
        "start",
        include_str!("../migrations/sqlite/0001_start.sql"),
    ),
    (
        2,
        "attested and identity",
        include_str!("../migrations/sqlite/0002_attested_and_identity.sql"),
    ),
    (
        3,
        "physical and recoveries",
        include_str!("../migrations/sqlite/0003_physical_and_recoveries.sql"),
    ),
    (
        4,
        "audit chain",
        include_str!("../migrations/sqlite/0004_audit_chain.sql"),
    ),
    (
        5,
        "policies",
        include_str!("../migrations/sqlite/0005_policies.sql"),
    ),
    (
        6,
        "approvals",
        include_str!("../migrations/sqlite/0006_approvals.sql"),
    ),
    (
        7,
        "approval facts",
        include_str!("../migrations/sqlite/0007_approval_facts.sql"),
    ),
];
const POSTGRES: &[(i64, &str, &str)] = &[
    (
        1,
        "start",
        include_str!("../migrations/postgres/0001_start.sql"),
    ),
    (
        2,
        "attested and identity",
        include_str!("../migrations/postgres/0002_attested_and_identity.sql"),
    ),
    (
        3,
        "physical and recoveries",
        include_str!("../migrations/postgres/0003_physical_and_recoveries.sql"),
    ),
    (
        4,
        "audit chain",
        include_str!("../migrations/postgres/0004_audit_chain.sql"),
    ),
    (
        5,
        "policies",
        include_str!("../migrations/postgres/0005_policies.sql"),
    ),
    (
        6,
        "approvals",
        include_str!("../migrations/postgres/0006_approvals.sql"),
    ),
    (
        7,
        "approval facts",
        include_str!("../migrations/postgres/0007_approval_facts.sql"),
    ),
];

/// The version since which the audit is a chain.
const AUDIT_CHAIN: i64 = 4;

/// How often two programs that create the same SQLite file at once may get in each other's way.
const TRIES: u32 = 8;

/// Newest version that this program knows.
pub(crate) fn newest() -> i64 {
    SQLITE.last().map_or(0, |(version, _, _)| *version)
}

fn migrator(files: &'static [(i64, &'static str, &'static str)]) -> Migrator {
    Migrator::with_migrations(
        files
            .iter()
            .map(|(version, name, sql)| {
                Migration::new(
                    *version,
                    (*name).into(),
                    MigrationType::Simple,
                    sql.into_sql_str(),
                    false,
                )
            })
            .collect(),
    )
}

/// The version a database has; 0 when it has no tables of ours.
pub(crate) async fn version(pool: &Pool, place: &Arc<str>) -> Result<i64, CatalogError> {
    let mut transaction = pool.begin(Purpose::Read, place, "open").await?;
    if !has_table(&mut transaction, pool, "_sqlx_migrations").await? {
        return Ok(0);
    }
    let row = transaction
        .row(
            "SELECT coalesce(max(version), 0) FROM _sqlx_migrations",
            &[],
        )
        .await?;
    let installed = row.map_or(Ok(0), |row| row.get(0))?;
    // Part of a version is done by the program; until then it does not count.
    if installed >= AUDIT_CHAIN && has_table(&mut transaction, pool, adopt::UNCHAINED).await? {
        return Ok(AUDIT_CHAIN - 1);
    }
    Ok(installed)
}

/// Whether there is a table of that name.
pub(crate) async fn has_table(
    transaction: &mut Transaction,
    pool: &Pool,
    name: &str,
) -> Result<bool, CatalogError> {
    let table = match pool {
        Pool::Sqlite(_) => "SELECT 1 FROM sqlite_master WHERE name = $1",
        Pool::Postgres(_) => "SELECT 1 WHERE to_regclass($1) IS NOT NULL",
    };
    Ok(transaction.row(table, &[name.into()]).await?.is_some())
}

/// Refuses a version that this program does not know.
pub(crate) fn refuse_newer(found: i64, place: &str) -> Result<(), CatalogError> {
    if found > newest() {
        return Err(CatalogError::NewerSchema {
            place: place.to_owned(),
            found,
            known: newest(),
        });
    }
    Ok(())
}

/// Brings a database up to date.
pub(crate) async fn migrate(pool: &Pool, place: &Arc<str>) -> Result<(), CatalogError> {
    let mut tries = 1;
    loop {
        let found = version(pool, place).await?;
        refuse_newer(found, place)?;
        if found == newest() {
            return Ok(());
        }
        let migrated = match pool {
            Pool::Sqlite(pool) => migrator(SQLITE).run(pool).await,
            Pool::Postgres(pool) => migrator(POSTGRES).run(pool).await,
        };
        match migrated {
            Ok(()) => return adopt::adopt(pool, place).await,
            // SQLite has no lock for migrations: of two programs that create the file one fails, and finds it done at its next look.
            Err(_) if tries < TRIES && matches!(pool, Pool::Sqlite(_)) => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(50) * tries).await;
            }
            Err(error) => {
                let source = match error {
                    sqlx::migrate::MigrateError::Execute(source)
                    | sqlx::migrate::MigrateError::ExecuteMigration(source, _) => source,
                    other => sqlx::Error::from(other),
                };
                return Err(CatalogError::from_driver(place, "open", source));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_the_same_versions() {
        let versions = |files: &[(i64, &str, &str)]| {
            files
                .iter()
                .map(|(version, name, _)| (*version, (*name).to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(versions(SQLITE), versions(POSTGRES));
    }
}
