//! Progress over several objects: one number that never runs backwards, told ten times a second at most.

use providers::stream::{Busy, Progress};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(100);

/// Adds up the bytes of the objects of one piece of work.
#[derive(Clone)]
pub(crate) struct Meter {
    sink: Progress,
    told: Arc<Mutex<Told>>,
    busy: Arc<Busy>,
}

#[derive(Default)]
struct Told {
    /// Bytes of the objects before the present one.
    finished: u64,
    at: Option<Instant>,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

impl Meter {
    /// Tells the sum to `sink`.
    pub(crate) fn new(sink: Progress) -> Self {
        Self {
            sink,
            told: Arc::default(),
            busy: Arc::default(),
        }
    }

    /// What the streams of this work note their time in.
    pub(crate) fn stages(&self) -> Arc<Busy> {
        Arc::clone(&self.busy)
    }

    /// How long each stage has been busy, in milliseconds; a stage that did nothing is left out.
    pub(crate) fn busy(&self) -> Vec<(String, u64)> {
        let stages = self.busy.stages();
        let milliseconds = stages.map(|(name, time)| {
            let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            (name.to_owned(), milliseconds, time.is_zero())
        });
        milliseconds
            .into_iter()
            .filter(|(_, _, idle)| !idle)
            .map(|(name, milliseconds, _)| (name, milliseconds))
            .collect()
    }

    /// The callback for the stream of one object.
    pub(crate) fn callback(&self) -> Progress {
        let own = self.clone();
        Arc::new(move |bytes| own.tell(bytes))
    }

    /// An object has ended; the next one's bytes come on top.
    pub(crate) fn object_done(&self, bytes: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.finished = told.finished.saturating_add(bytes);
    }

    fn tell(&self, bytes: u64) {
        let sum = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if told.at.is_some_and(|at| now.duration_since(at) < PAUSE) {
                return;
            }
            told.at = Some(now);
            told.finished.saturating_add(bytes)
        };
        (self.sink)(sum);
    }
}
