//! The facts in the order in which they are asked: which policy was in force when, which copies lived from when to when.

use crate::retention::{Dated, calendar::Moment};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{
    DatabaseName, RecoveryPointId, SeriesName, TierName,
    evidence::{CopyFact, EvidenceFacts, HoldFact, PolicyFact},
};
use policy_schema::{DatabaseDemands, Demands, SeriesDemands};
use std::collections::BTreeMap;

/// A series on a tier.
pub(super) type Place = (DatabaseName, SeriesName, TierName);

/// A policy that can be asked.
pub(super) struct InForce<'a> {
    pub(super) fact: &'a PolicyFact,
    /// `None`: it cannot be read back.
    pub(super) demands: Option<Demands>,
}

/// A copy from its completion to its deletion.
pub(super) struct Life<'a> {
    pub(super) copy: &'a CopyFact,
    pub(super) from: Timestamp,
    pub(super) until: Option<Timestamp>,
    pub(super) moment: Moment,
}

impl Life<'_> {
    /// Whether it was there then.
    pub(super) fn is_alive(&self, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| until > at)
    }
}

/// The facts in order.
pub(super) struct Standing<'a> {
    pub(super) facts: &'a EvidenceFacts,
    pub(super) policies: Vec<InForce<'a>>,
    pub(super) lives: BTreeMap<Place, Vec<Life<'a>>>,
    holds: BTreeMap<&'a RecoveryPointId, Vec<&'a HoldFact>>,
    checks: BTreeMap<(&'a RecoveryPointId, &'a TierName), Vec<(Timestamp, bool)>>,
}

impl<'a> Standing<'a> {
    pub(super) fn new(facts: &'a EvidenceFacts) -> Self {
        let policies: Vec<InForce<'a>> = facts
            .policies
            .iter()
            .map(|fact| InForce {
                fact,
                demands: Demands::from_resolved(&fact.policy).ok(),
            })
            .collect();
        let zone = policies
            .last()
            .and_then(|policy| policy.demands.as_ref())
            .map_or(TimeZone::UTC, |demands| demands.zone.clone());
        let mut lives: BTreeMap<Place, Vec<Life<'a>>> = BTreeMap::new();
        for copy in &facts.copies {
            let Some(place) = place(copy) else { continue };
            lives.entry(place).or_default().push(Life {
                copy,
                // A copy whose completion nobody remembers is taken for as old as it can be.
                from: copy.stored_at.unwrap_or(copy.slot),
                until: copy.deletion().map(|deletion| deletion.at),
                moment: Moment::new(copy.slot, &zone),
            });
        }
        let mut holds: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for hold in &facts.holds {
            holds
                .entry(&hold.recovery_point)
                .or_insert_with(Vec::new)
                .push(hold);
        }
        let mut checks: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for check in &facts.verifications {
            checks
                .entry((&check.recovery_point, &check.tier))
                .or_insert_with(Vec::new)
                .push((check.at, check.passed));
        }
        Self {
            facts,
            policies,
            lives,
            holds,
            checks,
        }
    }

    /// The policy that was in force then.
    pub(super) fn policy_at(&self, at: Timestamp) -> Option<&InForce<'a>> {
        self.policies
            .iter()
            .rev()
            .find(|policy| policy.fact.since <= at)
    }

    /// What the policy in force at the end of the period demands.
    pub(super) fn now(&self) -> Option<&Demands> {
        self.policy_at(self.facts.until)
            .and_then(|policy| policy.demands.as_ref())
    }

    /// The declared databases at the end of the period.
    pub(super) fn databases(
        &self,
    ) -> impl Iterator<Item = (&DatabaseName, &DatabaseDemands, &Demands)> {
        self.now().into_iter().flat_map(|demands| {
            demands
                .databases
                .iter()
                .map(move |(name, database)| (name, database, demands))
        })
    }

    /// The series on their tiers that are declared at the end of the period.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, &SeriesDemands)> {
        self.databases().flat_map(|(database, demands, _)| {
            demands.series.iter().flat_map(move |(name, series)| {
                series
                    .keep
                    .keys()
                    .map(move |tier| ((database.clone(), name.clone(), tier.clone()), series))
            })
        })
    }

    /// The holds on a point that forbade its deletion then.
    pub(super) fn hold_at(&self, point: &RecoveryPointId, at: Timestamp) -> Option<&'a HoldFact> {
        self.holds
            .get(point)?
            .iter()
            .find(|hold| hold.is_active(at))
            .copied()
    }

    /// Whether a copy counted as verified then: it had passed a check, and not failed one since.
    pub(super) fn was_verified(&self, copy: &CopyFact, at: Timestamp) -> bool {
        let by_history = self
            .checks
            .get(&(&copy.recovery_point, &copy.tier))
            .and_then(|checks| checks.iter().rev().find(|(when, _)| *when <= at))
            .map(|(_, passed)| *passed);
        by_history.unwrap_or_else(|| copy.verified.is_some_and(|verified| verified.at <= at))
    }

    /// A copy as retention looks at it.
    pub(super) fn dated(&self, life: &Life<'_>, at: Timestamp) -> Dated {
        Dated {
            moment: life.moment,
            // A hold keeps its point beside all rules; it is asked apart.
            held: false,
            verified: self.was_verified(life.copy, at),
        }
    }

    /// Present copies of a database.
    pub(super) fn present(&self, database: &DatabaseName) -> impl Iterator<Item = &'a CopyFact> {
        self.facts.copies.iter().filter(move |copy| {
            copy.recovery_point.database() == database.as_str() && copy.is_present()
        })
    }

    /// Copies of a database that can be relied upon: verified, and on a tier that could be observed.
    pub(super) fn good(&self, database: &DatabaseName) -> impl Iterator<Item = &'a CopyFact> {
        let unreachable = &self.facts.unreachable_tiers;
        self.present(database)
            .filter(move |copy| copy.is_good() && !unreachable.contains(&copy.tier))
    }

    /// How long before the end of the period.
    pub(super) fn age(&self, at: Timestamp) -> SignedDuration {
        self.facts
            .until
            .duration_since(at)
            .max(SignedDuration::ZERO)
    }
}

/// Where a copy belongs.
fn place(copy: &CopyFact) -> Option<Place> {
    Some((
        DatabaseName::new(copy.recovery_point.database()).ok()?,
        SeriesName::new(copy.recovery_point.series()).ok()?,
        copy.tier.clone(),
    ))
}

/// `orders/daily@nas`.
pub(super) fn place_words((database, series, tier): &Place) -> String {
    format!("{database}/{series}@{tier}")
}
