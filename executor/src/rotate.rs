//! Rotates keys: gives the key rings of stored recovery points the recipients that the policy names now.
//!
//! Invariants: data objects are neither read nor written, so it works where they are locked or archived; each ring is replaced by
//! itself (`rewrap.rs`), so a run that ends early has done part of the work, and a repeat does the rest and nothing else; a tier
//! that is away is reported with the copies that still have their old recipients there.
//! Not here: what keys are declared and which are wanted (the root package, from the policy).

use crate::{
    apply::RunError,
    cancel::Cancel,
    clock::Clock,
    key_copies::{self, AT_ONCE},
    keys::KeyChain,
    lease::{self, Held},
    rewrap::{self, Place, Rewrapped, Rewrapping, Wanted},
    steps::error::{StepError, catalog_failure},
    wal,
    wiring::Wiring,
};
use catalog::{AuditDetails, AuditEntry, AuditKind, Catalog};
use model::{
    DatabaseName, Disposition, KeyName, RecoveryPointId, TierName, event::Failure, wal::WalFolder,
};
use providers::api::{KeyState, ProviderError, Tier};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinSet;

/// What to rotate.
#[derive(Debug, Clone)]
pub struct RotateOrder {
    /// For each database, the keys that shall open its points: all of them, and no other.
    pub wanted: BTreeMap<DatabaseName, Vec<KeyName>>,
    /// Only these points; `None`: all.
    pub points: Option<BTreeSet<RecoveryPointId>>,
    /// Only these tiers; `None`: all.
    pub tiers: Option<BTreeSet<TierName>>,
    /// Keep recipients that are not wanted any more.
    pub keep_old: bool,
    /// Who wants it.
    pub who: String,
    /// Why, for the audit.
    pub why: String,
    /// Names the piece of work; must be unique.
    pub run: String,
    /// How long to wait for another run.
    pub lease_wait: Duration,
}

/// What a rotation did on one tier. Copies that are stored plain are in none of the lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TierRotation {
    /// Copies whose keys are wrapped for other recipients now.
    pub rewrapped: Vec<RecoveryPointId>,
    /// Copies that had the wanted recipients.
    pub already_fine: Vec<RecoveryPointId>,
    /// Copies that keep their old recipients, and why.
    pub failed: Vec<(RecoveryPointId, Failure)>,
}

/// Copies that were not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDone {
    /// Why.
    pub failure: Failure,
    /// Which.
    pub points: Vec<RecoveryPointId>,
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RotateReport {
    /// What was done, by tier.
    pub tiers: BTreeMap<TierName, TierRotation>,
    /// Tiers that could not be read: what lies there keeps its old recipients until a repeat.
    pub unreachable: BTreeMap<TierName, NotDone>,
    /// Points of databases for which no recipients are wanted; they were left as they are.
    pub without_recipients: BTreeSet<RecoveryPointId>,
    /// What was done but could not be recorded in the catalog.
    pub gaps: Vec<Failure>,
}

impl RotateReport {
    /// Whether every copy that was asked for has the wanted recipients now.
    pub fn is_complete(&self) -> bool {
        self.unreachable.is_empty() && self.tiers.values().all(|tier| tier.failed.is_empty())
    }
}

/// What all copies share.
#[derive(Debug)]
struct Shared {
    chain: KeyChain,
    wanted: BTreeMap<String, Result<Vec<Wanted>, Failure>>,
    keep_old: bool,
    catalog: Catalog,
    held: Held,
    clock: Arc<dyn Clock>,
}

