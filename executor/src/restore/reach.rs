//! Can the asked moment be reached, from which base, and if not: which moments can?
//!
//! Answered before anything is touched, from the tiers as they are now: files that follow each other over every switch of timelines
//! (`model::wal::coverage`), and, because positions do not tell when a commit happened, the records themselves (`proof`). A server
//! whose log ends before its target refuses to start, after hours of replay; this says it in seconds.
//!
//! Invariants: a way that is given is proved; without a proof nothing is started. A tier that cannot be read is said, and never
//! taken for one without log.

use super::proof;
use crate::{
    clock::Clock,
    crash_point::CrashPoints,
    observe::{Refresh, observe},
    steps::error::{StepError, catalog_failure},
    wal::{WalStore, observe_wal},
    wiring::{WalWiring, Wiring},
};
use catalog::Catalog;
use jiff::Timestamp;
use model::{
    ByteCount, CopyState, DatabaseName, Disposition, Inventory, Lsn, RecoveryPoint,
    RecoveryPointId, RecoveryTarget, SeriesName, TierName, TimelineChoice, WalArchive,
    event::Failure,
    wal::coverage::{self, Coverage, Route},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What one wants to reach, and what it may be reached with.
#[derive(Debug, Clone)]
pub struct ReachOrder {
    /// Database.
    pub database: DatabaseName,
    /// Moment.
    pub target: RecoveryTarget,
    /// Timeline to follow.
    pub timeline: TimelineChoice,
    /// Only from this base.
    pub point: Option<RecoveryPointId>,
    /// Only from bases of this series.
    pub series: Option<SeriesName>,
    /// Only from bases with a copy on this tier. The log may come from any.
    pub from: Option<TierName>,
}

/// A proved way to a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The base to start from.
    pub base: RecoveryPointId,
    /// Older bases from which the moment can be reached as well, the newest first: should the first one not be readable after all.
    pub others: Vec<RecoveryPointId>,
    /// Replay begins about here.
    pub start: Lsn,
    /// The log is whole up to here; replay ends at or before it.
    pub end: Lsn,
    /// Timeline to follow.
    pub timeline: u32,
    /// Files of log that lie between the two.
    pub files: u64,
    /// What is missing right behind the end, although log goes on after it; empty: the archived log ends there.
    pub missing: Vec<String>,
    /// Tiers that the log is read from: those that could be read when it was proved.
    pub tiers: Vec<TierName>,
    /// Those that could not, and why: what only they have is missing.
    pub unread: BTreeMap<TierName, String>,
}

/// Why a moment cannot be reached, and which can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    /// Why, in words.
    pub why: String,
    /// Stretches of moments that can be reached, the oldest first.
    pub windows: Vec<ReachableWindow>,
    /// Where the log has holes, and what is not usable.
    pub coverage: Coverage,
    /// Tiers that could not be read, so that more may be possible than is said, and why.
    pub unread: BTreeMap<TierName, String>,
}

/// A stretch of moments that can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachableWindow {
    /// From here on.
    pub from: Timestamp,
    /// Up to the last commit in the log; `None`: none was found in its last files.
    pub to: Option<Timestamp>,
    /// Timeline that is followed.
    pub timeline: u32,
    /// The log is whole up to here.
    pub position: Lsn,
}

/// Why no way was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoWay {
    /// There is none.
    Unreached(Box<Unreached>),
    /// It could not be found out.
    Failed(Box<Failure>),
}

impl Unreached {
    /// As an error, with times in UTC; who knows the reader's zone says it better.
    pub fn to_failure(&self, target: &RecoveryTarget) -> Failure {
        let windows: Vec<String> = self
            .windows
            .iter()
            .map(|window| match window.to {
                Some(to) => format!("{} to {to}", window.from),
                None => format!("{} and a little later", window.from),
            })
            .collect();
        let can = if windows.is_empty() {
            "no moment can be reached".to_owned()
        } else {
            format!("reachable: {}", windows.join(", "))
        };
        Failure {
            code: "mainstay::restore::unreachable".to_owned(),
            message: format!("{target} cannot be reached: {}; {can}", self.why),
            help: Some(
                "`mainstay wal status` shows every hole; `--latest` takes what there is".to_owned(),
            ),
            disposition: Disposition::NeedsOperator,
        }
    }
}

impl From<StepError> for NoWay {
    fn from(error: StepError) -> Self {
        Self::Failed(Box::new(error.to_failure()))
    }
}

/// Finds the way to a moment, and proves it. Changes nothing; works without a catalog.
pub async fn reach(
    order: &ReachOrder,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    clock: &Arc<dyn Clock>,
) -> Result<Way, NoWay> {
    let inventory = known_points(wiring, catalog, clock.now()).await?;
    let wiring = everywhere(wiring, &order.database);
    let mut looks = observe_wal(
        &wiring,
        catalog,
        clock,
        Some(&order.database),
        &BTreeSet::new(),
    )
    .await;
    let (archive, unread) = match looks.remove(&order.database) {
        Some(look) => (look.archive, look.unreachable),
        None => (WalArchive::default(), BTreeMap::new()),
    };
    let store = WalStore::open(
        &wiring,
        &order.database,
        Arc::clone(clock),
        CrashPoints::new(None),
    );
    let search = Search {
        order,
        store: Arc::new(store.map_err(StepError::from)?),
        archive,
        unread: unread
            .into_iter()
            .map(|(tier, failure)| (tier, failure.message))
            .collect(),
        points: inventory.recovery_points,
    };
    search.run().await
}

