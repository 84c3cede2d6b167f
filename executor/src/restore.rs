//! Restores a recovery point at a person's word, and says how long each phase took and how old the data is.
//!
//! Invariants: the engine builds a new target under a temporary name, so a failure leaves no half target; a copy that turns out
//! bad, or that no declared key opens, is given up for the next one, before anything is visible. No lease: an emergency does not wait for a backup.
//! Not here: asking the person (the root package).

use crate::{
    clock::Clock,
    gate,
    keys::{KeyChain, NONE_OPENS},
    meter::Meter,
    scratch::{Owner, Scratch},
    steps::{
        self,
        error::{StepError, catalog_failure},
    },
    stored::{self, ManifestThere, SizeTrouble},
    thawing::{self, NotThawed, ThawPolicy},
    verification,
    wiring::{DatabaseWiring, Wiring},
};
use catalog::{AuditEntry, AuditKind, Catalog, Measurement};
use jiff::Timestamp;
use model::{
    ByteCount, DatabaseName, Manifest, RecoveryPointId, TierName, VerifyLevel, event::Failure,
};
use providers::{
    api::{Check, RestoreRequest, RestoreTarget, Selection, Tier},
    seal::Sealing,
    stream::Progress,
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// What to restore, and where to.
#[derive(Clone)]
pub struct RestoreOrder {
    /// The point.
    pub point: RecoveryPointId,
    /// The tier to read; `None`: the best that is reachable.
    pub from: Option<TierName>,
    /// Where to.
    pub target: RestoreTarget,
    /// Whether an existing target may be replaced.
    pub replace: bool,
    /// Which part.
    pub selection: Selection,
    /// Who wants it.
    pub who: String,
    /// Why, for the audit.
    pub why: String,
    /// Names the piece of work; must be unique.
    pub run: String,
    /// Gets the plain bytes read so far.
    pub progress: Progress,
    /// What is done when only archived copies are left.
    pub thaw: ThawPolicy,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// The point.
    pub point: RecoveryPointId,
    /// The tier that was read.
    pub tier: TierName,
    /// The target in words, without a secret.
    pub target: String,
    /// Instant whose state was restored.
    pub captured_at: Timestamp,
    /// Age of the data when the restore began.
    pub age_seconds: i64,
    /// Stored bytes of the point.
    pub bytes: ByteCount,
    /// Phases with their wall time in milliseconds, in order; `choose` is the search for a good copy, `thaw` the wait for an archive, `keys` opens its data keys.
    pub phases: Vec<(String, u64)>,
    /// Every check that was made in the target.
    pub checks: Vec<Check>,
    /// What a person must know of it, such as what was left out on purpose.
    pub notes: Vec<String>,
    /// Copies that were tried before and given up, and why.
    pub given_up: Vec<(TierName, Failure)>,
    /// What was done but could not be recorded in the catalog.
    pub gaps: Vec<Failure>,
}

impl RestoreReport {
    /// Whether everything that was checked is as it should be.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// Why nothing was restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", failure.message)]
pub struct RestoreError {
    /// What went wrong, or that there is no copy.
    pub failure: Failure,
    /// The other copies that were tried, and why they were given up.
    pub given_up: Vec<(TierName, Failure)>,
}

/// Every code of this file, for the test that each has its page in `docs/errors/`.
pub(crate) const CODES: &[&str] = &["mainstay::restore::no-copy"];

const COPY_MISSING: &str = "mainstay::run::copy-missing";

/// Restores a point.
///
/// Cancellation leaves no half target; what the engine was building is removed by its `clean_leftovers`.
pub async fn restore(
    order: &RestoreOrder,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    clock: &Arc<dyn Clock>,
) -> Result<RestoreReport, RestoreError> {
    let began = clock.now();
    let prepared = prepare(order, wiring);
    let (database, scratch) = prepared.map_err(|error| RestoreError {
        failure: error.to_failure(),
        given_up: Vec::new(),
    })?;
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
    };
    let mut archived = Vec::new();
    for name in candidates(order, wiring, catalog, began).await {
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
            Err(NotThawed::Waiting(failure)) => return Err(search.fail(failure)),
        }
    }
    Err(search.nothing_left())
}

/// One search for a copy that can be restored.
struct Search<'a> {
    order: &'a RestoreOrder,
    wiring: &'a Wiring,
    catalog: Option<&'a Catalog>,
    clock: &'a Arc<dyn Clock>,
    database: &'a DatabaseWiring,
    scratch: Scratch,
    began: Timestamp,
    choosing: Instant,
    given_up: Vec<(TierName, Failure)>,
}

