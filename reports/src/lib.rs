//! Documents for people: recovery logs, lists of proofs, runbooks, and the reports on retention and compliance, from records and templates, in Markdown and HTML.
//!
//! Invariants: the verdict stands first; every field of what is reported stands in the document; everything is escaped; an HTML
//! page needs nothing beside itself. The same facts give the same bytes: no clock, no environment.
//! Not here: gathering the facts (`catalog`, `executor`, the root package), printing and writing files (the root package).

mod charts;
mod compliance;
mod disasters;
mod document;
mod format;
mod head;
mod kept;
mod objectives;
mod oscal;
mod proofs;
mod protection;
mod recovery_log;
mod retention;
mod runbook;
mod table;
#[cfg(test)]
mod tests;
mod words;

pub use compliance::compliance;
pub use document::{Document, OwnTemplates, templates};
pub use format::{Format, ReportError};
pub use oscal::oscal;
pub use proofs::proofs;
pub use recovery_log::recovery_log;
pub use retention::{RETENTION_CONTROLS, retention};
pub use runbook::{
    ClusterFacts, Copies, Disaster, EngineFacts, KeyNeeded, LogArchive, Measured, RunbookFacts,
    Step, Window, runbook,
};
pub use table::Table;
