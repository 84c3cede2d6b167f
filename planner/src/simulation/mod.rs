//! A policy run forward, added up: how many points and bytes lie on each tier on each day, and what that costs.
//!
//! Everything is counted at the midnights of the policy's time zone, from what `forecast` says. Costs are storage by the day, early
//! deletions (what a storage class bills although it is gone), the requests that storing takes, and reading back what is verified.
//! An unknown size or price stays unknown: it is never taken for nothing.
//!
//! Not here: pictures and tables (root package).

mod cost;
mod days;
mod part;
pub mod prices;

pub use cost::{Cost, MonthCost};
pub use days::Days;
pub use prices::{Price, PriceFinding, PriceSource, Prices};

use crate::forecast::{Scenario, forecast_fold};
use cost::Costing;
use jiff::{Timestamp, civil::Date};
use model::{DatabaseName, Inventory, SeriesName, TierName, tier_facts::TierCapabilities};
use part::Part;
use policy_schema::Policy;
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

#[cfg(test)]
mod tests;
