//! How far states of each age are apart, whenever somebody asks: a sweep over the lives of points.
//!
//! At any instant the states that exist then stand in a row; a moment between two of them is lost back to the older one. Two neighbours
//! of a time `[t1, t2)` concern the ages from `t1 - newer` to `t2 - older`; the figure of an age is that of the widest pair that ever
//! concerns it. The newest state has no neighbour yet: what is lost is measured up to the instant at which the next one can be relied upon.
//!
//! Invariants: the order of the lives does not matter; a figure is never too small. Not here: which lives there are (`forecast`).

use crate::forecast::Life;
use jiff::{SignedDuration, Timestamp};
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
};

/// The longest gap of most schedules.
const A_YEAR: i64 = 366 * 86_400;

/// Two states with none between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    /// The state that one gets.
    pub(crate) older: Timestamp,
    /// The next newer state; `None`: there is none yet.
    pub(crate) newer: Option<Timestamp>,
    /// From when on they are neighbours.
    pub(crate) since: Timestamp,
    /// From when on they are no more.
    pub(crate) until: Timestamp,
}

impl Pair {
    /// The largest loss.
    fn gap(&self) -> i64 {
        seconds(self.older, self.newer.unwrap_or(self.until))
    }

    /// Whether it concerns an age from one to before another.
    fn concerns(&self, first: i64, last: i64) -> bool {
        let (from, to) = self.ages();
        from < last && first < to
    }

    /// The largest loss of states that are at least so old: when they are, the newer one may not be far any more.
    fn loss_from(&self, age: i64) -> i64 {
        self.gap().min(seconds(self.older, self.until) - age.max(0))
    }

    /// The ages that it concerns.
    fn ages(&self) -> (i64, i64) {
        let first = self.newer.map_or(0, |newer| seconds(newer, self.since));
        (first.max(0), seconds(self.older, self.until))
    }
}

/// Of every age, how far states are apart at most.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// What is lost at most when the database is lost; `None`: there were times without any state.
    pub(crate) now: Option<i64>,
    /// Ages, ascending, at which other neighbours begin to count.
    steps: Vec<i64>,
    /// No state is older than this at some time; `None`: something is kept for ever.
    pub(crate) reach: Option<i64>,
    /// The same for what is kept for ever, as far as anybody looked: older ages are like those just below.
    covered: i64,
    /// When the oldest state was no older than that, and which it was.
    shortest: Option<(Timestamp, Timestamp)>,
    /// Neighbours, those that are to be shown first.
    pairs: Vec<Pair>,
    /// What was asked before: databases of one shape ask the same.
    asked: RefCell<HashMap<(i64, i64), Option<i64>>>,
}

