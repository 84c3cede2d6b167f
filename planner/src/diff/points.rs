//! What becomes of every copy that exists: which the new policy deletes although the old one keeps it, and which it no longer
//! names.
//!
//! A copy is lost when something in the old policy protects it (a rule, a hold, a chain, or that nobody names it) and the new
//! one's retention does not keep it. Its point is destroyed when no copy is left. Both verdicts are read off the two plans.

use super::{LostCopy, LostPoint, Named, Orphaned, Planned, PolicyDiff, places};
use crate::{
    facts::by_series,
    fate::{Fate, Fates, Gone, gone},
};
use model::{
    ByteCount, Copy, DatabaseName, Inventory, PointState, Reason, ReasonCode, RecoveryPoint,
    SeriesName, TierName,
};
use policy_schema::Policy;
use std::{collections::BTreeMap, sync::Arc};

/// A point and one copy of it.
type Stored<'a> = (&'a RecoveryPoint, &'a Copy);

pub(super) fn compare(old: &Planned<'_>, new: &Planned<'_>, diff: &mut PolicyDiff) {
    named(old.world.policy, new.world.policy, diff);
    let groups = by_series(&old.world.inventory.recovery_points);
    let mut keys: Vec<_> = groups.keys().copied().collect();
    keys.sort_unstable();
    let before = Fates::new(old.world.policy, &old.plan);
    let after = Fates::new(new.world.policy, &new.plan);
    let moved = places::moved(old.world.policy, new.world.policy);
    for key in keys {
        let mut points = groups[&key].clone();
        points.retain(|point| point.state == PointState::Complete);
        points.sort_by(|a, b| (a.slot, &a.id).cmp(&(b.slot, &b.id)));
        let mut orphans: BTreeMap<&TierName, (Gone, Vec<Stored<'_>>)> = BTreeMap::new();
        for point in points {
            lost((&before, &after), point, old.world.inventory, diff);
            for copy in point.copies.iter().filter(|copy| copy.is_present()) {
                let was = gone(old.world.policy, key.0, key.1, &copy.tier);
                let is = gone(new.world.policy, key.0, key.1, &copy.tier)
                    .or_else(|| moved.contains(&copy.tier).then_some(Gone::Place));
                if let (None, Some(why)) = (was, is) {
                    let found = orphans.entry(&copy.tier).or_insert((why, Vec::new()));
                    found.1.push((point, copy));
                }
            }
        }
        for (tier, (why, copies)) in orphans {
            diff.orphaned.extend(orphaned(key, tier, why, &copies));
        }
    }
}

fn orphaned(
    (database, series): (&DatabaseName, &SeriesName),
    tier: &TierName,
    why: Gone,
    copies: &[Stored<'_>],
) -> Option<Orphaned> {
    let sizes = copies.iter().map(|(_, copy)| copy.bytes);
    Some(Orphaned {
        bytes: sizes.fold(ByteCount(0), ByteCount::saturating_add),
        copies: copies.len(),
        database: database.clone(),
        newest: copies.last()?.0.slot,
        oldest: copies.first()?.0.slot,
        series: series.clone(),
        tier: tier.clone(),
        why,
    })
}

/// Nothing is planned on a tier that could not be observed.
fn away(inventory: &Inventory, tier: &TierName) -> Option<Reason> {
    let away = inventory.unreachable_tiers.contains(tier);
    let why = || format!("{tier} could not be observed");
    away.then(|| Reason::new(ReasonCode::TierUnreachable, why()))
}

fn lost(
    (before, after): (&Fates<'_>, &Fates<'_>),
    point: &RecoveryPoint,
    inventory: &Inventory,
    diff: &mut PolicyDiff,
) {
    let mut copies = Vec::new();
    let mut left_on = Vec::new();
    let mut there: Vec<&Copy> = point
        .copies
        .iter()
        .filter(|copy| copy.is_present())
        .collect();
    there.sort_by(|a, b| a.tier.cmp(&b.tier));
    for copy in there {
        if !matches!(after.of(point, &copy.tier), Fate::NotKept) {
            left_on.push(copy.tier.clone());
            continue;
        }
        let kept_by = match before.of(point, &copy.tier) {
            Fate::Kept(reasons) => reasons.to_vec(),
            Fate::Unnamed => vec![Arc::from("not named by the old policy")],
            Fate::NotKept => continue,
        };
        let step = after.step(point, &copy.tier);
        copies.push(LostCopy {
            bytes: copy.bytes,
            kept_by,
            needs_approval: step.is_none_or(|step| step.needs_approval),
            tier: copy.tier.clone(),
            waits: match step {
                Some(_) => None,
                None => after
                    .obstacle(point, &copy.tier)
                    .or_else(|| away(inventory, &copy.tier)),
            },
        });
    }
    if copies.is_empty() {
        return;
    }
    let waits = copies
        .iter()
        .any(|copy| after.step(point, &copy.tier).is_none());
    let list = match (left_on.is_empty(), waits) {
        (false, _) => &mut diff.copies_lost,
        (true, true) => &mut diff.destroyed_later,
        (true, false) => &mut diff.destroyed,
    };
    list.push(LostPoint {
        copies,
        left_on,
        recovery_point: point.id.clone(),
        slot: point.slot,
    });
}

/// Databases and series that only one of the policies declares.
fn named(old: &Policy, new: &Policy, diff: &mut PolicyDiff) {
    diff.removed = missing(old, new);
    diff.new = missing(new, old);
}

fn missing(here: &Policy, there: &Policy) -> Vec<Named> {
    let mut missing = Vec::new();
    for database in here.databases.values() {
        let name = |series: Option<&SeriesName>| Named {
            database: database.name.clone(),
            series: series.cloned(),
        };
        match there.databases.get(&database.name) {
            None => missing.push(name(None)),
            Some(other) => {
                let series = database.series.keys();
                let gone = series.filter(|series| !other.series.contains_key(*series));
                missing.extend(gone.map(|series| name(Some(series))));
            }
        }
    }
    missing
}
