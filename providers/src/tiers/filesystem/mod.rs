//! `kind = "filesystem"`: a folder on a local disk or a NAS.
//!
//! How it keeps the contract:
//! - *invisible until whole*: objects are written as `.tmp-…` beside their final name, synced, then renamed without
//!   replacing, then every folder up to the root is synced. Names with a leading dot are never listed.
//! - *the right folder*: a marker file in the root. An unmounted NAS is an empty folder without it, so every call that would
//!   create something looks for the marker first, and again before an object becomes visible.
//! - *inside the folder*: paths are walked segment by segment from the root's descriptor, never through symbolic links.
//! - *no full disk*: `min-free` is left free; checked before and while writing.
//!
//! Files: `config` keys, `tier` the calls, `root` walking folders, `marker`, `space`, `control`, `writer`, `reader`, `leftovers`, `errors`.

pub mod config;
mod control;
mod errors;
mod leftovers;
mod list;
mod marker;
mod reader;
mod root;
mod space;
mod tier;
mod writer;

pub use config::FilesystemConfig;
pub use tier::FilesystemTier;

use crate::registry::TierEntry;
use std::sync::Arc;

/// Value of `kind`.
pub const KIND: &str = "filesystem";

/// Beginning of the names of unfinished objects.
const TEMPORARY: &str = ".tmp-";

/// What the registry knows of this kind.
pub(crate) fn entry() -> TierEntry {
    TierEntry {
        kind: KIND,
        schema: schemars::schema_for!(FilesystemConfig).to_value(),
        check: config::check,
        place: config::place,
        on_this_machine: true,
        capabilities: |_, _| FilesystemTier::CAPABILITIES,
        // A folder that is no tier is named by its path.
        build_foreign: |name, table, base| {
            let config = FilesystemConfig::read(table)?;
            Ok(Arc::new(FilesystemTier::new(name.clone(), &config, base)))
        },
        build: |name, table, base| {
            let config = FilesystemConfig::read(table)?;
            Ok(Arc::new(FilesystemTier::new(name.clone(), &config, base)))
        },
    }
}
