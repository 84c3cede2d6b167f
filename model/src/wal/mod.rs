//! The write-ahead log, as data: positions in it, names of its files, what of it is archived, and which moments follow from that.
//!
//! The words are PostgreSQL's (<https://www.postgresql.org/docs/current/wal-internals.html>). Not here: reading or writing any of it.

mod archive;
pub mod coverage;
mod file_name;
mod header;
mod history;
mod lsn;
pub mod records;
mod span;
mod target;

pub(crate) use span::decimal;

pub use archive::{ArchivedHistory, WalArchive, WalPartial, WalRun, WalSource, WalTier};
pub use file_name::{WalFileName, WalFolder, WalNameError};
pub use header::{HEADER_BYTES, SegmentHeader, SegmentHeaderError};
pub use history::{TimelineHistory, TimelineSwitch};
pub use lsn::{DEFAULT_SEGMENT_BYTES, Lsn, LsnError, SegmentNumber};
pub use span::WalSpan;
pub use target::{RecoveryTarget, TimelineChoice};
