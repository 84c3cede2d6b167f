//! Tells what happens: to whoever listens now, and to the catalog for later.
//!
//! Invariant: events reach both in one order. A journal that cannot be written stops no backup; the gap is counted and reported.
//! Not here: words for people (the root package).

use crate::{clock::Clock, meter::Meter, steps::error::catalog_failure};
use catalog::Catalog;
use model::{
    ByteCount, StepId,
    event::{self, Failure, RunEvent, What},
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Gets every event of a run, also progress; must be cheap, it is called from the threads that move bytes.
pub type EventSink = Arc<dyn Fn(&RunEvent) + Send + Sync>;

/// The journal of one run.
pub(crate) struct Journal {
    run: String,
    clock: Arc<dyn Clock>,
    sink: EventSink,
    catalog: Catalog,
    order: tokio::sync::Mutex<()>,
    gaps: Mutex<Vec<Failure>>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl Journal {
    pub(crate) fn new(
        run: String,
        clock: Arc<dyn Clock>,
        sink: EventSink,
        catalog: Catalog,
    ) -> Self {
        Self {
            run,
            clock,
            sink,
            catalog,
            order: tokio::sync::Mutex::new(()),
            gaps: Mutex::new(Vec::new()),
        }
    }

    /// Tells and records an event.
    pub(crate) async fn tell(&self, what: What) {
        let _in_order = self.order.lock().await;
        let event = self.event(what);
        (self.sink)(&event);
        if let Err(error) = self.catalog.append_event(&event).await {
            tracing::warn!(code = error.code(), "an event could not be recorded");
            self.gap(catalog_failure(&error));
        }
    }

    /// Notes something that could not be recorded.
    pub(crate) fn gap(&self, failure: Failure) {
        self.gaps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(failure);
    }

    /// What could not be recorded so far.
    pub(crate) fn gaps(&self) -> Vec<Failure> {
        self.gaps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Tells the progress of one try of a step.
    pub(crate) fn meter(self: &Arc<Self>, step: StepId, total: Option<ByteCount>) -> Meter {
        let journal = Arc::clone(self);
        Meter::new(Arc::new(move |bytes| {
            (journal.sink)(&journal.event(What::StepProgress {
                step: step.clone(),
                bytes: ByteCount(bytes),
                total,
            }));
        }))
    }

    fn event(&self, what: What) -> RunEvent {
        RunEvent {
            format: event::FORMAT.to_owned(),
            run: self.run.clone(),
            at: self.clock.now(),
            what,
        }
    }
}
