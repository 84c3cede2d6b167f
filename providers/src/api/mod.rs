//! The contracts. Every engine and every tier obeys these, and one conformance suite checks them all.
//!
//! Cancellation, everywhere: dropping a future stops the work. Started programs are killed with their whole process
//! group, unfinished objects stay invisible, and whatever may be left behind is removed by `clean_leftovers`.

pub mod engine;
pub mod error;
pub mod tier;

pub use engine::{
    Capture, CaptureObject, CaptureRequest, CaptureSummary, Check, Engine, PlainObject,
    ReadRequest, RestoreRequest, RestoreTarget, Restored, Selection, SourceFacts,
};
pub use error::{ProviderError, Result};
pub use tier::{ObjectInfo, ObjectKey, ObjectReader, ObjectWriter, Tier, TierState};
