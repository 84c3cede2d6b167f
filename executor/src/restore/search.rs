//! One search for a copy that can be restored: which tiers are tried, in which order, and when a copy is given up for the next.

use super::{
    load, milliseconds,
    order::{RestoreError, RestoreOrder, RestoreReport},
    record::{measure, plain_bytes},
};
use crate::{
    clock::Clock,
    gate,
    keys::NONE_OPENS,
    scratch::Scratch,
    steps::{self, error::StepError},
    stored::{self, ManifestThere, SizeTrouble},
    thawing::{self, NotThawed},
    wiring::{DatabaseWiring, Wiring},
};
use catalog::Catalog;
use jiff::Timestamp;
use model::{ByteCount, Manifest, RecoveryPointId, TierName, VerifyLevel, event::Failure};
use std::{sync::Arc, time::Instant};

const COPY_MISSING: &str = "mainstay::run::copy-missing";

/// One search for a copy that can be restored.
pub(super) struct Search<'a> {
    pub(super) order: &'a RestoreOrder,
    pub(super) wiring: &'a Wiring,
    pub(super) catalog: Option<&'a Catalog>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) database: &'a DatabaseWiring,
    pub(super) scratch: Scratch,
    pub(super) began: Timestamp,
    pub(super) choosing: Instant,
    pub(super) given_up: Vec<(TierName, Failure)>,
}

impl Search<'_> {
    /// The manifest of a copy that looks whole, and whether all of it can be read now.
    pub(super) async fn look(&self, name: &TierName) -> Result<(Manifest, bool), StepError> {
        let manifest = look(self.order, self.wiring, self.catalog, name).await?;
        let tier = &**steps::tier(self.wiring, name)?;
        let readable = thawing::is_readable(tier, &manifest).await?;
        Ok((manifest, readable))
    }

    pub(super) async fn thaw(&self, name: &TierName, manifest: &Manifest) -> Result<(), NotThawed> {
        let tier = &**steps::tier(self.wiring, name)?;
        // A thaw takes hours and money; what nobody can open afterwards is not worth it.
        load::open_keys(self.order, self.wiring, tier, manifest).await?;
        thawing::for_restore(tier, manifest, &self.order.thaw, self.clock).await
    }

    /// Restores this copy; `None` when it was given up for the next one.
    pub(super) async fn try_copy(
        &mut self,
        name: &TierName,
        manifest: &Manifest,
        thaw_ms: Option<u64>,
    ) -> Result<Option<RestoreReport>, RestoreError> {
        let waited = milliseconds(self.choosing).saturating_sub(thaw_ms.unwrap_or(0));
        let loaded = load::load(
            self.order,
            self.wiring,
            self.database,
            &self.scratch,
            name,
            manifest,
        );
        let (restored, keys_ms, busy) = match loaded.await {
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
            log_bytes: ByteCount(0),
            plain_bytes: plain_bytes(manifest),
            method: manifest.method.clone(),
            recovery: self.order.recovery.as_ref().map(|wish| wish.target.clone()),
            reached: restored.reached,
            chain: Vec::new(),
            phases,
            busy,
            checks: restored.checks,
            notes: restored.notes,
            given_up: std::mem::take(&mut self.given_up),
            gaps: Vec::new(),
            record: None,
        };
        if let Some(catalog) = self.catalog {
            report.gaps = measure(&report, manifest, catalog, self.clock).await;
        }
        Ok(Some(report))
    }

    /// Another copy helps when this one is bad or its tier is away, not when the target or the program is the trouble.
    pub(super) fn give_up(
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

    pub(super) fn fail(&mut self, failure: Failure) -> RestoreError {
        RestoreError {
            failure,
            given_up: std::mem::take(&mut self.given_up),
            record: None,
        }
    }

    pub(super) fn nothing_left(&mut self) -> RestoreError {
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

/// Tiers to try: the one that was asked for, else those with a known copy, the best verified first, then all others.
pub(super) async fn candidates(
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

fn no_copy(point: &RecoveryPointId) -> Failure {
    Failure {
        code: super::CODES[0].to_owned(),
        message: format!("no declared tier has a copy of `{point}`"),
        help: Some(
            "`mainstay list` shows which points exist and where; `mainstay list --refresh` looks at the tiers again"
                .to_owned(),
        ),
        disposition: model::Disposition::NeedsOperator,
    }
}
