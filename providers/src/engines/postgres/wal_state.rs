//! What a server says of its log: where it writes, who takes the log away, what waits, what holds it back. Changes nothing.
//!
//! `pg_stat_archiver` counts neither a command that a signal ended nor one that ended with 126 or more: the age of the oldest file
//! that waits (`.ready`) and the size of `pg_wal` are what counts. All times are the server's.
//! What the role may not see is `None`, never nothing.

use super::connection::{Address, sqlstate, text, texts};
use crate::api::{ArchiverState, ProviderError, RECENT_SECONDS, Result, SlotState, WalState};
use model::{ByteCount, Disposition, Lsn, Timestamp, wal::WalSource};
use sqlx::PgConnection;
use std::path::Path;

/// Asks a server.
pub(super) async fn ask(address: &Address) -> Result<WalState> {
    let mut connection = address.connect().await?;
    let failed = |error| address.failed("ask for the state of the log of", error);
    // In one statement, so that position, timeline and time belong together. A standby cannot name its file; its timeline is
    // that of what it receives, or of its last restart point.
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
               (SELECT system_identifier FROM pg_control_system()), \
               CASE WHEN pg_is_in_recovery() \
                 THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) \
                 ELSE pg_current_wal_lsn() END, \
               CASE WHEN pg_is_in_recovery() \
                 THEN coalesce((SELECT received_tli FROM pg_stat_get_wal_receiver()), \
                   (SELECT timeline_id FROM pg_control_checkpoint()))::text \
                 ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END, \
               pg_is_in_recovery()::text, \
               pg_size_bytes(current_setting('wal_segment_size')), \
               current_setting('server_version_num'), \
               current_setting('archive_mode'), \
               (coalesce(nullif(current_setting('archive_command'), '(disabled)'), '') <> '' \
                 OR coalesce(current_setting('archive_library', true), '') <> '')::text, \
               (SELECT setting FROM pg_settings WHERE name = 'archive_timeout'), \
               current_setting('summarize_wal', true), \
               (extract(epoch FROM pg_postmaster_start_time() + current_setting('checkpoint_timeout')::interval) * 1000000)::bigint";
    let rows = texts(&mut connection, sql).await.map_err(failed)?;
    let row = rows.into_iter().next().unwrap_or_default();
    let at = |index: usize| row.get(index).cloned().flatten();
    let unknown = |what: &str| {
        ProviderError::new(
            "mainstay::postgres::query",
            Disposition::Retry,
            format!("the server of {address} did not say {what}"),
        )
        .help("try again when it has started up completely")
    };
    let standby = at(4).as_deref() == Some("true");
    let timeline =
        at(3).and_then(|text| u32::from_str_radix(&text, if standby { 10 } else { 16 }).ok());
    let source = WalSource {
        at: at(0)
            .and_then(|text| text.parse().ok())
            .and_then(|micros| Timestamp::from_microsecond(micros).ok())
            .ok_or_else(|| unknown("what time it is"))?,
        position: at(2)
            .and_then(|text| Lsn::parse(&text).ok())
            .ok_or_else(|| unknown("where its log stands"))?,
        system_identifier: at(1)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| unknown("which cluster it is"))?,
        timeline: timeline.ok_or_else(|| unknown("which timeline it is on"))?,
    };
    let number = |index: usize| at(index).and_then(|text| text.parse::<u64>().ok());
    let state = WalState {
        segment_bytes: number(5).ok_or_else(|| unknown("how large its segments are"))?,
        server_version: at(6).and_then(|text| text.parse().ok()).unwrap_or(0),
        archive_mode: at(7).unwrap_or_default(),
        archive_command_set: at(8).as_deref() == Some("true"),
        archive_timeout_seconds: number(9).unwrap_or(0),
        summarizes: at(10).map(|text| text == "on"),
        keeps_timeout_from: micros(at(11).as_deref()),
        archiver: archiver(&mut connection).await.map_err(failed)?,
        pg_wal: None,
        free: None,
        waiting: None,
        waiting_recently: 0,
        slots: slots(&mut connection, source.position)
            .await
            .map_err(failed)?,
        source,
    };
    look_at_files(&mut connection, address, state)
        .await
        .map_err(failed)
}

