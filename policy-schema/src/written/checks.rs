//! Checks and exceptions as they are written.
//!
//! Not here: which parameters belong to which check, which databases are meant (`checks`).

use crate::policy::{CheckId, CheckSeverity};
use model::Period;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A check that databases must pass, beside their objectives.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenCheck {
    /// Which check.
    pub(crate) id: Option<CheckId>,
    /// What a failure means. Default `error`.
    pub(crate) severity: Option<CheckSeverity>,
    /// Labels that a database must have for this entry to count. Default: all databases.
    pub(crate) scope: Option<BTreeMap<String, String>>,
    /// What is asked.
    pub(crate) parameters: Option<WrittenParameters>,
    /// Whether it is asked at all. Default true.
    pub(crate) enabled: Option<bool>,
}

/// What a check asks; each check has some of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenParameters {
    /// `3-2-1-1-0`: copies of the newest state, the database itself included. Default 3.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) copies: Option<u32>,
    /// `3-2-1-1-0`: whether the database itself counts as one of the copies, on a medium of its own. Default true.
    pub(crate) count_source: Option<bool>,
    /// `3-2-1-1-0`: different media. Default 2.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) media: Option<u32>,
    /// `3-2-1-1-0`: copies elsewhere. Default 1.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) off_site: Option<u32>,
    /// `3-2-1-1-0`: copies that the storage refuses to delete. Default 1.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) immutable: Option<u32>,
    /// `3-2-1-1-0`: copies that may be damaged, gone or not verified. Default 0.
    pub(crate) errors: Option<u32>,
    /// `key-custody`: keys that each alone open the data. Default 2.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) recipients: Option<u32>,
    /// `restore-tested-within`: how long ago the last good restore or drill may be. Default 35d.
    pub(crate) within: Option<Period>,
    /// `encryption`: whether only what lies off-site must be encrypted. Default false.
    pub(crate) off_site_only: Option<bool>,
    /// `minimum-frequency`: how far apart recovery points may be. Default 1d.
    pub(crate) every: Option<Period>,
    /// `minimum-retention`: how long something must be kept. Default 35d.
    pub(crate) keep_for: Option<Period>,
    /// `newest-within`: how old the newest good recovery point may be. Default 1d.
    pub(crate) age: Option<Period>,
    /// `minimum-lock`: how long after its point was made a copy must be impossible to delete. Default: any lock will do.
    pub(crate) lock_for: Option<Period>,
}

/// A check that somebody lets a database fail for a while.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenException {
    /// Which check.
    pub(crate) check: Option<CheckId>,
    /// The database; or else `scope`.
    pub(crate) database: Option<String>,
    /// Labels of the databases that are meant.
    pub(crate) scope: Option<BTreeMap<String, String>>,
    /// Who answers for it.
    #[schemars(length(min = 1))]
    pub(crate) owner: Option<String>,
    /// Why.
    #[schemars(length(min = 1))]
    pub(crate) why: Option<String>,
    /// The last day (or the instant) of it.
    #[schemars(extend("format" = "date", "examples" = ["2027-01-31"]))]
    pub(crate) until: Option<String>,
}
