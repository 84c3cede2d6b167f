//! The contracts. Every engine, tier and key obeys these, and one conformance suite checks them all.
//!
//! Cancellation, everywhere: dropping a future stops the work. Started programs are killed with their whole process
//! group, unfinished objects stay invisible, and whatever may be left behind is removed by `clean_leftovers`.

pub mod engine;
pub mod error;
pub mod key;
pub mod tier;
pub mod wal;

pub use engine::{
    Capture, CaptureObject, CaptureRequest, CaptureSummary, ChainLink, Check, Engine,
    ExistingBackup, Neighbours, PARENT_ROLES, ParentPoint, PlainObject, ReadRequest,
    RestoreRequest, RestoreTarget, Restored, Selection, SourceFacts,
};
pub use error::{ProviderError, Result};
pub use key::{KeyContext, KeyFacts, KeyProvider, KeyState};
pub use tier::{
    Attestation, ControlTag, Expected, NewObject, ObjectClass, ObjectInfo, ObjectKey, ObjectReader,
    ObjectWriter, PlaceInStore, ProbeResult, Protection, Readiness, Tier, TierState,
};
pub use wal::{
    AfterRecovery, ArchiverState, RECENT_SECONDS, Recovery, RecoveryObserver, SlotState, WalFetch,
    WalReceive, WalState,
};
