//! The continuous archive of a database's log: files in, files out, durable on every tier before anybody is told so.
//!
//! Invariants: a file is created or compared, never overwritten; what cannot be told is an error, never "not there". Works with
//! tiers and keys alone: no catalog, no lease, no waiting for runs, because a server waits for it while its disk fills.
//!
//! Files: `file` what is archived, `cluster` whose log it is, `keys` data keys of folders, `archive` the files on the tiers, `server` what
//! lies beside `pg_wal`, `push` and `fetch` what a server asks for, `spool` what waits,
//! `observe` what is there, `breaks` and `status` what follows from it, `stream` the log that we bring ourselves,
//! `agent`, `client` and `protocol` the long-running mode, `prefetch` what is fetched before it is asked for.
//! Not here: which files retention keeps (the planner), names and positions (`model::wal`).

mod agent;
mod archive;
mod breaks;
mod client;
mod cluster;
mod fetch;
mod file;
pub(crate) mod keys;
mod observe;
mod prefetch;
mod protocol;
mod push;
mod server;
mod spool;
mod status;
mod stream;
mod wait;

pub use agent::WalAgent;
pub(crate) use archive::is_part;
pub use archive::{Put, WalListing, WalObject, WalStore};
pub use breaks::{Break, breaks, record_breaks};
pub use client::ask;
pub use cluster::{KnownCluster, WalClusters};
pub use fetch::{Fetched, cluster_for, fetch};
pub use file::WalFile;
pub use observe::{WalLook, observe_wal};
pub use prefetch::{Prefetched, prefetch, take_prefetched};
pub use protocol::{Answer, AnswerFailure, Request};
pub use push::{Placed, Pushed, push, push_file, send_along};
pub use server::system_identifier_beside;
pub use spool::{Waiting, WalSpool};
pub use status::{
    Concern, Gravity, Newest, ServerStatus, SlotStatus, TierStatus, WAL_STATUS_FORMAT, WalFacts,
    WalStatus, judge, newest_moment,
};
pub use stream::{Tell, WalStream};

/// Every error code that the archive gives.
pub(crate) const CODES: &[&str] = &[
    "mainstay::wal::agent",
    "mainstay::wal::agent-runs",
    "mainstay::wal::cannot-open",
    "mainstay::wal::cluster-file",
    "mainstay::wal::different-content",
    "mainstay::wal::existing-damaged",
    "mainstay::wal::file-name",
    "mainstay::wal::keys",
    "mainstay::wal::keys-lost",
    "mainstay::wal::needs-approval",
    "mainstay::wal::no-answer",
    "mainstay::wal::not-archived",
    "mainstay::wal::not-declared",
    "mainstay::wal::not-this-segment",
    "mainstay::wal::other-cluster",
    "mainstay::wal::spool",
    "mainstay::wal::stream-runs",
    "mainstay::wal::unreadable",
    "mainstay::wal::unwritable",
];
