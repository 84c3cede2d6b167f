//! What the controls ask of each database: the default, or what a check of the policy asks instead, and which of them it was.
//!
//! Invariants: the entry that holds for a database is the one that `mainstay prove` takes ([`Policy::declared_check`]); an entry that is switched off leaves
//! the default in its place, because a control ends by an exception with an owner, never by silence. Not here: verdicts (`coverage`, `copies`, `recovery`).

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{
    DatabaseName, Keep, Period,
    evidence::{AskedParameters, Parameters},
    retention::{Each, KeepCount},
};
use policy_schema::{
    Policy, Schedule,
    policy::{CheckId, CheckRule, DatabaseDeclaration},
};
use std::fmt;

/// What the controls ask under a policy.
pub fn parameters(policy: &Policy) -> Parameters {
    let databases = policy.databases.values();
    Parameters {
        asked: databases
            .map(|database| (database.name.clone(), asked_of(policy, database)))
            .filter(|(_, asked)| *asked != AskedParameters::default())
            .collect(),
        ..Parameters::default()
    }
}

fn asked_of(policy: &Policy, database: &DatabaseDeclaration) -> AskedParameters {
    let mut asked = AskedParameters::default();
    let declared = CheckId::ALL.map(|id| policy.declared_check(id, database));
    for check in declared.into_iter().flatten().filter(|check| check.enabled) {
        let seconds = |period: Period| Some(period.approximate().as_secs());
        match check.rule {
            CheckRule::Frequency { every } => asked.frequency_seconds = seconds(every),
            CheckRule::Lock { lock_for } => asked.lock_seconds = Some(at_least(lock_for)),
            CheckRule::Newest { age } => asked.last_point_seconds = seconds(age),
            CheckRule::RestoreTested { within } => asked.drill_seconds = seconds(within),
            CheckRule::Retention { keep_for } => asked.retention_seconds = Some(at_least(keep_for)),
            CheckRule::Copies { .. }
            | CheckRule::KeyCustody { .. }
            | CheckRule::Encryption { .. }
            | CheckRule::Objective {} => {}
        }
    }
    asked
}

/// Seconds of a minimum, as rules are counted: twelve months of thirty days are no less than `monthly = 12` keeps.
pub(crate) fn at_least(period: Period) -> i64 {
    let days =
        i64::from(period.days) + 30 * i64::from(period.months) + 365 * i64::from(period.years);
    let rest = i64::try_from(period.seconds).unwrap_or(i64::MAX);
    rest.saturating_add(days * 86_400)
}

/// Where a parameter comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Default,
    Rpo,
    Check(CheckId),
}

/// A parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) length: SignedDuration,
    pub(super) source: Source,
}

impl Asked {
    /// What the check asks of a database, else the default.
    pub(super) fn new(parameters: &Parameters, database: &DatabaseName, id: CheckId) -> Self {
        let hours = |hours: u32| i64::from(hours) * 3600;
        let of = parameters.asked.get(database).copied().unwrap_or_default();
        let (asked, default) = match id {
            CheckId::MinimumFrequency => (of.frequency_seconds, hours(parameters.frequency_hours)),
            CheckId::MinimumRetention => {
                (of.retention_seconds, hours(parameters.retention_days) * 24)
            }
            CheckId::NewestWithin => (of.last_point_seconds, hours(parameters.last_point_hours)),
            CheckId::RestoreTestedWithin => (of.drill_seconds, hours(parameters.drill_days) * 24),
            CheckId::MinimumLock => (of.lock_seconds, 0),
            CheckId::Rpo
            | CheckId::Rto
            | CheckId::ThreeTwoOneOneZero
            | CheckId::KeyCustody
            | CheckId::Encryption => (None, 0),
        };
        Self {
            length: SignedDuration::from_secs(asked.unwrap_or(default)),
            source: asked.map_or(Source::Default, |_| Source::Check(id)),
        }
    }

    /// The stricter of it and the RPO.
    pub(super) fn or_rpo(self, rpo: Option<SignedDuration>) -> Self {
        match rpo {
            Some(rpo) if rpo < self.length => Self::rpo(rpo),
            _ => self,
        }
    }

    pub(super) fn rpo(rpo: SignedDuration) -> Self {
        Self {
            length: rpo,
            source: Source::Rpo,
        }
    }

    /// The number that tells programs whether the policy has set it.
    pub(super) fn by_policy(self) -> (&'static str, i64) {
        ("asked-by-policy", i64::from(self.source != Source::Default))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::Rpo => f.write_str("its RPO"),
            Self::Check(id) => write!(f, "check {id} of the policy"),
        }
    }
}

/// For how many hours a rule keeps something, by its longest part; rough where months have no fixed length.
pub(crate) fn kept_hours(keep: &Keep, schedule: &Schedule, at: Timestamp, zone: &TimeZone) -> i64 {
    if keep.forever {
        return i64::MAX;
    }
    let gap = schedule.largest_gap(at, zone).as_hours();
    keep.rules
        .iter()
        .map(|rule| {
            let unit_hours = match rule.each {
                Each::Point => gap,
                Each::Hour => 1,
                Each::Day => 24,
                Each::Week => 7 * 24,
                Each::Month => 30 * 24,
                Each::Quarter => 91 * 24,
                Each::Year => 365 * 24,
            };
            match rule.count {
                KeepCount::All => i64::MAX,
                KeepCount::Window(period) => period.approximate().as_hours(),
                // Of units that the schedule does not fill each one is as long as the gap.
                KeepCount::Count(count) => i64::from(count) * unit_hours.max(gap),
            }
        })
        .max()
        .unwrap_or(0)
}
