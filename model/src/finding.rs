//! A mistake in a policy: what, where (file and bytes), how to mend it.
//!
//! Findings are collected, never thrown one by one; rendering them is the root package's work.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{ops::Range, path::PathBuf};

/// How bad a finding is: both end with exit 4 under `--strict`, otherwise only errors do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// The policy can be used, but probably not as meant.
    Warning,
}

/// A place in a policy file with a few words about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The file, as it was given or found.
    pub file: PathBuf,
    /// Bytes in that file.
    pub bytes: Range<usize>,
    /// What is there.
    pub text: String,
}

/// One mistake. `code` is `policy::<name>` and has a page in `docs/errors/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable code, such as `policy::unknown-key`; never reused for another meaning.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, a lower-case fragment with names in backticks.
    pub message: String,
    /// What to do, one sentence.
    pub help: Option<String>,
    /// Where, the primary place first; empty only when no file can be named.
    pub labels: Vec<Label>,
}

/// A finding of a provider about its own table: the place is a path of keys, which `policy-schema` turns into bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFinding {
    /// Stable code, such as `sqlite::path-missing`.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// Keys from the top of the provider's table; empty means the table itself.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}