/// The same wiring with the log read from every tier: what was archived under an older policy, or of a database that is not
/// declared any more, counts as well. The declared tiers come first.
pub(crate) fn everywhere(wiring: &Wiring, database: &DatabaseName) -> Wiring {
    let mut wiring = wiring.clone();
    let all: Vec<TierName> = wiring.tiers.keys().cloned().collect();
    if let Some(declared) = wiring.databases.get_mut(database) {
        let wal = declared.wal.get_or_insert_with(|| WalWiring {
            tiers: Vec::new(),
            encrypt_for: Vec::new(),
            stream_slot: None,
            compression_level: 3,
            parallel: 1,
            spool: None,
            spool_limit: ByteCount(0),
        });
        for tier in all {
            if !wal.tiers.contains(&tier) {
                wal.tiers.push(tier);
            }
        }
    }
    wiring
}

/// What the catalog knows; without one, what the tiers show now.
async fn known_points(
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    now: Timestamp,
) -> Result<Inventory, NoWay> {
    if let Some(catalog) = catalog {
        let known = catalog.inventory(now).await;
        return known.map_err(|error| NoWay::Failed(Box::new(catalog_failure(&error))));
    }
    let observed = observe(None, &wiring.tiers, now, Refresh::Full).await;
    let mut inventory = observed
        .map_err(|error| NoWay::Failed(Box::new(catalog_failure(&error))))?
        .inventory;
    for point in &mut inventory.recovery_points {
        for copy in &mut point.copies {
            // Nobody knows anything better of it.
            if copy.state == CopyState::Foreign {
                copy.state = CopyState::Present;
            }
        }
    }
    Ok(inventory)
}

/// One search for a way.
struct Search<'a> {
    order: &'a ReachOrder,
    store: Arc<WalStore>,
    archive: WalArchive,
    unread: BTreeMap<TierName, String>,
    points: Vec<RecoveryPoint>,
}

impl Search<'_> {
    async fn run(self) -> Result<Way, NoWay> {
        let log = self.archive.together();
        let all = coverage::bases(&self.points, &self.order.database, None);
        let bases: Vec<_> = all
            .iter()
            .filter(|base| self.is_wanted(&base.id))
            .cloned()
            .collect();
        let found = coverage::routes(&log, &bases, &self.order.target, self.order.timeline);
        let routes = match found {
            Ok(routes) => routes,
            Err(why) => return Err(self.unreached(why.to_string()).await),
        };
        let ends: BTreeMap<_, _> = bases.iter().map(|b| (b.id.clone(), b.span.end)).collect();
        let proved = proof::prove(&self.store, &routes, &ends)
            .await
            .map_err(StepError::from)?;
        match proved {
            Ok(ways) => Ok(self.way(&ways)),
            Err(why) => Err(self.unreached(why).await),
        }
    }

    fn is_wanted(&self, id: &RecoveryPointId) -> bool {
        let order = self.order;
        let has_copy = |tier: &TierName| {
            let point = self.points.iter().find(|point| point.id == *id);
            point.is_some_and(|point| point.copy_on(tier).is_some_and(model::Copy::is_present))
        };
        order.point.as_ref().is_none_or(|only| only == id)
            && order
                .series
                .as_ref()
                .is_none_or(|only| id.series() == only.as_str())
            && order.from.as_ref().is_none_or(has_copy)
    }

    /// Which moments can be reached instead, from any base.
    async fn unreached(&self, why: String) -> NoWay {
        let log = self.archive.together();
        let bases = coverage::bases(&self.points, &self.order.database, None);
        let coverage = coverage::coverage(&log, &bases);
        let mut windows = Vec::with_capacity(coverage.windows.len());
        for window in &coverage.windows {
            let Some(base) = window.bases.last() else {
                continue;
            };
            let only: Vec<_> = bases.iter().filter(|b| b.id == *base).cloned().collect();
            let choice = TimelineChoice::Number(window.timeline);
            let routes = coverage::routes(&log, &only, &RecoveryTarget::Latest, choice);
            let to = match routes.as_deref() {
                // What cannot be read now is said elsewhere; the beginning of the window is sure.
                Ok([route, ..]) => proof::last_commit(&self.store, route).await.ok().flatten(),
                _ => None,
            };
            windows.push(ReachableWindow {
                from: window.from_time,
                to,
                timeline: window.timeline,
                position: window.to,
            });
        }
        windows.sort_by_key(|window| (window.from, window.timeline));
        NoWay::Unreached(Box::new(Unreached {
            why,
            windows,
            coverage,
            unread: self.unread.clone(),
        }))
    }

    fn way(&self, routes: &[&Route]) -> Way {
        let (first, others) = (routes[0], &routes[1..]);
        let tiers = self.store.tiers();
        Way {
            base: first.base.clone(),
            others: others.iter().map(|route| route.base.clone()).collect(),
            start: first.pieces.first().map_or(first.to, |piece| piece.start),
            end: first.to,
            timeline: first.timeline,
            files: u64::try_from(first.files().count()).unwrap_or(u64::MAX),
            missing: first
                .hole
                .iter()
                .flat_map(|(missing, _)| missing)
                .map(ToString::to_string)
                .collect(),
            tiers: tiers
                .filter(|tier| !self.unread.contains_key(*tier))
                .cloned()
                .collect(),
            unread: self.unread.clone(),
        }
    }
}
