//! Approvals with signatures and policies under Git, through the real program, with `ssh-keygen` and `git`: nothing that needs approval
//! is deleted without those who may, whatever somebody writes into the policy or pushes to the branch.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::format_push_string,
    clippy::unused_self,
    reason = "a failure of a helper is the test's failure"
)]

#[path = "../support/mod.rs"]
mod support;

mod approvals;
mod attacks;
mod follow;
mod requests;
mod site;
