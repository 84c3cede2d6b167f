//! Checks that databases must pass beside their objectives, and the exceptions from them.
//!
//! Invariants: an id never changes its meaning; a parameter that its check does not have is a finding; an exception names its
//! owner, its reason and its end. Of several entries for one check the one that names the most labels of a database holds for it,
//! of equals the later. Not here: whether a check is passed (`planner`).

use crate::{
    meaning::{declared_help, read},
    policy::{DatabaseDeclaration, Policy},
    report::{Draft, Report},
    sections::Sections,
    shape::{At, Schema},
    tree::{Node, Place},
    written::{Language, WrittenCheck, WrittenException, WrittenParameters},
};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
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
}

impl CheckId {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Rpo,
        Self::Rto,
        Self::ThreeTwoOneOneZero,
        Self::KeyCustody,
        Self::RestoreTestedWithin,
        Self::Encryption,
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
        }
    }

    /// Whether it is an objective of the database itself.
    pub fn is_objective(self) -> bool {
        matches!(self, Self::Rpo | Self::Rto)
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
    /// An objective: what is asked stands in the database.
    Objective {},
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
        self.checks
            .iter()
            .filter(|check| check.id == id && in_scope(&check.scope, database))
            // Of equals the last.
            .max_by_key(|check| check.scope.len())
            .cloned()
            .unwrap_or_else(|| CheckDeclaration::built_in(id))
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
            within: written.within.unwrap_or(Period {
                days: 35,
                ..Period::default()
            }),
        },
        CheckId::Encryption => CheckRule::Encryption {
            off_site_only: written.off_site_only.unwrap_or(false),
        },
    }
}

/// The parameters that a check has.
fn parameters(id: CheckId) -> &'static [&'static str] {
    match id {
        CheckId::Rpo | CheckId::Rto => &[],
        CheckId::ThreeTwoOneOneZero => &[
            "copies",
            "count-source",
            "media",
            "off-site",
            "immutable",
            "errors",
        ],
        CheckId::KeyCustody => &["recipients"],
        CheckId::RestoreTestedWithin => &["within"],
        CheckId::Encryption => &["off-site-only"],
    }
}

/// Reads `[[check]]`.
pub(crate) fn read_checks(
    report: &mut Report<'_>,
    sections: &Sections,
    language: &Language,
) -> Vec<CheckDeclaration> {
    let mut all: Vec<(CheckDeclaration, Place)> = Vec::new();
    for node in readable(report, &sections.checks) {
        let written: WrittenCheck = read(report, node, Schema::of(&language.check), &[]);
        let Some(id) = written.id else {
            missing(report, node, "check", "id");
            continue;
        };
        let given = written.parameters.unwrap_or_default();
        check_parameters(report, node, id);
        let check = CheckDeclaration {
            id,
            severity: written.severity.unwrap_or(CheckSeverity::Error),
            scope: written.scope.unwrap_or_default(),
            rule: rule(id, &given),
            enabled: written.enabled.unwrap_or(true),
        };
        let place = node.get("id").map_or(node.place, |node| node.place);
        let same = |other: &&(CheckDeclaration, Place)| {
            (other.0.id, &other.0.scope) == (check.id, &check.scope)
        };
        if let Some((_, first)) = all.iter().find(same) {
            let draft = Draft::error(
                "policy::declared-twice",
                format!("check `{id}` is declared twice for the same scope"),
            )
            .at(place, "declared again here")
            .at(*first, "first declared here")
            .help("give one of them another `scope`, or join them");
            report.add(draft);
            continue;
        }
        all.push((check, place));
    }
    all.into_iter().map(|(check, _)| check).collect()
}

/// A parameter of another check would be read by nobody.
fn check_parameters(report: &mut Report<'_>, node: &Node, id: CheckId) {
    let written = node.get("parameters").and_then(|node| node.table());
    for entry in written.into_iter().flat_map(|table| &table.entries) {
        if report.wrong.contains(&entry.key_place) || parameters(id).contains(&entry.key.as_str()) {
            continue;
        }
        let help = match parameters(id) {
            [] => "it has none; what is promised stands in `objective` of the database".to_owned(),
            own => format!("it has: {}", own.join(", ")),
        };
        let draft = Draft::error(
            "policy::no-effect",
            format!("check `{id}` has no parameter `{}`", entry.key),
        )
        .at(entry.key_place, "a parameter of another check")
        .help(help);
        report.add(draft);
    }
}

