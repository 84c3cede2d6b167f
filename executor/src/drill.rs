//! Drills: what a restore for a test is asked with, when it has failed, and the proof that it can.
//!
//! Invariants: a drill restores to a scratch target and nowhere else; one that checked nothing has failed. The proof plants its
//! failures in what a restore is shown, never in what is stored.
//! Not here: drills of a plan (`steps/drill.rs`), restoring and recording (`restore/`).

use crate::{
    clock::Clock,
    restore::{
        DrillContext, RecoveryWish, RestoreError, RestoreOrder, RestoreReport, restore,
        restore_until,
    },
    stored,
    wiring::{TierWiring, Wiring},
};
use catalog::{AuditEntry, AuditKind, Catalog, CatalogError};
use jiff::Timestamp;
use model::{
    DatabaseName, Disposition, Manifest, RecoveryPointId, RecoveryTarget, TierName, event::Failure,
    recovery_record::DrillSlot, step::DrillOrder,
};
use providers::{
    api::RestoreTarget,
    wrappers::{FlippedTier, PlantedRow, WrongRowsEngine},
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// Every code of this file, for the test that each has its page in `docs/errors/`.
pub(crate) const CODES: &[&str] = &["mainstay::drill::check-failed"];

/// Which point a drill restores now, and for whom.
#[derive(Debug, Clone)]
pub struct Occasion {
    /// The point.
    pub point: RecoveryPointId,
    /// The only tier that may be read.
    pub only_from: Option<TierName>,
    /// The tier to try first.
    pub prefer: Option<TierName>,
    /// Who wants it.
    pub who: String,
    /// Why.
    pub why: String,
    /// Time of the call.
    pub at: Timestamp,
}

/// What a drill asks of a restore.
pub fn restore_order(drill: &DrillOrder, occasion: Occasion) -> RestoreOrder {
    let mut order = RestoreOrder::new(
        occasion.point,
        RestoreTarget::Scratch,
        occasion.who,
        name_of_run(&drill.name, occasion.at),
    );
    order.why = occasion.why;
    order.from = occasion.only_from;
    order.asserts.clone_from(&drill.asserts);
    let wish = match &drill.target {
        Some(target) => Some(RecoveryWish::to(target.clone())),
        // Who wants the files looked at with the server's own tool needs a server, as early as it is consistent.
        None if drill.amcheck => Some(RecoveryWish::to(RecoveryTarget::Immediate)),
        None => None,
    };
    order.recovery = wish.map(|wish| RecoveryWish {
        amcheck: drill.amcheck,
        ..wish
    });
    order.drill = Some(DrillContext {
        slot: DrillSlot {
            name: drill.name.clone(),
            seed: drill.seed,
            slot: drill.slot,
        },
        prefer: occasion.prefer,
        rpo: drill.rpo,
        rto: drill.rto,
    });
    order
}

/// Unique also for several drills of one process within a second.
fn name_of_run(drill: &str, at: Timestamp) -> String {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let stamp = model::recovery_point_id::stamp(at);
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    match number {
        0 => format!("drill-{drill}-{stamp}-{process}"),
        earlier => format!("drill-{drill}-{stamp}-{process}-{}", earlier + 1),
    }
}

/// Why a drill has failed; `None`: it passed.
pub fn failure(result: &Result<RestoreReport, RestoreError>) -> Option<Failure> {
    let report = match result {
        Ok(report) => report,
        Err(error) => return Some((*error.failure).clone()),
    };
    let recorded = report
        .record
        .as_ref()
        .and_then(|record| record.failure.clone());
    recorded.or_else(|| {
        let failed: Vec<_> = report.checks.iter().filter(|check| !check.passed).collect();
        let first = failed.first()?;
        Some(Failure {
            code: CODES[0].to_owned(),
            message: format!(
                "{} of {} checks failed: {} ({})",
                failed.len(),
                report.checks.len(),
                first.what,
                first.detail
            ),
            help: Some(format!(
                "do not rely on `{}` before you know why: restore it beside the source with `mainstay restore {} --point {} --from {} --to TARGET` and look",
                report.point,
                report.point.database(),
                report.point,
                report.tier
            )),
            disposition: Disposition::Permanent,
        })
    })
}

/// Whether a drill finds what was planted for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Database.
    pub database: DatabaseName,
    /// The point that was restored.
    pub point: RecoveryPointId,
    /// The tier that was read.
    pub tier: TierName,
    /// Checks that passed while nothing was planted, or why it did not pass.
    pub control: Result<usize, Failure>,
    /// Each planted failure; none when the control did not pass.
    pub plants: Vec<Plant>,
}

/// One planted failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plant {
    /// `wrong-row-count`, `wrong-assertion` or `damaged-copy`.
    pub kind: &'static str,
    /// What was planted, exactly.
    pub planted: String,
    /// What was said of it; `None`: it passed unnoticed.
    pub found: Option<String>,
    /// Whether what was said is the planted failure and no other.
    pub is_it: bool,
}

impl Proof {
    /// Whether everything that was planted was found.
    pub fn holds(&self) -> bool {
        self.control.is_ok()
            && !self.plants.is_empty()
            && self.plants.iter().all(|plant| plant.is_it)
    }
}

