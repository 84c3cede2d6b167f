//! One search for a copy that can be restored: which tiers are tried, in which order, and when a copy is given up for the next.

use super::{
    load::{self, Load},
    milliseconds,
    order::{RestoreError, RestoreOrder, RestoreReport},
    record::{measure, plain_bytes},
};
use crate::{
    clock::Clock,
    copies,
    keys::NONE_OPENS,
    scratch::Scratch,
    steps::{self, error::StepError},
    stored,
    thawing::{self, NotThawed},
    wiring::{DatabaseWiring, Wiring},
};
use catalog::Catalog;
use jiff::Timestamp;
use model::{
    Manifest, RecoveryPointId, RecoveryTarget, TierName,
    event::Failure,
    recovery_record::{Reached, Unjudged},
};
use providers::api::ProviderError;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

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
    /// Whether the engine would not begin.
    pub(super) refused: AtomicBool,
}

impl Search<'_> {
    /// The manifest of a copy that looks whole, and whether all of it can be read now.
    pub(super) async fn look(&self, name: &TierName) -> Result<(Manifest, bool), StepError> {
        let manifest = copies::look(&self.order.point, self.wiring, self.catalog, name).await?;
        let tier = &**steps::tier(self.wiring, name)?;
        let readable = thawing::is_readable(tier, &manifest).await?;
        Ok((manifest, readable))
    }

    pub(super) async fn thaw(&self, name: &TierName, manifest: &Manifest) -> Result<(), NotThawed> {
        let tier = &**steps::tier(self.wiring, name)?;
        // A thaw takes hours and money; what nobody can open afterwards is not worth it.
        load::open_keys(self.wiring, tier, manifest).await?;
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
        let load = Load {
            order: self.order,
            wiring: self.wiring,
            catalog: self.catalog,
            database: self.database,
            scratch: &self.scratch,
            clock: self.clock,
            refused: &self.refused,
        };
        let loaded = match load.load(name, manifest).await {
            Ok(loaded) => loaded,
            Err(NotThawed::Failed(error)) => {
                self.give_up(name, &error, false)?;
                return Ok(None);
            }
            Err(NotThawed::Waiting(failure)) => return Err(self.wait(failure)),
        };
        let restored = loaded.restored;
        let mut phases = vec![("choose".to_owned(), waited)];
        phases.extend(thaw_ms.map(|ms| ("thaw".to_owned(), ms)));
        phases.extend(loaded.keys_ms.map(|ms| ("keys".to_owned(), ms)));
        phases.extend(restored.phases);
        let state = state_of(self.order, manifest, &restored.reached);
        let mut report = RestoreReport {
            point: self.order.point.clone(),
            tier: name.clone(),
            target: restored.target,
            captured_at: state,
            age_seconds: self.began.duration_since(state).as_secs(),
            bytes: loaded.bytes,
            log_bytes: loaded.log_bytes,
            plain_bytes: plain_bytes(manifest),
            method: manifest.method.clone(),
            recovery: self.order.recovery.as_ref().map(|wish| wish.target.clone()),
            reached: restored.reached,
            chain: loaded.chain,
            phases,
            busy: loaded.busy,
            checks: restored.checks,
            notes: [unread(self.order), restored.notes].concat(),
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
            let refused = self.refused.load(Ordering::Acquire) && self.given_up.is_empty();
            return Err(RestoreError {
                unjudged: refused.then_some(Unjudged::NotBegun),
                ..self.fail(failure)
            });
        }
        self.given_up.push((name.clone(), failure));
        Ok(())
    }

    /// The copy lies in an archive, and must be waited or asked for first.
    pub(super) fn wait(&mut self, failure: Failure) -> RestoreError {
        RestoreError {
            unjudged: Some(Unjudged::NotBegun),
            ..self.fail(failure)
        }
    }

    fn fail(&mut self, failure: Failure) -> RestoreError {
        RestoreError {
            given_up: std::mem::take(&mut self.given_up),
            ..RestoreError::new(failure)
        }
    }

    pub(super) fn nothing_left(&mut self) -> RestoreError {
        // When one copy was bad and the others are simply not there, the bad one is the news.
        let worst = self
            .given_up
            .iter()
            .position(|(_, failure)| failure.code != COPY_MISSING);
        let Some(at) = worst else {
            return self.fail(no_copy(&self.order.point));
        };
        let (tier, failure) = self.given_up.remove(at);
        let failure = Failure {
            message: format!("the copy on `{tier}`: {}", failure.message),
            ..failure
        };
        RestoreError {
            tier: Some(tier),
            ..self.fail(failure)
        }
    }
}

/// Tiers whose part of the log could not be looked at.
fn unread(order: &RestoreOrder) -> Vec<String> {
    let way = order.recovery.as_ref().and_then(|wish| wish.way.as_ref());
    way.into_iter()
        .flat_map(|way| &way.unread)
        .map(|(tier, why)| {
            format!("`{tier}` could not be read, so log that only it has is missing: {why}")
        })
        .collect()
}

/// The moment whose state was restored: log rolls a point forward.
fn state_of(order: &RestoreOrder, manifest: &Manifest, reached: &Reached) -> Timestamp {
    let asked = order.recovery.as_ref().map(|wish| &wish.target);
    match (asked, reached.time) {
        // Nothing was committed between the last transaction and the asked moment.
        (Some(RecoveryTarget::Time(at)), _) if manifest.wal.is_some() => *at,
        (_, Some(at)) => at.max(manifest.captured_at),
        (_, None) => manifest.captured_at,
    }
}

fn is_the_copys_fault(error: &StepError, before_loading: bool) -> bool {
    match error {
        StepError::Damaged { .. } | StepError::Missing { .. } => true,
        StepError::Provider(error) => before_loading || blames_the_copy(error),
        _ => before_loading,
    }
}

/// Whether an engine's or a tier's error says that another copy may do better.
pub(super) fn blames_the_copy(error: &ProviderError) -> bool {
    error.code == stored::DAMAGED
        || error.code == stored::WRONG_KEY
        // Not damage, but after half a rotation another tier's ring may have another recipient.
        || error.code == NONE_OPENS
        || error.code.starts_with("mainstay::tier::")
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
