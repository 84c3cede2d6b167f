//! What a run is told besides its plan.

use super::Routine;
use crate::{
    cancel::Cancel, clock::Clock, drift::Drift, journal::EventSink, tier_lease::TierLeaseTimes,
};
use model::{Digest, PolicySource};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

/// How a plan is to be carried out.
#[derive(Clone)]
pub struct ApplyOptions {
    /// Plan that a person has approved: its id, from `apply --approve`.
    pub approved: Option<Digest>,
    /// Armoured signatures of the plan that came with it.
    pub signatures: Vec<String>,
    /// Where the policy lies now, to leave out who wrote it.
    pub policy_source: Option<PolicySource>,
    /// What needs nobody's approval now. Where signatures are asked for, a plan is not believed when it says so of itself; `None`: nothing
    /// that deletes.
    pub routine: Option<Routine>,
    /// Most steps at the same time.
    pub parallelism: usize,
    /// Names the run; must be unique.
    pub run: String,
    /// Who ordered it, for the journal and the audit.
    pub who: String,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Stops the run.
    pub cancel: Cancel,
    /// Gets every event.
    pub events: EventSink,
    /// How long to wait for another run to end.
    pub lease_wait: Duration,
    /// Times of the leases of tiers; a tier that another catalog's living run holds is waited for as long as `lease_wait` says.
    pub tier_lease: TierLeaseTimes,
    /// What an observation found that the catalog does not know yet; checked again and recorded before the first step.
    pub drift: Vec<Drift>,
    /// The key that signs exports of the audit, made if it is not there; `None`: nothing is exported.
    pub audit_key: Option<PathBuf>,
    /// Crash point at which to die, one of [`crate::crash_point::NAMES`]; ignored without the feature `crash-points`.
    pub crash_at: Option<String>,
}

impl ApplyOptions {
    /// Options with which nothing is approved, nobody listens and nothing is waited for.
    pub fn new(run: impl Into<String>, who: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            approved: None,
            signatures: Vec::new(),
            policy_source: None,
            routine: None,
            parallelism: 4,
            run: run.into(),
            who: who.into(),
            clock,
            cancel: Cancel::never(),
            events: Arc::new(|_| {}),
            lease_wait: Duration::ZERO,
            tier_lease: TierLeaseTimes::default(),
            drift: Vec::new(),
            audit_key: None,
            crash_at: None,
        }
    }
}

impl fmt::Debug for ApplyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyOptions")
            .field("run", &self.run)
            .field("who", &self.who)
            .field("approved", &self.approved)
            .finish_non_exhaustive()
    }
}
