//! Engines, tiers and keys: the IO of Mainstay behind three contracts.
//!
//! Read [`api`] first. A new engine or tier is one folder with the same file names as its siblings and one line in
//! [`registry`]. Not here: what to do when (`planner`), in which order and how often (`executor`).

pub mod adopt;
pub mod api;
pub mod aws;
pub mod engines;
pub mod keys;
pub mod process;
pub mod registry;
pub mod seal;
pub mod secrets;
pub mod stream;
mod temporary;
pub mod tiers;
pub mod wrappers;
