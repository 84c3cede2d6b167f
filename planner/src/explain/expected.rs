//! When a copy is expected to go, if everything goes well: the first date, as the forecast of its database finds it.
//!
//! "At least until" (`lifetime`) is what is certain; this is what happens when every slot succeeds and every plan is applied at once. Not asked
//! where looking ahead would take long.

use crate::{
    forecast::{Scenario, forecast},
    lifetime::Until,
};
use jiff::Timestamp;
use model::{Inventory, RecoveryPoint, TierName, tier_facts::TierCapabilities};
use policy_schema::Policy;
use std::collections::BTreeMap;

/// No forecast follows more slots of a series than this for one date.
const MOST_SLOTS: i32 = 4_000;

/// The same where chains or a log make it plan every slot.
const MOST_SLOTS_PLANNED: i32 = 400;

/// When its copies go that some rule lets go; tiers on which it outlives what is looked at are left out.
pub(super) fn expected_ends(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    now: Timestamp,
    point: &RecoveryPoint,
    certain: &BTreeMap<&TierName, Until>,
) -> BTreeMap<TierName, Timestamp> {
    let Some(until) = horizon(policy, now, point, certain) else {
        return BTreeMap::new();
    };
    let scenario = Scenario::undisturbed(now, until).with_measured_durations(inventory);
    let forecast = forecast(policy, inventory, capabilities, &scenario);
    let lives = forecast
        .databases
        .get(&point.database)
        .and_then(|series| series.get(&point.series));
    let mut ends = BTreeMap::new();
    for (tier, lives) in lives.into_iter().flatten() {
        let mut mine = lives
            .iter()
            .filter(|life| life.point.as_ref() == Some(&point.id));
        if let Some(end) = mine.next_back().and_then(|life| life.until) {
            ends.insert(tier.clone(), end);
        }
    }
    ends
}

/// How far to look: a little further than what is certain, because a unit begins before its first point, and what goes waits for it.
fn horizon(
    policy: &Policy,
    now: Timestamp,
    point: &RecoveryPoint,
    certain: &BTreeMap<&TierName, Until>,
) -> Option<Timestamp> {
    let database = policy.databases.get(&point.database)?;
    let planned = database.wal.is_some() || database.series.values().any(|one| one.incremental);
    let most = if planned {
        MOST_SLOTS_PLANNED
    } else {
        MOST_SLOTS
    };
    let zone = &policy.timezone;
    // Series of a database are followed together, so the one that runs most often says how far.
    let often = database.series.values().filter_map(|series| {
        let next = series.schedule.next_after(now, zone)?;
        let second = series.schedule.next_after(next, zone)?;
        Some(second.duration_since(next))
    });
    let limit = now.checked_add(often.min()?.saturating_mul(most)).ok()?;
    let own = &database.series.get(&point.series)?.schedule;
    let margin = own.largest_gap(now, zone).saturating_mul(3);
    let ends = certain.values().filter_map(|until| match until {
        Until::AtLeast(at) => at.checked_add(margin).ok(),
        Until::NotKept => now.checked_add(margin).ok(),
        Until::NoEnd => None,
    });
    ends.filter(|at| *at <= limit).max()
}
