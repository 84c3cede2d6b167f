//! Time: when a series runs, what is away then, and which of the two ways decides.
//!
//! A series starts at its slots. Beside them there is a run at the beginning, at the end of every outage and whenever a lock ends that
//! something waits for.

use super::{
    End, SeriesLives,
    bookkeeping::Ledger,
    drive::Setting,
    expected::{Failures, Misses, Sizes},
    log::{FutureLog, rolls_forward},
    planned::{self, Member},
    regular::{Outcome, Regular},
    slots::Calendar,
};
use crate::retention::calendar::Moment;
use jiff::{SignedDuration, Timestamp};
use model::{CopyState, Inventory, RecoveryPoint, TierName, plan::Missed};
use policy_schema::policy::Series;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Series that are planned together, and where they stand in time.
pub(super) struct Group<'a, 's> {
    setting: &'s Setting<'a>,
    members: Vec<Member<'a>>,
    timings: Vec<Timing>,
    /// Ends of outages and losses of tiers that concern the group, newest first; the beginning is one of them.
    special: Vec<Timestamp>,
    state: State<'a>,
    log: Option<FutureLog>,
    /// When the first lock ends that something waits for.
    lock_end: Option<Timestamp>,
}

/// Who decides.
enum State<'a> {
    /// Planning, over an inventory of the group alone.
    Planned(Inventory),
    /// The quick way, with the inventory that it came from, emptied.
    Regular(Regular<'a>, Inventory),
}

/// Where one series stands.
struct Timing {
    slots: Arc<[Moment]>,
    /// The first slot that has not started.
    next: usize,
    delay: SignedDuration,
    start_within: Option<SignedDuration>,
    misses: Misses,
}

