//! Until when each copy stays under a policy, reason by reason: what `diff` compares and `explain` tells.
//!
//! Made of the same verdicts (`retention::evaluate_dated`) and the same certainty (`retention::kept_until`) that locks are made
//! of: "at least until", because a slot that fails only lets points stay longer, and in an additive keep a coarser rule may take over
//! what a finer one lets go. A chain stays as long as its newest kept link.
//! Not here: what is deleted now, and whether that is safe (`rules/prune.rs`).

use crate::{
    facts::SeriesFacts,
    retention::{
        Occupy, Verdict, Why, evaluate_dated,
        kept_until::{Ahead, Certain, certain},
    },
    rules::{started, there},
    world::World,
};
use jiff::{SignedDuration, Timestamp};
use model::{Keep, retention::KeepCount};
use serde::Serialize;

/// How long something stays. Ordered: what lasts longer is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Nothing keeps it: it goes as soon as that is safe.
    #[default]
    NotKept,
    /// At least until then, if every slot succeeds; longer if slots fail.
    AtLeast(Timestamp),
    /// No rule lets it go.
    NoEnd,
}

/// One reason to stay and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) why: Why,
    pub(crate) until: Until,
}

/// What is known of one copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stay {
    /// Its own reasons; empty for what only a chain keeps.
    pub(crate) reasons: Vec<Reason>,
    /// The longest of them, and of what needs it.
    pub(crate) until: Until,
}

/// How long each point's copy on a tier stays under `keep`, as the points stand; points that are not there do not stay.
pub(crate) fn stays(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    tier: usize,
    keep: &Keep,
) -> Vec<Stay> {
    let zone = &world.policy.timezone;
    let (members, there) = there(facts, tier);
    let verdicts = evaluate_dated(keep, &there, zone, Occupy::Complete);
    let ahead = Ahead {
        now: world.now,
        from: still_to_come(world, facts),
        next: &|after| facts.series.schedule.next_after(after, zone),
        zone,
    };
    let certain = certain(keep, &there, &verdicts, &ahead);
    let mut stays = vec![Stay::default(); facts.points.len()];
    for ((index, verdict), certain) in members.into_iter().zip(&verdicts).zip(&certain) {
        stays[index] = stay(verdict, certain);
    }
    // Newest first: parents are older, so one walk reaches the whole chain.
    for index in 0..stays.len() {
        if stays[index].until > Until::NotKept
            && let Some(parent) = facts.parent(index)
        {
            stays[parent].until = stays[parent].until.max(stays[index].until);
        }
    }
    stays
}

/// Slots after this one may still get a point: those to come, and the one that is due now.
fn still_to_come(world: &World<'_>, facts: &SeriesFacts<'_>) -> Timestamp {
    let started = started(world, facts).unwrap_or(world.now);
    let zone = &world.policy.timezone;
    let due = facts.series.schedule.last_at_or_before(started, zone);
    let newest = facts.points.first().map(|facts| facts.point.slot);
    due.filter(|due| newest.is_none_or(|newest| newest < *due))
        .and_then(|due| due.checked_sub(SignedDuration::from_secs(1)).ok())
        .unwrap_or(started)
}

fn stay(verdict: &Verdict, certain: &Certain) -> Stay {
    let next = certain.next_slot.map_or(Until::NotKept, Until::AtLeast);
    let reasons: Vec<Reason> = verdict
        .reasons
        .iter()
        .zip(&certain.by_reason)
        .map(|(why, at)| {
            let until = match *why {
                Why::Held | Why::Forever => Until::NoEnd,
                Why::Rule { rule, .. } if rule.count == KeepCount::All => Until::NoEnd,
                Why::Rule { .. } => at.map_or(Until::NotKept, Until::AtLeast).max(next),
            };
            Reason { why: *why, until }
        })
        .collect();
    let own = reasons.iter().map(|reason| reason.until).max();
    let until = own.unwrap_or_default().max(next);
    Stay { reasons, until }
}
