//! What a cluster says of itself before and after a base backup, and whether it will let us take one.

use super::super::{
    connection::{Address, text, texts},
    facts,
};
use super::failures;
use crate::api::{ProviderError, Result};
use model::{ByteCount, Disposition, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// The oldest server that lists the files of a base backup.
const OLDEST_SERVER: u32 = 13;

/// A tablespace of the cluster's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Tablespace {
    /// Its folder at the source.
    pub(in super::super) location: String,
    /// Its name.
    pub(in super::super) name: String,
    /// Its number, which its files and its link are called by.
    pub(in super::super) oid: u32,
}

/// Which cluster it is, and on which timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// Identifier of the cluster.
    pub(super) system_identifier: u64,
    /// Timeline.
    pub(super) timeline: u32,
}

/// What was found before the backup.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    /// For the manifest.
    pub(super) facts: BTreeMap<String, String>,
    /// Major version.
    pub(super) major: u32,
    /// Which one it is.
    pub(super) identity: Identity,
    /// Size of a segment of its log.
    pub(super) segment_bytes: u64,
    /// Its tablespaces.
    pub(super) tablespaces: Vec<Tablespace>,
    /// Size of all tablespaces; `None`: the user may not know.
    pub(super) bytes: Option<ByteCount>,
    /// `summarize_wal`; `None`: it does not know that.
    pub(super) summarizes: Option<bool>,
}

const IDENTITY: &str = "SELECT (SELECT system_identifier FROM pg_control_system())::text, \
    (CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint()) \
     ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END)::text, \
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text";

const SETTINGS: &str = "SELECT current_setting('max_wal_senders'), current_setting('wal_level'), \
    (SELECT (rolreplication OR rolsuper)::text FROM pg_roles WHERE rolname = session_user), \
    pg_size_bytes(current_setting('wal_segment_size'))::text, current_setting('data_checksums'), \
    current_setting('summarize_wal', true), current_setting('data_directory_mode')";

