//! Checks that databases must pass beside their objectives, and the exceptions from them.
//!
//! Invariants: an id never changes its meaning; a parameter that its check does not have is a finding; an exception names its
//! owner, its reason and its end. Of several entries for one check the one that names the most labels of a database holds for it,
//! of equals the later. Not here: reading them (`reading`), whether a check is passed (`planner`).

mod reading;

pub(crate) use reading::{misplaced_parameter, read_checks, read_exceptions};

use crate::{
    policy::{DatabaseDeclaration, Policy},
    written::WrittenParameters,
};
use jiff::Timestamp;
use model::{DatabaseName, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The stable name of something that can be proved of a database.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CheckId {
    /// The largest loss that is promised.
    Rpo,
    /// The longest restore that is promised.
    Rto,
    /// Three copies on two media, one elsewhere, one that cannot be deleted, no errors.
    #[serde(rename = "3-2-1-1-0")]
    ThreeTwoOneOneZero,
    /// More than one key opens the data, and none of them is in danger.
    KeyCustody,
    /// A restore or a drill ended well lately.
    RestoreTestedWithin,
    /// What is stored is encrypted.
    Encryption,
    /// Recovery points are made often enough.
    MinimumFrequency,
    /// Something is kept long enough.
    MinimumRetention,
    /// The newest good recovery point is young enough.
    NewestWithin,
    /// A copy cannot be deleted for long enough.
    MinimumLock,
}

impl CheckId {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Rpo,
        Self::Rto,
        Self::ThreeTwoOneOneZero,
        Self::KeyCustody,
        Self::RestoreTestedWithin,
        Self::Encryption,
        Self::MinimumFrequency,
        Self::MinimumRetention,
        Self::NewestWithin,
        Self::MinimumLock,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rpo => "rpo",
            Self::Rto => "rto",
            Self::ThreeTwoOneOneZero => "3-2-1-1-0",
            Self::KeyCustody => "key-custody",
            Self::RestoreTestedWithin => "restore-tested-within",
            Self::Encryption => "encryption",
            Self::MinimumFrequency => "minimum-frequency",
            Self::MinimumRetention => "minimum-retention",
            Self::NewestWithin => "newest-within",
            Self::MinimumLock => "minimum-lock",
        }
    }

    /// Whether it is an objective of the database itself.
    pub fn is_objective(self) -> bool {
        matches!(self, Self::Rpo | Self::Rto)
    }

    /// Whether it sets the parameter of a control of the compliance report. Those have a default there, so a check that nobody declares asks nothing more.
    pub fn sets_control(self) -> bool {
        matches!(
            self,
            Self::MinimumFrequency
                | Self::MinimumRetention
                | Self::NewestWithin
                | Self::MinimumLock
        )
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a failed check means, worst first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CheckSeverity {
    /// Who asks for a proof gets none.
    Error,
    /// It is told.
    Warning,
    /// It is told to those who look.
    Info,
}

/// A check with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CheckRule {
    /// `3-2-1-1-0`.
    #[serde(rename_all = "kebab-case")]
    Copies {
        /// Copies of the newest state.
        copies: u32,
        /// Whether the database itself counts as one of them, on a medium of its own.
        count_source: bool,
        /// Different media.
        media: u32,
        /// Copies elsewhere.
        off_site: u32,
        /// Copies that the storage refuses to delete.
        immutable: u32,
        /// Copies that may be damaged, gone or not verified.
        errors: u32,
    },
    /// `key-custody`.
    #[serde(rename_all = "kebab-case")]
    KeyCustody {
        /// Keys that each alone open the data.
        recipients: u32,
    },
    /// `restore-tested-within`.
    #[serde(rename_all = "kebab-case")]
    RestoreTested {
        /// How long ago the last good restore or drill may be.
        within: Period,
    },
    /// `encryption`.
    #[serde(rename_all = "kebab-case")]
    Encryption {
        /// Whether only what lies off-site must be encrypted.
        off_site_only: bool,
    },
    /// `minimum-frequency`.
    #[serde(rename_all = "kebab-case")]
    Frequency {
        /// How far apart recovery points may be.
        every: Period,
    },
    /// `minimum-retention`.
    #[serde(rename_all = "kebab-case")]
    Retention {
        /// How long something must be kept.
        keep_for: Period,
    },
    /// `newest-within`.
    #[serde(rename_all = "kebab-case")]
    Newest {
        /// How old the newest good recovery point may be.
        age: Period,
    },
    /// `minimum-lock`.
    #[serde(rename_all = "kebab-case")]
    Lock {
        /// How long after its point was made a copy must be impossible to delete.
        lock_for: Period,
    },
    /// An objective: what is asked stands in the database.
    Objective {},
}

