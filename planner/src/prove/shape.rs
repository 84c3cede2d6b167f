//! What databases of the same shape have in common: the lives that schedules and retention give, and the profiles of them.
//!
//! Thousands of databases share a few shapes; each shape is run forward once, from long enough ago that every rule is filled, as if nothing had
//! ever failed. What exists today is no part of it: that is judged where it can be judged now (`statement`, `planner::status`). The archived log
//! and chains only let points live longer, so that leaving them out errs to the strict side. Not here: sizes, times, promises.

use super::profile::Profile;
use crate::forecast::{Life, Scenario, forecast};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{Inventory, TierName, retention::Each, tier_facts::TierCapabilities};
use policy_schema::{
    Policy, longest_life,
    policy::{DatabaseDeclaration, Series},
};
use std::{cell::RefCell, collections::BTreeMap, fmt::Write as _, rc::Rc};

/// Of a series that runs often no longer history is walked, unless something older is promised; what lives longer has no end for us.
const LONGEST_OFTEN: SignedDuration = SignedDuration::from_hours(11 * 366 * 24);

/// The same of one that runs seldom.
const LONGEST: SignedDuration = SignedDuration::from_hours(110 * 366 * 24);

/// So many slots are walked whatever their age.
const SLOTS: i32 = 100_000;

/// Of what is kept for ever so many of the longest times between two slots are walked, so that there are neighbours to look at.
const GAPS_OF_FOREVER: i32 = 4;

/// Of what is kept for ever so much is walked, unless something older is promised.
const ENOUGH_OF_FOREVER: SignedDuration = SignedDuration::from_hours(3 * 366 * 24);

/// Rules count whole units, which begin before their first point.
const SLACK: SignedDuration = SignedDuration::from_hours(62 * 24);

/// The same where no rule counts more than days.
const SLACK_OF_DAYS: SignedDuration = SignedDuration::from_hours(3 * 24);

/// More slots of the future are not followed: two years of one a minute.
const MOST_AHEAD: i32 = 1_100_000;

/// One shape, followed through the time that is looked at.
pub(crate) struct Shape {
    /// By the number of their source.
    lives: Vec<Vec<Life>>,
    /// Whether something of a source is kept longer than anybody looks.
    endless: Vec<bool>,
    /// From when on it is looked at, and of each source until when: the first slot behind the years that are asked for, so that the last gap
    /// in them is seen whole.
    from: Timestamp,
    ends: Vec<Timestamp>,
    until: Timestamp,
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
    let _ = write!(key, "{}", promised_age(database).as_secs());
    key
}

/// The oldest age that something is promised of, and a year.
fn promised_age(database: &DatabaseDeclaration) -> SignedDuration {
    let ages = database.objective.at_age.iter();
    let oldest = ages.map(|one| one.from.approximate()).max();
    oldest.map_or(SignedDuration::ZERO, |oldest| {
        oldest.saturating_add(SignedDuration::from_hours(366 * 24))
    })
}

impl Shape {
    pub(crate) fn new(
        policy: &Policy,
        capabilities: &TierCapabilities,
        database: &DatabaseDeclaration,
        span: (Timestamp, Timestamp),
    ) -> Self {
        let promised = promised_age(database).min(LONGEST);
        let outside = outside(policy);
        let (mut lives, mut endless, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for series in database.series.values() {
            let gap = series.schedule.largest_gap(span.0, &policy.timezone);
            let longest = times(gap, SLOTS)
                .clamp(LONGEST_OFTEN, LONGEST)
                .max(promised);
            let forever = ENOUGH_OF_FOREVER
                .max(promised)
                .max(times(gap, GAPS_OF_FOREVER));
            let end = first_slot_after(series, span.1, &policy.timezone);
            // Every few seconds is every few seconds: nobody waits for tens of millions of slots.
            let enough = span.0.checked_add(times(gap, MOST_AHEAD));
            let end = enough.map_or(end, |enough| end.min(enough));
            let mut history = SignedDuration::ZERO;
            for (_, keep) in &series.keep {
                let life = longest_life(&series.schedule, keep, &policy.timezone);
                let life = life.filter(|life| *life < longest);
                endless.push(life.is_none());
                ends.push(end);
                // What is kept for ever looks the same at every age, once every other rule is filled.
                history = history.max(life.unwrap_or(forever));
            }
            // Each with its own history: a series that runs every few minutes is kept for days, not for the years of another one.
            let from = span.0.checked_sub(history.saturating_add(slack(series)));
            let scenario = Scenario::undisturbed(from.unwrap_or(Timestamp::MIN), end);
            let mut tiers = alone(&outside, capabilities, database, series, &scenario);
            let of_tier = |(tier, _): &(TierName, _)| tiers.remove(tier).unwrap_or_default();
            lives.extend(series.keep.iter().map(of_tier));
        }
        Self {
            lives,
            endless,
            ends,
            from: span.0,
            until: span.1,
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
        let ends = sources.iter().map(|index| self.ends[*index]);
        let span = (self.from, ends.min().unwrap_or(self.until));
        let profile = Rc::new(Profile::of(lives, span, endless));
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
                .filter(|life| life.is_there(self.until))
                .count()
        };
        let counts = self.lives.iter().map(at_end);
        counts
            .map(|count| i64::try_from(count).unwrap_or(i64::MAX))
            .collect()
    }
}

fn slack(series: &Series) -> SignedDuration {
    let mut rules = series.keep.iter().flat_map(|(_, keep)| &keep.rules);
    let short = rules.all(|rule| matches!(rule.each, Each::Point | Each::Hour | Each::Day));
    if short { SLACK_OF_DAYS } else { SLACK }
}

fn times(gap: SignedDuration, count: i32) -> SignedDuration {
    gap.checked_mul(count).unwrap_or(SignedDuration::MAX)
}

/// When a series runs first after an instant; the instant where it never does.
fn first_slot_after(series: &Series, at: Timestamp, zone: &TimeZone) -> Timestamp {
    let delay = series.schedule.start_delay();
    let slot = at.checked_sub(delay).unwrap_or(Timestamp::MIN);
    let next = series.schedule.next_after(slot, zone);
    next.and_then(|next| next.checked_add(delay).ok())
        .unwrap_or(at)
}

/// The lives of one series by tier, as if there were no other and no log.
fn alone(
    outside: &Policy,
    capabilities: &TierCapabilities,
    database: &DatabaseDeclaration,
    series: &Series,
    scenario: &Scenario,
) -> BTreeMap<TierName, Vec<Life>> {
    let mut series = series.clone();
    series.incremental = false;
    let name = series.name.clone();
    let database = DatabaseDeclaration {
        wal: None,
        drills: Vec::new(),
        series: [(name.clone(), series)].into(),
        ..database.clone()
    };
    let mut policy = outside.clone();
    let of = database.name.clone();
    policy.databases.insert(of.clone(), database);
    let nothing = Inventory::empty(scenario.from);
    let mut forecast = forecast(&policy, &nothing, capabilities, scenario);
    let mut all = forecast.databases.remove(&of).unwrap_or_default();
    all.remove(&name).unwrap_or_default()
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
        approval: None,
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
