//! The inventory sorted for deciding: one series with its points, newest first, and their copies per tier.
//!
//! Invariant: nothing here depends on the order of the inventory.
//! Not here: any wish of the policy beyond which tiers a series names.

use crate::{retention::calendar::Moment, world::World};
use model::{
    Copy, CopyState, DatabaseName, Keep, PointState, Reason, RecoveryPoint, RecoveryPointId,
    SeriesName, TierName,
    tier_facts::{LockRule, ThawOrder},
    wal::WalSource,
};
use policy_schema::policy::{DatabaseDeclaration, Series};
use std::{collections::HashMap, sync::Arc};

/// Points of one series, in any order.
pub(crate) type Points<'a> = Vec<&'a RecoveryPoint>;

/// All points by database and series. Hashed for speed: looked up by name, drained only through a sort.
pub(crate) type BySeries<'a> = HashMap<(&'a DatabaseName, &'a SeriesName), Points<'a>>;

pub(crate) fn by_series(points: &[RecoveryPoint]) -> BySeries<'_> {
    let mut map = BySeries::new();
    for point in points {
        map.entry((&point.database, &point.series))
            .or_default()
            .push(point);
    }
    map
}

/// One declared series and everything observed of it.
pub(crate) struct SeriesFacts<'a> {
    pub(crate) database: &'a DatabaseDeclaration,
    pub(crate) series: &'a Series,
    /// Complete points, newest slot first.
    pub(crate) points: Vec<PointFacts<'a>>,
    /// What interrupted runs left behind, newest first.
    pub(crate) incomplete: Points<'a>,
    /// In the order of the policy: the first is the primary.
    pub(crate) tiers: Vec<TierFacts<'a>>,
    /// What the archived log of the database asks of this series.
    pub(crate) log: LogNeeds<'a>,
}

/// What the archived log of a database asks of one of its series.
#[derive(Default)]
pub(crate) struct LogNeeds<'a> {
    /// Why a base backup is needed out of turn.
    pub(crate) broken: Option<Reason>,
    /// What the server said of itself.
    pub(crate) source: Option<&'a WalSource>,
    /// By tier: points that a window of log begins with, and the words for it.
    pub(crate) windows: Vec<(usize, usize, Arc<str>)>,
}

/// One complete point.
pub(crate) struct PointFacts<'a> {
    pub(crate) point: &'a RecoveryPoint,
    pub(crate) moment: Moment,
    /// A hold on any copy holds the point.
    pub(crate) held: bool,
    /// Whether some copy, anywhere, may still be read as far as is known.
    pub(crate) available: bool,
    /// Whether some copy has passed a verification.
    pub(crate) verified: bool,
}

/// One tier that the series names.
pub(crate) struct TierFacts<'a> {
    pub(crate) name: &'a TierName,
    pub(crate) keep: &'a Keep,
    pub(crate) reachable: bool,
    /// How data here is thawed before it is read; `None`: it can be read at once.
    pub(crate) thaw: Option<ThawOrder>,
    /// What locks every copy here.
    pub(crate) lock: Option<LockRule>,
    /// The copy of each point here, as the points stand.
    pub(crate) copies: Vec<Option<&'a Copy>>,
}

impl<'a> SeriesFacts<'a> {
    pub(crate) fn new(
        world: &World<'a>,
        database: &'a DatabaseDeclaration,
        series: &'a Series,
        mut points: Points<'a>,
    ) -> Self {
        points.sort_by(|a, b| (b.slot, &b.id).cmp(&(a.slot, &a.id)));
        let (points, incomplete): (Points<'a>, Points<'a>) = points
            .into_iter()
            .partition(|point| point.state == PointState::Complete);
        let tiers = series
            .keep
            .iter()
            .map(|(name, keep)| {
                let can = world.capabilities.get(name);
                TierFacts {
                    name,
                    keep,
                    reachable: !world.unreachable.contains(name),
                    thaw: can.and_then(|can| can.thaw),
                    lock: can.and_then(|can| can.lock),
                    copies: points.iter().map(|point| point.copy_on(name)).collect(),
                }
            })
            .collect();
        let points = points
            .into_iter()
            .map(|point| PointFacts {
                point,
                moment: Moment::new(point.slot, &world.policy.timezone),
                held: point.copies.iter().any(|copy| copy.held),
                available: point
                    .copies
                    .iter()
                    .any(|copy| matches!(copy.state, CopyState::Present | CopyState::Foreign)),
                verified: point.copies.iter().any(Copy::is_good),
            })
            .collect();
        Self {
            database,
            series,
            points,
            incomplete,
            tiers,
            log: LogNeeds::default(),
        }
    }

    /// `database/series`, as people read it.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.database.name, self.series.name)
    }

    /// Index of the point that the point at `index` is incremental to, if it is known.
    pub(crate) fn parent(&self, index: usize) -> Option<usize> {
        let parent = self.points[index].point.parent.as_ref()?;
        // Parents are older, and points stand newest first: looking only further back cannot loop.
        let older = &self.points[index + 1..];
        let step = older.iter().position(|facts| &facts.point.id == parent)?;
        Some(index + 1 + step)
    }

    /// The point and everything that it is incremental to, the point first; an error names the link that is not known.
    pub(crate) fn chain(&self, index: usize) -> Result<Vec<usize>, &'a RecoveryPointId> {
        let mut chain = vec![index];
        let mut link = index;
        while let Some(parent) = &self.points[link].point.parent {
            link = self.parent(link).ok_or(parent)?;
            chain.push(link);
        }
        Ok(chain)
    }
}

impl TierFacts<'_> {
    pub(crate) fn present(&self, index: usize) -> bool {
        self.copies[index].is_some_and(Copy::is_present)
    }

    pub(crate) fn good(&self, index: usize) -> bool {
        self.copies[index].is_some_and(Copy::is_good)
    }
}
