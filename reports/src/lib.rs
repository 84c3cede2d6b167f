//! Documents for people: recovery logs, lists of proofs and runbooks, from records and templates, in Markdown and HTML.
//!
//! Invariants: the verdict stands first; every field of what is reported stands in the document; everything is escaped; an HTML
//! page needs nothing beside itself. The same facts give the same bytes: no clock, no environment.
//! Not here: gathering the facts (`catalog`, `executor`, the root package), printing and writing files (the root package).

mod disasters;
mod format;
mod proofs;
mod recovery_log;
mod runbook;
#[cfg(test)]
mod tests;
mod words;

pub use format::{Format, ReportError};
pub use proofs::proofs;
pub use recovery_log::recovery_log;
pub use runbook::{
    ClusterFacts, Copies, Disaster, EngineFacts, KeyNeeded, LogArchive, Measured, RunbookFacts,
    Step, Window, runbook,
};
