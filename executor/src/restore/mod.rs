//! Restores a recovery point at a person's word, and says how long each phase took and how old the data is.
//!
//! Invariants: the engine builds a new target under a temporary name, so a failure leaves no half target; a copy that turns out
//! bad, or that no declared key opens, is given up for the next one, before anything is visible. No lease: an emergency does not wait for a backup.
//! Not here: asking the person (the root package).

mod load;
mod order;
mod proof;
mod reach;
mod record;
pub(crate) mod replay;
mod search;

pub use order::{DrillContext, RecoveryWish, RestoreError, RestoreOrder, RestoreReport};
pub use reach::{NoWay, ReachOrder, ReachableWindow, Unreached, Way, reach};

use crate::{
    clock::Clock,
    copies,
    scratch::{Owner, Scratch},
    steps::{self, error::StepError},
    thawing::{self, NotThawed},
    wiring::{DatabaseWiring, Wiring},
};
use catalog::Catalog;
use model::{DatabaseName, event::Failure, recovery_record::Unjudged};
use search::Search;
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

/// Every code of this file, for the test that each has its page in `docs/errors/`.
pub(crate) const CODES: &[&str] = &[
    "mainstay::restore::no-copy",
    "mainstay::restore::unreachable",
    "mainstay::restore::log-gone",
];
pub(crate) use record::{CODES as RECORD_CODES, waits};

/// Restores a point. However it ends, it is recorded.
///
/// Cancellation leaves no half target; what the engine was building is removed by its `clean_leftovers`.
pub async fn restore(
    order: &RestoreOrder,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    clock: &Arc<dyn Clock>,
) -> Result<RestoreReport, RestoreError> {
    restore_until(order, wiring, catalog, clock, std::future::pending()).await
}

/// Restores a point unless `stop` comes first, with the reason: then what was begun is dropped, and that is recorded.
pub async fn restore_until(
    order: &RestoreOrder,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    clock: &Arc<dyn Clock>,
    stop: impl Future<Output = Failure>,
) -> Result<RestoreReport, RestoreError> {
    let watch = record::Watch::start(clock);
    let result = tokio::select! {
        result = attempt(order, wiring, catalog, clock) => result,
        failure = stop => Err(RestoreError {
            unjudged: Some(Unjudged::Stopped),
            ..RestoreError::new(failure)
        }),
    };
    watch.end(order, wiring, catalog, clock, result).await
}

async fn attempt(
    order: &RestoreOrder,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    clock: &Arc<dyn Clock>,
) -> Result<RestoreReport, RestoreError> {
    let began = clock.now();
    let order = &proved(order, wiring, catalog, clock).await?;
    let prepared = prepare(order, wiring);
    let (database, scratch) =
        prepared.map_err(|error| RestoreError::not_begun(error.to_failure()))?;
    let mut search = Search {
        order,
        wiring,
        catalog,
        clock,
        database,
        scratch,
        began,
        choosing: Instant::now(),
        given_up: Vec::new(),
        refused: AtomicBool::new(false),
    };
    let mut archived = Vec::new();
    let mut tiers = match &order.from {
        Some(from) => vec![from.clone()],
        None => copies::candidates(&order.point, wiring, catalog, began).await,
    };
    if let Some(prefer) = order.drill.as_ref().and_then(|drill| drill.prefer.as_ref()) {
        tiers.sort_by_key(|name| name != prefer);
    }
    for name in tiers {
        match search.look(&name).await {
            Ok((manifest, true)) => {
                if let Some(report) = search.try_copy(&name, &manifest, None).await? {
                    return Ok(report);
                }
            }
            Ok((manifest, false)) => archived.push((name, manifest)),
            Err(error) => search.give_up(&name, &error, true)?,
        }
    }
    // What can be read at once came first, however good the archived copies are; of those the fastest comes first.
    archived.sort_by_key(|(name, _)| thawing::typical_seconds(wiring, name));
    for (name, manifest) in archived {
        let thawing = Instant::now();
        match search.thaw(&name, &manifest).await {
            Ok(()) => {
                let waited = milliseconds(thawing);
                if let Some(report) = search.try_copy(&name, &manifest, Some(waited)).await? {
                    return Ok(report);
                }
            }
            Err(NotThawed::Failed(error)) => search.give_up(&name, &error, true)?,
            Err(NotThawed::Waiting(failure)) => return Err(search.wait(failure)),
        }
    }
    Err(search.nothing_left())
}

/// The order with a proved way to its target, if it has one: nothing is started towards a moment that is not there.
async fn proved(
    order: &RestoreOrder,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    clock: &Arc<dyn Clock>,
) -> Result<RestoreOrder, RestoreError> {
    let mut order = order.clone();
    let Some(wish) = &mut order.recovery else {
        return Ok(order);
    };
    if wish.way.as_ref().is_none_or(|way| way.base != order.point) {
        let Ok(database) = DatabaseName::new(order.point.database()) else {
            return Ok(order);
        };
        // What its own software archived, only that can tell; the engine asks it before anything is written.
        let wired = wiring.databases.get(&database);
        if wired.is_some_and(|wired| wired.engine.keeps_its_log()) {
            return Ok(order);
        }
        let wanted = ReachOrder {
            database,
            target: wish.target.clone(),
            timeline: wish.timeline,
            point: Some(order.point.clone()),
            series: None,
            from: order.from.clone(),
        };
        match reach(&wanted, wiring, catalog, clock).await {
            Ok(way) => wish.way = Some(way),
            Err(NoWay::Unreached(unreached)) => {
                return Err(RestoreError::not_begun(unreached.to_failure(&wish.target)));
            }
            Err(NoWay::Failed(failure)) => return Err(RestoreError::not_begun(*failure)),
        }
    }
    Ok(order)
}

fn prepare<'a>(
    order: &RestoreOrder,
    wiring: &'a Wiring,
) -> Result<(&'a DatabaseWiring, Scratch), StepError> {
    let unknown = || StepError::NotDeclared {
        what: "database",
        name: order.point.database().to_owned(),
    };
    let name = DatabaseName::new(order.point.database()).map_err(|_| unknown())?;
    let database = steps::database(wiring, &name)?;
    let scratch =
        Scratch::create(&wiring.scratch, Owner::Work, &order.run).map_err(StepError::Scratch)?;
    Ok((database, scratch))
}

pub(crate) fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
