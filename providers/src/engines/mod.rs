//! Engines: one folder each, with the same file names. Known to the outside through `registry` only.

pub mod barman;
mod compression_level;
pub mod files;
mod phases;
pub mod postgres;
pub mod sqlite;
