//! From planning to the quick way and back: what an inventory becomes, and what becomes an inventory again.
//!
//! Invariant: nothing that a decision looks at is lost; only how thoroughly a copy was verified is forgotten, because nothing asks for it again.

use super::{Here, Point, Regular, There};
use crate::{
    forecast::{drive::Setting, planned::Member},
    retention::calendar::Moment,
};
use jiff::Timestamp;
use model::{
    Copy, CopyState, Inventory, PointState, RecoveryPoint, RecoveryPointId, Verified, VerifyLevel,
};
use std::collections::{BTreeMap, BTreeSet};

impl<'a> Regular<'a> {
    /// Takes over from planning; `None` where something is not as it should be, and the inventory is untouched.
    pub(in crate::forecast) fn begin(
        setting: &Setting<'a>,
        member: &Member<'a>,
        inventory: &mut Inventory,
        now: Timestamp,
    ) -> Option<Self> {
        let unfit = |point: &RecoveryPoint| {
            point.state == PointState::Complete
                && (point.parent.is_some()
                    || point.slot > now
                    || point.copies.iter().any(|copy| {
                        let unproved = copy.is_present() && copy.verified.is_none();
                        copy.state == CopyState::Foreign
                            || unproved && member.ledger.tier(&copy.tier).is_some()
                    }))
        };
        if member.series.incremental || inventory.recovery_points.iter().any(unfit) {
            return None;
        }
        let tiers = member.series.keep.iter().map(|(name, keep)| {
            let can = setting.capabilities.get(name);
            Here {
                name,
                keep,
                archived: can.is_some_and(|can| can.thaw.is_some()),
                // A lock for as long as retention keeps the copy is never in its way.
                lock: can.and_then(|can| can.lock).and_then(|lock| lock.length),
                follow: None,
                copies: BTreeMap::new(),
                waiting: BTreeSet::new(),
            }
        });
        let mut regular = Self {
            zone: &setting.policy.timezone,
            min_verified: setting.policy.safety.min_verified.max(1) as usize,
            tiers: tiers.collect(),
            points: BTreeMap::new(),
            next: 0,
            newest: None,
            shelf: Vec::new(),
        };
        let mut points = std::mem::take(&mut inventory.recovery_points);
        points.sort_by(|a, b| (a.slot, &a.id).cmp(&(b.slot, &b.id)));
        for point in points {
            regular.take_over(member, point);
        }
        for tier in 0..regular.tiers.len() {
            regular.judge(tier);
        }
        Some(regular)
    }

    fn take_over(&mut self, member: &Member<'a>, mut point: RecoveryPoint) {
        if point.state != PointState::Complete {
            self.shelf.push(point);
            return;
        }
        let number = self.next;
        let held = point.copies.iter().any(|copy| copy.held);
        let moment = Moment::new(point.slot, self.zone);
        let mut copies = 0;
        let mut bytes = point.bytes;
        point.copies.retain(|copy| {
            let tier = member.ledger.tier(&copy.tier).filter(|_| copy.is_present());
            if let Some(tier) = tier {
                let there = There {
                    locked_until: copy.locked_until,
                    reasons: 0,
                    stored_at: copy.stored_at,
                };
                self.tiers[tier].copies.insert(number, there);
                copies += 1;
            }
            bytes = if bytes.0 == 0 { copy.bytes } else { bytes };
            tier.is_none() && copy.is_present()
        });
        if copies == 0 && point.copies.is_empty() {
            // Nothing of it can be read any more: it plays no part in any decision.
            return;
        }
        self.next += 1;
        self.newest = Some(moment);
        if copies == 0 {
            self.shelf.push(point);
            return;
        }
        self.points.insert(
            number,
            Point {
                moment,
                captured_at: point.captured_at,
                bytes,
                copies,
                held,
                id: Some(point.id),
                method: Some(point.method),
                orphans: point.copies,
            },
        );
    }

    /// Hands everything back to planning.
    pub(in crate::forecast) fn end(
        self,
        member: &Member<'a>,
        setting: &Setting<'a>,
        inventory: &mut Inventory,
    ) {
        let mut points = self.shelf;
        let database = &setting.database.name;
        for (number, mut point) in self.points {
            let slot = point.moment.at;
            let orphans = std::mem::take(&mut point.orphans);
            let here = self.tiers.iter().filter_map(|tier| {
                let there = tier.copies.get(&number)?;
                Some(Copy {
                    bytes: point.bytes,
                    held: point.held,
                    locked_until: there.locked_until,
                    state: CopyState::Present,
                    stored_at: there.stored_at,
                    tier: tier.name.clone(),
                    // Proved as thoroughly as anybody may ask, so that it is not proved again.
                    verified: Some(Verified {
                        at: there.stored_at,
                        level: VerifyLevel::Restore,
                    }),
                })
            });
            let copies: Vec<Copy> = here.chain(orphans).collect();
            let made = || RecoveryPointId::new(database, &member.series.name, slot);
            let id = point.id.take().unwrap_or_else(made);
            points.push(complete(member, point, id, copies));
        }
        inventory.recovery_points = points;
    }

    pub(super) fn shelve(&mut self, member: &Member<'a>, mut point: Point) {
        let Some(id) = point.id.take() else {
            return;
        };
        let copies = std::mem::take(&mut point.orphans);
        self.shelf.push(complete(member, point, id, copies));
    }
}

/// The point as an inventory has it.
fn complete(
    member: &Member<'_>,
    point: Point,
    id: RecoveryPointId,
    copies: Vec<Copy>,
) -> RecoveryPoint {
    RecoveryPoint {
        adopted: false,
        bytes: point.bytes,
        captured_at: point.captured_at,
        copies,
        database: member.ledger.database.clone(),
        id,
        method: point.method.unwrap_or_else(|| member.series.method.clone()),
        parent: None,
        series: member.series.name.clone(),
        slot: point.moment.at,
        state: PointState::Complete,
        wal: None,
    }
}
