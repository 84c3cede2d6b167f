//! Which moments follow from base backups and archived log: windows, holes, and the way to a moment.
//!
//! Pure: (bases, one log) → answer. The log is one tier's, or all tiers' together ([`super::WalArchive::together`]).
//! Invariants: what is called whole is whole, segment by segment; a moment is never promised that the log's *positions* do not
//! prove (what its records hold is for a reader of records to say: [`Proof`]).
//! Not here: reading log, judging how fresh it is, or what a policy promises.

mod base;
mod path;
mod renewal;
mod route;
#[cfg(test)]
mod tests;
mod windows;

pub use base::{Base, bases};
pub use path::{LogPath, MissingSegments};
pub use renewal::{Renewal, renewal};
pub use route::{Proof, Route, Unreachable, WalPiece, routes};
pub use windows::{Coverage, Hole, Unusable, Window, coverage};
