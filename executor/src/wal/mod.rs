//! The continuous archive of a database's log: files in, files out, durable on every tier before anybody is told so.
//!
//! Invariants: a file is created or compared, never overwritten; what cannot be told is an error, never "not there". Works with
//! tiers and keys alone: no catalog, no lease, no waiting for runs, because a server waits for it while its disk fills.
//!
//! Files: `file` what is archived, `cluster` whose log it is, `keys` data keys of folders, `archive` the files on the tiers, `server` what
//! lies beside `pg_wal`, `push` and `fetch` what a server asks for.
//! Not here: which files retention keeps (the planner), names and positions (`model::wal`).

mod archive;
mod cluster;
mod fetch;
mod file;
mod keys;
mod observe;
mod push;
mod server;

pub(crate) use archive::is_part;
pub use archive::{Put, WalListing, WalObject, WalStore};
pub use cluster::{KnownCluster, WalClusters};
pub use fetch::{Fetched, cluster_for, fetch};
pub use file::WalFile;
pub use observe::{WalLook, observe_wal};
pub use push::{Pushed, push};
pub use server::system_identifier_beside;

/// Every error code that the archive gives.
pub(crate) const CODES: &[&str] = &[
    "mainstay::wal::cannot-open",
    "mainstay::wal::cluster-file",
    "mainstay::wal::different-content",
    "mainstay::wal::existing-damaged",
    "mainstay::wal::file-name",
    "mainstay::wal::keys",
    "mainstay::wal::keys-lost",
    "mainstay::wal::no-answer",
    "mainstay::wal::not-declared",
    "mainstay::wal::not-this-segment",
    "mainstay::wal::other-cluster",
    "mainstay::wal::unreadable",
    "mainstay::wal::unwritable",
];
