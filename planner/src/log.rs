//! The archived log of one database: which base each window begins with, and whether the log still follows the newest base.
//!
//! A window "any moment of the last 14 days on nas" begins with a base: the newest one on that tier that is at least as old as the
//! window; and behind each hole in it with another one. The oldest base after it stays too, whatever its series says: it is the one that
//! the window begins with when it has moved on, and where bases go sooner than log does, none would ever grow old enough. It is measured back from the newest log that is there, not from now: an archive that stopped must not eat its
//! history. A window that was shortened begins as before until a person has agreed to what that deletes (`expire.rs`).
//!
//! Not here: which pieces of log go (`expire.rs`); which moments can be reached (`model::wal`, the restorer's question).

use crate::{
    facts::{LogNeeds, SeriesFacts},
    world::World,
};
use jiff::Timestamp;
use model::{
    Copy, Keep, Period, PointState, Reason, ReasonCode, RecoveryPoint, SeriesName, TierName,
    retention::{Each, KeepCount, KeepRule},
    wal::{
        WalArchive, WalSource, WalTier,
        coverage::{Base, Renewal, coverage, renewal},
    },
};
use policy_schema::policy::{DatabaseDeclaration, WalDeclaration};
use std::{collections::BTreeMap, sync::Arc};

/// Name under which the windows of a log stand among the retention rules; reserved in the policy language.
const SERIES: &str = "wal";

/// What is known of the log of one database, beside its points.
pub(crate) struct Log<'a> {
    /// Points that need log, in any state, newest first.
    pub(crate) bases: Vec<&'a RecoveryPoint>,
    /// Everything that was observed of it.
    pub(crate) archive: Option<&'a WalArchive>,
    /// What the server said of itself.
    pub(crate) source: Option<&'a WalSource>,
    /// One for each tier that the policy names, in its order.
    pub(crate) windows: Vec<LogWindow<'a>>,
    /// The series that needs a base backup out of turn, and why.
    broken: Option<(&'a SeriesName, String)>,
}

/// The window of one tier.
pub(crate) struct LogWindow<'a> {
    pub(crate) tier: &'a TierName,
    /// The policy's wish.
    pub(crate) wanted: Period,
    /// A longer one, or another rule, that is still in force.
    pub(crate) in_force: Option<&'a Keep>,
    /// What lies there; `None`: nobody could look.
    pub(crate) archive: Option<&'a WalTier>,
    /// What windows are measured back from.
    pub(crate) anchor: Timestamp,
    /// The first moment that the policy wants to stay recoverable.
    pub(crate) wanted_begins: Timestamp,
    /// The first moment that is to stay recoverable, under what is in force; `None`: every one.
    pub(crate) begins: Option<Timestamp>,
}

impl<'a> Log<'a> {
    pub(crate) fn new(world: &World<'a>, database: &'a DatabaseDeclaration) -> Self {
        let Some(wal) = &database.wal else {
            return Self {
                bases: Vec::new(),
                archive: None,
                source: None,
                windows: Vec::new(),
                broken: None,
            };
        };
        let mut bases = world.bases.get(&database.name).cloned().unwrap_or_default();
        bases.sort_by(|a, b| (b.captured_at, &b.id).cmp(&(a.captured_at, &a.id)));
        let archive = world.inventory.wal.get(&database.name);
        let windows = wal
            .keep
            .iter()
            .map(|(tier, wanted)| window(world, database, archive, &bases, tier, *wanted))
            .collect();
        let broken = archive.and_then(|archive| {
            let newest = newest_declared(database, &bases)?;
            let why = break_after(world, wal, archive, newest)?;
            Some((&newest.series, why))
        });
        Self {
            bases,
            archive,
            source: archive.and_then(|archive| archive.source.as_ref()),
            windows,
            broken,
        }
    }

