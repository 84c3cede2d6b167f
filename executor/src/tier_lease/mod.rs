//! The right to change one tier: two machines with separate catalogs must not both write to it, least of all prune it.
//!
//! A control object at the tier's root says who has it. Every write of it is a compare-and-swap, so of two that want it one gets
//! it, and whoever has lost it finds out at its next write.
//!
//! Invariants:
//! - No clock of another machine is believed. A foreign lease is dead when its content has not changed for its time to live by
//!   this machine's own steady clock; so a holder that has written it at `t` has the tier for itself until `t` + time to live.
//! - The lease of an earlier run under the same catalog is taken at once: this run holds the catalog's lease with a larger
//!   token, so that run has ended or can record nothing any more. A copied catalog shows itself by its token and has to wait.
//! - Right before a deletion the lease is written anew ([`TierLeases::renew`]): a holder that slept through its time fails there.
//! - A lost lease is not taken again in the same run; what writes to that tier is dropped at once.
//!
//! Not here: the lease of the catalog (`lease.rs`), what the control object holds (`content`), one tier's state (`slot`); stores that cannot compare (they refuse, and then nothing is deleted there).

mod content;
mod slot;

use crate::{
    cancel::{Cancel, cancellation},
    holder::Holder,
    steps::error::StepError,
};
use content::{Content, FORMAT, describe, key};
use jiff::Timestamp;
use model::TierName;
use providers::api::{Expected, Tier};
use slot::{Beat, CHANGED, Own, Seen, Slot, State, impossible, look_again, lost};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{task::AbortHandle, time::Instant};

/// The store cannot compare and swap.
const NO_CONDITIONAL_WRITES: &str = "mainstay::tier::no-conditional-writes";
/// A tier that hangs must not hold up the end of a run.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// How long the lease of a tier lasts, and how often it is prolonged. Whole seconds stand in the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierLeaseTimes {
    /// Without a change for so long, others count the holder as dead.
    pub time_to_live: Duration,
    /// Pause between two prolongations.
    pub beat: Duration,
}

impl Default for TierLeaseTimes {
    fn default() -> Self {
        Self {
            time_to_live: Duration::from_mins(2),
            beat: Duration::from_secs(30),
        }
    }
}

/// Who asks for the leases of one run.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) catalog: String,
    pub(crate) catalog_token: u64,
    pub(crate) run: String,
    pub(crate) who: String,
    pub(crate) times: TierLeaseTimes,
    /// How long to wait for a holder that is alive.
    pub(crate) wait: Duration,
}

/// The leases of one run, each taken at the first step that changes its tier.
#[derive(Debug)]
pub(crate) struct TierLeases {
    tenant: Tenant,
    slots: Mutex<BTreeMap<TierName, Arc<Slot>>>,
    beats: Mutex<Vec<AbortHandle>>,
}

impl Drop for TierLeases {
    fn drop(&mut self) {
        self.stop_beating();
    }
}

/// What a step wants to do to a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To store new objects, which nobody overwrites.
    Store,
    /// To delete or replace something.
    Delete,
}

/// Whether to wait for a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Until it is known to be alive and the run's patience is over, or it is known to be dead.
    Bounded,
    /// Not at all.
    No,
}