/// Reads `[[exception]]`.
pub(crate) fn read_exceptions(
    report: &mut Report<'_>,
    sections: &Sections,
    language: &Language,
    zone: &TimeZone,
) -> Vec<ExceptionDeclaration> {
    let mut all = Vec::new();
    for node in readable(report, &sections.exceptions) {
        let before = report.len();
        let written: WrittenException = read(report, node, Schema::of(&language.exception), &[]);
        for (key, there) in [
            ("check", written.check.is_some()),
            ("owner", written.owner.is_some()),
            ("why", written.why.is_some()),
            ("until", written.until.is_some()),
            (
                "database",
                written.database.is_some() || written.scope.is_some(),
            ),
        ] {
            if !there {
                missing(report, node, "exception", key);
            }
        }
        if let (Some(scope), Some(_)) = (node.get("scope"), node.get("database")) {
            let draft = Draft::error(
                "policy::no-effect",
                "an exception names a database, so its `scope` has no effect",
            )
            .at(scope.place, "not looked at")
            .help("write one of `database` and `scope`");
            report.add(draft);
        }
        let database = written
            .database
            .and_then(|name| declared(report, node, &name, sections));
        let until = written
            .until
            // What the parser could not read is empty, and was reported.
            .filter(|text| !text.is_empty())
            .and_then(|text| read_until(report, node, &text, zone));
        if report.len() > before {
            continue;
        }
        if let (Some(check), Some(owner), Some(why), Some(until)) =
            (written.check, written.owner, written.why, until)
        {
            all.push(ExceptionDeclaration {
                check,
                database,
                scope: written.scope.unwrap_or_default(),
                owner,
                why,
                until,
            });
        }
    }
    all
}

fn declared(
    report: &mut Report<'_>,
    node: &Node,
    name: &str,
    sections: &Sections,
) -> Option<DatabaseName> {
    if !sections.databases.contains_key(name) {
        let place = node.get("database").map_or(node.place, |node| node.place);
        let draft = Draft::error(
            "policy::undeclared-database",
            format!("database `{name}` is not declared"),
        )
        .at(place, "no [database.…] of this name")
        .help(declared_help(name, &sections.databases, "databases"));
        report.add(draft);
        return None;
    }
    DatabaseName::new(name).ok()
}

/// A day holds to its end; an instant is an instant.
fn read_until(
    report: &mut Report<'_>,
    node: &Node,
    text: &str,
    zone: &TimeZone,
) -> Option<Timestamp> {
    let day = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    let until = match day {
        Some(day) => day
            .checked_add(1.day())
            .and_then(|next| next.to_zoned(zone.clone()))
            .map(|zoned| zoned.timestamp())
            .ok(),
        None => text.parse().ok(),
    };
    if until.is_none() {
        let place = node.get("until").map_or(node.place, |node| node.place);
        let draft = Draft::error("policy::bad-until", format!("`{text}` is no day"))
            .at(place, "neither a day nor an instant")
            .help("write the last day, as in `until = 2027-01-31`");
        report.add(draft);
    }
    until
}

/// Entries that were not rejected.
fn readable<'a>(report: &Report<'_>, entries: &'a [std::sync::Arc<Node>]) -> Vec<&'a Node> {
    entries
        .iter()
        .map(AsRef::as_ref)
        .filter(|node| node.table().is_some() && !report.wrong.contains(&node.place))
        .collect()
}

fn missing(report: &mut Report<'_>, node: &Node, section: &str, key: &str) {
    // What was written wrongly was reported there.
    if !node.holds_any(&report.wrong) || node.get(key).is_none() {
        crate::shape::missing(report, node, At::top(section), key);
    }
}
