//! Connections: to a source that must not be changed, to files of our own, to a target.

use super::errors;
use crate::api::Result;
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use std::{fmt::Write as _, os::unix::ffi::OsStrExt, path::Path, time::Duration};

/// How long another program's lock is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens a source read-only. It must exist; its WAL is read but never checkpointed.
pub(super) fn source(path: &Path) -> Result<Connection> {
    match path.metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return Err(errors::file(
                &format!("read the database `{}`", path.display()),
                std::io::Error::new(
                    std::io::ErrorKind::PermissionDenied,
                    "it is not a plain file",
                ),
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(errors::missing(path));
        }
        Err(error) => {
            return Err(errors::file(
                &format!("read the database `{}`", path.display()),
                error,
            ));
        }
    }
    let open = || -> rusqlite::Result<Connection> {
        let connection = plain(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(PATIENCE)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(connection)
    };
    open()
        .map_err(|error| errors::sqlite(&format!("open the database `{}`", path.display()), error))
}

/// Opens a whole file of our own that nobody writes. `immutable`: no locks and no `-shm` beside it.
pub(super) fn finished(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = "file:".to_owned();
    // RFC 3986 percent-encoding of everything that could mean something else in a URI.
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?mode=ro&immutable=1");
    Connection::open_with_flags(
        uri,
        OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
}

/// Opens an existing file for writing.
pub(super) fn writable(path: &Path) -> rusqlite::Result<Connection> {
    plain(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// Makes a new file of our own; without a journal, because a failure throws it away.
pub(super) fn fresh(path: &Path) -> rusqlite::Result<Connection> {
    let connection = plain(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )?;
    connection.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;",
    )?;
    Ok(connection)
}

fn plain(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    // Without SQLITE_OPEN_URI a path is a path, whatever stands in it.
    Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// An identifier in double quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
