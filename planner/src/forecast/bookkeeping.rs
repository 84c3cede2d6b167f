//! The lives of one series as they are written down: opened when a copy is complete, closed when it goes.
//!
//! State changes at the instant of a run; what a run makes is complete, proved and in the place of older points only after the time that
//! making it takes. So times that are written here are later than the run by that.

use super::{End, Life, Scenario, Taken};
use jiff::{SignedDuration, Timestamp};
use model::{ByteCount, Copy, CopyState, DatabaseName, RecoveryPoint, SeriesName, TierName};
use std::collections::{BTreeMap, HashMap};

/// Everything that is written about one series.
pub(super) struct Ledger {
    pub(super) database: DatabaseName,
    /// One for each tier of the series, in the policy's order.
    pub(super) tiers: Vec<TierLedger>,
    from: Timestamp,
    horizon: Timestamp,
}

/// Everything that is written about one series on one tier.
pub(super) struct TierLedger {
    pub(super) name: TierName,
    pub(super) taken: Taken,
    pub(super) lives: Vec<Life>,
    /// The life of each copy that is there, by slot.
    open: HashMap<Timestamp, usize>,
}

impl Ledger {
    pub(super) fn new<'t>(
        database: &DatabaseName,
        series: &SeriesName,
        tiers: impl Iterator<Item = &'t TierName>,
        scenario: &Scenario,
    ) -> Self {
        let tiers = tiers.map(|tier| {
            let key = (database.clone(), series.clone(), tier.clone());
            TierLedger {
                name: tier.clone(),
                taken: scenario.taken.get(&key).copied().unwrap_or_default(),
                lives: Vec::new(),
                open: HashMap::new(),
            }
        });
        Self {
            database: database.clone(),
            tiers: tiers.collect(),
            from: scenario.from,
            horizon: scenario.until,
        }
    }

    /// The number of a tier, if the series names it.
    pub(super) fn tier(&self, name: &TierName) -> Option<usize> {
        self.tiers.iter().position(|tier| &tier.name == name)
    }

    /// Writes down what exists at the beginning.
    pub(super) fn begin(&mut self, point: &RecoveryPoint, parent: Option<Timestamp>) {
        let held = point.copies.iter().any(|copy| copy.held);
        for copy in &point.copies {
            let there = matches!(copy.state, CopyState::Present | CopyState::Foreign);
            let Some(tier) = self.tier(&copy.tier).filter(|_| there) else {
                continue;
            };
            self.open(
                tier,
                Life {
                    slot: point.slot,
                    captured_at: point.captured_at,
                    from: copy.stored_at,
                    verified_from: copy.verified.map(|verified| verified.at),
                    until: None,
                    end: None,
                    bytes: size(point, copy),
                    point: Some(point.id.clone()),
                    parent,
                    held,
                    locked_until: copy.locked_until,
                },
            );
        }
    }

    fn open(&mut self, tier: usize, life: Life) {
        let tier = &mut self.tiers[tier];
        let index = tier.lives.len();
        tier.open.insert(life.slot, index);
        tier.lives.push(life);
    }

    /// A copy that a run makes; the run itself verifies it.
    pub(super) fn made(&mut self, tier: usize, run: Timestamp, mut life: Life) {
        life.from = later(run, self.tiers[tier].taken.stored);
        self.open(tier, life);
    }

    /// A run verifies the copy of a slot; the first time counts.
    pub(super) fn verified(&mut self, tier: usize, slot: Timestamp, run: Timestamp) {
        let taken = self.tiers[tier].taken.verified;
        if let Some(life) = self.find(tier, slot)
            && life.verified_from.is_none()
        {
            life.verified_from = Some(later(run.max(life.from), taken));
        }
    }

    pub(super) fn locked(&mut self, tier: usize, slot: Timestamp, until: Timestamp) {
        if let Some(life) = self.find(tier, slot) {
            life.locked_until = Some(until);
        }
    }

    fn find(&mut self, tier: usize, slot: Timestamp) -> Option<&mut Life> {
        let tier = &mut self.tiers[tier];
        let index = *tier.open.get(&slot)?;
        tier.lives.get_mut(index)
    }

    /// The copy of a slot is gone.
    pub(super) fn close(&mut self, tier: usize, slot: Timestamp, at: Timestamp, end: End) {
        let horizon = self.horizon;
        let tier = &mut self.tiers[tier];
        let Some(index) = tier.open.remove(&slot) else {
            return;
        };
        if at <= horizon {
            let life = &mut tier.lives[index];
            life.until = Some(at.max(life.from.min(self.from)));
            life.end = Some(end);
        }
    }

    /// When what a run displaces on a tier goes: as soon as the new copy is proved.
    pub(super) fn displaced_at(&self, tier: usize, run: Timestamp) -> Timestamp {
        let taken = self.tiers[tier].taken;
        later(run, taken.stored.saturating_add(taken.verified))
    }

    /// The finished lives of each tier.
    pub(super) fn finish(self) -> BTreeMap<TierName, Vec<Life>> {
        let finished = self.tiers.into_iter().map(|mut tier| {
            tier.lives.sort_by_key(|life| (life.slot, life.from));
            (tier.name, tier.lives)
        });
        finished.collect()
    }
}

/// Stored size, as far as it is known.
pub(super) fn size(point: &RecoveryPoint, copy: &Copy) -> ByteCount {
    if copy.bytes.0 > 0 {
        copy.bytes
    } else {
        point.bytes
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}
