//! What other engines that restore PostgreSQL clusters need of this one: a server's program, and checks inside a server.

use super::{
    binaries, checks,
    connection::{Address, text},
};
use crate::api::{Check, ProviderError, Result};
use jiff::Timestamp;
use model::{Assertion, Disposition, Secret};
use sqlx::{Connection, PgConnection};
use std::path::{Path, PathBuf};

/// The installed `postgres` of a major version.
pub(crate) async fn server_program(bin_dir: Option<&Path>, major: u32) -> Result<PathBuf> {
    let installed = binaries::installed(bin_dir, "postgres").await;
    let fits = installed.iter().find(|set| set.major == major);
    fits.map(|set| set.program("postgres")).ok_or_else(|| {
        let found: Vec<_> = installed.iter().map(|set| set.version.as_str()).collect();
        ProviderError::new(
            "mainstay::postgres::programs-missing",
            Disposition::NeedsOperator,
            format!(
                "no server of PostgreSQL {major} is installed here to start the restored cluster; found: {}",
                if found.is_empty() { "none".to_owned() } else { found.join(", ") }
            ),
        )
        .help(format!("install it (apt install postgresql-{major}), or name its folder with `bin-dir`"))
    })
}

/// A connection to a server that was started for checks.
pub(crate) struct Session {
    connection: PgConnection,
    address: Address,
}

impl Session {
    /// Connects; `None` while the server is not ready.
    pub(crate) async fn open(url: &Secret) -> Result<Option<Self>> {
        let address = Address::of_url(url)?;
        match address.connect().await {
            Ok(connection) => Ok(Some(Self {
                connection,
                address,
            })),
            Err(error) if error.code == "mainstay::postgres::unreachable" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The only value of a statement.
    pub(crate) async fn text(&mut self, sql: &str) -> Result<Option<String>> {
        let found = text(&mut self.connection, sql).await;
        found.map_err(|error| self.address.failed("ask", error))
    }

    /// A person's checks.
    pub(crate) async fn assertions(
        &mut self,
        asserts: &[Assertion],
        captured_at: Timestamp,
    ) -> Result<Vec<Check>> {
        checks::assertions(&mut self.connection, &self.address, asserts, captured_at).await
    }

    /// Says good-bye, so that the server can stop at once.
    pub(crate) async fn close(self) {
        let _ = self.connection.close().await;
    }
}
