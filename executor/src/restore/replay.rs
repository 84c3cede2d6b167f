//! What the engine needs to roll a physical point forward: how far, along which timeline, and the archive.
//!
//! Invariant: a physical point is always recovered up to a stated target; without a wish it is the first consistent moment.
//! Not here: whether the target can be reached (`reach.rs`).

use super::order::{RecoveryWish, RestoreOrder};
use crate::{steps::error::StepError, wiring::Wiring};
use model::{ByteCount, Manifest, RecoveryTarget};
use providers::api::{Recovery, WalFetch};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What a recovery works with, and what it counts.
pub(super) struct Replay {
    pub(super) recovery: Option<Recovery>,
    pub(super) read: LogRead,
}

/// Stored bytes of the log that were read.
#[derive(Debug, Clone, Default)]
pub(super) struct LogRead(Arc<AtomicU64>);

impl LogRead {
    pub(super) fn total(&self) -> ByteCount {
        ByteCount(self.0.load(Ordering::Relaxed))
    }
}

/// Prepares it; a point that is not physical has none.
pub(super) fn prepare(
    order: &RestoreOrder,
    manifest: &Manifest,
    wiring: &Wiring,
) -> Result<Replay, StepError> {
    let wish = order
        .recovery
        .clone()
        .unwrap_or_else(|| RecoveryWish::to(RecoveryTarget::Immediate));
    let read = LogRead::default();
    let recovery = with_wish(wish, manifest, wiring, &read)?;
    Ok(Replay { recovery, read })
}

/// A physical point as it is, for a server that is only looked at.
pub(crate) fn until_consistent(
    manifest: &Manifest,
    wiring: &Wiring,
) -> Result<Option<Recovery>, StepError> {
    let wish = RecoveryWish::to(RecoveryTarget::Immediate);
    with_wish(wish, manifest, wiring, &LogRead::default())
}

fn with_wish(
    wish: RecoveryWish,
    manifest: &Manifest,
    _wiring: &Wiring,
    _read: &LogRead,
) -> Result<Option<Recovery>, StepError> {
    if manifest.wal.is_none() {
        return Ok(None);
    }
    let wal: Option<Arc<dyn WalFetch>> = None;
    Ok(Some(Recovery {
        target: wish.target,
        timeline: wish.timeline,
        wal,
        restore_command: wish.restore_command,
        tablespaces: wish.tablespaces,
        after: wish.after,
        amcheck: wish.amcheck,
        observer: wish.observer,
    }))
}
