//! Wrappers around tiers and engines, one idea each, so that all kinds behave alike.

#[cfg(feature = "faults")]
pub mod faults;
#[cfg(feature = "faults")]
mod faulty_engine;
#[cfg(feature = "faults")]
mod faulty_tier;
pub mod flipped_tier;
pub mod layered;
pub mod read_only;
pub mod throttle;
pub mod wrong_rows;

#[cfg(feature = "faults")]
pub use faults::{Faults, When};
#[cfg(feature = "faults")]
pub use faulty_engine::FaultyEngine;
#[cfg(feature = "faults")]
pub use faulty_tier::FaultyTier;
pub use flipped_tier::FlippedTier;
pub use layered::{Call, Layer, LayeredTier};
pub use read_only::ReadOnlyTier;
pub use throttle::ThrottledTier;
pub use wrong_rows::{PlantedRow, WrongRowsEngine};
