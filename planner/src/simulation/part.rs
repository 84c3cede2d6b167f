//! What one thread adds up, and how parts become a whole.

use super::{Cost, DatabaseUse, Days, SeriesUse, TierUse, cost::Costing};
use crate::forecast::{DatabaseForecast, End, Life, Scenario};
use model::{DatabaseName, TierName};
use policy_schema::{Policy, policy::DatabaseDeclaration};
use std::collections::{BTreeMap, BTreeSet};

/// What one thread has added up.
pub(super) struct Part {
    pub(super) databases: BTreeMap<DatabaseName, DatabaseUse>,
    pub(super) tiers: BTreeMap<TierName, TierUse>,
    pub(super) costs: BTreeMap<TierName, Vec<Cost>>,
    /// Bytes of the largest newest point.
    pub(super) largest: BTreeMap<TierName, u64>,
    pub(super) unsized_series: Vec<String>,
}

impl Part {
    pub(super) fn new(policy: &Policy, days: &Days, costing: &Costing) -> Self {
        let each = policy
            .databases
            .values()
            .flat_map(|database| database.series.values());
        let named: BTreeSet<&TierName> = each
            .flat_map(|series| series.keep.iter().map(|(tier, _)| tier))
            .collect();
        let empty = TierUse {
            points: vec![0; days.len()],
            bytes: vec![0; days.len()],
            restore_once: None,
        };
        let named = || named.iter().map(|name| (*name).clone());
        Self {
            databases: BTreeMap::new(),
            tiers: named().map(|name| (name, empty.clone())).collect(),
            costs: named().map(|name| (name, costing.nothing())).collect(),
            largest: BTreeMap::new(),
            unsized_series: Vec::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        database: &DatabaseDeclaration,
        forecast: DatabaseForecast,
        scenario: &Scenario,
        days: &Days,
        costing: &Costing,
    ) {
        let missed = forecast.missed.iter().map(|missed| u64::from(missed.count));
        let mut mine = DatabaseUse {
            missed_slots: missed.sum(),
            ..DatabaseUse::default()
        };
        for (series, tiers) in forecast.series {
            let mut has_size = true;
            let uses = mine.series.entry(series.clone()).or_default();
            for (tier, lives) in tiers {
                has_size &= lives.iter().all(|life| life.bytes.0 > 0);
                let (usage, cost) = self.add_tier(&tier, &lives, scenario, days, costing);
                mine.cost += cost;
                uses.insert(tier, usage);
            }
            if !has_size {
                self.unsized_series
                    .push(format!("{}/{series}", database.name));
            }
        }
        self.databases.insert(database.name.clone(), mine);
    }

    /// Adds one series on one tier; what it is, and what it costs.
    fn add_tier(
        &mut self,
        tier: &TierName,
        lives: &[Life],
        scenario: &Scenario,
        days: &Days,
        costing: &Costing,
    ) -> (SeriesUse, f64) {
        let (mut points, mut bytes) = (days.counter(), days.counter());
        let mut usage = SeriesUse::default();
        let mut sum = 0.0;
        let cost = self.costs.entry(tier.clone());
        let cost = cost.or_insert_with(|| costing.nothing());
        for life in lives {
            let range = days.range(life.from, life.until);
            points.add(&range, 1);
            bytes.add(&range, life.bytes.0.cast_signed());
            sum += costing.count_life(tier, life, days, cost);
            usage.made += u64::from(life.from >= scenario.from);
            usage.pruned += u64::from(life.end == Some(End::Pruned));
            usage.lost += u64::from(life.end == Some(End::Lost));
            if life.until.is_none() && life.from <= scenario.until {
                usage.at_end.push(life.slot);
            }
        }
        let (points, bytes) = (points.totals(), bytes.totals());
        let most = points.iter().copied().max().unwrap_or(0);
        usage.most = u32::try_from(most).unwrap_or(0);
        sum += costing.count_storage(tier, &bytes, cost);
        if let Some(newest) = lives.last() {
            let largest = self.largest.entry(tier.clone()).or_default();
            *largest = (*largest).max(newest.bytes.0);
        }
        if let Some(tier) = self.tiers.get_mut(tier) {
            for (sum, more) in tier.points.iter_mut().zip(points) {
                *sum += u32::try_from(more).unwrap_or(0);
            }
            for (sum, more) in tier.bytes.iter_mut().zip(bytes) {
                *sum = sum.saturating_add(more.unsigned_abs());
            }
        }
        (usage, sum)
    }

    pub(super) fn join(&mut self, other: Self) {
        self.databases.extend(other.databases);
        for (name, tier) in other.tiers {
            let mine = self.tiers.entry(name).or_default();
            for (sum, more) in mine.points.iter_mut().zip(tier.points) {
                *sum += more;
            }
            for (sum, more) in mine.bytes.iter_mut().zip(tier.bytes) {
                *sum = sum.saturating_add(more);
            }
        }
        for (name, costs) in other.costs {
            let mine = self
                .costs
                .entry(name)
                .or_insert_with(|| vec![Cost::default(); costs.len()]);
            for (sum, more) in mine.iter_mut().zip(costs) {
                *sum += more;
            }
        }
        for (name, bytes) in other.largest {
            let mine = self.largest.entry(name).or_default();
            *mine = (*mine).max(bytes);
        }
        self.unsized_series.extend(other.unsized_series);
    }
}