impl<'a, 's> Group<'a, 's> {
    pub(super) fn new(
        setting: &'s Setting<'a>,
        series: &[&'a Series],
        points: &[&RecoveryPoint],
        with_log: bool,
        calendar: &mut Calendar<'_>,
    ) -> Self {
        let scenario = setting.scenario;
        let slots: BTreeMap<_, Timestamp> =
            points.iter().map(|point| (&point.id, point.slot)).collect();
        let members = series.iter().map(|series| {
            let tiers = series.keep.iter().map(|(tier, _)| tier);
            let mine: Vec<&RecoveryPoint> = points
                .iter()
                .filter(|point| point.series == series.name)
                .copied()
                .collect();
            let mut ledger = Ledger::new(&setting.database.name, &series.name, tiers, scenario);
            for point in &mine {
                let parent = point.parent.as_ref().and_then(|parent| slots.get(parent));
                ledger.begin(point, parent.copied());
            }
            Member {
                series,
                ledger,
                failures: Failures::new(scenario, &setting.database.name, &series.name),
                sizes: Sizes::new(scenario, &setting.database.name, &mine),
                rolls_forward: with_log && rolls_forward(series, &mine),
            }
        });
        let members: Vec<Member<'a>> = members.collect();
        let timings = series.iter().map(|series| Timing {
            slots: calendar.slots(&series.schedule),
            next: 0,
            delay: series.schedule.start_delay(),
            start_within: series.window.start_within,
            misses: Misses::default(),
        });
        let mut inventory = Inventory::empty(scenario.from);
        inventory.recovery_points = points.iter().map(|point| (*point).clone()).collect();
        let wal = setting.database.wal.as_ref().filter(|_| with_log);
        let observed = setting.inventory.wal.get(&setting.database.name);
        let mut group = Self {
            setting,
            timings: timings.collect(),
            special: Vec::new(),
            state: State::Planned(inventory),
            log: wal.map(|wal| FutureLog::new(wal, observed, points, scenario.from)),
            lock_end: None,
            members,
        };
        group.special = group.special_times();
        group
    }

    fn tiers(&self) -> BTreeSet<&TierName> {
        let keeps = self.members.iter().flat_map(|member| &member.series.keep);
        keeps.map(|(tier, _)| tier).collect()
    }

    fn special_times(&self) -> Vec<Timestamp> {
        let scenario = self.setting.scenario;
        let tiers = self.tiers();
        let outages = scenario.outages.iter().filter(|outage| {
            outage.from < outage.until
                && outage.tier.as_ref().is_none_or(|tier| tiers.contains(tier))
        });
        let lost = scenario
            .lost_tiers
            .iter()
            .filter(|lost| tiers.contains(&lost.tier));
        let mut times: Vec<Timestamp> = outages
            .map(|outage| outage.until)
            .chain(lost.map(|lost| lost.at))
            .chain([scenario.from])
            .filter(|at| (scenario.from..=scenario.until).contains(at))
            .collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.dedup();
        times
    }

    /// When something happens next.
    pub(super) fn next_event(&self) -> Option<Timestamp> {
        let slots = self.timings.iter().filter_map(Timing::next_start);
        let next = slots
            .chain(self.special.last().copied())
            .chain(self.lock_end)
            .min()?;
        (next <= self.setting.scenario.until).then_some(next)
    }

    /// What happens then.
    pub(super) fn step(&mut self, now: Timestamp) {
        let scenario = self.setting.scenario;
        if self.special.last() == Some(&now) {
            self.special.pop();
        }
        self.lock_end = self.lock_end.filter(|end| *end > now);
        for timing in &mut self.timings {
            timing.pass(now);
        }
        let lost = scenario.lost_tiers.iter().filter(|lost| lost.at == now);
        let lost: Vec<&TierName> = lost.map(|lost| &lost.tier).collect();
        if !lost.is_empty() {
            self.hand_to_planning();
            self.lose(&lost, now);
            if let Some(log) = &mut self.log {
                for tier in &lost {
                    log.lose(tier);
                }
            }
        }
        if scenario.is_down(now) {
            return;
        }
        if !self.run_regular(now) {
            self.hand_to_planning();
            self.run_planned(now);
        }
        for (index, timing) in self.timings.iter_mut().enumerate() {
            let newest = match &self.state {
                State::Regular(regular, _) => regular.newest(),
                State::Planned(inventory) => newest_of(inventory, self.members[index].series),
            };
            timing.misses.settle(newest);
        }
    }

    fn away(&self, now: Timestamp) -> Vec<TierName> {
        if self.setting.scenario.outages.is_empty() {
            return Vec::new();
        }
        let tiers = self.tiers().into_iter();
        tiers
            .filter(|tier| self.setting.scenario.is_away(tier, now))
            .cloned()
            .collect()
    }

    fn run_regular(&mut self, now: Timestamp) -> bool {
        if !self.away(now).is_empty() {
            return false;
        }
        let State::Regular(regular, _) = &mut self.state else {
            return false;
        };
        let (Some(member), Some(timing)) = (self.members.first_mut(), self.timings.first()) else {
            return false;
        };
        let due = timing
            .due()
            .filter(|due| regular.newest().is_none_or(|newest| newest < due.at))
            .filter(|due| {
                let waited = now.duration_since(due.at).saturating_sub(timing.delay);
                timing.start_within.is_none_or(|within| waited <= within)
            })
            .filter(|due| !member.failures.fails(due.at));
        if regular.run(member, now, due) == Outcome::Irregular {
            return false;
        }
        self.lock_end = regular.next_lock_end(now);
        true
    }

    fn hand_to_planning(&mut self) {
        let taken = std::mem::replace(
            &mut self.state,
            State::Planned(Inventory::empty(self.setting.scenario.from)),
        );
        self.state = match taken {
            State::Planned(inventory) => State::Planned(inventory),
            State::Regular(regular, mut inventory) => {
                if let Some(member) = self.members.first() {
                    regular.end(member, self.setting, &mut inventory);
                }
                State::Planned(inventory)
            }
        };
    }

    fn run_planned(&mut self, now: Timestamp) {
        let away = self.away(now);
        let State::Planned(inventory) = &mut self.state else {
            return;
        };
        if let Some(log) = &mut self.log {
            log.go_on(now);
            let database = self.setting.database.name.clone();
            inventory.wal.insert(database, log.archive.clone());
        }
        inventory.observed_at = now;
        let quiet = self.setting.quiet_since(now);
        inventory.last_activity = quiet;
        inventory.unreachable_tiers.clone_from(&away);
        let ran = planned::run(
            self.setting,
            inventory,
            &mut self.members,
            self.log.as_ref(),
            now,
        );
        self.lock_end = None;
        if ran.waits_for_lock {
            let copies = inventory
                .recovery_points
                .iter()
                .flat_map(|point| &point.copies);
            let locks = copies.filter_map(|copy| copy.locked_until);
            self.lock_end = locks.filter(|until| *until > now).min();
        }
        if !ran.all_is_well || !away.is_empty() || self.log.is_some() || self.members.len() != 1 {
            return;
        }
        let regular = Regular::begin(self.setting, &self.members[0], inventory, now);
        if let Some(regular) = regular {
            self.lock_end = regular.next_lock_end(now);
            let empty = Inventory::empty(now);
            let inventory = std::mem::replace(inventory, empty);
            self.state = State::Regular(regular, inventory);
        }
    }

    /// Everything on the tiers is gone.
    fn lose(&mut self, tiers: &[&TierName], now: Timestamp) {
        let State::Planned(inventory) = &mut self.state else {
            return;
        };
        for point in &mut inventory.recovery_points {
            let member = self
                .members
                .iter_mut()
                .find(|one| one.series.name == point.series);
            let Some(member) = member else { continue };
            for copy in point
                .copies
                .iter_mut()
                .filter(|copy| tiers.contains(&&copy.tier))
            {
                if matches!(copy.state, CopyState::Present | CopyState::Foreign) {
                    copy.state = CopyState::Missing;
                    copy.verified = None;
                    if let Some(tier) = member.ledger.tier(&copy.tier) {
                        member.ledger.close(tier, point.slot, now, End::Lost);
                    }
                }
            }
        }
    }

    /// Everything that was written down.
    pub(super) fn finish(self) -> (SeriesLives, Vec<Missed>) {
        let mut lives = BTreeMap::new();
        let mut missed = Vec::new();
        for (member, timing) in self.members.into_iter().zip(self.timings) {
            let name = &member.series.name;
            missed.extend(timing.misses.finish(&self.setting.database.name, name));
            lives.insert(name.clone(), member.ledger.finish());
        }
        (lives, missed)
    }
}

impl Timing {
    fn start(&self, slot: &Moment) -> Timestamp {
        slot.at.saturating_add(self.delay).unwrap_or(Timestamp::MAX)
    }

    fn next_start(&self) -> Option<Timestamp> {
        self.slots.get(self.next).map(|slot| self.start(slot))
    }

    /// The newest slot that has started.
    fn due(&self) -> Option<Moment> {
        self.slots.get(self.next.checked_sub(1)?).copied()
    }

    fn pass(&mut self, now: Timestamp) {
        while let Some(slot) = self
            .slots
            .get(self.next)
            .filter(|slot| self.start(slot) <= now)
        {
            self.misses.slot(slot.at);
            self.next += 1;
        }
    }
}

fn newest_of(inventory: &Inventory, series: &Series) -> Option<Timestamp> {
    let mine = inventory
        .recovery_points
        .iter()
        .filter(|point| point.series == series.name);
    let there = mine.filter(|point| point.copies.iter().any(model::Copy::is_present));
    there.map(|point| point.slot).max()
}