    /// What the log asks of a series.
    pub(crate) fn needs_of(&self, facts: &SeriesFacts<'a>) -> LogNeeds<'a> {
        let broken = self
            .broken
            .as_ref()
            .filter(|(series, _)| **series == facts.series.name)
            .map(|(_, why)| Reason::new(ReasonCode::WalBroken, why.clone()));
        let mut windows = Vec::new();
        for window in &self.windows {
            let Some(tier) = facts.tiers.iter().position(|tier| tier.name == window.tier) else {
                continue;
            };
            // Whoever agrees to the shorter window must find its base too.
            let both = [
                (window.wanted.to_string(), Some(window.wanted_begins)),
                (window.words(), window.begins),
            ];
            let different = usize::from(window.in_force.is_some()) + 1;
            for (length, begins) in both.into_iter().take(different) {
                let place = |base: &RecoveryPoint| {
                    facts
                        .points
                        .iter()
                        .position(|point| point.point.id == base.id)
                };
                let window_words = format!("the window of {length} on {}", window.tier);
                let words: Arc<str> = Arc::from(format!("needed by {window_words}"));
                for base in self.first_bases(window, begins) {
                    let index = place(base);
                    windows.extend(index.map(|index| (tier, index, Arc::clone(&words))));
                }
                let next = begins.and_then(|begins| self.next_first_base(window, begins));
                if let Some(index) = next.and_then(place) {
                    let words = format!("the next that {window_words} begins with");
                    windows.push((tier, index, Arc::from(words)));
                }
            }
        }
        LogNeeds {
            broken,
            source: self.source,
            windows,
        }
    }

    /// The bases on its tier that a window begins with: the newest that is old enough, the newest verified one, and inside the
    /// window the first one behind each hole, since nothing older leads over it.
    fn first_bases(
        &self,
        window: &LogWindow<'a>,
        begins: Option<Timestamp>,
    ) -> Vec<&'a RecoveryPoint> {
        let tier = window.tier;
        let here = |wanted: fn(&Copy) -> bool| {
            let there = self.complete();
            there.filter(move |base| base.copy_on(tier).is_some_and(wanted))
        };
        let mut first: Vec<&RecoveryPoint> = Vec::new();
        first.extend(first_base(here(Copy::is_present), begins));
        first.extend(first_base(here(Copy::is_good), begins));
        let old_enough =
            |base: &&RecoveryPoint| begins.is_some_and(|begins| base.captured_at <= begins);
        if let Some(there) = window.archive {
            let mut good: Vec<Base> = here(Copy::is_good).filter_map(as_base).collect();
            good.reverse();
            for stretch in coverage(there, &good).windows {
                // What ended before the window began leads to no moment in it.
                if stretch
                    .stored_at
                    .zip(begins)
                    .is_some_and(|(end, begins)| end < begins)
                {
                    continue;
                }
                let inside = here(Copy::is_good).filter(|base| stretch.bases.contains(&base.id));
                first.extend(first_base(inside, begins));
            }
        } else {
            // Nobody knows what leads where.
            first.extend(here(Copy::is_present).take_while(|base| !old_enough(base)));
        }
        first.sort_by(|a, b| (a.captured_at, &a.id).cmp(&(b.captured_at, &b.id)));
        first.dedup_by_key(|base| &base.id);
        first
    }

    /// The base on its tier that a window begins with when the present first one is no longer the newest that is old enough.
    fn next_first_base(
        &self,
        window: &LogWindow<'a>,
        begins: Timestamp,
    ) -> Option<&'a RecoveryPoint> {
        let good = || {
            let on_tier =
                |base: &&RecoveryPoint| base.copy_on(window.tier).is_some_and(Copy::is_good);
            self.complete().filter(on_tier)
        };
        let first = first_base(good(), Some(begins))?;
        good().take_while(|base| base.id != first.id).last()
    }

    /// Bases that can be used at all, newest first.
    pub(crate) fn complete(&self) -> impl Iterator<Item = &'a RecoveryPoint> + '_ {
        let bases = self.bases.iter().copied();
        bases.filter(|base| base.state == PointState::Complete)
    }
}

impl LogWindow<'_> {
    /// `14d`; of a longer one that is still in force, that.
    pub(crate) fn words(&self) -> String {
        match self.in_force {
            Some(keep) => {
                let words = keep.to_string();
                words.strip_prefix("within ").unwrap_or(&words).to_owned()
            }
            None => self.wanted.to_string(),
        }
    }
}

/// The newest of `bases` (newest first) that is not younger than `begins`; where all are younger, the oldest.
pub(crate) fn first_base<'a>(
    bases: impl Iterator<Item = &'a RecoveryPoint>,
    begins: Option<Timestamp>,
) -> Option<&'a RecoveryPoint> {
    let mut oldest = None;
    for base in bases {
        oldest = Some(base);
        if begins.is_some_and(|begins| base.captured_at <= begins) {
            break;
        }
    }
    oldest
}

/// A point as the model looks at it.
fn as_base(point: &RecoveryPoint) -> Option<Base> {
    Some(Base {
        captured_at: point.captured_at,
        id: point.id.clone(),
        span: *point.wal.as_deref()?,
    })
}

/// The windows of a log as retention rules.
pub(crate) fn retention_of(wal: &WalDeclaration) -> Option<(SeriesName, BTreeMap<TierName, Keep>)> {
    let tiers = wal.keep.iter();
    let tiers = tiers.map(|(tier, window)| (tier.clone(), as_keep(*window)));
    Some((series()?, tiers.collect()))
}

/// The reserved name.
pub(crate) fn series() -> Option<SeriesName> {
    SeriesName::new(SERIES).ok()
}

