//! What is asked of a restore, and what it answers.
//!
//! Invariant: nothing in here is a secret. Not here: choosing the base of a recovery (`base.rs`), carrying it out (`mod.rs`).

use super::reach::Way;
use crate::thawing::ThawPolicy;
use jiff::Timestamp;
use model::{
    Assertion, ByteCount, Digest, MethodName, RecoveryPointId, RecoveryRecord, RecoveryTarget,
    TierName, TimelineChoice,
    event::Failure,
    recovery_record::{DrillSlot, Promise, Reached, Unjudged},
};
use providers::{
    api::{AfterRecovery, Check, RecoveryObserver, RestoreTarget, Selection},
    stream::Progress,
};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

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
    /// For a physical point: how far to roll it forward, and what then; `None`: until it is consistent.
    pub recovery: Option<RecoveryWish>,
    /// What must hold in the target, beside the database's own assertions.
    pub asserts: Vec<Assertion>,
    /// For a drill: which, and what was promised of it.
    pub drill: Option<DrillContext>,
    /// Digest of the policy in force, for the record.
    pub policy_digest: Option<Digest>,
}

impl RestoreOrder {
    /// A restore of a whole point from the best copy, that replaces nothing.
    pub fn new(point: RecoveryPointId, target: RestoreTarget, who: String, run: String) -> Self {
        Self {
            point,
            from: None,
            target,
            replace: false,
            selection: Selection::default(),
            who,
            why: String::new(),
            run,
            progress: Arc::new(|_| {}),
            thaw: ThawPolicy::Refuse,
            recovery: None,
            asserts: Vec::new(),
            drill: None,
            policy_digest: None,
        }
    }
}

/// Which drill a restore is, and what it is measured against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillContext {
    /// The drill and its slot.
    pub slot: DrillSlot,
    /// The tier to try first; another one is tried when its copy is bad.
    pub prefer: Option<TierName>,
    /// Promised largest loss.
    pub rpo: Option<Promise>,
    /// Promised longest restore.
    pub rto: Option<Promise>,
}

/// How far a physical point is rolled forward, and what happens then.
#[derive(Debug, Clone)]
pub struct RecoveryWish {
    /// Where to stop.
    pub target: RecoveryTarget,
    /// Which timeline to follow.
    pub timeline: TimelineChoice,
    /// Where each tablespace goes, by its location at the source; empty: below the target folder.
    pub tablespaces: BTreeMap<String, PathBuf>,
    /// What happens after the files are there. A scratch target is always started.
    pub after: AfterRecovery,
    /// Whether tables and indexes are checked with `pg_amcheck`.
    pub amcheck: bool,
    /// `restore_command` for a server that a person starts, one argument an item; `%f` and `%p` stand for themselves.
    pub restore_command: Vec<String>,
    /// Who is told that a scratch server runs; `None`: it is only checked.
    pub observer: Option<Arc<dyn RecoveryObserver>>,
    /// The way that was found and proved before; `None`: that is done first.
    pub way: Option<Way>,
}

impl RecoveryWish {
    /// Rolls forward to `target` on the newest timeline and nothing else.
    pub fn to(target: RecoveryTarget) -> Self {
        Self {
            target,
            timeline: TimelineChoice::Latest,
            tablespaces: BTreeMap::new(),
            after: AfterRecovery::Leave,
            amcheck: false,
            restore_command: Vec::new(),
            observer: None,
            way: None,
        }
    }
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
    /// Age of the restored state when the restore began.
    pub age_seconds: i64,
    /// Stored bytes of the point and of those that it is incremental to.
    pub bytes: ByteCount,
    /// Bytes of the log that were read, as the server gets them.
    pub log_bytes: ByteCount,
    /// Plain bytes of the point.
    pub plain_bytes: ByteCount,
    /// Method that made the point.
    pub method: MethodName,
    /// What was wanted; `None`: the point as it is.
    pub recovery: Option<RecoveryTarget>,
    /// How far the log was replayed.
    pub reached: Reached,
    /// The points that it is incremental to, the full one first, and where each was read.
    pub chain: Vec<(RecoveryPointId, TierName)>,
    /// Phases with their wall time in milliseconds, in order; `choose` is the search for a good copy, `thaw` the wait for an archive, `keys` opens its data keys.
    pub phases: Vec<(String, u64)>,
    /// How long each stage of the stream was busy while the engine loaded (`fetch`, `decrypt`, `decompress`), in milliseconds: they overlap.
    pub busy: Vec<(String, u64)>,
    /// Every check that was made in the target.
    pub checks: Vec<Check>,
    /// What a person must know of it, such as what was left out on purpose.
    pub notes: Vec<String>,
    /// Copies that were tried before and given up, and why.
    pub given_up: Vec<(TierName, Failure)>,
    /// What was done but could not be recorded in the catalog.
    pub gaps: Vec<Failure>,
    /// The record of it.
    pub record: Option<Box<RecoveryRecord>>,
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
    pub failure: Box<Failure>,
    /// The tier whose copy it was, if it was a copy's fault.
    pub tier: Option<TierName>,
    /// The other copies that were tried, and why they were given up.
    pub given_up: Vec<(TierName, Failure)>,
    /// Why it says nothing about what was promised; `None`: it does.
    pub unjudged: Option<Unjudged>,
    /// The record of it.
    pub record: Option<Box<RecoveryRecord>>,
}

impl RestoreError {
    pub(super) fn new(failure: Failure) -> Self {
        Self {
            failure: Box::new(failure),
            tier: None,
            given_up: Vec::new(),
            unjudged: None,
            record: None,
        }
    }

    /// Nothing was read, and nothing was changed.
    pub(super) fn not_begun(failure: Failure) -> Self {
        Self {
            unjudged: Some(Unjudged::NotBegun),
            ..Self::new(failure)
        }
    }
}
