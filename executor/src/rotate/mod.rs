//! Rotates keys: gives the key rings of stored recovery points the recipients that the policy names now.
//!
//! Invariants: data objects are neither read nor written, so it works where they are locked or archived; each ring is replaced by
//! itself (`rewrap.rs`), so a run that ends early has done part of the work, and a repeat does the rest and nothing else; a tier
//! that is away is reported with the copies that still have their old recipients there; where rules of approval are in force, no key
//! is taken from a ring that nobody has signed for (`approval.rs`).
//! Not here: what keys are declared and which are wanted (the root package, from the policy).

mod approval;

use crate::{
    apply::RunError,
    cancel::Cancel,
    clock::Clock,
    key_copies::{self, AT_ONCE},
    keys::KeyChain,
    lease::{self, Held},
    rewrap::{self, MayLose, Place, Rewrapped, Rewrapping, Wanted},
    steps::error::{StepError, catalog_failure},
    wal,
    wiring::Wiring,
};
use catalog::{AuditDetails, AuditEntry, AuditKind, Catalog};
use model::{
    DatabaseName, Disposition, KeyName, Manifest, RecoveryPointId, TierName, event::Failure,
    wal::WalFolder,
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
    /// Who signed that keys are taken from rings; `None`: nobody had to.
    pub approved_by: Option<String>,
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
/// Cancellation leaves each ring old or new. Errors: another run is under way, signatures are missing, or the catalog fails; a copy or
/// a tier that fails is part of the answer.
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
    let mut pieces: Vec<Piece> = copies
        .readable
        .into_iter()
        .map(|(tier, id)| Piece {
            tier,
            id,
            log: None,
        })
        .collect();
    // A choice of points says nothing of the log.
    if order.points.is_none() {
        pieces.extend(folders_of_log(order, wiring, &mut report).await);
    }
    let agreement = approval::ensure_agreed(shared, &pieces).await?;
    report.approved_by.clone_from(&agreement.by);
    let may_lose = Arc::new(agreement.may_lose);
    let all = pieces.len() as u64;
    let mut done = 0;
    progress(done, all);
    let act = |piece: Piece| {
        let (shared, may_lose) = (Arc::clone(shared), Arc::clone(&may_lose));
        async move {
            let result = one(&shared, &piece, &may_lose).await;
            (piece, result)
        }
    };
    each(&pieces, act, |piece, result| {
        done += 1;
        progress(done, all);
        report.note(piece.tier.name().clone(), piece.id, result)
    })
    .await?;
    for tier in report.tiers.values_mut() {
        tier.rewrapped.sort();
        tier.already_fine.sort();
        tier.failed.sort_by(|a, b| a.0.cmp(&b.0));
    }
    Ok(report)
}

/// Does something with every piece, a few at once. After an error of `note` nothing is under way any more.
async fn each<T, F>(
    pieces: &[Piece],
    act: impl Fn(Piece) -> F,
    mut note: impl FnMut(Piece, T) -> Result<(), RunError>,
) -> Result<(), RunError>
where
    F: Future<Output = (Piece, T)> + Send + 'static,
    T: Send + 'static,
{
    let mut waiting = pieces.iter();
    let mut working = JoinSet::new();
    loop {
        while working.len() < AT_ONCE
            && let Some(piece) = waiting.next()
        {
            working.spawn(act(piece.clone()));
        }
        match working.join_next().await {
            None => return Ok(()),
            Some(Ok((piece, result))) => {
                if let Err(error) = note(piece, result) {
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
}

/// Something with a ring of its own: a copy, or a folder of archived log.
#[derive(Debug, Clone)]
struct Piece {
    tier: Arc<dyn Tier>,
    id: RecoveryPointId,
    log: Option<WalFolder>,
}

impl Piece {
    /// Whose ring it is; `None`: it is stored plain.
    async fn owner(&self, catalog: &Catalog) -> Result<Option<Owner>, StepError> {
        if let Some(folder) = &self.log {
            return Ok(Some(Owner::Log(folder.clone())));
        }
        let manifest = key_copies::manifest_of(Some(catalog), &*self.tier, &self.id).await?;
        Ok(manifest
            .is_encrypted()
            .then(|| Owner::Point(Box::new(manifest))))
    }
}

enum Owner {
    Point(Box<Manifest>),
    Log(WalFolder),
}

impl Owner {
    fn place(&self) -> Place<'_> {
        match self {
            Self::Point(manifest) => Place::Point(manifest),
            Self::Log(folder) => Place::Log(folder),
        }
    }
}

/// The folders of archived log that have keys, whatever the policy says of the log now; each counts under the id of its ring.
async fn folders_of_log(
    order: &RotateOrder,
    wiring: &Wiring,
    report: &mut RotateReport,
) -> Vec<Piece> {
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
                    Some(Piece {
                        tier: Arc::clone(&wired.tier),
                        id,
                        log: Some(folder),
                    })
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

async fn one(shared: &Shared, piece: &Piece, may_lose: &MayLose) -> Result<One, StepError> {
    let Some(owner) = piece.owner(&shared.catalog).await? else {
        return Ok(One::Plain);
    };
    let wanted = match shared.wanted.get(piece.id.database()) {
        Some(Ok(wanted)) if !wanted.is_empty() => wanted,
        Some(Err(failure)) => return Ok(One::Failed(failure.clone())),
        Some(Ok(_)) | None => return Ok(One::WithoutRecipients),
    };
    let order = rewrapping(shared, wanted, may_lose);
    let rewrapped = rewrap::ensure_recipients(&order, &*piece.tier, owner.place()).await?;
    Ok(One::Ring(rewrapped))
}

fn rewrapping<'a>(
    shared: &'a Shared,
    wanted: &'a [Wanted],
    may_lose: &'a MayLose,
) -> Rewrapping<'a> {
    Rewrapping {
        chain: &shared.chain,
        wanted,
        keep_old: shared.keep_old,
        may_lose,
        catalog: &shared.catalog,
        lease: &shared.held.lease,
        now: shared.clock.now(),
    }
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
                "{} copies rewrapped, {} as wanted before, {} failed, {not_done} on tiers that are away; {}{}{}",
                count(|tier| tier.rewrapped.len()),
                count(|tier| tier.already_fine.len()),
                count(|tier| tier.failed.len()),
                if order.keep_old { "old recipients kept; " } else { "" },
                order.why,
                report
                    .approved_by
                    .as_ref()
                    .map_or_else(String::new, |by| format!(" (approved by {by})"))
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
