//! Locks, legal holds and leases on a Ceph gateway, thaws on moto: what a filesystem cannot show.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

pub(crate) use mainstay_executor as executor;

#[path = "../support/mod.rs"]
mod support;

#[path = "../../../providers/tests/support/s3.rs"]
mod s3;

mod archives;
mod locks;
mod world;
