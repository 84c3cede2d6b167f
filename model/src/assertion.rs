//! A person's own check of a restored database: one SQL statement, one value, what it must be.

use crate::period::Period;
use serde::{Deserialize, Serialize};

/// A SQL check: the statement gives one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// The statement.
    pub sql: String,
    /// What its value must be.
    pub expect: Expect,
}

/// What the value of an assertion must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// A number not below this.
    AtLeast(i64),
    /// Exactly this, compared as text.
    Equals(String),
    /// A time not older than this before the point's capture.
    NewerThan(Period),
}
