//! What databases of the same shape have in common: the lives that schedules and retention give, and the profiles of them.
//!
//! Thousands of databases share a few shapes; each shape is run forward once, from long enough ago that every rule is filled, as if nothing had
//! ever failed. What exists today is no part of it: that is judged where it can be judged now (`statement`, `planner::status`). The archived log
//! and chains only let points live longer, so that leaving them out errs to the strict side. Not here: sizes, times, promises.

use super::{profile::Profile, sources::pairs};
use crate::forecast::{Life, Scenario, forecast};
use jiff::{SignedDuration, Timestamp};
use model::{Inventory, tier_facts::TierCapabilities};
use policy_schema::{Policy, longest_life, policy::DatabaseDeclaration};
use std::{cell::RefCell, collections::BTreeMap, fmt::Write as _, rc::Rc};

/// Longer histories are not walked; what lives longer has no end for us.
const LONGEST_HISTORY: SignedDuration = SignedDuration::from_hours(11 * 366 * 24);

/// Rules count whole units, which begin before their first point.
const SLACK: SignedDuration = SignedDuration::from_hours(62 * 24);

/// One shape, followed through the time that is looked at.
pub(crate) struct Shape {
    /// By the number of their source.
    lives: Vec<Vec<Life>>,
    /// Whether something of a source is kept longer than anybody looks.
    endless: Vec<bool>,
    span: (Timestamp, Timestamp),
    profiles: RefCell<BTreeMap<Vec<usize>, Rc<Profile>>>,
}

/// What makes two databases the same here.
pub(crate) fn key(database: &DatabaseDeclaration) -> String {
    let mut key = String::new();
    for series in database.series.values() {
        let _ = write!(
            key,
            "{} {} {} {:?} {:?};",
            series.name,
            series.schedule,
            series.schedule.start_delay(),
            series.verify,
            series.keep
        );
    }
    key
}

impl Shape {
    pub(crate) fn new(
        policy: &Policy,
        capabilities: &TierCapabilities,
        database: &DatabaseDeclaration,
        span: (Timestamp, Timestamp),
    ) -> Self {
        let mut endless = Vec::new();
        let mut history = SignedDuration::ZERO;
        for (series, tier) in pairs(database) {
            let keep = series.keep.iter().find(|(kept, _)| kept == tier);
            let life =
                keep.and_then(|(_, keep)| longest_life(&series.schedule, keep, &policy.timezone));
            let life = life.filter(|life| *life < LONGEST_HISTORY);
            endless.push(life.is_none());
            history = history.max(life.unwrap_or(LONGEST_HISTORY));
        }
        let from = span
            .0
            .checked_sub(history.saturating_add(SLACK))
            .unwrap_or(Timestamp::MIN);
        let mut alone = database.clone();
        alone.wal = None;
        alone.drills.clear();
        for series in alone.series.values_mut() {
            series.incremental = false;
        }
        let name = alone.name.clone();
        let policy = Policy {
            databases: [(name.clone(), alone)].into(),
            ..outside(policy)
        };
        let scenario = Scenario::undisturbed(from, span.1);
        let mut forecast = forecast(&policy, &Inventory::empty(from), capabilities, &scenario);
        let mut all = forecast.databases.remove(&name).unwrap_or_default();
        let lives = pairs(database)
            .into_iter()
            .map(|(series, tier)| {
                let tiers = all.get_mut(&series.name);
                tiers
                    .and_then(|tiers| tiers.remove(tier))
                    .unwrap_or_default()
            })
            .collect();
        Self {
            lives,
            endless,
            span,
            profiles: RefCell::default(),
        }
    }

    /// The profile of some of the sources together.
    pub(crate) fn profile(&self, mut sources: Vec<usize>) -> Rc<Profile> {
        sources.sort_unstable();
        sources.dedup();
        if let Some(known) = self.profiles.borrow().get(&sources) {
            return Rc::clone(known);
        }
        let lives = sources.iter().flat_map(|index| &self.lives[*index]);
        let endless = sources.iter().any(|index| self.endless[*index]);
        let profile = Rc::new(Profile::of(lives, self.span, endless));
        self.profiles
            .borrow_mut()
            .insert(sources, Rc::clone(&profile));
        profile
    }

    /// The newest state not after `wanted` that exists at an instant, and the sources that have it.
    pub(crate) fn state(
        &self,
        at: Timestamp,
        wanted: Timestamp,
    ) -> Option<(Timestamp, Vec<usize>)> {
        let there = |life: &&Life| life.captured_at <= wanted && life.is_proved(at);
        let all = self.lives.iter().map(|lives| lives.iter().rfind(there));
        let newest = all.clone().flatten().max_by_key(|life| life.captured_at)?;
        let same = |life: Option<&Life>| life.is_some_and(|life| life.slot == newest.slot);
        let sources = all
            .enumerate()
            .filter(|(_, life)| same(*life))
            .map(|(index, _)| index)
            .collect();
        Some((newest.slot, sources))
    }

    /// Copies that exist at the end, by source.
    pub(crate) fn copies(&self) -> Vec<i64> {
        let at_end = |lives: &Vec<Life>| {
            lives
                .iter()
                .filter(|life| life.is_there(self.span.1))
                .count()
        };
        let counts = self.lives.iter().map(at_end);
        counts
            .map(|count| i64::try_from(count).unwrap_or(i64::MAX))
            .collect()
    }
}

/// The policy without its databases.
pub(crate) fn outside(policy: &Policy) -> Policy {
    Policy {
        digest: policy.digest.clone(),
        timezone: policy.timezone.clone(),
        timezone_name: policy.timezone_name.clone(),
        tiers: policy.tiers.clone(),
        keys: BTreeMap::new(),
        databases: BTreeMap::new(),
        safety: policy.safety,
        checks: Vec::new(),
        exceptions: Vec::new(),
    }
}

/// Databases by shape, in the order of their names.
pub(crate) fn groups<'p>(
    databases: impl Iterator<Item = &'p DatabaseDeclaration>,
) -> Vec<Vec<&'p DatabaseDeclaration>> {
    let mut groups: BTreeMap<String, Vec<&DatabaseDeclaration>> = BTreeMap::new();
    for database in databases {
        groups.entry(key(database)).or_default().push(database);
    }
    groups.into_values().collect()
}
