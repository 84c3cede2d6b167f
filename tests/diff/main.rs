//! Reviewing a change of the policy through the real program, with real Git repositories: what would be destroyed is said first and is
//! the same everywhere, and nothing that loses something passes by mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

#[path = "../support/mod.rs"]
mod support;

mod effects;
mod explain;
mod place;
mod sides;
