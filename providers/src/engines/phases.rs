//! The phases of an engine's restore with their wall times, one after the other.

use std::time::Instant;

/// Phases so far; the next one has begun.
#[derive(Debug)]
pub(crate) struct Phases {
    /// Names and milliseconds, in order.
    pub(crate) done: Vec<(String, u64)>,
    since: Instant,
}

impl Phases {
    /// Begins the first phase.
    pub(crate) fn start() -> Self {
        Self {
            done: Vec::new(),
            since: Instant::now(),
        }
    }

    /// Ends a phase, and begins the next.
    pub(crate) fn end(&mut self, name: &str) {
        let milliseconds = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.done.push((name.to_owned(), milliseconds));
        self.skip();
    }

    /// Begins the next phase now: what came since the last one ended is nobody's time.
    pub(crate) fn skip(&mut self) {
        self.since = Instant::now();
    }
}
