//! How other tools decide what they keep: one pure model each, and the comparison with what a policy keeps over years.
//!
//! A model follows its tool's source, which its file names, quirks included. `compare` lets schedule, tool and policy run side by side and tells after every backup which
//! points only one of the two keeps. The policy's side is the `forecast`, never a second reading of our own rules.
//!
//! Invariant: a model looks only at the backups that the tool still has; what it let go once does not come back.
//! Not here: reading the tools' files, and choosing the `keep` that comes nearest (root package, `import`).

pub mod barman;
pub mod borg;
mod calendar;
pub mod compare;
pub mod pgbackrest;
pub mod restic;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

/// One backup of the other tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backup {
    /// The state that it holds.
    pub at: Timestamp,
    /// What it depends on.
    pub kind: Kind,
}

/// What a backup depends on; tools without dependencies make `Full` ones only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// On nothing.
    Full,
    /// On the last full one.
    Differential,
    /// On the one before, whatever that is.
    Incremental,
}

/// How many units a rule of restic or borg keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// So many; 0: the rule is off.
    Of(u32),
    /// Every one (-1, `unlimited`).
    Unlimited,
}

impl Count {
    /// Whether the rule is set at all.
    pub fn is_set(self) -> bool {
        self != Self::Of(0)
    }
}

/// The retention of one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// Nothing is ever deleted.
    Everything,
    /// restic's.
    Restic(restic::Rules),
    /// borg's.
    Borg(borg::Rules),
    /// pgBackRest's, of one repository.
    PgBackRest(pgbackrest::Rules),
    /// Barman's, of one server.
    Barman(barman::Rules),
}

impl Rules {
    /// Which of `backups` (oldest first) stay when the tool tidies up at `now`: the name of a rule that keeps each, `None` for what goes.
    pub fn judge(
        &self,
        backups: &[Backup],
        now: Timestamp,
        zone: &TimeZone,
    ) -> Vec<Option<&'static str>> {
        match self {
            Self::Everything => vec![Some("everything is kept"); backups.len()],
            Self::Restic(rules) => rules.judge(backups, now, zone),
            Self::Borg(rules) => rules.judge(backups, now, zone),
            Self::PgBackRest(rules) => rules.judge(backups, now),
            Self::Barman(rules) => rules.judge(backups, now),
        }
    }
}
