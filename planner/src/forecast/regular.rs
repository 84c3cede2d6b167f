//! The quick way: a series in which every copy is where it belongs, verified, and no tier is away, followed from slot to slot.
//!
//! A new point is made on the first tier that wants it and copied to the others that do; what it takes the place of goes, unless a lock, a hold or `min-verified`
//! keeps it. Those are the rules of planning for this one case. Whatever else a plan could do makes [`Regular::run`] answer
//! [`Outcome::Irregular`], and the series is planned (`planned`).
//!
//! Not here: chains and archived log, which are always planned.

mod handover;

use super::{End, Life, planned::Member};
use crate::retention::{
    Dated, Occupy, Verdict, Why, arrivals::Arrivals, calendar::Moment, evaluate_dated,
};
use jiff::{Timestamp, tz::TimeZone};
use model::{ByteCount, Copy, Keep, MethodName, Period, RecoveryPoint, RecoveryPointId, TierName};
use std::collections::{BTreeMap, BTreeSet};

/// More rounds of deletions than this at one instant do not happen.
const MOST_ROUNDS: u32 = 12;

/// What a run led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Everything that a plan would do was done.
    Done,
    /// A plan would do more; what was done so far is right.
    Irregular,
}

/// A series in which all is well.
pub(super) struct Regular<'a> {
    zone: &'a TimeZone,
    min_verified: usize,
    tiers: Vec<Here<'a>>,
    points: BTreeMap<u32, Point>,
    next: u32,
    /// The newest point of all.
    newest: Option<Moment>,
    /// What has no part in this: copies on tiers that the series does not name, unfinished points.
    shelf: Vec<RecoveryPoint>,
}

/// One tier of the series.
struct Here<'a> {
    name: &'a TierName,
    keep: &'a Keep,
    archived: bool,
    /// New copies are locked for so long.
    lock: Option<Period>,
    /// `None`: everything is evaluated at each arrival.
    follow: Option<Arrivals>,
    copies: BTreeMap<u32, There>,
    /// Copies that no rule keeps, and that something else still does.
    waiting: BTreeSet<u32>,
}

/// One copy.
#[derive(Clone, Copy)]
struct There {
    locked_until: Option<Timestamp>,
    reasons: u32,
    stored_at: Timestamp,
}

struct Point {
    moment: Moment,
    captured_at: Timestamp,
    bytes: ByteCount,
    copies: u32,
    held: bool,
    id: Option<RecoveryPointId>,
    method: Option<MethodName>,
    orphans: Vec<Copy>,
}

