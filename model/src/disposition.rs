//! Whether an error is worth another try: data on the error, so that nobody matches on its words.

use serde::{Deserialize, Serialize};

/// What the executor may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// Passing trouble (network, server starting, lock): the same call may succeed later.
    Retry,
    /// The same call will fail again; nothing an operator sets up outside the data would change that.
    Permanent,
    /// Needs a person: a missing program, a wrong password, a full disk, an unmounted folder.
    NeedsOperator,
}
