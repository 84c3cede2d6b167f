//! Progress over several objects: one number that never runs backwards, told ten times a second at most.

use providers::stream::Progress;
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
        }
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
