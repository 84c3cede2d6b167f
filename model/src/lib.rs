//! The nouns of Mainstay: plain data, no IO, no clock.
//!
//! Every other crate speaks in these types. Words follow `docs/glossary.md`.
//! Not here: how a policy is read (`policy-schema`), what is decided (`planner`), how anything is done (`providers`, `executor`).

pub mod approval;
pub mod assertion;
pub mod audit;
pub mod bandwidth;
pub mod canonical;
pub mod disposition;
pub mod event;
pub mod evidence;
pub mod finding;
pub mod inventory;
pub mod key_ring;
pub mod level;
pub mod manifest;
pub mod names;
pub mod period;
pub mod plan;
pub mod policy_source;
pub mod reason;
pub mod recovery_point_id;
pub mod recovery_record;
pub mod retention;
pub mod secret;
pub mod step;
pub mod tier_facts;
pub mod units;
pub mod wal;

pub use approval::{ApprovalRules, DeletionLimits};
pub use assertion::{Assertion, Expect};
pub use bandwidth::{Bandwidth, BandwidthWindow};
pub use disposition::Disposition;
pub use finding::{Finding, Label, Severity, TableFinding};
pub use inventory::{Copy, CopyState, Inventory, PointState, RecoveryPoint, Verified};
pub use jiff::Timestamp;
pub use key_ring::{KeyRing, WrappedKey};
pub use level::VerifyLevel;
pub use manifest::{Encryption, Expectations, Manifest, StoredObject};
pub use names::{DatabaseName, KeyName, MethodName, SeriesName, TierName};
pub use period::Period;
pub use plan::Plan;
pub use policy_source::PolicySource;
pub use reason::{Reason, ReasonCode};
pub use recovery_point_id::RecoveryPointId;
pub use recovery_record::RecoveryRecord;
pub use retention::Keep;
pub use secret::{Secret, SecretRef};
pub use step::{Action, Step, StepId};
pub use tier_facts::{Capabilities, LockMode, LockOrder, LockRule, RetrievalSpeed, ThawOrder};
pub use units::{ByteCount, Digest};
pub use wal::{Lsn, RecoveryTarget, TimelineChoice, WalArchive, WalFileName, WalSpan};
