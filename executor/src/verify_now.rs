//! Verifies copies at a person's word, outside any plan, and records what was found.
//!
//! Invariant: reading needs no lease, so a long verification holds up no backup; only a copy found bad takes the lease for the
//! moment in which its state is written, after looking that it is still so.

use crate::{
    cancel::Cancel,
    clock::Clock,
    gate, lease,
    meter::Meter,
    scratch::{Owner, Scratch},
    steps::{
        self,
        error::{StepError, catalog_failure},
    },
    verification::{self, CopyToVerify, Verdict},
    wiring::Wiring,
};
use catalog::{Catalog, CatalogError, Verification};
use model::{ByteCount, CopyState, RecoveryPointId, TierName, VerifyLevel, event::Failure};
use providers::{api::Check, stream::Progress};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Which copy to verify, and how.
#[derive(Clone)]
pub struct VerifyOrder {
    /// The point.
    pub point: RecoveryPointId,
    /// The tier whose copy is read.
    pub tier: TierName,
    /// How thoroughly.
    pub level: VerifyLevel,
    /// Who wants it.
    pub who: String,
    /// Names the piece of work; must be unique.
    pub run: String,
    /// How long to wait for the lease when a bad copy must be recorded.
    pub lease_wait: Duration,
    /// Gets the bytes read so far.
    pub progress: Progress,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The point.
    pub point: RecoveryPointId,
    /// The tier whose copy was read.
    pub tier: TierName,
    /// How thoroughly it was really read.
    pub level: VerifyLevel,
    /// Why it failed; `None`: it passed.
    pub failure: Option<Failure>,
    /// Every check that was made by a passed verification.
    pub checks: Vec<Check>,
    /// What a passed verification could not look at, and why.
    pub not_tried: Vec<String>,
    /// Whether anything was learnt about the copy: a tier that is away, an archive or a missing key says nothing about it.
    pub judged: bool,
    /// Stored bytes that were read by a passed verification.
    pub bytes: ByteCount,
    /// Wall time.
    pub milliseconds: u64,
    /// What was found but could not be recorded in the catalog.
    pub gaps: Vec<Failure>,
}

impl VerifyReport {
    /// Whether the copy is good.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

/// Verifies one copy. Trouble is part of the answer.
pub async fn verify_now(
    order: &VerifyOrder,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    clock: &Arc<dyn Clock>,
) -> VerifyReport {
    let started = Instant::now();
    let result = read(order, wiring, catalog, clock).await;
    let mut gaps = Vec::new();
    if let Some(catalog) = catalog
        && let Err(error) = record(order, &result, catalog, clock).await
    {
        gaps.push(catalog_failure(&error));
    }
    let mut report = VerifyReport {
        point: order.point.clone(),
        tier: order.tier.clone(),
        level: order.level,
        failure: None,
        checks: Vec::new(),
        not_tried: Vec::new(),
        judged: true,
        bytes: ByteCount(0),
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        gaps,
    };
    match result {
        Ok(passed) => {
            report.level = passed.level;
            report.checks = passed.checks;
            report.not_tried = passed.not_tried;
            report.bytes = passed.bytes;
        }
        Err(error) => {
            report.judged = verification::verdict(&error).is_some();
            report.failure = Some(error.to_failure());
        }
    }
    report
}

async fn read(
    order: &VerifyOrder,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    clock: &Arc<dyn Clock>,
) -> Result<verification::Passed, StepError> {
    let tier = &**steps::tier(wiring, &order.tier)?;
    let _ = gate::look(tier, catalog).await?;
    let recorded = match catalog {
        Some(catalog) => catalog.manifest(&order.point).await?,
        None => None,
    };
    let scratch =
        Scratch::create(&wiring.scratch, Owner::Work, &order.run).map_err(StepError::Scratch)?;
    let folder = scratch.fresh().map_err(StepError::Scratch)?;
    verification::verify(CopyToVerify {
        point: &order.point,
        tier,
        level: order.level,
        recorded: recorded.as_ref(),
        wiring,
        catalog,
        clock,
        scratch: &folder,
        meter: &Meter::new(Arc::clone(&order.progress)),
    })
    .await
}

async fn record(
    order: &VerifyOrder,
    result: &Result<verification::Passed, StepError>,
    catalog: &Catalog,
    clock: &Arc<dyn Clock>,
) -> Result<(), CatalogError> {
    let verdict = match result {
        Ok(_) => None,
        Err(error) => match verification::verdict(error) {
            Some(verdict) => Some(verdict),
            // Trouble that says nothing about the copy.
            None => return Ok(()),
        },
    };
    let detail = match result {
        Ok(passed) => verification::describe(passed),
        Err(error) => error.to_string(),
    };
    let verification = Verification {
        recovery_point: order.point.clone(),
        tier: order.tier.clone(),
        level: result.as_ref().map_or(order.level, |passed| passed.level),
        at: clock.now(),
        passed: verdict.is_none(),
        detail,
        who: order.who.clone(),
    };
    match catalog.record_verification(&verification).await {
        // A copy that is not adopted yet, or pruned meanwhile: there is nothing to write it on.
        Err(CatalogError::UnknownCopy { .. }) => return Ok(()),
        result => result?,
    }
    let state = match verdict {
        Some(Verdict::Damaged) => CopyState::Damaged,
        Some(Verdict::Missing) => CopyState::Missing,
        Some(Verdict::ChecksFailed) | None => return Ok(()),
    };
    let never = Cancel::never();
    let held = lease::acquire(catalog, clock, &order.run, order.lease_wait, &never).await?;
    let known = catalog.point(&order.point, clock.now()).await?;
    let still_known = known.is_some_and(|known| {
        known
            .copy_on(&order.tier)
            .is_some_and(|copy| copy.stored_at <= verification.at)
    });
    let result = if still_known {
        catalog
            .set_copy_state(&held.lease, &order.point, &order.tier, state, clock.now())
            .await
    } else {
        Ok(())
    };
    held.release(catalog).await?;
    result
}
