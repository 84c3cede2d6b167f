//! What an earlier policy demanded, read back from its resolved JSON: the policy history keeps that, and not the TOML.
//!
//! Invariants: reading back what `resolved` writes gives the same schedules and rules (a test holds it); keys that an older or a newer
//! version of the language wrote and that nothing here needs are passed over.
//! Not here: providers' tables, which only their providers can read.

use crate::schedule::Schedule;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{
    DatabaseName, Keep, KeyName, Period, SeriesName, TierName, VerifyLevel,
    retention::{Each, KeepCount, KeepRule, Pick, RetentionModel},
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a policy demanded.
#[derive(Debug, Clone)]
pub struct Demands {
    /// Declared databases.
    pub databases: BTreeMap<DatabaseName, DatabaseDemands>,
    /// Verified points that a prune must leave per series and tier.
    pub min_verified: u64,
    /// Declared tiers.
    pub tiers: Vec<TierName>,
    /// Zone of schedules and periods.
    pub zone: TimeZone,
}

/// What was demanded of one database.
#[derive(Debug, Clone)]
pub struct DatabaseDemands {
    /// Keys that everything is encrypted for.
    pub encrypt_with: Vec<KeyName>,
    /// Engine.
    pub engine: String,
    /// How many drills are on schedule.
    pub drills: usize,
    /// Tiers that archive its log, and for how long.
    pub log: BTreeMap<TierName, Period>,
    /// Largest loss (maximum).
    pub rpo: Option<SignedDuration>,
    /// Longest restore (maximum).
    pub rto: Option<SignedDuration>,
    /// Its series.
    pub series: BTreeMap<SeriesName, SeriesDemands>,
}

/// What was demanded of one series.
#[derive(Debug, Clone)]
pub struct SeriesDemands {
    /// Rules, by tier.
    pub keep: BTreeMap<TierName, Keep>,
    /// When it runs.
    pub schedule: Schedule,
    /// A slot that could not start within this is missed.
    pub start_within: Option<SignedDuration>,
    /// Verification of each copy.
    pub verify: VerifyLevel,
}

/// Why a resolved policy cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read `{at}` of an earlier policy")]
pub struct DemandsError {
    /// Path of keys.
    pub at: String,
}

impl Demands {
    /// Reads what [`crate::Policy::canonical_json`] wrote.
    pub fn from_resolved(policy: &Value) -> Result<Self, DemandsError> {
        let at = At::top(policy);
        let zone = at.key("timezone")?;
        let zone = TimeZone::get(zone.text()?).map_err(|_| zone.bad())?;
        let databases = at
            .key("database")?
            .entries()?
            .into_iter()
            .map(|(name, at)| {
                let name = DatabaseName::new(name).map_err(|_| at.bad())?;
                Ok((name, database(&at)?))
            })
            .collect::<Result<_, DemandsError>>()?;
        let tiers = at
            .key("tier")?
            .entries()?
            .into_iter()
            .map(|(name, at)| TierName::new(name).map_err(|_| at.bad()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            databases,
            min_verified: at
                .key("safety")?
                .value
                .get("min-verified")
                .and_then(Value::as_u64)
                .unwrap_or(1),
            tiers,
            zone,
        })
    }
}

fn database(at: &At<'_>) -> Result<DatabaseDemands, DemandsError> {
    let names = |key: &str| match at.maybe(key) {
        Some(list) => serde_json::from_value(list.value.clone()).map_err(|_| list.bad()),
        None => Ok(Vec::new()),
    };
    let objective = |key: &str| -> Result<Option<SignedDuration>, DemandsError> {
        at.maybe("objective")
            .and_then(|objective| objective.maybe(key))
            .map(|target| target.key("maximum")?.length())
            .transpose()
    };
    let series = at
        .key("series")?
        .entries()?
        .into_iter()
        .map(|(name, at)| {
            let name = SeriesName::new(name).map_err(|_| at.bad())?;
            Ok((name, series(&at)?))
        })
        .collect::<Result<_, DemandsError>>()?;
    let log = match at.maybe("wal").and_then(|wal| wal.maybe("keep")) {
        Some(keep) => serde_json::from_value(keep.value.clone()).map_err(|_| keep.bad())?,
        None => BTreeMap::new(),
    };
    Ok(DatabaseDemands {
        drills: at
            .maybe("drill")
            .and_then(|list| list.value.as_array().map(Vec::len))
            .unwrap_or_default(),
        encrypt_with: names("encrypt-with")?,
        engine: at.key("engine")?.text()?.to_owned(),
        log,
        rpo: objective("rpo")?,
        rto: objective("rto")?,
        series,
    })
}

fn series(at: &At<'_>) -> Result<SeriesDemands, DemandsError> {
    let text = at.key("schedule")?;
    let schedule = schedule(text.text()?).ok_or_else(|| text.bad())?;
    let keep = at
        .key("keep")?
        .entries()?
        .into_iter()
        .map(|(tier, at)| {
            let tier = TierName::new(tier).map_err(|_| at.bad())?;
            Ok((tier, keep(&at)?))
        })
        .collect::<Result<_, DemandsError>>()?;
    let verify = at.key("verify")?;
    Ok(SeriesDemands {
        keep,
        schedule,
        start_within: at
            .maybe("window")
            .and_then(|window| window.maybe("start-within"))
            .map(|within| within.length())
            .transpose()?,
        verify: verify.text()?.parse().map_err(|_| verify.bad())?,
    })
}

/// A schedule as it is displayed.
fn schedule(text: &str) -> Option<Schedule> {
    let Some(interval) = text.strip_prefix("every ") else {
        return Schedule::cron(text).ok();
    };
    let (length, anchor) = match interval.split_once(" from ") {
        Some((length, anchor)) => (length, anchor.parse::<Timestamp>().ok()?),
        None => (interval, Timestamp::UNIX_EPOCH),
    };
    Schedule::every(Period::parse(length).ok()?.fixed()?, anchor)
}

/// A `keep` as `resolved` writes it: a key for each rule.
fn keep(at: &At<'_>) -> Result<Keep, DemandsError> {
    let mut keep = Keep::default();
    for (key, at) in at.entries()? {
        match key {
            "forever" => keep.forever = at.value.as_bool().unwrap_or_default(),
            "model" => {
                keep.model = serde_json::from_value::<RetentionModel>(at.value.clone())
                    .map_err(|_| at.bad())?;
            }
            "pick" => {
                keep.pick =
                    serde_json::from_value::<Pick>(at.value.clone()).map_err(|_| at.bad())?;
            }
            "within" => keep.rules.push(KeepRule {
                count: KeepCount::Window(at.period()?),
                each: Each::Point,
            }),
            _ => {
                let (unit, window) = match key.strip_prefix("within-") {
                    Some(unit) => (unit, true),
                    None => (key, false),
                };
                let each = Each::ALL.into_iter().find(|each| each.count_key() == unit);
                let each = each.ok_or_else(|| at.bad())?;
                let count = if window {
                    KeepCount::Window(at.period()?)
                } else if let Some(number) = at.value.as_u64() {
                    KeepCount::Count(u32::try_from(number).map_err(|_| at.bad())?)
                } else if at.value.as_str() == Some("all") {
                    KeepCount::All
                } else {
                    KeepCount::Window(at.period()?)
                };
                keep.rules.push(KeepRule { count, each });
            }
        }
    }
    keep.rules.sort_unstable();
    Ok(keep)
}

/// A value and where it stands.
struct At<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> At<'a> {
    fn top(value: &'a Value) -> Self {
        Self {
            value,
            path: String::new(),
        }
    }

    fn bad(&self) -> DemandsError {
        DemandsError {
            at: self.path.clone(),
        }
    }

    fn below(&self, key: &str, value: &'a Value) -> Self {
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        Self { value, path }
    }

    /// What stands under a key, unless it is not there or null.
    fn maybe(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key)?;
        (!value.is_null()).then(|| self.below(key, value))
    }

    fn key(&self, key: &str) -> Result<Self, DemandsError> {
        self.maybe(key)
            .ok_or_else(|| self.below(key, self.value).bad())
    }

    fn text(&self) -> Result<&'a str, DemandsError> {
        self.value.as_str().ok_or_else(|| self.bad())
    }

    fn period(&self) -> Result<Period, DemandsError> {
        Period::parse(self.text()?).map_err(|_| self.bad())
    }

    fn length(&self) -> Result<SignedDuration, DemandsError> {
        self.period()?.fixed().ok_or_else(|| self.bad())
    }

    fn entries(&self) -> Result<Vec<(&'a str, Self)>, DemandsError> {
        let map: &Map<String, Value> = self.value.as_object().ok_or_else(|| self.bad())?;
        Ok(map
            .iter()
            .map(|(key, value)| (key.as_str(), self.below(key, value)))
            .collect())
    }
}
