//! Planning without any database, through the real program: the same bytes each time, ids that anyone can check, retention
//! that agrees with restic's, and what people see of a plan.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

#[path = "../support/mod.rs"]
mod support;

mod inventories;
mod place;
mod retention;
mod saved;
mod shown;
