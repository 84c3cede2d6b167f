//! Kinds of tiers: one folder each, with the same file names. Known to the outside through `registry` only.

pub mod filesystem;
pub mod s3;
