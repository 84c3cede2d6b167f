//! The catalog itself: opening, closing, and the one way into a transaction, past the seam for fault tests.
//!
//! The methods that do something stand in the file of their noun.

use crate::{
    connection::{Pool, Purpose, Transaction},
    error::CatalogError,
    location::{self, Access, Location},
    schema,
};
use sqlx::{postgres::PgPoolOptions, sqlite::SqlitePoolOptions};
use std::{fmt, sync::Arc, time::Duration};

/// Called at the start of every method with its name; an error makes the method fail before it does anything.
pub type CallHook = Arc<dyn Fn(&'static str) -> Result<(), CatalogError> + Send + Sync>;

/// What is remembered between runs. Clones share their connections.
#[derive(Clone)]
pub struct Catalog {
    pool: Pool,
    place: Arc<str>,
    hook: Option<CallHook>,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Catalog {
    /// Opens the catalog at a path, `sqlite://path` or `postgres://…`; creates the file, its folder (only for this user)
    /// and the tables when they are not there, and brings older tables up to date.
    ///
    /// Errors: [`CatalogError::NewerSchema`] and [`CatalogError::Corrupt`] among others; neither changes the file.
    /// A repeat finds everything there. Cancellation leaves an empty file or finished migrations.
    pub async fn open(url: &str) -> Result<Self, CatalogError> {
        let location = Location::parse(url)?;
        if let Location::Sqlite(path) = &location {
            location::create_file(path)?;
        }
        let catalog = Self::connect(&location, Access::ReadWrite).await?;
        schema::migrate(&catalog.pool, &catalog.place).await?;
        Ok(catalog)
    }

    /// Opens the catalog for reading if there is one; creates and changes nothing, so that a plan on a fresh checkout leaves no state.
    ///
    /// Errors: as [`Catalog::open`], and [`CatalogError::OlderSchema`], because it may not migrate. Every writing method of
    /// the result fails with [`CatalogError::Denied`].
    pub async fn open_read_only_if_exists(url: &str) -> Result<Option<Self>, CatalogError> {
        let location = Location::parse(url)?;
        if matches!(&location, Location::Sqlite(path) if !location::has_file(path)) {
            return Ok(None);
        }
        let catalog = Self::connect(&location, Access::ReadOnly).await?;
        let found = schema::version(&catalog.pool, &catalog.place).await?;
        schema::refuse_newer(found, &catalog.place)?;
        match found {
            0 => Ok(None),
            found if found < schema::newest() => Err(CatalogError::OlderSchema {
                place: catalog.place.to_string(),
                found,
                known: schema::newest(),
            }),
            _ => Ok(Some(catalog)),
        }
    }

    /// Whether there is a catalog at `url`, of whatever version.
    pub async fn exists(url: &str) -> Result<bool, CatalogError> {
        let location = Location::parse(url)?;
        if matches!(&location, Location::Sqlite(path) if !location::has_file(path)) {
            return Ok(false);
        }
        let catalog = Self::connect(&location, Access::ReadOnly).await?;
        let found = schema::version(&catalog.pool, &catalog.place).await;
        catalog.close().await;
        Ok(found? > 0)
    }

    /// The same catalog with a hook before every call: the seam for tests that fail the n-th call.
    #[must_use]
    pub fn with_call_hook(mut self, hook: CallHook) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Where it is, without user and password.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Ends all connections of all clones after what runs on them. Without it they end when the last clone is dropped.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) async fn read(&self, call: &'static str) -> Result<Transaction, CatalogError> {
        self.begin(Purpose::Read, call).await
    }

    pub(crate) async fn write(&self, call: &'static str) -> Result<Transaction, CatalogError> {
        self.begin(Purpose::Write, call).await
    }

    async fn begin(
        &self,
        purpose: Purpose,
        call: &'static str,
    ) -> Result<Transaction, CatalogError> {
        if let Some(hook) = &self.hook {
            hook(call)?;
        }
        self.pool.begin(purpose, &self.place, call).await
    }

    async fn connect(location: &Location, access: Access) -> Result<Self, CatalogError> {
        let place = location.place();
        let wait = Duration::from_secs(30);
        let pool = match location {
            Location::Sqlite(path) => SqlitePoolOptions::new()
                .max_connections(4)
                .acquire_timeout(wait)
                .connect_with(location::sqlite_options(path, access))
                .await
                .map(Pool::Sqlite),
            Location::Postgres(options) => PgPoolOptions::new()
                .max_connections(8)
                .acquire_timeout(wait)
                .connect_with(location::postgres_options(options, access))
                .await
                .map(Pool::Postgres),
        };
        Ok(Self {
            pool: pool.map_err(|source| CatalogError::from_driver(&place, "open", source))?,
            place,
            hook: None,
        })
    }
}
