//! `kind = "s3"`: a bucket of Amazon S3, or of another store that speaks its protocol.
//!
//! How it keeps the contract:
//! - *invisible until whole*: one `PutObject`, or a multipart upload whose completion makes it visible; a dropped writer
//!   aborts its upload, and `clean_leftovers` those of crashed ones.
//! - *never overwritten*: conditional writes (`If-None-Match: *`). Stores without are refused, unless the policy declares the
//!   place `exclusive`; then, and at completions that a store does not compare, a look comes right before.
//! - *what is demanded is read back*: class, encryption, lock, size and checksum after every write. What a store ignored is an
//!   error, and the object is removed.
//! - *an answer that was lost*: every object carries the random token of its writer, so that a repeated request that finds the
//!   key taken can tell its own object from a stranger's.
//! - *the right bucket*: a marker object, which also keeps what the probe found when the tier was made.
//! - *deletes name versions*: a delete marker is no delete.
//!
//! Files: `config` keys, `check` findings, `tier` the calls, `client` the connection, `put` single writes, `writer` streams,
//! `upload` and `parts` of large ones, `read_back`, `reader`, `list`, `delete`, `leftovers`, `marker`, `control`, `archive`, `locks`,
//! `attest`, `server_side` copies, `probe`, `errors`.

mod archive;
mod attest;
mod check;
mod checksum;
mod client;
pub mod config;
mod control;
mod delete;
mod errors;
mod leftovers;
mod list;
mod locks;
mod marker;
mod parts;
mod probe;
mod put;
mod read_back;
mod reader;
mod server_side;
mod sums;
#[cfg(test)]
mod tests;
mod tier;
mod upload;
mod writer;

pub use config::S3Config;
pub use tier::S3Tier;

use crate::registry::TierEntry;
use model::tier_facts::Capabilities;
use std::sync::Arc;

/// Value of `kind`.
pub const KIND: &str = "s3";

/// What the registry knows of this kind.
pub(crate) fn entry() -> TierEntry {
    TierEntry {
        kind: KIND,
        schema: schemars::schema_for!(S3Config).to_value(),
        check: |table, _| check::check(table),
        place: |table, _| config::place(table),
        on_this_machine: false,
        capabilities: |table, _| {
            S3Config::read(table).map_or(Capabilities::PLAIN, |config| config.capabilities())
        },
        build_foreign: |name, table, base| {
            let config = S3Config::read(table)?;
            Ok(Arc::new(S3Tier::foreign(name.clone(), config, base)))
        },
        build: |name, table, base| {
            let config = S3Config::read(table)?;
            Ok(Arc::new(S3Tier::new(name.clone(), config, base)))
        },
    }
}
