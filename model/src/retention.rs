//! The retention rule of one series on one tier, as data. The verdict is `planner`'s.

use crate::period::Period;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which points a tier keeps; all rules are OR-ed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Keep {
    /// Keep every point, for ever.
    pub forever: bool,
    /// How rules share points.
    pub model: RetentionModel,
    /// Which point represents a period.
    pub pick: Pick,
    /// The rules, finest first. The same period may occur twice: `daily = 7` beside `within-daily = "30d"`.
    pub rules: Vec<KeepRule>,
}

/// One rule of a `keep`; sorts finest first. Fields in alphabetical order: plans are digested (`canonical`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeepRule {
    /// How many …
    pub count: KeepCount,
    /// … units, with one point for each.
    pub each: Each,
}

impl Ord for KeepRule {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.each, self.count).cmp(&(other.each, other.count))
    }
}

impl PartialOrd for KeepRule {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The unit in which a rule counts, finest first. Calendar units are of the policy's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Each {
    /// Every point counts for itself: `last = 3`, `within = "30d"`.
    Point,
    /// Calendar hour.
    Hour,
    /// Calendar day.
    Day,
    /// ISO 8601 week with its ISO year.
    Week,
    /// Calendar month.
    Month,
    /// Calendar quarter.
    Quarter,
    /// Calendar year.
    Year,
}

impl Each {
    /// All, finest first.
    pub const ALL: [Self; 7] = [
        Self::Point,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
    ];
}

/// How many units a rule reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepCount {
    /// The newest `n` units that have a point.
    Count(u32),
    /// Every unit whose point lies inside a window measured back from the newest complete point.
    Window(Period),
    /// Every unit.
    All,
}

/// How the rules of one `keep` share points.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RetentionModel {
    /// A point counts for every rule that it satisfies (as in restic).
    #[default]
    Overlap,
    /// Finest rule first; a point kept by one rule is not counted by the next (as in borg).
    Additive,
}

/// Which point represents a unit.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// The first point of the unit; it stays the representative, so archive tiers see no churn.
    #[default]
    First,
    /// The newest point of the unit.
    Last,
}

impl Keep {
    /// Whether no rule is set, so that nothing would be kept.
    pub fn is_empty(&self) -> bool {
        !self.forever && self.rules.is_empty()
    }
}

impl Each {
    /// The key of the policy language for a count: `last`, `hourly`, …
    pub fn count_key(self) -> &'static str {
        match self {
            Self::Point => "last",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Quarter => "quarterly",
            Self::Year => "yearly",
        }
    }
}

impl fmt::Display for KeepRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.each, self.count) {
            (Each::Point, KeepCount::Window(period)) => write!(f, "within {period}"),
            (each, KeepCount::Count(n)) => write!(f, "{} {n}", each.count_key()),
            (each, KeepCount::Window(period)) => write!(f, "{} within {period}", each.count_key()),
            (each, KeepCount::All) => write!(f, "{} all", each.count_key()),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.rules.iter().map(ToString::to_string).collect();
        if self.forever {
            parts.push("forever".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}