/// A window as a retention rule.
pub(crate) fn as_keep(window: Period) -> Keep {
    Keep {
        rules: vec![KeepRule {
            count: KeepCount::Window(window),
            each: Each::Point,
        }],
        ..Keep::default()
    }
}

fn window<'a>(
    world: &World<'a>,
    database: &DatabaseDeclaration,
    archive: Option<&'a WalArchive>,
    bases: &[&'a RecoveryPoint],
    tier: &'a TierName,
    wanted: Period,
) -> LogWindow<'a> {
    let there = archive
        .and_then(|archive| archive.tiers.get(tier))
        .filter(|_| !world.unreachable.contains(tier));
    let newest_log = there
        .and_then(|there| {
            let runs = there.runs.iter().map(|run| run.last_stored_at);
            runs.chain(there.partials.iter().map(|part| part.stored_at))
                .max()
        })
        .or_else(|| bases.first().map(|base| base.captured_at));
    let anchor = newest_log.unwrap_or(world.now).min(world.now);
    let zone = &world.policy.timezone;
    let wanted_begins = wanted.before(anchor, zone);
    let known = world.inventory.retention_in_force.get(&database.name);
    let in_force = known
        .and_then(|series| series.get(&series_key()?))
        .and_then(|tiers| tiers.get(tier));
    let old_begins = in_force.map(|keep| begins(keep, anchor, world));
    let (in_force, begins) = match (in_force, old_begins) {
        (Some(keep), Some(None)) => (Some(keep), None),
        (Some(keep), Some(Some(old))) if old < wanted_begins => (Some(keep), Some(old)),
        _ => (None, Some(wanted_begins)),
    };
    LogWindow {
        tier,
        wanted,
        in_force,
        archive: there,
        anchor,
        wanted_begins,
        begins,
    }
}

fn series_key() -> Option<SeriesName> {
    series()
}

/// The first moment that a rule keeps; `None`: it keeps all.
fn begins(keep: &Keep, anchor: Timestamp, world: &World<'_>) -> Option<Timestamp> {
    let windows = keep.rules.iter().map(|rule| match rule.count {
        KeepCount::Window(period) => Some(period.before(anchor, &world.policy.timezone)),
        KeepCount::Count(_) | KeepCount::All => None,
    });
    if keep.forever {
        return None;
    }
    windows.min().unwrap_or(Some(anchor))
}

/// The newest base of a declared series that could be restored.
fn newest_declared<'a>(
    database: &'a DatabaseDeclaration,
    bases: &[&'a RecoveryPoint],
) -> Option<&'a RecoveryPoint> {
    bases.iter().copied().find(|base| {
        base.state == PointState::Complete
            && base.copies.iter().any(Copy::is_present)
            && database.series.contains_key(&base.series)
    })
}

/// Why the log does not lead on from `newest`; `None`: nothing that is known speaks against it.
fn break_after(
    world: &World<'_>,
    wal: &WalDeclaration,
    archive: &WalArchive,
    newest: &RecoveryPoint,
) -> Option<String> {
    let span = newest.wal.as_deref()?;
    let id = &newest.id;
    // What the server said before the base was made says nothing of what came after.
    let source = archive.source.as_ref();
    if let Some(source) = source.filter(|source| source.at > newest.captured_at) {
        if source.system_identifier != span.system_identifier {
            return Some(format!(
                "the server is another cluster ({}) than the one {id} was made of ({}): no base of it exists",
                source.system_identifier, span.system_identifier
            ));
        }
        if source.timeline != span.timeline {
            return Some(format!(
                "the server went to timeline {}, and the newest base {id} is of timeline {}",
                source.timeline, span.timeline
            ));
        }
        if source.position < span.end {
            return Some(format!(
                "the server writes at {}, before the end of the newest base {id} ({}): it was restored",
                source.position, span.end
            ));
        }
    }
    let base = as_base(newest)?;
    // What one tier lacks another may have; but each tier has its own window, and each is a promise.
    wal.keep.iter().find_map(|(tier, _)| {
        if world.unreachable.contains(tier) {
            return None;
        }
        let there = archive.tiers.get(tier)?;
        match renewal(there, std::slice::from_ref(&base), None, world.now)? {
            Renewal::Hole { after, missing } => {
                let lacking: Vec<String> = missing.iter().map(ToString::to_string).collect();
                Some(format!(
                    "the log on {tier} is whole only up to {after} behind the newest base {id}: it lacks {}",
                    lacking.join(", ")
                ))
            }
            Renewal::NoBase
            | Renewal::OtherCluster { .. }
            | Renewal::OtherTimeline { .. }
            | Renewal::WentBack { .. } => None,
        }
    })
}
