//! A policy run forward, added up: how many points and bytes lie on each tier on each day, and what that costs.
//!
//! Everything is counted at the midnights of the policy's time zone, from what `forecast` says. Costs are storage by the day, early
//! deletions (what a storage class bills although it is gone), the requests that storing takes, and reading back what is verified.
//! An unknown size or price stays unknown: it is never taken for nothing.
//!
//! Not here: pictures and tables (root package).

mod cost;
mod days;
pub mod prices;

pub use cost::{Cost, MonthCost};
pub use days::Days;
pub use prices::{Price, PriceFinding, PriceSource, Prices};

use crate::forecast::{DatabaseForecast, End, Scenario, forecast_fold};
use cost::Costing;
use jiff::{Timestamp, civil::Date};
use model::{DatabaseName, Inventory, SeriesName, TierName, tier_facts::TierCapabilities};
use policy_schema::{Policy, policy::DatabaseDeclaration};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Value of [`Simulation::format`].
pub const FORMAT: &str = "mainstay.simulation.v1";

/// A policy run forward.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulation {
    /// [`FORMAT`].
    pub format: &'static str,
    /// Beginning.
    pub from: Timestamp,
    /// End.
    pub until: Timestamp,
    /// Time zone of days and months.
    pub timezone: String,
    /// What the prices are.
    pub prices: PriceSource,
    /// By database.
    pub databases: BTreeMap<DatabaseName, DatabaseUse>,
    /// By tier, over all databases.
    pub tiers: BTreeMap<TierName, TierUse>,
    /// First day of `tiers`; each day's numbers are those at the midnight that ends it.
    pub first_day: Date,
    /// Costs by month.
    pub months: Vec<MonthCost>,
    /// Tiers without a price; no sum holds what they cost.
    pub tiers_without_price: Vec<TierName>,
    /// Series without a size: nothing exists to measure, and none was declared. No sum holds their bytes.
    pub series_without_size: Vec<String>,
}

/// One database.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct DatabaseUse {
    /// By series and tier.
    pub series: BTreeMap<SeriesName, BTreeMap<TierName, SeriesUse>>,
    /// Slots that get no point.
    pub missed_slots: u64,
    /// What it costs over the whole time; nothing of tiers without a price.
    pub cost: f64,
}

/// One series on one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct SeriesUse {
    /// Slots of the points that are there at the end.
    pub at_end: Vec<Timestamp>,
    /// Copies made.
    pub made: u64,
    /// Copies that retention let go.
    pub pruned: u64,
    /// Copies lost with their tier.
    pub lost: u64,
    /// The most points there were at a midnight.
    pub most: u32,
}

/// One tier, at each midnight.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct TierUse {
    /// Points.
    pub points: Vec<u32>,
    /// Stored bytes.
    pub bytes: Vec<u64>,
    /// What restoring the largest of the newest points of all series once would cost; `None`: not known.
    pub restore_once: Option<f64>,
}

/// Runs a policy forward and adds up. `only` names the databases; empty: all.
pub fn simulate(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    scenario: &Scenario,
    prices: &Prices,
    only: &BTreeSet<DatabaseName>,
) -> Simulation {
    let chosen;
    let policy = if only.is_empty() {
        policy
    } else {
        let mut smaller = policy.clone();
        smaller.databases.retain(|name, _| only.contains(name));
        chosen = smaller;
        &chosen
    };
    let days = Days::new(scenario.from, scenario.until, &policy.timezone);
    let costing = Costing::new(policy, capabilities, prices, &days);
    let parts = forecast_fold(
        policy,
        inventory,
        capabilities,
        scenario,
        || Part::new(policy, &days, &costing),
        |part, database, forecast| part.add(database, forecast, scenario, &days, &costing),
    );
    let mut whole = Part::new(policy, &days, &costing);
    for part in parts {
        whole.join(part);
    }
    let tiers = whole.tiers.into_iter().map(|(name, mut tier)| {
        tier.restore_once = costing.restore(&name, whole.largest.get(&name).copied().unwrap_or(0));
        (name, tier)
    });
    Simulation {
        format: FORMAT,
        from: scenario.from,
        until: scenario.until,
        timezone: policy.timezone_name.clone(),
        prices: prices.source.clone(),
        databases: whole.databases,
        tiers: tiers.collect(),
        first_day: days.first(),
        months: costing.months(&whole.costs),
        tiers_without_price: costing.without_price(),
        series_without_size: whole.unsized_series,
    }
}

/// What one thread has added up.
struct Part {
    databases: BTreeMap<DatabaseName, DatabaseUse>,
    tiers: BTreeMap<TierName, TierUse>,
    costs: BTreeMap<TierName, Vec<Cost>>,
    /// Bytes of the largest newest point.
    largest: BTreeMap<TierName, u64>,
    unsized_series: Vec<String>,
}

impl Part {
    fn new(policy: &Policy, days: &Days, costing: &Costing) -> Self {
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

    fn add(
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
                let mut points = days.counter();
                let mut bytes = days.counter();
                let mut usage = SeriesUse::default();
                let cost = self
                    .costs
                    .entry(tier.clone())
                    .or_insert_with(|| costing.nothing());
                for life in &lives {
                    let range = days.range(life.from, life.until);
                    points.add(&range, 1);
                    bytes.add(&range, i128::from(life.bytes.0));
                    mine.cost += costing.count_life(&tier, life, days, cost);
                    usage.made += u64::from(life.from >= scenario.from);
                    usage.pruned += u64::from(life.end == Some(End::Pruned));
                    usage.lost += u64::from(life.end == Some(End::Lost));
                    if life.until.is_none() && life.from <= scenario.until {
                        usage.at_end.push(life.slot);
                    }
                    has_size &= life.bytes.0 > 0;
                }
                if let Some(newest) = lives.last() {
                    let largest = self.largest.entry(tier.clone()).or_default();
                    *largest = (*largest).max(newest.bytes.0);
                }
                let (points, bytes) = (points.totals(), bytes.totals());
                usage.most = points
                    .iter()
                    .copied()
                    .max()
                    .and_then(|most| u32::try_from(most).ok())
                    .unwrap_or(0);
                mine.cost += costing.count_storage(&tier, &bytes, days, cost);
                if let Some(tier) = self.tiers.get_mut(&tier) {
                    for (sum, more) in tier.points.iter_mut().zip(points) {
                        *sum += u32::try_from(more).unwrap_or(0);
                    }
                    for (sum, more) in tier.bytes.iter_mut().zip(bytes) {
                        *sum = sum.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
                    }
                }
                uses.insert(tier, usage);
            }
            if !has_size {
                self.unsized_series
                    .push(format!("{}/{series}", database.name));
            }
        }
        self.databases.insert(database.name.clone(), mine);
    }

    fn join(&mut self, other: Self) {
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

#[cfg(test)]
mod tests;
