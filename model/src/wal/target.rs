//! How far a recovery goes.

use super::lsn::Lsn;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a recovery stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum RecoveryTarget {
    /// As soon as it is consistent.
    Immediate,
    /// At the end of what is archived.
    Latest,
    /// After the last commit at or before this time.
    Time(Timestamp),
    /// After the commit of this transaction.
    Transaction(u64),
    /// At the restore point of this name (`pg_create_restore_point`).
    Name(String),
    /// At this position.
    Position(Lsn),
}

/// Which timeline a recovery follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimelineChoice {
    /// The newest that the archive knows.
    #[default]
    Latest,
    /// That of the base backup.
    Current,
    /// This one.
    Number(u32),
}

impl RecoveryTarget {
    /// Whether a person or a drill chose this moment: then its age says nothing of what could have been lost.
    pub fn is_chosen(&self) -> bool {
        match self {
            Self::Immediate | Self::Latest => false,
            Self::Time(_) | Self::Transaction(_) | Self::Name(_) | Self::Position(_) => true,
        }
    }
}

impl fmt::Display for RecoveryTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Immediate => f.write_str("as soon as it is consistent"),
            Self::Latest => f.write_str("the latest that is archived"),
            Self::Time(at) => write!(f, "time {at}"),
            Self::Transaction(xid) => write!(f, "transaction {xid}"),
            Self::Name(name) => write!(f, "restore point `{name}`"),
            Self::Position(lsn) => write!(f, "position {lsn}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_moment_that_somebody_named_is_a_choice() {
        assert!(RecoveryTarget::Time(Timestamp::UNIX_EPOCH).is_chosen());
        assert!(RecoveryTarget::Name("before".to_owned()).is_chosen());
        assert!(!RecoveryTarget::Latest.is_chosen());
        assert!(!RecoveryTarget::Immediate.is_chosen());
    }
}
