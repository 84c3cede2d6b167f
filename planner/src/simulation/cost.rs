//! What a month costs: storage by the day, early deletions, the requests of storing, and reading back to verify.
//!
//! Assumptions, which `docs/simulate.md` names: a copy is stored as one object in parts of 64 MiB and a few small ones beside it; a copy that can be read at once is
//! read back whole when it is verified; what is deleted before the minimum of its storage class is billed until then, in the month of the deletion.

use super::{Days, Price, Prices};
use crate::forecast::{End, Life};
use model::{
    TierName,
    tier_facts::{RetrievalSpeed, TierCapabilities},
};
use policy_schema::Policy;
use serde::Serialize;
use std::{collections::BTreeMap, ops::AddAssign};

const GIB: f64 = 1_073_741_824.0;
const PART_BYTES: u64 = 64 << 20;
/// Beside the data: `keys.json`, the manifest, and beginning and completing an upload in parts.
const SMALL_REQUESTS: f64 = 4.0;
const DAYS_OF_A_MONTH: f64 = 365.25 / 12.0;

/// What something costs, in the currency of the prices.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Cost {
    /// Storage by the day.
    pub storage: f64,
    /// Storage billed for what was deleted early.
    pub early_deletion: f64,
    /// Requests of storing.
    pub requests: f64,
    /// Reading back to verify.
    pub verification: f64,
}

/// One month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonthCost {
    /// `2026-11`.
    pub month: String,
    /// By tier; tiers without a price are not among them.
    pub tiers: BTreeMap<TierName, Cost>,
    /// Of all of them.
    pub total: f64,
}

impl Cost {
    /// Everything together.
    pub fn total(&self) -> f64 {
        self.storage + self.early_deletion + self.requests + self.verification
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.storage += other.storage;
        self.early_deletion += other.early_deletion;
        self.requests += other.requests;
        self.verification += other.verification;
    }
}

/// Prices and rules of every tier of a policy.
pub(super) struct Costing {
    tiers: BTreeMap<TierName, Rule>,
    /// Number of the month of each day, and how many months there are.
    month_of: Vec<usize>,
    days_in: Vec<f64>,
    names: Vec<String>,
}

struct Rule {
    price: Option<Price>,
    minimum_days: f64,
    thaw: Option<RetrievalSpeed>,
}

impl Costing {
    pub(super) fn new(
        policy: &Policy,
        capabilities: &TierCapabilities,
        prices: &Prices,
        days: &Days,
    ) -> Self {
        let tiers = policy.tiers.values().map(|tier| {
            let can = capabilities
                .get(&tier.name)
                .copied()
                .unwrap_or(tier.capabilities);
            let rule = Rule {
                price: prices.of(tier),
                minimum_days: f64::from(can.minimum_storage_days),
                thaw: can.thaw.map(|thaw| thaw.speed),
            };
            (tier.name.clone(), rule)
        });
        let mut names: Vec<String> = Vec::new();
        let mut days_in = Vec::new();
        let mut month_of = Vec::with_capacity(days.len());
        for number in 0..days.len() {
            let date = days.date(number);
            let name = date.strftime("%Y-%m").to_string();
            if names.last() != Some(&name) {
                names.push(name);
                days_in.push(f64::from(date.days_in_month()));
            }
            month_of.push(names.len() - 1);
        }
        Self {
            tiers: tiers.collect(),
            month_of,
            days_in,
            names,
        }
    }

    pub(super) fn nothing(&self) -> Vec<Cost> {
        vec![Cost::default(); self.names.len()]
    }

    fn rule(&self, tier: &TierName) -> Option<(&Rule, &Price)> {
        let rule = self.tiers.get(tier)?;
        Some((rule, rule.price.as_ref()?))
    }

    /// Requests, verification and early deletion of one copy; the sum.
    pub(super) fn count_life(
        &self,
        tier: &TierName,
        life: &Life,
        days: &Days,
        months: &mut [Cost],
    ) -> f64 {
        let Some((rule, price)) = self.rule(tier) else {
            return 0.0;
        };
        let gib = as_gib(life.bytes.0);
        let mut sum = 0.0;
        if life.point.is_none() {
            let month = &mut months[self.month_of[days.number(life.from)]];
            let requests = parts(life.bytes.0) + SMALL_REQUESTS;
            month.requests += requests * price.put_1000 / 1000.0;
            sum += requests * price.put_1000 / 1000.0;
            if rule.thaw.is_none() && life.verified_from.is_some() {
                let reading = price.reading(gib, 1.0, None).unwrap_or(0.0);
                month.verification += reading;
                sum += reading;
            }
        }
        if let (Some(End::Pruned), Some(until)) = (life.end, life.until) {
            let kept = seconds(until.duration_since(life.from)) / 86_400.0;
            let early = (rule.minimum_days - kept).max(0.0);
            let charge = early * gib * price.storage_gib_month / DAYS_OF_A_MONTH;
            months[self.month_of[days.number(until)]].early_deletion += charge;
            sum += charge;
        }
        sum
    }

    /// The storage of one series on a tier, day by day; the sum.
    pub(super) fn count_storage(&self, tier: &TierName, bytes: &[i64], months: &mut [Cost]) -> f64 {
        let Some((_, price)) = self.rule(tier) else {
            return 0.0;
        };
        let mut sum = 0.0;
        for (bytes, month) in bytes.iter().zip(&self.month_of) {
            let gib = as_gib(bytes.unsigned_abs());
            let cost = gib * price.storage_gib_month / self.days_in[*month];
            months[*month].storage += cost;
            sum += cost;
        }
        sum
    }

    /// What restoring so much once costs.
    pub(super) fn restore(&self, tier: &TierName, bytes: u64) -> Option<f64> {
        let (rule, price) = self.rule(tier)?;
        (bytes > 0).then(|| price.reading(as_gib(bytes), 1.0, rule.thaw))?
    }

    pub(super) fn months(&self, costs: &BTreeMap<TierName, Vec<Cost>>) -> Vec<MonthCost> {
        let month = |(number, name): (usize, &String)| {
            let tiers: BTreeMap<TierName, Cost> = costs
                .iter()
                .filter(|(tier, _)| self.rule(tier).is_some())
                .filter_map(|(tier, months)| Some((tier.clone(), *months.get(number)?)))
                .collect();
            MonthCost {
                month: name.clone(),
                total: tiers.values().map(Cost::total).sum(),
                tiers,
            }
        };
        self.names.iter().enumerate().map(month).collect()
    }

    pub(super) fn without_price(&self) -> Vec<TierName> {
        let unpriced = self.tiers.iter().filter(|(_, rule)| rule.price.is_none());
        unpriced.map(|(name, _)| name.clone()).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "money is reckoned, not counted")]
fn as_gib(bytes: u64) -> f64 {
    bytes as f64 / GIB
}

#[expect(clippy::cast_precision_loss, reason = "money is reckoned, not counted")]
fn parts(bytes: u64) -> f64 {
    bytes.div_ceil(PART_BYTES).max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "money is reckoned, not counted")]
fn seconds(duration: jiff::SignedDuration) -> f64 {
    duration.as_secs() as f64
}