impl Search<'_> {
    /// The manifest of a copy that looks whole, and whether all of it can be read now.
    async fn look(&self, name: &TierName) -> Result<(Manifest, bool), StepError> {
        let manifest = look(self.order, self.wiring, self.catalog, name).await?;
        let tier = &**steps::tier(self.wiring, name)?;
        let readable = thawing::is_readable(tier, &manifest).await?;
        Ok((manifest, readable))
    }

    async fn thaw(&self, name: &TierName, manifest: &Manifest) -> Result<(), NotThawed> {
        let tier = &**steps::tier(self.wiring, name)?;
        // A thaw takes hours and money; what nobody can open afterwards is not worth it.
        open_keys(self.order, self.wiring, tier, manifest).await?;
        thawing::for_restore(tier, manifest, &self.order.thaw, self.clock).await
    }

    /// Restores this copy; `None` when it was given up for the next one.
    async fn try_copy(
        &mut self,
        name: &TierName,
        manifest: &Manifest,
        thaw_ms: Option<u64>,
    ) -> Result<Option<RestoreReport>, RestoreError> {
        let waited = milliseconds(self.choosing).saturating_sub(thaw_ms.unwrap_or(0));
        let loaded = load(
            self.order,
            self.wiring,
            self.database,
            &self.scratch,
            name,
            manifest,
        );
        let (restored, keys_ms) = match loaded.await {
            Ok(loaded) => loaded,
            Err(error) => {
                self.give_up(name, &error, false)?;
                return Ok(None);
            }
        };
        let mut phases = vec![("choose".to_owned(), waited)];
        phases.extend(thaw_ms.map(|ms| ("thaw".to_owned(), ms)));
        phases.extend(keys_ms.map(|ms| ("keys".to_owned(), ms)));
        phases.extend(restored.phases);
        let mut report = RestoreReport {
            point: self.order.point.clone(),
            tier: name.clone(),
            target: restored.target,
            captured_at: manifest.captured_at,
            age_seconds: self.began.duration_since(manifest.captured_at).as_secs(),
            bytes: manifest.bytes(),
            phases,
            checks: restored.checks,
            notes: restored.notes,
            given_up: std::mem::take(&mut self.given_up),
            gaps: Vec::new(),
        };
        if let Some(catalog) = self.catalog {
            report.gaps = record(self.order, &report, manifest, catalog, self.clock).await;
        }
        Ok(Some(report))
    }

    /// Another copy helps when this one is bad or its tier is away, not when the target or the program is the trouble.
    fn give_up(
        &mut self,
        name: &TierName,
        error: &StepError,
        before_loading: bool,
    ) -> Result<(), RestoreError> {
        let failure = error.to_failure();
        if !is_the_copys_fault(error, before_loading) {
            return Err(self.fail(failure));
        }
        self.given_up.push((name.clone(), failure));
        Ok(())
    }

    fn fail(&mut self, failure: Failure) -> RestoreError {
        RestoreError {
            failure,
            given_up: std::mem::take(&mut self.given_up),
        }
    }

    fn nothing_left(&mut self) -> RestoreError {
        // When one copy was bad and the others are simply not there, the bad one is the news.
        let worst = self
            .given_up
            .iter()
            .position(|(_, failure)| failure.code != COPY_MISSING);
        let failure = match worst {
            Some(at) => {
                let (tier, failure) = self.given_up.remove(at);
                Failure {
                    message: format!("the copy on `{tier}`: {}", failure.message),
                    ..failure
                }
            }
            None => no_copy(&self.order.point),
        };
        self.fail(failure)
    }
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

/// Tiers to try: the one that was asked for, else those with a known copy, the best verified first, then all others.
async fn candidates(
    order: &RestoreOrder,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    now: Timestamp,
) -> Vec<TierName> {
    if let Some(from) = &order.from {
        return vec![from.clone()];
    }
    let known = match catalog {
        // Without the catalog the tiers still tell; a restore does not wait for it.
        Some(catalog) => catalog.point(&order.point, now).await.ok().flatten(),
        None => None,
    };
    let rank = |tier: &TierName| {
        let copy = known.as_ref().and_then(|known| known.copy_on(tier));
        match copy {
            Some(copy) if copy.is_present() => match copy.verified.map(|verified| verified.level) {
                Some(VerifyLevel::Restore) => 0,
                Some(VerifyLevel::FullRead) => 1,
                Some(VerifyLevel::Checksum) => 2,
                Some(VerifyLevel::Attested) => 3,
                None => 4,
            },
            None => 5,
            Some(_) => 6,
        }
    };
    let mut tiers: Vec<TierName> = wiring.tiers.keys().cloned().collect();
    tiers.sort_by_key(rank);
    tiers
}