async fn archiver(connection: &mut PgConnection) -> Result<ArchiverState, sqlx::Error> {
    let sql = "SELECT archived_count, last_archived_wal, (extract(epoch FROM last_archived_time) * 1000000)::bigint, \
               failed_count, last_failed_wal, (extract(epoch FROM last_failed_time) * 1000000)::bigint FROM pg_stat_archiver";
    let rows = texts(connection, sql).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let at = |index: usize| row.get(index).cloned().flatten();
    let last = |index: usize| Some((at(index)?, micros(at(index + 1).as_deref())?));
    let count = |index: usize| at(index).and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(ArchiverState {
        archived: count(0),
        last_archived: last(1),
        failed: count(3),
        last_failed: last(4),
    })
}

async fn slots(
    connection: &mut PgConnection,
    position: Lsn,
) -> Result<Vec<SlotState>, sqlx::Error> {
    // `wal_status` and `safe_wal_size` are there from version 13 on.
    let sql = format!(
        "SELECT slot_name, active::text, pg_wal_lsn_diff('{position}', restart_lsn)::bigint, \
         to_jsonb(s) ->> 'wal_status', to_jsonb(s) ->> 'safe_wal_size' FROM pg_replication_slots s ORDER BY slot_name"
    );
    let rows = texts(connection, &sql).await?;
    let slot = |row: Vec<Option<String>>| {
        let at = |index: usize| row.get(index).cloned().flatten();
        let bytes = |index: usize| {
            let number = at(index)?.parse::<i64>().ok()?;
            Some(ByteCount(u64::try_from(number).unwrap_or(0)))
        };
        Some(SlotState {
            name: at(0)?,
            active: at(1).as_deref() == Some("true"),
            behind: bytes(2),
            wal_status: at(3),
            safe: bytes(4),
        })
    };
    Ok(rows.into_iter().filter_map(slot).collect())
}

async fn look_at_files(
    connection: &mut PgConnection,
    address: &Address,
    mut state: WalState,
) -> Result<WalState, sqlx::Error> {
    let size = text(connection, "SELECT sum(size)::bigint FROM pg_ls_waldir()").await;
    state.pg_wal = allowed(size)?
        .flatten()
        .and_then(|text| text.parse().ok())
        .map(ByteCount);
    // A file's time is when the server laid down the word that it is ready.
    let sql = format!(
        "SELECT count(*), (extract(epoch FROM min(modification)) * 1000000)::bigint, \
         count(*) FILTER (WHERE modification >= clock_timestamp() - interval '{RECENT_SECONDS} s') \
         FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
    );
    if let Some(rows) = allowed(texts(connection, &sql).await)? {
        let row = rows.into_iter().next().unwrap_or_default();
        let at = |index: usize| row.get(index).cloned().flatten();
        let count = |index: usize| at(index).and_then(|text| text.parse().ok()).unwrap_or(0);
        state.waiting = Some((count(0), micros(at(1).as_deref())));
        state.waiting_recently = count(2);
    }
    if address.is_local() {
        let folder = text(connection, "SELECT current_setting('data_directory')").await;
        state.free = allowed(folder)?
            .flatten()
            .and_then(|folder| free(Path::new(&folder)));
    }
    Ok(state)
}

/// `None` when the role may not, or the server is too old to know how.
fn allowed<T>(answer: Result<T, sqlx::Error>) -> Result<Option<T>, sqlx::Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) => match sqlstate(&error).as_deref() {
            Some("42501" | "42883") => Ok(None),
            _ => Err(error),
        },
    }
}

/// Room where the log lies, which may be another disk than the data's.
fn free(data: &Path) -> Option<ByteCount> {
    let found = rustix::fs::statvfs(data.join("pg_wal")).ok()?;
    Some(ByteCount(found.f_bavail.saturating_mul(found.f_frsize)))
}

fn micros(text: Option<&str>) -> Option<Timestamp> {
    Timestamp::from_microsecond(text?.parse().ok()?).ok()
}