impl Profile {
    /// The profile of lives that are relied upon from their verification on.
    pub(crate) fn of<'a>(
        lives: impl Iterator<Item = &'a Life>,
        span: (Timestamp, Timestamp),
        endless: bool,
    ) -> Self {
        let mut sweep = Sweep::new(span);
        let mut events: Vec<(Timestamp, bool, Timestamp)> = Vec::new();
        for life in lives {
            // What is not verified is not relied upon.
            let Some(from) = life.verified_from.map(|at| at.max(life.from)) else {
                continue;
            };
            let until = life.until.unwrap_or(Timestamp::MAX);
            if from < until && until > span.0 && from < span.1 {
                // Before the time that is looked at all that is there came at once.
                events.push((from.max(span.0), true, life.captured_at));
                if until < span.1 {
                    events.push((until, false, life.captured_at));
                }
            }
        }
        events.sort_unstable();
        let mut at = span.0;
        for (time, comes, captured) in events {
            if time > at {
                sweep.settle(at);
                at = time;
            }
            if comes {
                sweep.insert(captured, time);
            } else {
                sweep.remove(captured, time);
            }
        }
        sweep.settle(at);
        sweep.finish(endless)
    }

    /// How far states of ages from one to before another are apart at most; `None`: at some time there is none.
    pub(crate) fn gap_in(&self, ages: (i64, Option<i64>)) -> Option<i64> {
        let (first, last) = self.looked_at(ages);
        if self
            .reach
            .is_some_and(|reach| first >= reach || last > reach)
        {
            return None;
        }
        if let Some(known) = self.asked.borrow().get(&(first, last)) {
            return *known;
        }
        let mine = self.pairs.iter().filter(|pair| pair.concerns(first, last));
        let widest = mine.map(|pair| pair.loss_from(first)).max();
        self.asked.borrow_mut().insert((first, last), widest);
        widest
    }

    /// Ages as they were looked at: of what is kept for ever those of its last year stand for all that are older.
    fn looked_at(&self, ages: (i64, Option<i64>)) -> (i64, i64) {
        let (mut first, mut last) = (ages.0, ages.1.unwrap_or(i64::MAX));
        if self.reach.is_none() {
            first = first.min((self.covered - A_YEAR).max(0));
            last = last.min(self.covered);
        }
        (first, last.max(first + 1))
    }

    /// The ages at which something changes.
    pub(crate) fn ages(&self) -> impl Iterator<Item = i64> + '_ {
        self.steps.iter().copied().chain(self.reach)
    }

    /// A case, the earliest of the years ahead, in which states of some age between two are further apart than allowed.
    pub(crate) fn witness(&self, ages: (i64, Option<i64>), allowed: i64) -> Option<Case> {
        let (first, last) = self.looked_at(ages);
        let pair = self
            .pairs
            .iter()
            // They stand as they are to be shown.
            .find(|pair| pair.concerns(first, last) && pair.loss_from(first) > allowed);
        if let Some(pair) = pair {
            let newer = pair.newer.unwrap_or(pair.until);
            let at = later(newer, first).max(pair.since).min(pair.until);
            return Some(Case {
                at,
                // While both are neighbours, and just before the newer one.
                seen: later(at, -1).max(pair.since),
                wanted: later(newer, -1).min(later(at, -first)),
            });
        }
        let (at, oldest) = self.shortest?;
        let wanted = later(at, -first).min(later(oldest, -1));
        self.reach
            .is_some_and(|reach| last > reach)
            .then_some(Case {
                at,
                seen: at,
                wanted,
            })
    }
}

/// A case in which states are far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    /// Somebody needs a state then.
    pub(crate) at: Timestamp,
    /// An instant at which there is what there is in this case.
    pub(crate) seen: Timestamp,
    /// The state that is needed.
    pub(crate) wanted: Timestamp,
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

fn later(at: Timestamp, by: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(by))
        .unwrap_or(at)
}

/// The states that exist at an instant, in a row.
struct Sweep {
    span: (Timestamp, Timestamp),
    /// How many lives hold a state, and since when the next newer one is its neighbour.
    row: BTreeMap<Timestamp, (u32, Timestamp)>,
    pairs: Vec<Pair>,
    /// The shortest reach so far: its length, when it was, and the oldest state then.
    reach: Option<(i64, Timestamp, Timestamp)>,
    /// Whether there ever was nothing.
    empty: bool,
}

impl Sweep {
    fn new(span: (Timestamp, Timestamp)) -> Self {
        Self {
            span,
            row: BTreeMap::new(),
            pairs: Vec::new(),
            reach: None,
            empty: false,
        }
    }

    fn insert(&mut self, captured: Timestamp, at: Timestamp) {
        if let Some((lives, _)) = self.row.get_mut(&captured) {
            *lives += 1;
            return;
        }
        let newer = self.row.range(captured..).next().map(|(at, _)| *at);
        if let Some((older, (_, since))) = self.row.range_mut(..captured).next_back() {
            let pair = Pair {
                older: *older,
                newer,
                since: *since,
                until: at,
            };
            *since = at;
            self.emit(pair);
        }
        self.row.insert(captured, (1, at));
    }

    fn remove(&mut self, captured: Timestamp, at: Timestamp) {
        let Some((lives, since)) = self.row.get_mut(&captured) else {
            return;
        };
        *lives -= 1;
        if *lives > 0 {
            return;
        }
        let since = *since;
        self.row.remove(&captured);
        let newer = self.row.range(captured..).next().map(|(at, _)| *at);
        self.emit(Pair {
            older: captured,
            newer,
            since,
            until: at,
        });
        if let Some((older, (_, since))) = self.row.range_mut(..captured).next_back() {
            let pair = Pair {
                older: *older,
                newer: Some(captured),
                since: *since,
                until: at,
            };
            *since = at;
            self.emit(pair);
        }
    }

