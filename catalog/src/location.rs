//! Where a catalog is: reads `--state` and gives the options with which each database is opened.
//!
//! Invariant: what is shown of a place never contains a user's password.

use crate::error::CatalogError;
use sqlx::{
    ConnectOptions,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

/// How long SQLite waits for another writer before a call fails as busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);

/// What a catalog is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    ReadOnly,
}

/// A place of a catalog.
pub(crate) enum Location {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

impl Location {
    /// Reads a path, `sqlite://path` or `postgres://…`.
    pub(crate) fn parse(url: &str) -> Result<Self, CatalogError> {
        if let Some(path) = url
            .strip_prefix("sqlite://")
            .or_else(|| url.strip_prefix("sqlite:"))
        {
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        match url.split_once("://") {
            None => Ok(Self::Sqlite(PathBuf::from(url))),
            Some((scheme @ ("postgres" | "postgresql"), _)) => PgConnectOptions::from_str(url)
                .map(|options| Self::Postgres(Box::new(options)))
                // The parser's words may quote the address, and with it a password.
                .map_err(|_| CatalogError::BadLocation {
                    scheme: format!("{scheme}://…"),
                }),
            Some((scheme, _)) => Err(CatalogError::BadLocation {
                scheme: scheme.to_owned(),
            }),
        }
    }

    /// The place as it may be shown.
    pub(crate) fn place(&self) -> Arc<str> {
        match self {
            Self::Sqlite(path) => path.display().to_string().into(),
            Self::Postgres(options) => format!(
                "postgres://{}:{}/{}",
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or_default()
            )
            .into(),
        }
    }
}

/// SQLite options. The write-ahead log lets readers go on beside the writer; `FULL` makes each commit durable before it is answered.
pub(crate) fn sqlite_options(path: &Path, access: Access) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    match access {
        Access::ReadWrite => options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full),
        // Not SQLite's own read-only mode: that cannot read the log that a crashed writer has left.
        Access::ReadOnly => options.pragma("query_only", "ON"),
    }
}

/// PostgreSQL options.
pub(crate) fn postgres_options(options: &PgConnectOptions, access: Access) -> PgConnectOptions {
    let options = options
        .clone()
        .application_name("mainstay")
        .disable_statement_logging();
    match access {
        Access::ReadWrite => options.options([("synchronous_commit", "on")]),
        Access::ReadOnly => options.options([("default_transaction_read_only", "on")]),
    }
}

/// Creates the folder (only for this user) and an empty file, which SQLite takes as an empty database.
pub(crate) fn create_file(path: &Path) -> Result<(), CatalogError> {
    let failed = |source| CatalogError::CannotCreate {
        place: path.display().to_string(),
        source,
    };
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(parent).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(failed)?;
    Ok(())
}

/// Whether the file is there with something in it.
pub(crate) fn has_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_path_or_a_known_scheme() {
        for (url, path) in [
            ("/var/lib/x.db", "/var/lib/x.db"),
            ("sqlite:///var/lib/x.db", "/var/lib/x.db"),
            ("sqlite://.mainstay/x.db", ".mainstay/x.db"),
            (".mainstay/x.db", ".mainstay/x.db"),
        ] {
            assert!(
                matches!(Location::parse(url), Ok(Location::Sqlite(p)) if p == Path::new(path))
            );
        }
        assert!(matches!(
            Location::parse("mysql://root:geheim@db/x"),
            Err(CatalogError::BadLocation { scheme }) if scheme == "mysql"
        ));
    }

    #[test]
    fn a_place_is_shown_without_its_password() {
        let location = Location::parse("postgres://me:geheim@db.example:5433/state").unwrap();
        assert_eq!(&*location.place(), "postgres://db.example:5433/state");
    }
}
