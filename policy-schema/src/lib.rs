//! From TOML files to a validated [`Policy`], with all findings at once, each at its bytes.

pub mod policy;
pub mod providers;
pub mod schedule;

pub use policy::Policy;
pub use schedule::Schedule;