/// Drills a point three times: as it is, with a wrong row count expected, and with one byte of its copy shown wrongly.
///
/// Nothing that is stored is touched: the failures are planted in what the engine is told and in what the tier shows. The result
/// is noted in the audit, and in no recovery log, for nothing was proved of the point.
pub async fn prove_it_can_fail(
    order: &RestoreOrder,
    tier: &TierName,
    manifest: &Manifest,
    wiring: &Wiring,
    catalog: &Catalog,
    clock: &Arc<dyn Clock>,
) -> Result<Proof, CatalogError> {
    let mut order = order.clone();
    order.from = Some(tier.clone());
    let run = order.run.clone();
    let mut proof = Proof {
        database: manifest.database.clone(),
        point: order.point.clone(),
        tier: tier.clone(),
        control: Ok(0),
        plants: Vec::new(),
    };
    order.run = format!("{run}-control");
    let control = restore(&order, wiring, None, clock).await;
    proof.control = match (failure(&control), &control) {
        (Some(failure), _) => Err(failure),
        (None, Ok(report)) => Ok(report.checks.len()),
        (None, Err(error)) => Err((*error.failure).clone()),
    };
    if proof.control.is_ok() {
        order.run = format!("{run}-wrong-rows");
        proof
            .plants
            .push(wrong_rows(&order, manifest, wiring, clock).await);
        order.run = format!("{run}-damaged");
        proof
            .plants
            .push(damaged_copy(&order, tier, manifest, wiring, clock).await);
    }
    let words: Vec<String> = proof
        .plants
        .iter()
        .map(|plant| {
            let found = if plant.is_it { "found" } else { "NOT FOUND" };
            format!("{} {found}", plant.kind)
        })
        .collect();
    let result = match &proof.control {
        Ok(_) => words.join(", "),
        Err(failure) => format!("could not begin ({})", failure.code),
    };
    catalog
        .audit(&AuditEntry {
            at: clock.now(),
            who: order.who.clone(),
            kind: AuditKind::Drill,
            what: format!("{}@{tier}", order.point),
            why: format!("proof that a drill can fail: {result}"),
            details: None,
        })
        .await?;
    Ok(proof)
}

async fn wrong_rows(
    order: &RestoreOrder,
    manifest: &Manifest,
    wiring: &Wiring,
    clock: &Arc<dyn Clock>,
) -> Plant {
    let mut planted = wiring.clone();
    if let Some(database) = planted.databases.get_mut(&manifest.database) {
        database.engine = Arc::new(WrongRowsEngine::new(Arc::clone(&database.engine)));
    }
    let result = restore(order, &planted, None, clock).await;
    let (kind, words, name) = match WrongRowsEngine::planted(manifest) {
        PlantedRow::Table { name, rows } => (
            "wrong-row-count",
            format!(
                "{} rows of `{name}` expected, one more than the {rows} that are in the recovery point",
                rows.saturating_add(1)
            ),
            name,
        ),
        PlantedRow::Assertion => {
            let assertion = WrongRowsEngine::assertion();
            let words = format!("the assertion `{}` = 2, which cannot hold", assertion.sql);
            ("wrong-assertion", words, assertion.sql)
        }
    };
    let failed: Vec<_> = match &result {
        Ok(report) => report.checks.iter().filter(|check| !check.passed).collect(),
        Err(_) => Vec::new(),
    };
    Plant {
        kind,
        planted: words,
        // The control passed, so every failed check is the planted one's; that it names the table shows it.
        is_it: !failed.is_empty() && failed.iter().all(|check| check.what.contains(&name)),
        found: failure(&result).map(|failure| failure.message),
    }
}

async fn damaged_copy(
    order: &RestoreOrder,
    tier: &TierName,
    manifest: &Manifest,
    wiring: &Wiring,
    clock: &Arc<dyn Clock>,
) -> Plant {
    let mut planted = wiring.clone();
    let mut words = "no object to damage".to_owned();
    if let (Some(wired), Some(object)) = (
        wiring.tiers.get(tier),
        manifest.objects.iter().max_by_key(|object| object.bytes),
    ) && let Ok(key) = stored::key(&manifest.id, &object.file)
    {
        let position = object.bytes.0 / 2;
        words = format!(
            "byte {position} of `{}` on `{tier}` is read inverted, of {} bytes; the stored file is as it was",
            object.file, object.bytes.0
        );
        let flipped = FlippedTier::new(Arc::clone(&wired.tier), key, position);
        let wired = TierWiring {
            tier: Arc::new(flipped),
            concurrency: wired.concurrency,
        };
        planted.tiers.insert(tier.clone(), wired);
    }
    let result = restore(order, &planted, None, clock).await;
    let found = match &result {
        Ok(_) => failure(&result),
        Err(error) => Some((*error.failure).clone()),
    };
    Plant {
        kind: "damaged-copy",
        planted: words,
        is_it: matches!(&result, Err(error) if error.failure.code == stored::DAMAGED),
        found: found.map(|failure| failure.message),
    }
}

/// Carries out a drill at a person's word.
pub async fn drill_now(
    order: &RestoreOrder,
    wiring: &Wiring,
    catalog: &Catalog,
    clock: &Arc<dyn Clock>,
    stop: impl Future<Output = Failure>,
) -> Result<RestoreReport, RestoreError> {
    if let Ok(name) = DatabaseName::new(order.point.database())
        && let Some(database) = wiring.databases.get(&name)
        && let Err(error) = database.engine.clean_leftovers().await
    {
        // Whether it can be restored is what the drill will show.
        tracing::warn!(
            code = error.code,
            "leftovers of earlier drills stay for now"
        );
    }
    restore_until(order, wiring, Some(catalog), clock, stop).await
}
