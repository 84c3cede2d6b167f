//! The database that a restore is built in: created beside its target, then renamed, swapped in, or dropped.
//!
//! Dropping the value unfinished (an error, a cancellation) drops the database in the background; should even that not
//! happen, `clean_leftovers` knows it by its name.

use super::Place;
use crate::{
    api::{Check, ProviderError, Result},
    engines::postgres::{
        connection::{Address, run, sqlstate, texts},
        leftovers::{self, NEW, SCRATCH, drop_database, fitting},
        names::{literal, quoted},
    },
};
use model::{Disposition, Manifest};
use sqlx::PgConnection;
use std::{fmt::Write, time::Duration};

/// How often a rename is tried while clients reconnect.
const RENAME_TRIES: u32 = 10;

/// A database under a temporary name.
#[derive(Debug)]
pub(super) struct Temporary {
    /// Where it is.
    pub(super) address: Address,
    /// What could not be made as it was at the source.
    pub(super) notes: Vec<Check>,
    maintenance: Address,
    /// Holds the lock that keeps `clean_leftovers` away.
    connection: Option<PgConnection>,
    armed: bool,
}

/// The database that was swapped out.
#[derive(Debug)]
pub(super) struct Replaced {
    name: String,
    maintenance: Address,
}

impl Temporary {
    /// Creates it with the encoding and the collation of the source.
    pub(super) async fn create(
        place: &Place,
        goal: &Address,
        manifest: &Manifest,
        scratch: bool,
    ) -> Result<Self> {
        let Some(maintenance) = place.maintenance.clone() else {
            return Err(ProviderError::new(
                "mainstay::restore::cannot-create",
                Disposition::NeedsOperator,
                format!("no database can be created beside {goal}: no maintenance database can be reached"),
            )
            .help("name one with `maintenance-database`, or restore into an empty existing database"));
        };
        let mut connection = maintenance.connect().await?;
        let failed = |error| maintenance.failed("create a database beside", error);
        let random = leftovers::random_digits();
        let name = if scratch {
            let stamp = leftovers::stamp(&mut connection).await.map_err(failed)?;
            format!("{SCRATCH}{stamp}_{random}")
        } else {
            fitting(&format!("{NEW}{random}_{}", goal.database))
        };
        leftovers::mark(&mut connection, &name)
            .await
            .map_err(failed)?;
        let mut temporary = Self {
            address: goal.with_database(&name),
            notes: Vec::new(),
            maintenance: maintenance.clone(),
            connection: None,
            armed: true,
        };
        let plain = format!("CREATE DATABASE {} TEMPLATE template0", quoted(&name));
        let full = format!("{plain}{}", locale(manifest));
        if let Err(error) = run(&mut connection, &full).await {
            // 25006: the server is a standby.
            let state = sqlstate(&error);
            if let Some("42501" | "25006") = state.as_deref() {
                temporary.armed = false;
                let standby = state.as_deref() == Some("25006");
                return Err(cannot_create(goal, standby, error));
            }
            // A locale of another operating system: the data is worth more than its order.
            let encoding = encoding(manifest);
            if full == plain
                || run(&mut connection, &format!("{plain}{encoding}"))
                    .await
                    .is_err()
            {
                temporary.armed = false;
                return Err(failed(error));
            }
            temporary.notes.push(Check {
                what: "collation of the database".to_owned(),
                passed: true,
                detail: "the server does not have the source's; its own default is used".to_owned(),
            });
        }
        temporary.connection = Some(connection);
        Ok(temporary)
    }

    /// Drops it after a failure; what cannot be dropped is left to `clean_leftovers`.
    pub(super) async fn discard(self) {
        if let Err(error) = self.discard_surely().await {
            tracing::debug!(%error, "a temporary database could not be dropped");
        }
    }

    /// Drops it.
    pub(super) async fn discard_surely(mut self) -> Result<()> {
        let mut connection = self.take_connection().await?;
        drop_database(&mut connection, &self.address.database)
            .await
            .map_err(|error| self.address.failed("drop", error))?;
        self.armed = false;
        Ok(())
    }

    /// Gives it the target's name.
    pub(super) async fn rename(mut self, goal: &Address) -> Result<()> {
        let sql = rename(&self.address.database, &goal.database);
        let mut connection = self.take_connection().await?;
        let names = [self.address.database.clone()];
        rename_free(&mut connection, &sql, &names)
            .await
            .map_err(|error| {
                let taken = sqlstate(&error).as_deref() == Some("42P04");
                if taken {
                    super::target_exists(goal)
                } else {
                    goal.failed("give its name to", error)
                }
            })?;
        self.armed = false;
        Ok(())
    }

    /// Gives the target's name to it and another to the target, both or none.
    pub(super) async fn swap(mut self, goal: &Address) -> Result<Replaced> {
        let failed = |error| goal.failed("replace", error);
        let mut connection = self.take_connection().await?;
        let stamp = leftovers::stamp(&mut connection).await.map_err(failed)?;
        let ending = format!("_replaced_{stamp}");
        let mut cut = goal.database.len().min(63 - ending.len());
        while !goal.database.is_char_boundary(cut) {
            cut -= 1;
        }
        let old = format!("{}{ending}", &goal.database[..cut]);
        let settings = settings(&mut connection, &goal.database, &self.address.database)
            .await
            .map_err(failed)?;
        let sql = format!(
            "BEGIN; {settings} {}; {}; COMMIT",
            rename(&goal.database, &old),
            rename(&self.address.database, &goal.database)
        );
        let names = [goal.database.clone(), self.address.database.clone()];
        rename_free(&mut connection, &sql, &names)
            .await
            .map_err(failed)?;
        self.armed = false;
        Ok(Replaced {
            name: old,
            maintenance: self.maintenance.clone(),
        })
    }

