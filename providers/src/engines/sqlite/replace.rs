//! Puts a whole file in the place of an existing database.
//!
//! A `-wal` or `-journal` that stays beside a replaced file would be applied to the new one and destroy it, so:
//! 1. take an exclusive lock on the old database, which fails while another program uses it (in WAL mode: has it open);
//! 2. move the old WAL into the old file and leave WAL mode, so that the old database stays whole until the last step;
//! 3. remove what is still beside it, sync the folder;
//! 4. rename the new file over the old one, the lock still held.
//!
//! A program that has a rollback-mode database open without a transaction cannot be seen; SQLite itself refuses its next write,
//! because its file has moved (`SQLITE_READONLY_DBMOVED`). An old file that is no database has no lock to take.

use super::{errors, open, restore::Target};
use crate::{api::Result, temporary::Temporary};
use rusqlite::{Connection, ErrorCode};
use std::{io, os::unix::fs::MetadataExt, time::Duration};

/// How long a program may take to end its transaction.
const PATIENCE: Duration = Duration::from_secs(5);

/// Renames `new` over `target`, whatever is there.
pub(super) fn replace(new: &mut Temporary, target: &Target) -> Result<()> {
    let path = target.path.display();
    if target.path.is_dir() {
        return Err(errors::target_exists(&format!("the folder `{path}`")));
    }
    let lock = if target.exists() { lock(target)? } else { None };
    keep_access(new, target)?;
    for ending in ["-wal", "-shm", "-journal"] {
        match std::fs::remove_file(target.beside(ending)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(errors::file(
                    &format!("remove the old `{path}{ending}`"),
                    error,
                ));
            }
        }
    }
    target.sync_folder()?;
    new.rename_over(&target.name)
        .map_err(|errno| errors::file(&format!("replace `{path}`"), errno.into()))?;
    drop(lock);
    Ok(())
}

/// Owner and mode of the old file: the program that it belongs to must be able to open the new one.
fn keep_access(new: &Temporary, target: &Target) -> Result<()> {
    let Ok(old) = target.path.metadata() else {
        return Ok(());
    };
    // Only root may give a file away; anybody else restores files of their own.
    let _ = std::os::unix::fs::fchown(&new.file, Some(old.uid()), Some(old.gid()));
    new.file
        .set_permissions(old.permissions())
        .map_err(|error| {
            errors::file(
                &format!(
                    "give the mode of `{}` to the new file",
                    target.path.display()
                ),
                error,
            )
        })
}

/// The old database, exclusively locked and without a WAL; `None` when it is none.
fn lock(target: &Target) -> Result<Option<Connection>> {
    let locked = || -> rusqlite::Result<Connection> {
        let connection = open::writable(&target.path)?;
        connection.busy_timeout(PATIENCE)?;
        // Before the first access, so that in WAL mode the lock is on the file itself and other users are found.
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;")?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
        if mode != "delete" && mode != "off" && mode != "memory" {
            let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            return Err(rusqlite::Error::SqliteFailure(busy, None));
        }
        // Leaving WAL mode may have given the lock back; a transaction in the new mode takes it for good.
        connection.execute_batch("BEGIN EXCLUSIVE;")?;
        Ok(connection)
    };
    match locked() {
        Ok(connection) => Ok(Some(connection)),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Ok(None),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Err(errors::target_busy(&target.path, error))
            }
            _ => Err(errors::sqlite(
                &format!("lock the database `{}`", target.path.display()),
                error,
            )),
        },
    }
}
