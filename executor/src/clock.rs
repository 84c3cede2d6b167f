//! The clock as an argument: the root package owns the only real one.

use jiff::Timestamp;
use std::fmt;

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The instant of the call.
    fn now(&self) -> Timestamp;
}
