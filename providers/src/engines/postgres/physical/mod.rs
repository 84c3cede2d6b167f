//! PostgreSQL, method `physical`: `pg_basebackup` of the whole cluster, full or (servers 17 and newer) incremental to another
//! point; its tar is followed while it streams by, and read back against PostgreSQL's own list of files.
//!
//! Objects of a point, in this order:
//!
//! | role | content | file stem | is |
//! |---|---|---|---|
//! | `data` | `pg-base-tar` | `base.tar` | the data folder; of an incremental point with `INCREMENTAL.*` files |
//! | `tablespace-<oid>` | `pg-base-tar` | `<oid>.tar` | one for each tablespace of the cluster's own, paths below its location |
//! | `backup-manifest` | `pg-backup-manifest` | `backup_manifest` | PostgreSQL's list of all files with their checksums |
//!
//! With tablespaces the tars do not hold `backup_manifest`; without, it is also the last member of `data`. Whoever unpacks
//! puts the object's bytes into the data folder in any case (`pg_combinebackup` reads them there).
//!
//! Facts in the manifest's `source`, all as text: `server_version`, `server_version_num`, `system_identifier`, `timeline`,
//! `tool_version`, `checksums` (`on`, `off`), `role` (`primary`, `standby`), `files`, `incremental` (`true` or absent),
//! `databases` (JSON: name to bytes, or null), `tablespaces` (JSON list of [`Tablespace`], absent when there are none),
//! `data_directory_mode` and `checksum_algorithm` of the list of files. The manifest's `wal` is always set.
//!
//! Invariants: nothing is a point whose program did not end well (a bad page leaves whole files and exit code 1), whose tar
//! has no end, whose list of files is not whole, or whose source was another cluster or timeline at its end. A base backup is
//! the state of its *end*, so that is `captured_at`; rows counted meanwhile would be those of another state, so none are.
//! Not here: waiting for the log in the archive (the executor), restoring (`recovery`).

mod backup_manifest;
mod capture;
mod collect;
mod config;
mod digest;
mod failures;
mod label;
mod read_through;
mod source;
mod tar_scan;

pub(super) use capture::begin;
pub(super) use config::{PhysicalTable, check_series};
pub(super) use read_through::read_through;
pub(super) use source::Tablespace;

use crate::api::{PlainObject, ProviderError, Result};
use model::{Disposition, Manifest};

/// Name of the method.
pub(super) const METHOD: &str = "physical";
/// Role of PostgreSQL's list of files.
pub(super) const MANIFEST_ROLE: &str = "backup-manifest";
/// Begin of the role of a tablespace; its oid follows.
const TABLESPACE_ROLE: &str = "tablespace-";

/// The tablespaces that a point was taken with, with their places at the source.
pub(super) fn tablespaces(manifest: &Manifest) -> Result<Vec<Tablespace>> {
    let Some(text) = manifest.source.get("tablespaces") else {
        return Ok(Vec::new());
    };
    serde_json::from_str(text).map_err(|error| {
        damaged("the manifest's list of tablespaces is not readable").source(error)
    })
}

/// The tablespace that an object holds; `None`: it holds none.
pub(super) fn tablespace_of(object: &PlainObject) -> Option<u32> {
    object.role.strip_prefix(TABLESPACE_ROLE)?.parse().ok()
}

fn damaged(message: impl Into<String>) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::damaged",
        Disposition::Permanent,
        message,
    )
    .help("restore from another copy or another recovery point: mainstay list")
}
