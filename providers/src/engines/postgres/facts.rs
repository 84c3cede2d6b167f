//! What a server and a database say about themselves.

use super::connection::{Address, text, texts};
use crate::api::{ProviderError, Result};
use model::{ByteCount, Disposition};
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// The oldest server that can export a snapshot from a read-only transaction, also on a standby.
const OLDEST_SERVER: u32 = 10;

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct ServerFacts {
    /// For the manifest; never a secret.
    pub(super) facts: BTreeMap<String, String>,
    /// Major version of the server.
    pub(super) major: u32,
    /// Size of the database.
    pub(super) bytes: ByteCount,
    /// Whether the server is a standby.
    pub(super) standby: bool,
    /// Whether our user is a superuser.
    pub(super) superuser: bool,
}

/// Asks everything that goes into a manifest's `source`.
pub(super) async fn of_server(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<ServerFacts> {
    // Later servers have more columns in pg_database (locale provider); asking by JSON spares a query for each version.
    let sql = "SELECT current_setting('server_version'), current_setting('server_version_num'), \
               pg_encoding_to_char(d.encoding), pg_is_in_recovery()::text, \
               (SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user), to_jsonb(d) ->> 'datcollate', \
               to_jsonb(d) ->> 'datctype', to_jsonb(d) ->> 'datlocprovider', \
               coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), pg_get_userbyid(d.datdba) \
               FROM pg_database d WHERE d.datname = current_database()";
    let failed = |error| address.failed("ask the version of", error);
    let rows = texts(connection, sql).await.map_err(failed)?;
    let row = rows.into_iter().next().unwrap_or_default();
    let mut values = row.into_iter();
    let mut facts = BTreeMap::from([("database".to_owned(), address.database.clone())]);
    for name in [
        "server_version",
        "server_version_num",
        "encoding",
        "standby",
        "superuser",
        "collate",
        "ctype",
        "locale_provider",
        "icu_locale",
        "owner",
    ] {
        if let Some(Some(value)) = values.next() {
            facts.insert(name.to_owned(), value);
        }
    }
    let truth = |facts: &mut BTreeMap<String, String>, name: &str| {
        facts.remove(name).is_some_and(|value| value == "true")
    };
    let standby = truth(&mut facts, "standby");
    let superuser = truth(&mut facts, "superuser");
    let number: u32 = facts
        .get("server_version_num")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let major = number / 10_000;
    if major < OLDEST_SERVER {
        let version = facts.get("server_version").map_or("", String::as_str);
        return Err(ProviderError::new(
            "mainstay::postgres::server-too-old",
            Disposition::NeedsOperator,
            format!("the server of {address} is PostgreSQL {version}; backups need {OLDEST_SERVER} or newer"),
        )
        .help("upgrade the server, or dump it with its own pg_dump"));
    }
    // Both may be forbidden to our user; a backup does not depend on them.
    if let Ok(Some(id)) = text(
        connection,
        "SELECT system_identifier FROM pg_control_system()",
    )
    .await
    {
        facts.insert("system_identifier".to_owned(), id);
    }
    let size = text(connection, "SELECT pg_database_size(current_database())").await;
    let bytes = size
        .ok()
        .flatten()
        .and_then(|size| size.parse().ok())
        .unwrap_or(0);
    facts.insert("bytes".to_owned(), bytes.to_string());
    if standby {
        facts.insert("role".to_owned(), "standby".to_owned());
    }
    Ok(ServerFacts {
        facts,
        major,
        bytes: ByteCount(bytes),
        standby,
        superuser,
    })
}
