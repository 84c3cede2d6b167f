//! Base backups of real servers: what is captured starts again, what is damaged is found, what was cut never becomes a point.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start servers and programs of their own"
)]

#[path = "../support"]
mod support {
    pub mod points;
    pub mod postgres;
}

mod captured;
mod cluster;
mod cut;
mod incremental;
mod refused;