/// Asks which cluster it is, and what its clock says.
pub(super) async fn identity(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<(Identity, Timestamp)> {
    let rows = texts(connection, IDENTITY)
        .await
        .map_err(|error| address.failed("ask the system identifier of", error))?;
    let mut values = rows.into_iter().next().unwrap_or_default().into_iter();
    let mut next = || values.next().flatten().unwrap_or_default();
    let (system, timeline, clock) = (next().parse(), next().parse(), next().parse());
    let clock = clock
        .ok()
        .and_then(|at| Timestamp::from_microsecond(at).ok());
    match (system, timeline, clock) {
        (Ok(system_identifier), Ok(timeline), Some(clock)) => Ok((
            Identity {
                system_identifier,
                timeline,
            },
            clock,
        )),
        _ => Err(ProviderError::new(
            "mainstay::postgres::interrupted",
            Disposition::Retry,
            format!("the server of {address} does not say which cluster it is"),
        )),
    }
}

/// Asks everything that a base backup depends on. A server that would refuse it is an error here, in its own words' place.
pub(super) async fn look(connection: &mut PgConnection, address: &Address) -> Result<Cluster> {
    let server = facts::of_server(connection, address).await?;
    let version = server
        .facts
        .get("server_version")
        .cloned()
        .unwrap_or_default();
    if server.major < OLDEST_SERVER {
        return Err(ProviderError::new(
            "mainstay::postgres::server-too-old",
            Disposition::NeedsOperator,
            format!("the server of {address} is PostgreSQL {version}; physical backups need {OLDEST_SERVER} or newer"),
        )
        .help("use method = \"logical\", or upgrade the server"));
    }
    let failed = |error| address.failed("ask the settings of", error);
    let rows = texts(connection, SETTINGS).await.map_err(failed)?;
    let mut values = rows.into_iter().next().unwrap_or_default().into_iter();
    let mut next = || values.next().flatten();
    let (senders, level, may, segment) = (next(), next(), next(), next());
    let (checksums, summarizes, mode) = (next(), next(), next());
    if senders.as_deref() == Some("0") || level.as_deref() == Some("minimal") {
        return Err(failures::no_senders(address));
    }
    if may.as_deref() == Some("false") {
        return Err(failures::not_replication(address));
    }
    let (identity, _) = identity(connection, address).await?;
    let tablespaces = tablespaces(connection).await.map_err(failed)?;
    let mut facts: BTreeMap<String, String> = server
        .facts
        .into_iter()
        .filter(|(name, _)| name == "database" || name.starts_with("server_version"))
        .collect();
    let role = if server.standby { "standby" } else { "primary" };
    for (name, value) in [
        ("system_identifier", identity.system_identifier.to_string()),
        ("timeline", identity.timeline.to_string()),
        ("checksums", checksums.unwrap_or_default()),
        ("data_directory_mode", mode.unwrap_or_default()),
        ("role", role.to_owned()),
        ("databases", databases(connection).await.map_err(failed)?),
    ] {
        facts.insert(name.to_owned(), value);
    }
    if !tablespaces.is_empty() {
        let list = serde_json::to_string(&tablespaces).unwrap_or_default();
        facts.insert("tablespaces".to_owned(), list);
    }
    // Only for progress: it may be forbidden to our user.
    let bytes = text(
        connection,
        "SELECT sum(pg_tablespace_size(oid))::text FROM pg_tablespace",
    );
    let bytes = bytes
        .await
        .ok()
        .flatten()
        .and_then(|text| text.parse().ok());
    Ok(Cluster {
        facts,
        major: server.major,
        identity,
        segment_bytes: segment.and_then(|text| text.parse().ok()).unwrap_or(0),
        tablespaces,
        bytes: bytes.map(ByteCount),
        summarizes: summarizes.map(|value| value == "on"),
    })
}

const ARCHIVER: &str = "SELECT last_failed_wal FROM pg_stat_archiver \
    WHERE current_setting('archive_mode') <> 'off' \
    AND (NOT pg_is_in_recovery() OR current_setting('archive_mode') = 'always') \
    AND last_failed_time > coalesce(last_archived_time, '-infinity')";

/// Without log of its own a base backup ends when the server has archived its log: it would wait for ever for an archiver
/// that fails, and say nothing.
pub(super) async fn ensure_archiving(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<()> {
    let file = text(connection, ARCHIVER)
        .await
        .map_err(|error| address.failed("ask the archiver of", error))?;
    match file {
        Some(file) => Err(failures::archiving_fails(address, &file)),
        None => Ok(()),
    }
}

/// The tablespaces that lie elsewhere than in the data folder.
pub(super) async fn tablespaces(
    connection: &mut PgConnection,
) -> Result<Vec<Tablespace>, sqlx::Error> {
    let sql = "SELECT oid::text, spcname, pg_tablespace_location(oid) FROM pg_tablespace \
               WHERE pg_tablespace_location(oid) <> '' ORDER BY oid";
    let rows = texts(connection, sql).await?;
    let spaces = rows.into_iter().filter_map(|row| {
        let mut values = row.into_iter().flatten();
        Some(Tablespace {
            oid: values.next()?.parse().ok()?,
            name: values.next()?,
            location: values.next()?,
        })
    });
    Ok(spaces.collect())
}

async fn databases(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let sql = "SELECT json_object_agg(datname, CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) END \
               ORDER BY datname)::text FROM pg_database WHERE datallowconn";
    let list = text(connection, sql).await?.unwrap_or_default();
    // The server's own spacing is not ours to keep.
    let sorted: Result<BTreeMap<String, Option<u64>>, _> = serde_json::from_str(&list);
    Ok(sorted
        .ok()
        .and_then(|sorted| serde_json::to_string(&sorted).ok())
        .unwrap_or_default())
}
