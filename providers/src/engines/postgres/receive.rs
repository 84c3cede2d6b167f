//! Receives a server's log with `pg_receivewal`, through a replication slot.
//!
//! - Always with a slot: without one `pg_receivewal` starts from what it finds in its folder, and skips log silently when that is
//!   empty. A slot that was invalidated, or log that the server no longer has, is a loud error, never a gap that nobody knows of.
//! - Everything received is synced before the server is told (`--synchronous`), so the slot never gets ahead of the folder.
//! - Should mainstay be killed, its `pg_receivewal` lives on and holds the slot. The next one finds it by its folder and ends it.
//!
//! Not here: what becomes of the files, when to try again (`executor::wal`).

use super::{
    binaries,
    connection::{Address, run, text, texts},
    facts, names,
};
use crate::api::{ProviderError, Result, WalReceive};
use model::Disposition;
use rustix::process::{Pid, Signal, kill_process_group};
use sqlx::PgConnection;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The oldest server that tells `pg_receivewal` where a slot stands (`READ_REPLICATION_SLOT`).
const TELLS_SLOT: u32 = 15;
/// How long a server may take to notice that a receiver is gone.
const RELEASED: Duration = Duration::from_secs(10);

/// Receives until the server or the program ends; dropped, the program is killed.
pub(super) async fn receive(
    address: &Address,
    bin_dir: Option<&Path>,
    request: WalReceive,
) -> Result<()> {
    let mut connection = address.connect().await?;
    let server = facts::of_server(&mut connection, address).await?.major;
    let installed = binaries::installed(bin_dir, "pg_receivewal").await;
    let chosen = binaries::for_base_backup(&installed, server, bin_dir)?;
    end_orphans(&request.folder).await;
    ensure_slot(&mut connection, address, server, &request).await?;
    empty_what_was_being_laid_out(&mut connection, address, &request.folder).await?;
    drop(connection);
    let mut folder = std::ffi::OsString::from(DIRECTORY);
    folder.push(&request.folder);
    let running = address
        .program(chosen.program("pg_receivewal"))
        .arg(folder)
        .arg(format!("--slot={}", request.slot))
        .args(["--synchronous", "--no-loop", "--no-password"])
        .arg("--status-interval=5")
        .start()?;
    running.wait().await.map_err(|error| {
        // What the server says when the slot could not hold the log back.
        if error.message.contains("has already been removed") {
            return lost(address, &request.slot).source(error);
        }
        error
    })
}

/// The argument that names the folder, by which an orphan is known.
const DIRECTORY: &str = "--directory=";