/// Rotates. `progress` gets the copies done so far and all of them.
///
/// Cancellation leaves each ring old or new. Errors: another run is under way, or the catalog fails; a copy or a tier that fails is part
/// of the answer.
pub async fn rotate(
    order: &RotateOrder,
    wiring: &Wiring,
    catalog: &Catalog,
    clock: &Arc<dyn Clock>,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<RotateReport, RunError> {
    let held = lease::acquire(
        catalog,
        clock,
        &order.run,
        order.lease_wait,
        &Cancel::never(),
    )
    .await
    .map_err(crate::apply::locked)?;
    let chain = KeyChain::new(&wiring.keys);
    let wanted = look_at_wanted(order, &chain).await;
    let shared = Arc::new(Shared {
        chain,
        wanted,
        keep_old: order.keep_old,
        catalog: catalog.clone(),
        held,
        clock: Arc::clone(clock),
    });
    let result = under_lease(order, wiring, &shared, progress).await;
    let audited = match &result {
        Ok(report) => audit(order, report, catalog, clock).await,
        Err(_) => Ok(()),
    };
    // Every task has ended, so nobody else holds it; if one did, the lease would run out by itself.
    let released = match Arc::try_unwrap(shared) {
        Ok(shared) => shared.held.release(catalog).await,
        Err(_) => Ok(()),
    };
    let mut report = result?;
    let gaps = [audited, released];
    report.gaps.extend(
        gaps.iter()
            .filter_map(|gap| gap.as_ref().err().map(catalog_failure)),
    );
    Ok(report)
}

/// The wanted keys of each database, if every one of them can be used: a ring with some of its recipients only is not made.
async fn look_at_wanted(
    order: &RotateOrder,
    chain: &KeyChain,
) -> BTreeMap<String, Result<Vec<Wanted>, Failure>> {
    let mut all = BTreeMap::new();
    for (database, names) in &order.wanted {
        let mut keys = Ok(Vec::new());
        for name in names {
            match (look_at(chain, name).await, &mut keys) {
                (Ok(key), Ok(keys)) => keys.push(key),
                (Err(error), Ok(_)) => keys = Err(error.to_failure()),
                (_, Err(_)) => {}
            }
        }
        all.insert(database.to_string(), keys);
    }
    all
}

async fn look_at(chain: &KeyChain, name: &KeyName) -> Result<Wanted, StepError> {
    let key = chain.get(name)?;
    let facts = key.observe().await?;
    let why = match &facts.state {
        KeyState::Usable => return Ok((Arc::clone(key), facts)),
        KeyState::Disabled => "it is disabled".to_owned(),
        KeyState::PendingDeletion(None) => "it is about to be destroyed".to_owned(),
        KeyState::PendingDeletion(Some(at)) => format!("it will be destroyed at {at}"),
        KeyState::Missing => "it is not there".to_owned(),
        KeyState::Unusable(why) => why.clone(),
    };
    Err(ProviderError::new(
        "mainstay::key::no-recipient",
        Disposition::NeedsOperator,
        format!("key `{name}` cannot become a recipient: {why}"),
    )
    .help("name another key in `encrypt-with`, or make this one usable; `mainstay key list` shows the state of each")
    .into())
}

async fn under_lease(
    order: &RotateOrder,
    wiring: &Wiring,
    shared: &Arc<Shared>,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<RotateReport, RunError> {
    let mut report = RotateReport::default();
    let catalog = &shared.catalog;
    let inventory = catalog.inventory(shared.clock.now()).await?;
    let copies = key_copies::find(&inventory, wiring, Some(catalog), |tier, point| {
        order.tiers.as_ref().is_none_or(|only| only.contains(tier))
            && order
                .points
                .as_ref()
                .is_none_or(|only| only.contains(point))
    })
    .await;
    for (tier, (failure, points)) in copies.away {
        report.unreachable.insert(tier, NotDone { failure, points });
    }
    let mut work: Vec<(Arc<dyn Tier>, RecoveryPointId, Work)> = copies
        .readable
        .into_iter()
        .map(|(tier, point)| (tier, point.clone(), Work::Point(point)))
        .collect();
    // A choice of points says nothing of the log.
    if order.points.is_none() {
        work.extend(folders_of_log(order, wiring, &mut report).await);
    }
    let all = work.len() as u64;
    let mut done = 0;
    let mut waiting = work.into_iter();
    let mut working = JoinSet::new();
    progress(done, all);
    loop {
        while working.len() < AT_ONCE
            && let Some((tier, point, work)) = waiting.next()
        {
            let shared = Arc::clone(shared);
            working.spawn(async move {
                let result = one(&shared, &*tier, &work).await;
                (tier.name().clone(), point, result)
            });
        }
        match working.join_next().await {
            None => break,
            Some(Ok((tier, point, result))) => {
                done += 1;
                progress(done, all);
                if let Err(error) = report.note(tier, point, result) {
                    // Also so that nobody else holds the lease that is given back.
                    working.shutdown().await;
                    return Err(error);
                }
            }
            Some(Err(error)) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
    for tier in report.tiers.values_mut() {
        tier.rewrapped.sort();
        tier.already_fine.sort();
        tier.failed.sort_by(|a, b| a.0.cmp(&b.0));
    }
    Ok(report)
}

/// Something with a ring of its own.
enum Work {
    Point(RecoveryPointId),
    Log(WalFolder),
}

/// The folders of archived log that have keys, whatever the policy says of the log now; each counts under the id of its ring.
async fn folders_of_log(
    order: &RotateOrder,
    wiring: &Wiring,
    report: &mut RotateReport,
) -> Vec<(Arc<dyn Tier>, RecoveryPointId, Work)> {
    let mut work = Vec::new();
    for (name, wired) in &wiring.tiers {
        let is_asked = order.tiers.as_ref().is_none_or(|only| only.contains(name));
        if !is_asked || report.unreachable.contains_key(name) {
            continue;
        }
        for database in order.wanted.keys() {
            match wal::keys::folders_with_rings(&*wired.tier, database).await {
                Ok(folders) => work.extend(folders.into_iter().filter_map(|folder| {
                    let id = folder.ring_id().ok()?;
                    Some((Arc::clone(&wired.tier), id, Work::Log(folder)))
                })),
                Err(error) => {
                    let failure = StepError::from(error).to_failure();
                    let points = Vec::new();
                    report
                        .unreachable
                        .entry(name.clone())
                        .or_insert(NotDone { failure, points });
                    break;
                }
            }
        }
    }
    work
}

/// What became of one copy.
enum One {
    Plain,
    WithoutRecipients,
    Ring(Rewrapped),
    Failed(Failure),
}

async fn one(shared: &Shared, tier: &dyn Tier, work: &Work) -> Result<One, StepError> {
    match work {
        Work::Point(point) => of_point(shared, tier, point).await,
        Work::Log(folder) => {
            let database = folder.database.as_str();
            rewrapped(shared, tier, database, Place::Log(folder)).await
        }
    }
}

async fn of_point(
    shared: &Shared,
    tier: &dyn Tier,
    point: &RecoveryPointId,
) -> Result<One, StepError> {
    let manifest = key_copies::manifest_of(Some(&shared.catalog), tier, point).await?;
    if !manifest.is_encrypted() {
        return Ok(One::Plain);
    }
    rewrapped(shared, tier, point.database(), Place::Point(&manifest)).await
}

async fn rewrapped(
    shared: &Shared,
    tier: &dyn Tier,
    database: &str,
    place: Place<'_>,
) -> Result<One, StepError> {
    let wanted = match shared.wanted.get(database) {
        Some(Ok(wanted)) if !wanted.is_empty() => wanted,
        Some(Err(failure)) => return Ok(One::Failed(failure.clone())),
        Some(Ok(_)) | None => return Ok(One::WithoutRecipients),
    };
    let order = Rewrapping {
        chain: &shared.chain,
        wanted,
        keep_old: shared.keep_old,
        catalog: &shared.catalog,
        lease: &shared.held.lease,
        now: shared.clock.now(),
    };
    let rewrapped = rewrap::ensure_recipients(&order, tier, place).await?;
    Ok(One::Ring(rewrapped))
}

impl RotateReport {
    /// An error only when the run may not go on.
    fn note(
        &mut self,
        tier: TierName,
        point: RecoveryPointId,
        result: Result<One, StepError>,
    ) -> Result<(), RunError> {
        let result = match result {
            Err(StepError::Catalog(error)) => return Err(error.into()),
            Err(error) => One::Failed(error.to_failure()),
            Ok(one) => one,
        };
        if matches!(result, One::Plain) {
            return Ok(());
        }
        let on_tier = self.tiers.entry(tier).or_default();
        match result {
            One::Plain => {}
            One::WithoutRecipients => {
                self.without_recipients.insert(point);
            }
            One::Ring(Rewrapped::Done) => on_tier.rewrapped.push(point),
            One::Ring(Rewrapped::AlreadyFine) => on_tier.already_fine.push(point),
            One::Failed(failure) => on_tier.failed.push((point, failure)),
        }
        Ok(())
    }
}

async fn audit(
    order: &RotateOrder,
    report: &RotateReport,
    catalog: &Catalog,
    clock: &Arc<dyn Clock>,
) -> Result<(), catalog::CatalogError> {
    let count =
        |list: fn(&TierRotation) -> usize| -> usize { report.tiers.values().map(list).sum() };
    let wanted: Vec<String> = order
        .wanted
        .iter()
        .map(|(database, names)| {
            let names: Vec<&str> = names.iter().map(KeyName::as_str).collect();
            format!("{database} for {}", names.join(", "))
        })
        .collect();
    let not_done: usize = report
        .unreachable
        .values()
        .map(|not| not.points.len())
        .sum();
    catalog
        .audit(&AuditEntry {
            at: clock.now(),
            who: order.who.clone(),
            kind: AuditKind::KeyRotation,
            what: format!("run {}: {}", order.run, wanted.join("; ")),
            why: format!(
                "{} copies rewrapped, {} as wanted before, {} failed, {not_done} on tiers that are away; {}{}",
                count(|tier| tier.rewrapped.len()),
                count(|tier| tier.already_fine.len()),
                count(|tier| tier.failed.len()),
                if order.keep_old { "old recipients kept; " } else { "" },
                order.why
            ),
            details: Some(AuditDetails::KeyRotation {
                already_fine: count(|tier| tier.already_fine.len()) as u64,
                failed: count(|tier| tier.failed.len()) as u64,
                keep_old: order.keep_old,
                not_reached: not_done as u64,
                rewrapped: count(|tier| tier.rewrapped.len()) as u64,
                run: order.run.clone(),
                wanted: order.wanted.clone(),
            }),
        })
        .await
}