    async fn take_connection(&mut self) -> Result<PgConnection> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.maintenance.connect().await,
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (maintenance, name) = (self.maintenance.clone(), self.address.database.clone());
        runtime.spawn(async move {
            if let Ok(mut connection) = maintenance.connect().await {
                let _ = drop_database(&mut connection, &name).await;
            }
        });
    }
}

impl Replaced {
    /// Drops the old database. The restore stands, whatever comes of it.
    pub(super) async fn drop_old(self) -> Vec<Check> {
        let result = match self.maintenance.connect().await {
            Ok(mut connection) => drop_database(&mut connection, &self.name).await.is_ok(),
            Err(_) => false,
        };
        if result {
            return Vec::new();
        }
        vec![Check {
            what: "the replaced database".to_owned(),
            passed: true,
            detail: format!("is still there as `{}`; drop it by hand", self.name),
        }]
    }
}

fn rename(from: &str, to: &str) -> String {
    format!("ALTER DATABASE {} RENAME TO {}", quoted(from), quoted(to))
}

/// Runs renames of databases, sending away whoever is connected to them.
async fn rename_free(
    connection: &mut PgConnection,
    sql: &str,
    names: &[String],
) -> Result<(), sqlx::Error> {
    let mut tries = 0;
    loop {
        for name in names {
            leftovers::disconnect(connection, name).await?;
        }
        let Err(error) = run(connection, sql).await else {
            return Ok(());
        };
        // Ends a transaction that failed in the middle; both names are then as before.
        let _ = run(connection, "ROLLBACK").await;
        tries += 1;
        // 55006: somebody was faster to reconnect.
        if tries == RENAME_TRIES || sqlstate(&error).as_deref() != Some("55006") {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Owner, settings and privileges of a database itself, which no dump of it holds, as statements for another one.
async fn settings(
    connection: &mut PgConnection,
    from: &str,
    to: &str,
) -> Result<String, sqlx::Error> {
    let sql = format!(
        "SELECT format('ALTER DATABASE %I OWNER TO %I;', {to}, pg_get_userbyid(datdba)) FROM pg_database WHERE datname = {from} \
         UNION ALL SELECT format('ALTER DATABASE %I CONNECTION LIMIT %s;', {to}, datconnlimit) FROM pg_database WHERE datname = {from} \
         UNION ALL SELECT format('ALTER ROLE %s IN DATABASE %I SET %I TO %s;', \
           CASE WHEN s.setrole = 0 THEN 'ALL' ELSE quote_ident(pg_get_userbyid(s.setrole)) END, {to}, split_part(c, '=', 1), \
           CASE WHEN split_part(c, '=', 1) IN ('search_path', 'DateStyle', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries') \
             THEN substr(c, strpos(c, '=') + 1) ELSE quote_literal(substr(c, strpos(c, '=') + 1)) END) \
           FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase CROSS JOIN unnest(s.setconfig) c WHERE d.datname = {from} \
         UNION ALL SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC;', {to}) FROM pg_database WHERE datname = {from} AND datacl IS NOT NULL \
         UNION ALL SELECT format('GRANT %s ON DATABASE %I TO %s%s;', a.privilege_type, {to}, \
           CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, \
           CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
           FROM pg_database d CROSS JOIN aclexplode(d.datacl) a WHERE d.datname = {from} AND a.grantee <> d.datdba",
        from = literal(from),
        to = literal(to)
    );
    let statements = texts(connection, &sql).await?;
    Ok(statements
        .into_iter()
        .flatten()
        .flatten()
        .collect::<Vec<_>>()
        .join(" "))
}

fn encoding(manifest: &Manifest) -> String {
    let encoding = manifest.source.get("encoding");
    encoding.map_or_else(String::new, |encoding| {
        format!(" ENCODING {}", literal(encoding))
    })
}

fn locale(manifest: &Manifest) -> String {
    let mut sql = encoding(manifest);
    let fact = |name: &str| manifest.source.get(name);
    if let (Some(collate), Some(ctype)) = (fact("collate"), fact("ctype")) {
        let _ = write!(
            sql,
            " LC_COLLATE {} LC_CTYPE {}",
            literal(collate),
            literal(ctype)
        );
    }
    match (
        fact("locale_provider").map(String::as_str),
        fact("icu_locale"),
    ) {
        (Some("i"), Some(icu)) => {
            let _ = write!(sql, " LOCALE_PROVIDER icu ICU_LOCALE {}", literal(icu));
        }
        (Some("b"), Some(builtin)) => {
            let _ = write!(
                sql,
                " LOCALE_PROVIDER builtin BUILTIN_LOCALE {}",
                literal(builtin)
            );
        }
        _ => {}
    }
    sql
}

fn cannot_create(goal: &Address, standby: bool, error: sqlx::Error) -> ProviderError {
    let help = if standby {
        "the server is a standby, which nothing can be written to: restore to the URL of another server".to_owned()
    } else {
        format!(
            "as a superuser: ALTER ROLE \"{}\" CREATEDB; or restore into an empty existing database",
            goal.user
        )
    };
    ProviderError::new(
        "mainstay::restore::cannot-create",
        Disposition::NeedsOperator,
        format!(
            "user `{}` cannot create a database beside {goal}",
            goal.user
        ),
    )
    .help(help)
    .source(error)
}