impl CheckRule {
    /// Whether it asks less than another of the same check, in anything.
    pub fn asks_less_than(&self, other: &Self) -> bool {
        let shorter = |a: Period, b: Period| a.approximate() < b.approximate();
        match (*self, *other) {
            (
                Self::Copies {
                    copies,
                    count_source,
                    media,
                    off_site,
                    immutable,
                    errors,
                },
                Self::Copies {
                    copies: copies_before,
                    count_source: source_before,
                    media: media_before,
                    off_site: off_site_before,
                    immutable: immutable_before,
                    errors: errors_before,
                },
            ) => {
                (count_source && !source_before)
                    || errors > errors_before
                    || [
                        (copies, copies_before),
                        (media, media_before),
                        (off_site, off_site_before),
                        (immutable, immutable_before),
                    ]
                    .iter()
                    .any(|(now, before)| now < before)
            }
            (Self::KeyCustody { recipients: now }, Self::KeyCustody { recipients: before }) => {
                now < before
            }
            (
                Self::Encryption { off_site_only: now },
                Self::Encryption {
                    off_site_only: before,
                },
            ) => now && !before,
            (Self::RestoreTested { within: now }, Self::RestoreTested { within: before })
            | (Self::Frequency { every: now }, Self::Frequency { every: before })
            | (Self::Newest { age: now }, Self::Newest { age: before }) => shorter(before, now),
            (Self::Retention { keep_for: now }, Self::Retention { keep_for: before })
            | (Self::Lock { lock_for: now }, Self::Lock { lock_for: before }) => {
                shorter(now, before)
            }
            _ => false,
        }
    }
}

/// `[[check]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckDeclaration {
    /// Which.
    pub id: CheckId,
    /// What a failure means.
    pub severity: CheckSeverity,
    /// Labels that a database must have for this entry to count.
    pub scope: BTreeMap<String, String>,
    /// What is asked.
    pub rule: CheckRule,
    /// Whether it is asked at all.
    pub enabled: bool,
}

/// `[[exception]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionDeclaration {
    /// Which check.
    pub check: CheckId,
    /// The database; `None`: those in the scope.
    pub database: Option<DatabaseName>,
    /// Labels of the databases that are meant.
    pub scope: BTreeMap<String, String>,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub why: String,
    /// The first instant at which it holds no more.
    pub until: Timestamp,
}

impl CheckDeclaration {
    /// The check as it is when no policy declares it: an objective must hold, the rest is only told.
    pub fn built_in(id: CheckId) -> Self {
        Self {
            id,
            severity: if id.is_objective() {
                CheckSeverity::Error
            } else {
                CheckSeverity::Info
            },
            scope: BTreeMap::new(),
            rule: rule(id, &WrittenParameters::default()),
            enabled: true,
        }
    }
}

impl Policy {
    /// The check as it holds for a database.
    pub fn check_of(&self, id: CheckId, database: &DatabaseDeclaration) -> CheckDeclaration {
        self.declared_check(id, database)
            .cloned()
            .unwrap_or_else(|| CheckDeclaration::built_in(id))
    }

    /// The entry that holds for a database, if any does.
    pub fn declared_check(
        &self,
        id: CheckId,
        database: &DatabaseDeclaration,
    ) -> Option<&CheckDeclaration> {
        self.checks
            .iter()
            .filter(|check| check.id == id && in_scope(&check.scope, database))
            // Of equals the last.
            .max_by_key(|check| check.scope.len())
    }

    /// The exceptions that were made for a check of a database, whether they still hold or not.
    pub fn exceptions_of<'a>(
        &'a self,
        id: CheckId,
        database: &'a DatabaseDeclaration,
    ) -> impl Iterator<Item = &'a ExceptionDeclaration> {
        self.exceptions.iter().filter(move |one| {
            one.check == id
                && match &one.database {
                    Some(name) => *name == database.name,
                    None => in_scope(&one.scope, database),
                }
        })
    }
}

fn in_scope(scope: &BTreeMap<String, String>, database: &DatabaseDeclaration) -> bool {
    scope
        .iter()
        .all(|(label, value)| database.labels.get(label) == Some(value))
}

fn rule(id: CheckId, written: &WrittenParameters) -> CheckRule {
    match id {
        CheckId::Rpo | CheckId::Rto => CheckRule::Objective {},
        CheckId::ThreeTwoOneOneZero => CheckRule::Copies {
            copies: written.copies.unwrap_or(3),
            count_source: written.count_source.unwrap_or(true),
            media: written.media.unwrap_or(2),
            off_site: written.off_site.unwrap_or(1),
            immutable: written.immutable.unwrap_or(1),
            errors: written.errors.unwrap_or(0),
        },
        CheckId::KeyCustody => CheckRule::KeyCustody {
            recipients: written.recipients.unwrap_or(2),
        },
        CheckId::RestoreTestedWithin => CheckRule::RestoreTested {
            // A drill a month, and some days for somebody to mend it.
            within: written.within.unwrap_or(days(35)),
        },
        CheckId::Encryption => CheckRule::Encryption {
            off_site_only: written.off_site_only.unwrap_or(false),
        },
        // The defaults of the controls that they set.
        CheckId::MinimumFrequency => CheckRule::Frequency {
            every: written.every.unwrap_or(days(1)),
        },
        CheckId::MinimumRetention => CheckRule::Retention {
            keep_for: written.keep_for.unwrap_or(days(35)),
        },
        CheckId::NewestWithin => CheckRule::Newest {
            age: written.age.unwrap_or(days(1)),
        },
        CheckId::MinimumLock => CheckRule::Lock {
            lock_for: written.lock_for.unwrap_or_default(),
        },
    }
}

fn days(days: u32) -> Period {
    Period {
        days,
        ..Period::default()
    }
}
