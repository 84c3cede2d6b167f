//! What is remembered between runs: recovery points, copies, verifications, holds, runs, measurements, restores and drills, policies, the lease, the audit.
//!
//! One [`Catalog`] over SQLite (a local file, the default) or PostgreSQL (teams). The tables are described in
//! `docs/formats/catalog.md`.
//!
//! What every method of [`Catalog`] promises, unless its own words say otherwise:
//! - it is one transaction: done entirely and durably when it returns `Ok`, else not at all;
//! - after an error of [`model::Disposition::Retry`] the outcome may be unknown (the answer was lost), and a repeat with the same
//!   arguments is safe: it changes nothing that the first call had done;
//! - dropping its future rolls back, unless the commit had already been sent; then it is as if the answer was lost;
//! - methods that take a [`Lease`] fail with [`CatalogError::LeaseLost`], changing nothing, when the lease is no longer the current one;
//! - times are kept in whole microseconds.
//!
//! Invariants: a point has a manifest and is complete; what is only begun stands in `unfinished`. Every statement is one
//! text for both databases, with parameters, never with values written into it.
//! Not here: looking at tiers (`executor`), deciding anything (`planner`), the clock (times are arguments).

mod approval_reset;
mod approvals;
mod audit;
mod catalog;
mod connection;
mod copies;
mod error;
mod evidence;
mod holds;
mod identity;
mod inventory;
mod lease;
mod location;
mod measurements;
mod points;
mod policies;
mod policy_change;
mod rebuild;
mod recoveries;
mod retention;
mod runs;
mod schema;
mod tiers;
mod unfinished;
mod verifications;

pub use approvals::PlanSignature;
pub use audit::{AuditDetails, AuditEntry, AuditExport, AuditHead, AuditKind, ChainedEntry};
pub use catalog::{CallHook, Catalog};
pub use error::CatalogError;
pub use evidence::{HoldRecord, SealedPoint};
pub use holds::Hold;
pub use lease::{Lease, LeaseState};
pub use measurements::Measurement;
pub use policies::PolicyInForce;
pub use rebuild::{FoundCopy, Rebuilt};
pub use retention::Retention;
pub use runs::{NewRun, Run};
pub use unfinished::{CopyIntent, Unfinished};
pub use verifications::Verification;
