//! Engines: one folder each, with the same file names. Known to the outside through `registry` only.

mod compression_level;
pub mod barman;
pub mod files;
pub mod postgres;
pub mod sqlite;
