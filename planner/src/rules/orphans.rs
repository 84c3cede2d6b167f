//! Copies that the policy no longer names: of an undeclared database or series, or on a tier that the series left.
//!
//! Removing something from the policy deletes nothing: orphans are shown, one line for each series and tier, until they
//! are declared again or their purge is asked for. A purge needs approval, and spares what is held or locked.

use crate::{
    draft::{Output, Subject},
    facts::Points,
    world::World,
};
use model::{
    Action, ByteCount, Copy, DatabaseName, PointState, Reason, ReasonCode, RecoveryPoint,
    SeriesName, Step, StepId, TierName,
    step::{Limits, Precondition},
};
use std::collections::{BTreeMap, BTreeSet};

/// Deleting is quick; these are the policy language's own defaults.
const LIMITS: Limits = Limits {
    retries: 3,
    retry_after_seconds: 300,
    timeout_seconds: 7200,
};

/// Lists, or purges, the copies of one series that lie on none of the `named` tiers.
pub(crate) fn of_series(
    world: &World<'_>,
    database: &DatabaseName,
    series: &SeriesName,
    points: &Points<'_>,
    named: &BTreeSet<&TierName>,
    output: &mut Output,
) {
    let mut by_tier: BTreeMap<&TierName, Vec<(&RecoveryPoint, &Copy)>> = BTreeMap::new();
    for point in points {
        if point.state != PointState::Complete {
            continue;
        }
        for copy in &point.copies {
            if copy.is_present() && !named.contains(&copy.tier) {
                by_tier.entry(&copy.tier).or_default().push((point, copy));
            }
        }
    }
    let purge = world.options.purges(database, series);
    for (tier, mut copies) in by_tier {
        copies.sort_by_key(|(point, _)| (point.slot, &point.id));
        let bytes = ByteCount(copies.iter().map(|(_, copy)| copy.bytes.0).sum());
        let what = format!(
            "{} of {database}/{series}@{tier} ({bytes})",
            crate::rules::points(copies.len())
        );
        if !world.policy.tiers.contains_key(tier) {
            let text =
                "the tier is not declared, so nothing there can be reached; nothing is deleted";
            output.wait(what, ReasonCode::Orphaned, text);
        } else if !purge {
            let text = "the policy no longer names them; nothing is deleted: declare them again, or ask for their purge";
            output.wait(what, ReasonCode::Orphaned, text);
        } else if world.unreachable.contains(tier) {
            let text = "asked to be purged, but the tier could not be observed";
            output.wait(what, ReasonCode::PruneWaitsForTier, text);
        } else if let Some(clock) = &world.clock {
            output.wait(what, clock.code, clock.text.clone());
        } else {
            purge_copies(world, database, series, tier, &copies, output);
        }
    }
}

fn purge_copies(
    world: &World<'_>,
    database: &DatabaseName,
    series: &SeriesName,
    tier: &TierName,
    copies: &[(&RecoveryPoint, &Copy)],
    output: &mut Output,
) {
    let mut spared: BTreeMap<&str, String> = BTreeMap::new();
    // Newest first: what a spared point needs is older than it.
    for (point, copy) in copies.iter().rev() {
        let why = if point.copies.iter().any(|copy| copy.held) {
            Some((ReasonCode::Held, "a person holds it".to_owned()))
        } else if let Some(until) = copy.locked_until.filter(|until| *until > world.now) {
            Some((
                ReasonCode::Locked,
                format!("blocked until {until}: {tier} locks it"),
            ))
        } else {
            spared
                .get(point.id.as_str())
                .map(|by| (ReasonCode::ChainNeeded, format!("needed by {by}")))
        };
        if let Some((code, text)) = why {
            output.wait(format!("prune {}@{tier}", point.id), code, text);
            spared.insert(point.id.as_str(), point.id.to_string());
            if let Some(parent) = &point.parent {
                spared.insert(parent.as_str(), point.id.to_string());
            }
        }
    }
    let mut count = 0;
    let mut freed = 0;
    for (point, copy) in copies {
        if spared.contains_key(point.id.as_str()) {
            continue;
        }
        let subject = Subject {
            database,
            series,
            point: &point.id,
            tier,
            limits: LIMITS,
        };
        // Children first, as everywhere.
        let after = copies
            .iter()
            .filter(|(child, _)| child.parent.as_ref() == Some(&point.id))
            .map(|(child, _)| StepId::new(Action::Prune, &child.id, tier))
            .collect();
        output.steps.push(Step {
            after,
            bytes: Some(copy.bytes),
            destructive: true,
            min_verified: Some(0),
            needs_approval: true,
            requires: vec![
                subject.present(),
                Precondition::NotHeld {
                    recovery_point: point.id.clone(),
                },
            ],
            ..subject.step(
                Action::Prune,
                Reason::new(
                    ReasonCode::Purged,
                    "no longer declared, and its purge was asked for",
                ),
            )
        });
        count += 1;
        freed += copy.bytes.0;
    }
    if count > 0 {
        output.approval.push(Reason::new(
            ReasonCode::Purged,
            format!(
                "the purge of {database}/{series} deletes {} ({}) from {tier} for ever",
                crate::rules::points(count),
                ByteCount(freed)
            ),
        ));
    }
}
