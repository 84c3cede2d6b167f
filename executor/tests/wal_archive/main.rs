//! The archive of a log on its tiers: created or compared, never overwritten; whose log it is; keys; what waits for a tier.

#![allow(
    clippy::disallowed_methods,
    reason = "that somebody takes a folder away is what is tested"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

pub(crate) use mainstay_executor as executor;

#[path = "../support/mod.rs"]
mod support;

mod files;
mod keys;
mod reading;
mod spool;
mod world;
