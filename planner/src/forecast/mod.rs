//! The future of every recovery point: from when it can be restored on each tier, until retention lets it go.
//!
//! `forecast` runs schedules and retention forward under assumptions ([`Scenario`]). It equals planning at every start of a series and carrying out
//! the plan, again and again until it is empty, with every approval given; a test holds it to that, day by day. So a point goes as
//! early as it may: whoever applies once a night sees it one night longer.
//!
//! Two ways lead there. `planned` hands a series to the rules of planning themselves, at every slot: always right, and the only way for chains,
//! archived log, damage and tiers that are away. `regular` follows a series in which all is well, one new point at a time, asking `retention` only
//! where a verdict can change. Series are independent, so a forecast is as long as its databases are many.
//!
//! Not modelled: full tiers, approvals that are refused, clocks that look wrong, the time that a thaw takes, orphans (they stay).
//! Not here: sizes and costs over time (`simulation`), objectives (`prove`).

mod bookkeeping;
mod drive;
mod expected;
mod group;
mod log;
mod planned;
mod regular;
mod scenario;
mod slots;

pub use scenario::{LostTier, Outage, Scenario, Taken};

use crate::{facts, parallel};
use jiff::Timestamp;
use model::{
    ByteCount, DatabaseName, Inventory, RecoveryPoint, RecoveryPointId, SeriesName, TierName,
    plan::Missed, tier_facts::TierCapabilities,
};
use policy_schema::{Policy, policy::DatabaseDeclaration};
use serde::Serialize;
use std::collections::BTreeMap;

/// One recovery point on one tier: from when it can be restored until it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Life {
    /// Its slot.
    pub slot: Timestamp,
    /// Instant whose state it is.
    pub captured_at: Timestamp,
    /// Complete on the tier.
    pub from: Timestamp,
    /// Verified there; `None`: never.
    pub verified_from: Option<Timestamp>,
    /// Gone from then on; `None`: it outlives the horizon.
    pub until: Option<Timestamp>,
    /// Why it goes; `None`: it does not.
    pub end: Option<End>,
    /// Stored size; 0: not known.
    pub bytes: ByteCount,
    /// It exists today.
    pub point: Option<RecoveryPointId>,
    /// Slot of the point that it is incremental to.
    pub parent: Option<Timestamp>,
    /// A person holds it today.
    pub held: bool,
    /// The storage refuses its deletion until then, as far as locks are of a fixed length or exist today.
    pub locked_until: Option<Timestamp>,
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Retention let it go.
    Pruned,
    /// The tier was lost with everything on it.
    Lost,
}

impl Life {
    /// The life of a copy that a run makes.
    fn new(
        slot: Timestamp,
        run: Timestamp,
        bytes: ByteCount,
        locked_until: Option<Timestamp>,
    ) -> Self {
        Self {
            slot,
            captured_at: run,
            from: run,
            verified_from: None,
            until: None,
            end: None,
            bytes,
            point: None,
            parent: None,
            held: false,
            locked_until,
        }
    }

    /// Whether it can be restored at an instant: complete, and still there.
    pub fn is_there(&self, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }

    /// Whether it is also verified.
    pub fn is_proved(&self, at: Timestamp) -> bool {
        self.is_there(at) && self.verified_from.is_some_and(|from| from <= at)
    }
}

/// The lives on each tier of each series of one database, sorted by slot and then by their beginning.
pub type SeriesLives = BTreeMap<SeriesName, BTreeMap<TierName, Vec<Life>>>;

/// What becomes of one database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DatabaseForecast {
    /// Its points. Every tier that a series names is there, if only with an empty list.
    pub series: SeriesLives,
    /// Slots without a point, oldest first.
    pub missed: Vec<Missed>,
}

/// What becomes of everything that a policy declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// The points, by database, series and tier.
    pub databases: BTreeMap<DatabaseName, SeriesLives>,
    /// Slots without a point, by database, series and time.
    pub missed: Vec<Missed>,
}

/// Runs a policy forward from what exists.
pub fn forecast(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    scenario: &Scenario,
) -> Forecast {
    let all = forecast_each(
        policy,
        inventory,
        capabilities,
        scenario,
        |database, forecast| (database.name.clone(), forecast),
    );
    let mut whole = Forecast {
        from: scenario.from,
        until: scenario.until,
        databases: BTreeMap::new(),
        missed: Vec::new(),
    };
    for (name, one) in all {
        whole.databases.insert(name, one.series);
        whole.missed.extend(one.missed);
    }
    whole
}

/// The same, database by database in the order of their names, keeping only what `work` makes of each: ten thousand databases have millions of
/// lives.
pub fn forecast_each<R: Send>(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    scenario: &Scenario,
    work: impl Fn(&DatabaseDeclaration, DatabaseForecast) -> R + Sync,
) -> Vec<R> {
    let parts = forecast_fold(
        policy,
        inventory,
        capabilities,
        scenario,
        Vec::new,
        |all, database, forecast| all.push(work(database, forecast)),
    );
    parts.into_iter().flatten().collect()
}

/// The same, folded: each of the results is of consecutive databases, in the order of their names.
pub fn forecast_fold<R: Send>(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    scenario: &Scenario,
    begin: impl Fn() -> R + Sync,
    add: impl Fn(&mut R, &DatabaseDeclaration, DatabaseForecast) + Sync,
) -> Vec<R> {
    let groups = facts::by_series(&inventory.recovery_points);
    let points = inventory.recovery_points.iter();
    let activity = points
        .map(|point| point.captured_at)
        .chain(inventory.last_activity)
        .max();
    let databases: Vec<&DatabaseDeclaration> = policy.databases.values().collect();
    // Years of one database are worth a thread.
    parallel::map_chunks_of(1, &databases, |databases| {
        let mut calendar = slots::Calendar::new(&policy.timezone, scenario);
        let mut result = begin();
        for database in databases {
            let mut points: Vec<&RecoveryPoint> = Vec::new();
            for series in database.series.keys() {
                let known = groups.get(&(&database.name, series));
                points.extend(known.into_iter().flatten());
            }
            let setting = drive::Setting {
                policy,
                inventory,
                capabilities,
                scenario,
                database,
                activity,
            };
            let forecast = drive::database(&setting, &points, &mut calendar);
            add(&mut result, database, forecast);
        }
        result
    })
}