async fn look(
    order: &RestoreOrder,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    name: &TierName,
) -> Result<Manifest, StepError> {
    let tier = &**steps::tier(wiring, name)?;
    let missing = |why: String| StepError::Missing {
        point: order.point.clone(),
        tier: name.clone(),
        why,
    };
    let damaged = |why: String| StepError::Damaged {
        point: order.point.clone(),
        tier: name.clone(),
        why,
    };
    gate::look(tier, catalog).await?;
    match stored::read_manifest(tier, &order.point).await? {
        ManifestThere::Valid(manifest, _) => match stored::check_sizes(tier, &manifest).await? {
            None => Ok(*manifest),
            Some(SizeTrouble::Missing(why)) => Err(missing(why)),
            Some(SizeTrouble::Differs(why)) => Err(damaged(why)),
        },
        ManifestThere::Absent => Err(missing("its manifest is not there".to_owned())),
        ManifestThere::Unreadable(why) => Err(damaged(why)),
    }
}

async fn load(
    order: &RestoreOrder,
    wiring: &Wiring,
    database: &DatabaseWiring,
    scratch: &Scratch,
    name: &TierName,
    manifest: &Manifest,
) -> Result<(providers::api::Restored, Option<u64>), StepError> {
    let tier = &**steps::tier(wiring, name)?;
    let opening = Instant::now();
    let openings = open_keys(order, wiring, tier, manifest).await?;
    let keys_ms = manifest.is_encrypted().then(|| milliseconds(opening));
    let folder = scratch.fresh().map_err(StepError::Scratch)?;
    let meter = Meter::new(Arc::clone(&order.progress));
    let (objects, _) =
        verification::plain_objects(&order.point, tier, manifest, &openings, &meter).await?;
    let restored = database
        .engine
        .restore(RestoreRequest {
            chain: Vec::new(),
            recovery: None,
            manifest: manifest.clone(),
            objects,
            target: order.target.clone(),
            replace: order.replace,
            selection: order.selection.clone(),
            // A person's checks are about the whole.
            asserts: if order.selection.is_all() {
                database.asserts.clone()
            } else {
                Vec::new()
            },
            scratch: folder.clone(),
        })
        .await?;
    scratch.discard(&folder);
    Ok((restored, keys_ms))
}

/// What opens each encrypted object of a copy.
async fn open_keys(
    order: &RestoreOrder,
    wiring: &Wiring,
    tier: &dyn Tier,
    manifest: &Manifest,
) -> Result<BTreeMap<String, Sealing>, StepError> {
    match verification::ring_of(&order.point, tier, manifest).await? {
        Some(ring) => Ok(KeyChain::new(&wiring.keys).open(&ring).await?),
        None => Ok(BTreeMap::new()),
    }
}

fn is_the_copys_fault(error: &StepError, before_loading: bool) -> bool {
    match error {
        StepError::Damaged { .. } | StepError::Missing { .. } => true,
        StepError::Provider(error) => {
            before_loading
                || error.code == stored::DAMAGED
                || error.code == stored::WRONG_KEY
                // Not damage, but after half a rotation another tier's ring may have another recipient.
                || error.code == NONE_OPENS
                || error.code.starts_with("mainstay::tier::")
        }
        _ => before_loading,
    }
}

async fn record(
    order: &RestoreOrder,
    report: &RestoreReport,
    manifest: &Manifest,
    catalog: &Catalog,
    clock: &Arc<dyn Clock>,
) -> Vec<Failure> {
    let mut gaps = Vec::new();
    let result = if report.passed() {
        "all checks passed"
    } else {
        "checks failed"
    };
    let entry = AuditEntry {
        at: clock.now(),
        who: order.who.clone(),
        kind: AuditKind::Restore,
        what: format!("{}@{}", report.point, report.tier),
        why: format!("to {}; {result}; {}", report.target, order.why),
    };
    if let Err(error) = catalog.audit(&entry).await {
        gaps.push(catalog_failure(&error));
    }
    let measured = Measurement {
        kind: "restore".to_owned(),
        database: manifest.database.clone(),
        series: manifest.series.clone(),
        tier: report.tier.clone(),
        bytes: report.bytes,
        milliseconds: report.phases.iter().map(|(_, ms)| ms).sum(),
        at: clock.now(),
    };
    if let Err(error) = catalog.record_measurement(&measured).await {
        gaps.push(catalog_failure(&error));
    }
    gaps
}

fn no_copy(point: &RecoveryPointId) -> Failure {
    Failure {
        code: CODES[0].to_owned(),
        message: format!("no declared tier has a copy of `{point}`"),
        help: Some(
            "`mainstay list` shows which points exist and where; `mainstay list --refresh` looks at the tiers again"
                .to_owned(),
        ),
        disposition: model::Disposition::NeedsOperator,
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