impl<'a> Regular<'a> {
    /// Slot of the newest point.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.newest.map(|newest| newest.at)
    }

    /// When the next lock ends that keeps something which nothing else does.
    pub(super) fn next_lock_end(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.tiers.iter().flat_map(|tier| {
            let copies = tier
                .waiting
                .iter()
                .filter_map(|number| tier.copies.get(number));
            copies.filter_map(|there| there.locked_until)
        });
        waiting.filter(|until| *until > now).min()
    }

    /// A run: a point is made for the slot, if one is due, and what may go goes.
    pub(super) fn run(
        &mut self,
        member: &mut Member<'a>,
        now: Timestamp,
        slot: Option<Moment>,
    ) -> Outcome {
        let mut made = vec![false; self.tiers.len()];
        if let Some(slot) = slot
            && !self.arrive(member, now, slot, &mut made)
        {
            return Outcome::Irregular;
        }
        for _ in 0..MOST_ROUNDS {
            let mut doubtful: BTreeSet<usize> = BTreeSet::new();
            let mut gone = false;
            for (tier, made) in made.iter().enumerate() {
                gone |= self.prune(member, tier, now, *made, &mut doubtful);
            }
            if !gone {
                return Outcome::Done;
            }
            for tier in doubtful {
                self.judge(tier);
                if self.wanted(tier, None).is_none() {
                    return Outcome::Irregular;
                }
            }
        }
        Outcome::Irregular
    }

    /// Makes a point; false where planning must, and nothing was changed.
    fn arrive(
        &mut self,
        member: &mut Member<'a>,
        now: Timestamp,
        slot: Moment,
        made: &mut [bool],
    ) -> bool {
        let Some(places) = self.places(&slot) else {
            return false;
        };
        let number = self.next;
        self.next += 1;
        self.newest = Some(slot);
        let bytes = member.sizes.at(slot.at, false);
        self.points.insert(
            number,
            Point {
                moment: slot,
                captured_at: now,
                bytes,
                copies: u32::try_from(places.len()).unwrap_or(u32::MAX),
                held: false,
                id: None,
                method: None,
                orphans: Vec::new(),
            },
        );
        for tier in places {
            let lock = self.tiers[tier]
                .lock
                .map(|length| length.after(now, self.zone));
            let lock = lock.map(|until| Timestamp::from_second(until.as_second()).unwrap_or(until));
            member
                .ledger
                .made(tier, now, Life::new(slot.at, now, bytes, lock));
            member.ledger.verified(tier, slot.at, now);
            let there = There {
                locked_until: lock,
                reasons: 0,
                stored_at: now,
            };
            self.add(tier, number, there);
            made[tier] = true;
        }
        true
    }

    /// The tiers that a new point is stored on; `None`: planning must say.
    fn places(&self, slot: &Moment) -> Option<Vec<usize>> {
        let mut wants = Vec::with_capacity(self.tiers.len());
        for (index, tier) in self.tiers.iter().enumerate() {
            wants.push(if tier.follow.is_some() {
                Arrivals::wants(tier.keep, slot, self.newest.as_ref())
            } else {
                self.wanted(index, Some(*slot))?
            });
        }
        let first = (0..self.tiers.len())
            .min_by_key(|index| (!wants[*index], self.tiers[*index].archived, *index))?;
        wants[first] = true;
        let places: Vec<usize> = (0..wants.len()).filter(|index| wants[*index]).collect();
        // Nothing can be copied on from an archive before it is thawed.
        let stuck = self.tiers[first].archived && places.len() > 1;
        (!stuck).then_some(places)
    }

    /// A copy is there; the rules of the tier look at it.
    fn add(&mut self, index: usize, number: u32, there: There) {
        let points = &self.points;
        let tier = &mut self.tiers[index];
        let before = tier.copies.last_key_value().map(|(number, _)| *number);
        tier.copies.insert(number, there);
        let moment = |number: u32| points.get(&number).map(|point| point.moment);
        let following = |number: u32| {
            let mut after = points.range(number + 1..);
            after.next().map(|(_, point)| point.moment)
        };
        let Some(new) = moment(number) else { return };
        let newest = before.and_then(moment);
        let mut released = Vec::new();
        let kept_by = tier.follow.as_mut().and_then(|follow| {
            follow.arrive(
                number,
                &new,
                newest.as_ref(),
                self.zone,
                following,
                &mut released,
            )
        });
        let Some(kept_by) = kept_by else {
            self.judge(index);
            return;
        };
        let forever = u32::from(tier.keep.forever);
        if let Some(there) = tier.copies.get_mut(&number) {
            there.reasons = kept_by + forever;
        }
        if kept_by + forever == 0 {
            tier.waiting.insert(number);
        }
        for released in released {
            if let Some(there) = tier.copies.get_mut(&released) {
                there.reasons = there.reasons.saturating_sub(1);
                if there.reasons == 0 {
                    tier.waiting.insert(released);
                }
            }
        }
    }

    /// Asks retention about everything on a tier.
    fn judge(&mut self, index: usize) {
        let (numbers, there): (Vec<u32>, Vec<Dated>) = self.tiers[index]
            .copies
            .keys()
            .rev()
            .filter_map(|number| Some((*number, dated(self.points.get(number)?))))
            .unzip();
        let tier = &mut self.tiers[index];
        let reasons = if Arrivals::can_follow(tier.keep) {
            let (follow, reasons) = Arrivals::begin(tier.keep, &numbers, &there, self.zone);
            tier.follow = Some(follow);
            reasons
        } else {
            let verdicts = evaluate_dated(tier.keep, &there, self.zone, Occupy::Complete);
            let count = |reasons: &[Why]| reasons.iter().filter(|why| **why != Why::Held).count();
            let counts = verdicts.iter().map(|verdict| count(&verdict.reasons));
            counts
                .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
                .collect()
        };
        tier.waiting.clear();
        for (number, reasons) in numbers.into_iter().zip(reasons) {
            if let Some(there) = tier.copies.get_mut(&number) {
                there.reasons = reasons;
            }
            if reasons == 0 {
                tier.waiting.insert(number);
            }
        }
    }

    /// Whether a tier wants a new point; `None`: it also wants one that it does not have.
    fn wanted(&self, index: usize, new: Option<Moment>) -> Option<bool> {
        let tier = &self.tiers[index];
        let newest_here = tier.copies.last_key_value().map(|(number, _)| *number);
        let (numbers, mut universe): (Vec<u32>, Vec<Dated>) = self
            .points
            .iter()
            .rev()
            .filter(|(number, _)| {
                newest_here.is_none_or(|newest| **number > newest)
                    || self.tiers[..=index]
                        .iter()
                        .any(|tier| tier.copies.contains_key(number))
            })
            .map(|(number, point)| (*number, dated(point)))
            .unzip();
        if let Some(moment) = new {
            let new = Dated {
                moment,
                held: false,
                verified: true,
            };
            universe.insert(0, new);
        }
        let verdicts = evaluate_dated(tier.keep, &universe, self.zone, Occupy::Complete);
        let mut verdicts = verdicts.iter();
        let wants = new.is_some() && verdicts.next().is_some_and(Verdict::is_kept);
        let lacking = numbers.iter().zip(verdicts).any(|(number, verdict)| {
            verdict.reasons.iter().any(|why| *why != Why::Held) && !tier.copies.contains_key(number)
        });
        (!lacking).then_some(wants)
    }

    /// Deletes what nothing keeps on a tier, oldest first; whether something went. `doubtful` gets the tiers on which another point may now stand for
    /// a unit.
    fn prune(
        &mut self,
        member: &mut Member<'a>,
        index: usize,
        now: Timestamp,
        made: bool,
        doubtful: &mut BTreeSet<usize>,
    ) -> bool {
        if self.tiers[index].waiting.is_empty() {
            return false;
        }
        let newest = self.tiers[index]
            .copies
            .last_key_value()
            .map(|(number, _)| *number);
        let waiting: Vec<u32> = self.tiers[index].waiting.iter().copied().collect();
        let mut gone = false;
        for number in waiting {
            let tier = &mut self.tiers[index];
            let Some(point) = self.points.get_mut(&number) else {
                continue;
            };
            let locked = tier
                .copies
                .get(&number)
                .and_then(|there| there.locked_until);
            let stays = point.held
                || newest == Some(number)
                || locked.is_some_and(|until| until > now)
                || tier.copies.len() <= self.min_verified;
            if stays {
                continue;
            }
            tier.waiting.remove(&number);
            tier.copies.remove(&number);
            point.copies -= 1;
            let (moment, left) = (point.moment, point.copies);
            let at = if made {
                member.ledger.displaced_at(index, now)
            } else {
                now
            };
            member.ledger.close(index, moment.at, at, End::Pruned);
            gone = true;
            if left == 0
                && let Some(point) = self.points.remove(&number)
                && !point.orphans.is_empty()
            {
                self.shelve(member, point);
            }
            self.look_for_doubt(index, number, &moment, doubtful);
        }
        gone
    }

    fn look_for_doubt(
        &self,
        index: usize,
        gone: u32,
        moment: &Moment,
        doubtful: &mut BTreeSet<usize>,
    ) {
        let Some(newest) = &self.newest else { return };
        let mut after = self.points.range(gone + 1..);
        let following = after.next().map(|(_, point)| point.moment);
        for (other, tier) in self.tiers.iter().enumerate().skip(index) {
            let doubt = match &tier.follow {
                Some(follow) => follow.may_be_replaced(moment, newest, following.as_ref()),
                None => true,
            };
            if doubt {
                doubtful.insert(other);
            }
        }
    }
}

fn dated(point: &Point) -> Dated {
    Dated {
        moment: point.moment,
        held: point.held,
        verified: true,
    }
}