impl TierLeases {
    pub(crate) fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            slots: Mutex::new(BTreeMap::new()),
            beats: Mutex::new(Vec::new()),
        }
    }

    /// Makes sure that this run holds the tier's lease. The tier is admitted.
    ///
    /// Errors: [`StepError::TierLeased`], [`StepError::TierLeaseLost`]; for [`Purpose::Delete`] also on a store that cannot compare.
    pub(crate) async fn hold(
        &self,
        tier: &Arc<dyn Tier>,
        now: Timestamp,
        purpose: Purpose,
        waiting: Waiting,
    ) -> Result<(), StepError> {
        let slot = self.slot(tier)?;
        let mut state = slot.state.lock().await;
        if let State::NotHeld(seen) = &mut *state {
            let seen = seen.take();
            match self.take(&slot, seen, now, waiting).await {
                Ok(taken) => {
                    if matches!(taken, State::Held(_)) {
                        self.keep_alive(&slot);
                    }
                    *state = taken;
                }
                Err((seen, error)) => {
                    *state = State::NotHeld(seen);
                    return Err(error);
                }
            }
        }
        match &*state {
            State::Held(_) => Ok(()),
            State::Impossible(_) if purpose == Purpose::Store => Ok(()),
            State::Impossible(why) => Err(impossible(tier.name(), why)),
            State::Lost(who) => Err(lost(tier.name(), who)),
            State::NotHeld(_) | State::Released => Err(lost(tier.name(), "nobody")),
        }
    }

    /// Set when the lease of a tier is lost; never for one that was not taken.
    pub(crate) fn lost(&self, tier: &TierName) -> Cancel {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots
            .get(tier)
            .map_or_else(Cancel::never, |slot| slot.lost.clone())
    }

    /// Writes the lease anew: when this returns, nobody else can have it for a whole time to live. For right before a deletion.
    pub(crate) async fn renew(&self, tier: &TierName) -> Result<(), StepError> {
        let slot = self.held_slot(tier)?;
        let mut state = slot.state.lock().await;
        slot.renew(&mut state).await
    }

    /// Looks whether the lease is still this run's. For between the deletions of one copy.
    pub(crate) async fn ensure_current(&self, tier: &TierName) -> Result<(), StepError> {
        let slot = self.held_slot(tier)?;
        let mut state = slot.state.lock().await;
        slot.look(&mut state).await
    }

    /// Gives every lease back. One that was lost, or whose tier is away, is left to end by itself.
    pub(crate) async fn release_all(&self) {
        self.stop_beating();
        let slots: Vec<Arc<Slot>> = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.values().cloned().collect()
        };
        for slot in slots {
            let mut state = slot.state.lock().await;
            let State::Held(own) = &*state else { continue };
            let free = Content {
                free: true,
                ..own.content.clone()
            };
            let Ok(bytes) = free.bytes() else { continue };
            let expected = Expected::Unchanged(own.tag.clone());
            let written = slot.tier.write_control(&slot.key, bytes, expected, None);
            match tokio::time::timeout(RELEASE_LIMIT, written).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(tier = %slot.tier.name(), code = error.code, "the lease of the tier could not be given back");
                }
                Err(_) => {
                    tracing::warn!(tier = %slot.tier.name(), "giving the lease of the tier back took too long");
                }
            }
            *state = State::Released;
        }
    }

    fn stop_beating(&self) {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        for beat in beats.drain(..) {
            beat.abort();
        }
    }

    fn slot(&self, tier: &Arc<dyn Tier>) -> Result<Arc<Slot>, StepError> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(tier.name()) {
            return Ok(Arc::clone(slot));
        }
        let (switch, lost) = cancellation();
        let slot = Arc::new(Slot {
            tier: Arc::clone(tier),
            key: key()?,
            state: tokio::sync::Mutex::new(State::NotHeld(None)),
            switch,
            lost,
        });
        slots.insert(tier.name().clone(), Arc::clone(&slot));
        Ok(slot)
    }

    fn held_slot(&self, tier: &TierName) -> Result<Arc<Slot>, StepError> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(tier).cloned().ok_or_else(|| lost(tier, "nobody"))
    }

    /// Takes the lease, waiting as long as it is worth it. On an error also gives what was seen, for the next try.
    async fn take(
        &self,
        slot: &Slot,
        mut seen: Option<Seen>,
        now: Timestamp,
        waiting: Waiting,
    ) -> Result<State, (Option<Seen>, StepError)> {
        let started = Instant::now();
        loop {
            let there = match slot.tier.read_control(&slot.key).await {
                Ok(there) => there,
                Err(error) if error.code == NO_CONDITIONAL_WRITES => {
                    return Ok(State::Impossible(error.message));
                }
                Err(error) => return Err((seen, error.into())),
            };
            let (content, expected) = match there {
                None => (None, Expected::Absent),
                Some((bytes, tag)) => {
                    let content = Content::parse(&bytes);
                    seen = Some(look_again(seen, &tag));
                    (Some(content), Expected::Unchanged(tag))
                }
            };
            let previous = content.as_ref().and_then(Option::as_ref);
            let ttl = previous.map_or(self.tenant.times.time_to_live, Content::ttl);
            let unchanged = seen
                .as_ref()
                .map_or(Duration::ZERO, |seen| seen.since.elapsed());
            let may_take = match &content {
                None => true,
                Some(Some(there)) if there.free || self.is_own(there) => true,
                Some(_) => unchanged >= ttl,
            };
            if may_take {
                match self.write_first(slot, previous, expected, now).await {
                    Ok(own) => return Ok(State::Held(own)),
                    // Somebody was faster.
                    Err(StepError::Provider(error)) if error.code == CHANGED => {
                        if waiting == Waiting::No {
                            return Err((seen, error.into()));
                        }
                    }
                    Err(StepError::Provider(error)) if error.code == NO_CONDITIONAL_WRITES => {
                        return Ok(State::Impossible(error.message));
                    }
                    Err(error) => return Err((seen, error)),
                }
            } else {
                let alive = seen.as_ref().is_some_and(|seen| seen.alive);
                if waiting == Waiting::No || (alive && started.elapsed() >= self.tenant.wait) {
                    let error = leased(slot.tier.name(), previous, ttl);
                    return Err((seen, error));
                }
            }
            let pause = (ttl / 20).clamp(Duration::from_millis(50), Duration::from_secs(5));
            tokio::time::sleep(pause).await;
        }
    }

    /// A lease of this run whose answer was lost, or of an earlier run under the same catalog.
    fn is_own(&self, there: &Content) -> bool {
        let tenant = &self.tenant;
        let same_run = there.catalog_token == tenant.catalog_token && there.run == tenant.run;
        there.catalog == tenant.catalog && (there.catalog_token < tenant.catalog_token || same_run)
    }

    async fn write_first(
        &self,
        slot: &Slot,
        previous: Option<&Content>,
        expected: Expected,
        now: Timestamp,
    ) -> Result<Own, StepError> {
        let content = Content {
            format: FORMAT.to_owned(),
            free: false,
            token: previous
                .map_or(0, |previous| previous.token)
                .saturating_add(1),
            beat: 0,
            ttl_seconds: self.tenant.times.time_to_live.as_secs().max(1),
            catalog: self.tenant.catalog.clone(),
            catalog_token: self.tenant.catalog_token,
            holder: Holder::this_process().text(),
            run: self.tenant.run.clone(),
            who: self.tenant.who.clone(),
            taken_at: now,
        };
        let renewed = Instant::now();
        let tag = slot
            .tier
            .write_control(&slot.key, content.bytes()?, expected, None)
            .await?;
        Ok(Own {
            content,
            tag,
            renewed,
        })
    }

    fn keep_alive(&self, slot: &Arc<Slot>) {
        let slot = Arc::clone(slot);
        let pause = self.tenant.times.beat;
        let task = tokio::spawn(async move {
            let mut wait = pause;
            loop {
                tokio::time::sleep(wait).await;
                match slot.beat().await {
                    Beat::Renewed => wait = pause,
                    Beat::Again => wait = (pause / 10).max(Duration::from_millis(20)),
                    Beat::Over => return,
                }
            }
        });
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.push(task.abort_handle());
    }
}

fn leased(tier: &TierName, there: Option<&Content>, ttl: Duration) -> StepError {
    StepError::TierLeased {
        tier: tier.clone(),
        holder: there.map_or_else(
            || "somebody whose lease cannot be read".to_owned(),
            |there| format!("{}, taken at {}", describe(there), there.taken_at),
        ),
        seconds: ttl.as_secs(),
    }
}
