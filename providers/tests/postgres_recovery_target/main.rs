//! Where a recovered cluster goes: a data directory appears whole or not at all, and nothing that exists is lost on the way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start servers and programs of their own"
)]

#[path = "../support"]
mod support {
    pub mod cluster;
    pub mod points;
    pub mod postgres;
}

mod directory;
mod killed;
mod past;
mod scratch;