async fn ensure_slot(
    connection: &mut PgConnection,
    address: &Address,
    server: u32,
    request: &WalReceive,
) -> Result<()> {
    let failed = |error| address.failed("look at the replication slots of", error);
    let name = names::literal(&request.slot);
    let look = format!(
        "SELECT slot_type, active::text, coalesce(to_jsonb(s) ->> 'wal_status', ''), restart_lsn IS NULL \
         FROM pg_replication_slots s WHERE slot_name = {name}"
    );
    let began = tokio::time::Instant::now();
    loop {
        let rows = texts(connection, &look).await.map_err(failed)?;
        let Some(row) = rows.into_iter().next() else {
            let make = format!("SELECT pg_create_physical_replication_slot({name}, true)");
            run(connection, &make)
                .await
                .map_err(|error| address.failed("make a replication slot on", error))?;
            return Ok(());
        };
        let at = |index: usize| row.get(index).cloned().flatten().unwrap_or_default();
        if at(0) != "physical" {
            return Err(ProviderError::new(
                "mainstay::postgres::slot-in-use",
                Disposition::NeedsOperator,
                format!(
                    "the replication slot `{}` of {address} is not a physical one",
                    request.slot
                ),
            )
            .help("name another one in the policy: `slot = \"…\"` in `[database.NAME.wal]`"));
        }
        if at(2) == "lost" {
            return Err(lost(address, &request.slot));
        }
        if at(1) != "true" {
            break;
        }
        // The receiver before us may be gone and the server not know it yet.
        if began.elapsed() > RELEASED {
            return Err(ProviderError::new(
                "mainstay::postgres::slot-in-use",
                Disposition::Retry,
                format!("the replication slot `{}` of {address} is used by another receiver", request.slot),
            )
            .help("`SELECT * FROM pg_stat_replication` shows who; each archive needs a slot of its own"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    if server < TELLS_SLOT && is_empty(&request.folder) {
        let behind = format!(
            "SELECT 1 FROM pg_replication_slots WHERE slot_name = {name} AND restart_lsn < pg_current_wal_lsn()"
        );
        if text(connection, &behind).await.map_err(failed)?.is_some() {
            return Err(ProviderError::new(
                "mainstay::postgres::slot-behind",
                Disposition::NeedsOperator,
                format!(
                    "the slot `{}` of {address} holds log that was received before, and the folder with it is gone; a server of version {server} would skip it silently",
                    request.slot
                ),
            )
            .help(format!(
                "put the folder back, or begin anew and take a base backup: SELECT pg_drop_replication_slot('{}')",
                request.slot
            )));
        }
    }
    Ok(())
}

/// A receiver lays a new file out in its whole size before it writes log into it. One that was killed meanwhile leaves a short file
/// of zeros, which `pg_receivewal` refuses for ever after; it takes an empty one (`open_walfile` in its `receivelog.c`). Anything
/// else in a short file is not touched: then the program says so.
async fn empty_what_was_being_laid_out(
    connection: &mut PgConnection,
    address: &Address,
    folder: &Path,
) -> Result<()> {
    let size = "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'";
    let size = text(connection, size)
        .await
        .map_err(|error| address.failed("ask for the size of segments of", error))?;
    let size: u64 = size.and_then(|size| size.parse().ok()).unwrap_or(0);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path();
        let is_short = entry
            .metadata()
            .is_ok_and(|about| about.is_file() && (1..size).contains(&about.len()));
        if !is_short || path.extension() != Some("partial".as_ref()) {
            continue;
        }
        let emptied = || -> std::io::Result<()> {
            let zeros = std::fs::read(&path)?.iter().all(|byte| *byte == 0);
            if zeros {
                let file = std::fs::File::options().write(true).open(&path)?;
                file.set_len(0)?;
                file.sync_all()?;
            }
            Ok(())
        };
        emptied().map_err(|error| {
            ProviderError::new(
                "mainstay::postgres::stream-folder",
                Disposition::NeedsOperator,
                format!("cannot empty the unfinished `{}`", path.display()),
            )
            .help("the user that runs `mainstay wal run` must be able to write there")
            .source(error)
        })?;
    }
    Ok(())
}

fn lost(address: &Address, slot: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::slot-lost",
        Disposition::NeedsOperator,
        format!("the server of {address} no longer has the log that the slot `{slot}` should have held: there is a hole"),
    )
    .help(format!(
        "begin anew and take a base backup: SELECT pg_drop_replication_slot('{slot}'), then empty the folder of the stream; the next `mainstay apply` plans the backup. Raise `max_slot_wal_keep_size` if it happens again"
    ))
}

fn is_empty(folder: &Path) -> bool {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let segments = names.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let stem = name.strip_suffix(".partial").unwrap_or(&name);
        model::WalFileName::parse(stem).is_ok_and(|name| name.is_segment())
    });
    segments.count() == 0
}

/// Ends programs that a killed mainstay left behind in this folder. Linux tells who they are; elsewhere the slot stays in use
/// until they end, and that is said.
async fn end_orphans(folder: &Path) {
    let mut argument = DIRECTORY.as_bytes().to_vec();
    argument.extend_from_slice(folder.as_os_str().as_encoded_bytes());
    let orphans = || {
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter_map(|entry| {
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            let words = std::fs::read(PathBuf::from("/proc").join(id.to_string()).join("cmdline"));
            let words = words.ok()?;
            let mut words = words.split(|byte| *byte == 0);
            let is_ours = words.next()?.ends_with(b"pg_receivewal")
                && words.any(|word| word == argument.as_slice());
            Pid::from_raw(id).filter(|_| is_ours)
        })
        .collect::<Vec<_>>()
    };
    let began = tokio::time::Instant::now();
    loop {
        let found = orphans();
        if found.is_empty() || began.elapsed() > RELEASED {
            return;
        }
        for orphan in found {
            // Each of our programs leads its own group.
            if let Err(error) = kill_process_group(orphan, Signal::KILL) {
                tracing::debug!(%error, "an orphan could not be ended");
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
