//! The audit beside the catalog: its entries on every tier, closed by signed checkpoints, and whether all of it agrees.
//!
//! An export is one object, created once and never replaced: entries of the chain, one a line, and a signed checkpoint as the last
//! line (`docs/formats/audit.md`). Whoever rewrites the catalog would have to rewrite every tier too, with the key.
//! Not here: the chain itself (`model::audit`), appending to it (`catalog`), words for people (the root package).

mod error;
mod export;
mod object;
mod signing;
mod tier_check;
mod tier_flaw;
mod verify;

pub use error::AuditError;
pub use export::{ExportReport, Exporter, write_all};
pub use signing::SigningKey;
pub use tier_check::TierCheck;
pub use tier_flaw::TierFlaw;
pub use verify::{AuditCheck, CatalogCheck, VerifyAudit, verify_audit};

pub(crate) use object::{FOLDER, is_part};
pub(crate) use verify::earlier_chains;
