//! Faults for tests: fail the n-th call, before or after its effect, once or from then on, and cut streams short.
//!
//! One counter is shared by all wrappers of a run, so that n = 1, 2, 3 … visits every provider call until a run is
//! undisturbed ([`Faults::struck`] is false). Only built with the cargo feature `faults`.

use crate::api::{ProviderError, Result};
use model::Disposition;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Code of every error made here.
pub const CODE: &str = "mainstay::fault::injected";

/// Whether the failing call has had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The call does nothing and fails.
    Before,
    /// The call does its work, then reports an error: the answer was lost.
    After,
}

#[derive(Debug, Default)]
struct State {
    calls: AtomicU64,
    struck: AtomicBool,
    log: Mutex<Vec<String>>,
}

/// What goes wrong, and how many calls there were. Clones share their counter.
#[derive(Debug, Clone)]
pub struct Faults {
    state: Arc<State>,
    fail: Option<u64>,
    when: When,
    from_then_on: bool,
    cut_writes_after: Option<u64>,
    cut_sources_after: Option<u64>,
    disposition: Disposition,
}

impl Faults {
    /// Nothing fails; calls are counted.
    pub fn none() -> Self {
        Self {
            state: Arc::default(),
            fail: None,
            when: When::Before,
            from_then_on: false,
            cut_writes_after: None,
            cut_sources_after: None,
            disposition: Disposition::Retry,
        }
    }

    /// The `n`-th call fails, counted from 1.
    pub fn fail_call(n: u64, when: When) -> Self {
        Self {
            fail: Some(n),
            when,
            ..Self::none()
        }
    }

    /// All calls after the failing one fail too, as after a power cut.
    #[must_use]
    pub fn from_then_on(mut self) -> Self {
        self.from_then_on = true;
        self
    }

    /// Every writer takes `bytes` bytes of an object, then fails half-way through a chunk.
    #[must_use]
    pub fn cut_writes_after(mut self, bytes: u64) -> Self {
        self.cut_writes_after = Some(bytes);
        self
    }

    /// Every captured stream gives `bytes` bytes, then fails.
    #[must_use]
    pub fn cut_sources_after(mut self, bytes: u64) -> Self {
        self.cut_sources_after = Some(bytes);
        self
    }

    /// The disposition of the errors; `Retry` when not said.
    #[must_use]
    pub fn disposition(mut self, disposition: Disposition) -> Self {
        self.disposition = disposition;
        self
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// Whether any call was made to fail.
    pub fn struck(&self) -> bool {
        self.state.struck.load(Ordering::SeqCst)
    }

    /// The names of all calls so far, to say in a failing test where it struck.
    pub fn log(&self) -> Vec<String> {
        self.state
            .log
            .lock()
            .map_or_else(|_| Vec::new(), |log| log.clone())
    }

    pub(super) fn write_limit(&self) -> Option<u64> {
        self.cut_writes_after
    }

    pub(super) fn source_limit(&self) -> Option<u64> {
        self.cut_sources_after
    }

    /// Counts a call and says whether it shall fail.
    pub(super) fn strikes(&self, what: &str) -> Option<When> {
        let call = self.state.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if let Ok(mut log) = self.state.log.lock() {
            log.push(what.to_owned());
        }
        let hit = self
            .fail
            .is_some_and(|n| call == n || (self.from_then_on && call > n));
        if !hit {
            return None;
        }
        self.state.struck.store(true, Ordering::SeqCst);
        // Only the first fault can come after the effect: what follows a power cut has none.
        Some(if self.fail == Some(call) {
            self.when
        } else {
            When::Before
        })
    }

    /// Runs a call, or lets it fail.
    pub(super) async fn around<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.strikes(what) {
            None => call.await,
            Some(When::Before) => Err(self.error(what)),
            Some(When::After) => call.await.and_then(|_| Err(self.error(what))),
        }
    }

    pub(super) fn error(&self, what: &str) -> ProviderError {
        self.state.struck.store(true, Ordering::SeqCst);
        ProviderError::new(
            CODE,
            self.disposition,
            format!("an injected fault in `{what}`"),
        )
    }
}
