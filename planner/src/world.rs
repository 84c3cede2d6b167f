//! What all series share: policy, time, reachability, and whether the clock can be believed.
//!
//! The clock looks wrong when it is behind the newest thing known to have happened, or so far ahead of it that the
//! machine more likely lost its clock than its schedule. Backups go on either way; deletions wait (design.md §4).
//! A real long outage heals itself: the first backup after it moves the newest known activity, the next plan may prune.

use crate::Options;
use jiff::{SignedDuration, Timestamp};
use model::{
    DatabaseName, DeletionLimits, Inventory, Reason, ReasonCode, RecoveryPoint, TierName,
    tier_facts::TierCapabilities,
};
use policy_schema::Policy;
use std::collections::{BTreeSet, HashMap};

/// Clocks of two machines may differ by this much without being wrong.
pub(crate) const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The shortest silence that is suspicious, whatever the schedules.
const LONGEST_SILENCE: SignedDuration = SignedDuration::from_hours(35 * 24);

/// Facts that every rule may look at.
pub(crate) struct World<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) inventory: &'a Inventory,
    pub(crate) capabilities: &'a TierCapabilities,
    pub(crate) options: &'a Options,
    pub(crate) now: Timestamp,
    /// Points of each database that need a piece of log to be consistent, of declared series and of others, in any state.
    pub(crate) bases: HashMap<&'a DatabaseName, Vec<&'a RecoveryPoint>>,
    /// The newest slot of each drill that was carried out and is not from the future.
    pub(crate) drills: HashMap<(&'a DatabaseName, &'a str), Timestamp>,
    /// `[safety]` of the policy, or what is stricter in force: looser limits wait for those who may approve them.
    pub(crate) limits: DeletionLimits,
    pub(crate) unreachable: BTreeSet<&'a TierName>,
    /// Why nothing may be deleted now; `None` while the clock can be believed.
    pub(crate) clock: Option<Reason>,
}

impl<'a> World<'a> {
    pub(crate) fn new(
        policy: &'a Policy,
        inventory: &'a Inventory,
        capabilities: &'a TierCapabilities,
        now: Timestamp,
        options: &'a Options,
    ) -> Self {
        let mut bases: HashMap<&DatabaseName, Vec<&RecoveryPoint>> = HashMap::new();
        for point in &inventory.recovery_points {
            if point.wal.is_some() {
                bases.entry(&point.database).or_default().push(point);
            }
        }
        let horizon = now.saturating_add(TOLERANCE).unwrap_or(Timestamp::MAX);
        let mut drills: HashMap<(&DatabaseName, &str), Timestamp> = HashMap::new();
        for fact in inventory.drills.iter().filter(|fact| fact.slot <= horizon) {
            let newest = drills
                .entry((&fact.database, &fact.name))
                .or_insert(fact.slot);
            *newest = fact.slot.max(*newest);
        }
        let wanted = policy.safety.limits();
        let in_force = inventory.approval_in_force.as_ref();
        let limits = in_force
            .and_then(|rules| rules.limits)
            .map_or(wanted, |limits| wanted.stricter(limits));
        Self {
            bases,
            limits,
            drills,
            policy,
            inventory,
            capabilities,
            options,
            now,
            unreachable: inventory.unreachable_tiers.iter().collect(),
            clock: suspicion(policy, inventory, now),
        }
    }
}

fn suspicion(policy: &Policy, inventory: &Inventory, now: Timestamp) -> Option<Reason> {
    let newest = inventory
        .recovery_points
        .iter()
        .map(|point| point.captured_at)
        .chain(inventory.last_activity)
        .max()?;
    let silence = now.duration_since(newest);
    if silence < -TOLERANCE {
        return Some(Reason::new(
            ReasonCode::ClockSuspect,
            format!(
                "the clock says {now}, but something is known to have happened at {newest}: nothing is deleted until the \
                 clock is set right or has passed that time"
            ),
        ));
    }
    // Gaps are asked for only now: walking a year of every schedule is costly, and silence is rare.
    if silence <= LONGEST_SILENCE {
        return None;
    }
    let usual = policy
        .databases
        .values()
        .flat_map(|database| database.series.values())
        .map(|series| series.schedule.largest_gap(newest, &policy.timezone))
        .min()?;
    if silence <= usual.saturating_mul(10) {
        return None;
    }
    Some(Reason::new(
        ReasonCode::ClockSuspect,
        format!(
            "the clock says {now}, {} days after the newest known activity at {newest}: if that is right, the next backup \
             confirms it and the plan after it deletes again; if not, set the clock first",
            silence.as_hours() / 24
        ),
    ))
}
