//! The right to write: taken before anything is changed, kept alive by a heartbeat, given back at the end.
//!
//! Invariants: a lease is broken only when its holder is certainly dead (`holder.rs`) or is this very run, whose first
//! answer was lost; a run whose heartbeat has failed for the whole time to live counts its lease as lost.

use crate::{
    cancel::{Cancel, CancelSwitch, cancellation},
    clock::Clock,
    holder::Holder,
};
use catalog::{Catalog, CatalogError, Lease};
use jiff::SignedDuration;
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::Instant};

/// How long a lease lasts after its last heartbeat.
pub const TIME_TO_LIVE: SignedDuration = SignedDuration::from_secs(30);
/// A third of the time to live, so that two heartbeats may fail.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Pause before a failed heartbeat, or a lease that is taken, is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// A lease in hand, with its heartbeat.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) lease: Lease,
    /// Set when the lease is lost.
    pub(crate) lost: Cancel,
    heartbeat: JoinHandle<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

/// Takes the lease, waiting up to `wait` for another run.
///
/// Errors: [`CatalogError::Locked`] when another run still holds it then.
pub(crate) async fn acquire(
    catalog: &Catalog,
    clock: &Arc<dyn Clock>,
    run: &str,
    wait: Duration,
    cancel: &Cancel,
) -> Result<Held, CatalogError> {
    let observer = Holder::this_process();
    let holder = format!("{} run={run}", observer.text());
    let started = Instant::now();
    loop {
        let error = match catalog
            .acquire_lease(&holder, clock.now(), TIME_TO_LIVE)
            .await
        {
            Ok(lease) => return Ok(keep_alive(lease, catalog, clock)),
            Err(error) => error,
        };
        let CatalogError::Locked {
            holder: other,
            token,
            ..
        } = &error
        else {
            return Err(error);
        };
        let dead = Holder::parse(other).is_some_and(|other| other.is_certainly_dead(&observer));
        if dead || *other == holder {
            match catalog
                .break_lease(*token, &holder, clock.now(), TIME_TO_LIVE)
                .await
            {
                Ok(lease) => return Ok(keep_alive(lease, catalog, clock)),
                // Somebody was faster, and is alive.
                Err(CatalogError::Locked { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if started.elapsed() >= wait || cancel.is_cancelled() {
            return Err(error);
        }
        tokio::time::sleep(AGAIN.min(wait)).await;
    }
}

/// Who holds a lease, in words.
pub(crate) fn describe(holder: &str) -> String {
    Holder::parse(holder).map_or_else(|| holder.to_owned(), |holder| holder.describe())
}

fn keep_alive(lease: Lease, catalog: &Catalog, clock: &Arc<dyn Clock>) -> Held {
    let (switch, lost) = cancellation();
    let heartbeat = tokio::spawn(beat(
        lease.clone(),
        catalog.clone(),
        Arc::clone(clock),
        switch,
    ));
    Held {
        lease,
        lost,
        heartbeat,
    }
}

async fn beat(lease: Lease, catalog: Catalog, clock: Arc<dyn Clock>, lost: CancelSwitch) {
    let limit = Duration::from_secs(lease.ttl.as_secs().unsigned_abs());
    let mut renewed = Instant::now();
    let mut pause = HEARTBEAT;
    loop {
        tokio::time::sleep(pause).await;
        match catalog.heartbeat(&lease, clock.now()).await {
            Ok(()) => {
                renewed = Instant::now();
                pause = HEARTBEAT;
            }
            Err(CatalogError::LeaseLost { .. }) => return lost.cancel(),
            Err(error) => {
                tracing::warn!(code = error.code(), "the heartbeat of the lease failed");
                if renewed.elapsed() >= limit {
                    return lost.cancel();
                }
                pause = AGAIN;
            }
        }
    }
}

impl Held {
    /// Gives the lease back, trying again a few times: otherwise the next run would have to wait for its end.
    pub(crate) async fn release(self, catalog: &Catalog) -> Result<(), CatalogError> {
        self.heartbeat.abort();
        let mut tries = 0;
        loop {
            match catalog.release(self.lease.clone()).await {
                Err(error) if tries < 3 && error.disposition() == model::Disposition::Retry => {
                    tries += 1;
                    tokio::time::sleep(AGAIN).await;
                }
                result => return result,
            }
        }
    }
}