    /// Between two instants nothing changes: what there is now is there for a while.
    fn settle(&mut self, at: Timestamp) {
        match self.row.keys().next() {
            Some(oldest) => {
                let reach = seconds(*oldest, at);
                // Of equals the last: what is missing then was made under this policy.
                if self.reach.is_none_or(|(least, _, _)| reach <= least) {
                    self.reach = Some((reach, at, *oldest));
                }
            }
            None => self.empty = true,
        }
    }

    fn emit(&mut self, pair: Pair) {
        if pair.since < pair.until {
            self.pairs.push(pair);
        }
    }

    fn finish(mut self, endless: bool) -> Profile {
        let row: Vec<(Timestamp, Timestamp)> = self
            .row
            .iter()
            .map(|(at, (_, since))| (*at, *since))
            .collect();
        for (index, (older, since)) in row.iter().enumerate() {
            self.emit(Pair {
                older: *older,
                newer: row.get(index + 1).map(|(at, _)| *at),
                since: *since,
                until: self.span.1,
            });
        }
        let open = self.pairs.iter().filter(|pair| pair.newer.is_none());
        let now = open.map(Pair::gap).max().filter(|_| !self.empty);
        let reach = match self.reach {
            Some((reach, _, _)) if !self.empty => reach,
            _ => 0,
        };
        let pairs = distinct(self.pairs, self.span.0);
        let ends = !endless || self.empty;
        let mut steps = envelope(&pairs);
        if !ends {
            steps.retain(|age| *age < reach);
        }
        Profile {
            now,
            steps,
            covered: reach,
            reach: ends.then_some(reach),
            shortest: self.reach.map(|(_, at, oldest)| (at, oldest)),
            pairs,
            asked: RefCell::default(),
        }
    }
}

/// In steady state the same comes again and again: of pairs with the same gap and ages one is enough. A state that the years ahead bring says more
/// than one that would be there if the policy had always been in force; of those the newest.
fn distinct(mut pairs: Vec<Pair>, from: Timestamp) -> Vec<Pair> {
    pairs.sort_unstable_by_key(|pair| {
        let past = pair.older < from;
        let recent = if past { -pair.older.as_second() } else { 0 };
        (past, recent, pair.since, pair.older)
    });
    let mut seen = HashSet::new();
    pairs.retain(|pair| seen.insert((pair.gap(), pair.ages())));
    pairs
}

/// The ages at which the widest gap changes.
fn envelope(pairs: &[Pair]) -> Vec<i64> {
    // In steady state the same gaps come again and again: they are joined before anything is sorted.
    let mut by_gap: HashMap<i64, Vec<(i64, i64)>> = HashMap::new();
    for pair in pairs {
        let (from, to) = pair.ages();
        if from < to {
            by_gap.entry(pair.gap()).or_default().push((from, to));
        }
    }
    let mut changes: Vec<(i64, i64, bool)> = Vec::new();
    for (gap, mut ages) in by_gap {
        ages.sort_unstable();
        let mut open: Option<(i64, i64)> = None;
        for (from, to) in ages {
            match &mut open {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => {
                    if let Some((from, to)) = open.replace((from, to)) {
                        changes.extend([(from, gap, true), (to, gap, false)]);
                    }
                }
            }
        }
        if let Some((from, to)) = open {
            changes.extend([(from, gap, true), (to, gap, false)]);
        }
    }
    changes.sort_unstable();
    let mut active: BTreeMap<i64, u32> = BTreeMap::new();
    let mut steps: Vec<i64> = Vec::new();
    let mut last = None;
    for (index, (age, gap, begins)) in changes.iter().enumerate() {
        let count = active.entry(*gap).or_default();
        if *begins {
            *count += 1;
        } else {
            *count = count.saturating_sub(1);
            if *count == 0 {
                active.remove(gap);
            }
        }
        if changes.get(index + 1).is_some_and(|next| next.0 == *age) {
            continue;
        }
        let widest = active.last_key_value().map(|(widest, _)| *widest);
        if widest != last {
            steps.push(*age);
            last = widest;
        }
    }
    steps
}

#[cfg(test)]
mod tests;
