//! The databases of a server: those beside the declared one may be protected by nobody.
//!
//! Left out: templates, databases that nobody can connect to, the empty `postgres` for maintenance, and our own scratch databases.

use super::{
    connection::{Address, text, texts},
    leftovers::{NEW, SCRATCH},
};
use crate::api::{Neighbours, Result};

/// Asks a server.
pub(super) async fn ask(address: &Address) -> Result<Neighbours> {
    let mut connection = address.connect().await?;
    let failed = |error| address.failed("list the databases of", error);
    let sql = "SELECT d.datname FROM pg_database d \
               WHERE NOT d.datistemplate AND d.datallowconn AND (d.datname <> 'postgres' OR d.datname = current_database()) \
               ORDER BY d.datname";
    let rows = texts(&mut connection, sql).await.map_err(failed)?;
    let names = rows.into_iter().filter_map(|row| row.into_iter().next()?);
    let databases = names
        .filter(|name| !name.starts_with(SCRATCH) && !name.starts_with(NEW))
        .collect();
    // May be forbidden to our user; then servers are told apart by their address.
    let identity = text(
        &mut connection,
        "SELECT system_identifier::text FROM pg_control_system()",
    )
    .await;
    let server = match identity {
        Ok(Some(identity)) => identity,
        Ok(None) | Err(_) => address.with_database("postgres").to_string(),
    };
    Ok(Neighbours {
        databases,
        own: address.database.clone(),
        server,
    })
}
