//! What most commands need first: the catalog, and the words for what is not in it.

use crate::{
    arguments::Global,
    failure::{Failure, Result},
    settings,
};
use catalog::{Catalog, CatalogError};
use jiff::Timestamp;
use model::{Inventory, RecoveryPointId};
use std::path::Path;

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::from_error(error.code(), error.help(), &error)
    }
}

/// The catalog for writing; made if there is none.
pub(crate) async fn catalog(global: &Global, policy: &Path) -> Result<Catalog> {
    Ok(Catalog::open(&settings::state_url(global, policy)).await?)
}

/// The catalog for reading, if there is one; never makes it.
pub(crate) async fn catalog_if_any(global: &Global, policy: &Path) -> Result<Option<Catalog>> {
    let url = settings::state_url(global, policy);
    match Catalog::open_read_only_if_exists(&url).await {
        // An older catalog is brought up to date by whoever may write.
        Err(CatalogError::OlderSchema { .. }) => Ok(Some(Catalog::open(&url).await?)),
        other => Ok(other?),
    }
}

/// The catalog for writing, where making an empty one would only hide a wrong path.
pub(crate) async fn catalog_or_fail(global: &Global, policy: &Path) -> Result<Catalog> {
    let url = settings::state_url(global, policy);
    if Catalog::exists(&url).await? {
        return Ok(Catalog::open(&url).await?);
    }
    Err(no_catalog())
}

/// Nothing is remembered yet.
pub(crate) fn no_catalog() -> Failure {
    Failure::new("mainstay::catalog::none", "there is no catalog yet, so no recovery points are known")
        .help("make recovery points with `mainstay apply`, or find existing ones on the tiers with `mainstay catalog rebuild`")
}

/// What was looked for and not found.
pub(crate) enum UnknownPoint<'a> {
    /// An id.
    Id(&'a RecoveryPointId),
    /// A database without points.
    Database(&'a str),
}

/// "There is no such point", with the nearest that exist.
pub(crate) async fn unknown_point(
    catalog: &Catalog,
    what: UnknownPoint<'_>,
    now: Timestamp,
) -> Failure {
    let inventory = catalog
        .inventory(now)
        .await
        .unwrap_or_else(|_| Inventory::empty(now));
    let (message, database) = match what {
        UnknownPoint::Id(id) => (
            format!("there is no recovery point `{id}`"),
            id.database().to_owned(),
        ),
        UnknownPoint::Database(database) => (
            format!("there is no recovery point of `{database}`"),
            database.to_owned(),
        ),
    };
    let newest = inventory
        .recovery_points
        .iter()
        .filter(|point| point.database.as_str() == database)
        .max_by_key(|point| point.captured_at);
    Failure::new("mainstay::point::unknown", message).help(match newest {
        Some(point) => format!("the newest of `{database}` is `{}`; see all with `mainstay list {database}`", point.id),
        None => "see all with `mainstay list`; `mainstay catalog rebuild` finds points that only the tiers know".to_owned(),
    })
}
