//! Verifies that what a pointer names is in Barman, is the same backup, and has its log.

use super::{
    barman::Barman,
    capture,
    pointer::{Pointer, holes},
};
use crate::api::{Check, ReadRequest, Result};
use model::WalFileName;

fn check(what: &str, passed: bool, detail: impl Into<String>) -> Check {
    Check {
        what: what.to_owned(),
        passed,
        detail: detail.into(),
    }
}

/// Each check that could be made; a backup that is gone is a check that failed.
pub(super) async fn run(barman: &Barman, request: ReadRequest) -> Result<Vec<Check>> {
    let objects = request.objects;
    let reading = tokio::task::spawn_blocking(move || Pointer::read(objects));
    let pointer = reading
        .await
        .map_err(|_| super::errors::unexpected("pointer", "reading it was given up"))??;
    let id = pointer.backup_id.as_str();
    let there = format!("backup {id} in Barman");
    let server = barman.show_server().await?;
    let now = match capture::look(barman, &server, id).await {
        Ok(now) => now,
        Err(error)
            if ["mainstay::barman::missing", "mainstay::barman::not-done"]
                .contains(&error.code) =>
        {
            return Ok(vec![check(&there, false, error.message)]);
        }
        Err(error) => return Err(error),
    };
    let mut checks = vec![check(&there, true, "complete")];
    checks.push(match pointer.differs(&now) {
        None => check("it is the backup that was recorded", true, "same positions"),
        Some(how) => check("it is the backup that was recorded", false, how),
    });
    let files = barman.wal_files(id).await?;
    let names: Vec<WalFileName> = files
        .iter()
        // Barman lists what its index says, also when the file itself is gone.
        .filter(|path| path.exists())
        .filter_map(|path| WalFileName::parse(path.file_name()?.to_str()?).ok())
        .collect();
    let (needed, later) = holes(&pointer, &names);
    checks.push(log_check("the log that it needs", &needed));
    checks.push(log_check("the log after it", &later));
    // Only what pg_basebackup made has a manifest that pg_verifybackup could read.
    if now.mode.as_deref() == Some("postgres") && now.compression.is_none() {
        let verified = barman.ask("verify-backup", &[id]).await;
        checks.push(match verified {
            Ok(_) => check("barman verify-backup", true, "every file has its checksum"),
            Err(error) => check("barman verify-backup", false, error.message),
        });
    }
    Ok(checks)
}

fn log_check(what: &str, missing: &[WalFileName]) -> Check {
    match missing {
        [] => check(what, true, "without a hole"),
        [first, ..] => check(
            what,
            false,
            format!(
                "{} segment(s) are missing, the first is {first}",
                missing.len()
            ),
        ),
    }
}
