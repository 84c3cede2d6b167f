//! Named moments at which a test can kill this process, to show that the next apply converges.
//!
//! Invariant: without the feature `crash-points` a crash point is nothing, so no shipped binary can be killed by a variable of its environment.

/// Every name, in the order in which an apply passes them.
pub const NAMES: &[&str] = &[
    "after-lease",
    "after-cleanup",
    "after-intent",
    "after-data",
    "before-keys",
    "after-keys",
    "before-manifest",
    "after-manifest",
    "before-catalog",
    "after-catalog",
    "mid-upload",
    "before-verification-record",
    "before-delete",
    "after-delete-manifest",
    "after-delete-data",
    "after-forget",
    "before-run-end",
    "before-audit-export",
    "after-audit-export",
];

/// Those that a file passes on its way into the archive of a log.
pub const WAL_NAMES: &[&str] = &[
    "wal-after-keys",
    "wal-mid-write",
    "wal-before-visible",
    "wal-after-visible",
];

/// Those of a deletion of archived log.
pub const EXPIRE_NAMES: &[&str] = &["before-expire", "after-expire-one"];

/// The moment at which this process shall die, if any.
#[derive(Debug, Clone, Default)]
pub struct CrashPoints {
    #[cfg_attr(
        not(feature = "crash-points"),
        expect(dead_code, reason = "only read where the feature is on")
    )]
    at: Option<String>,
}

impl CrashPoints {
    /// Dies at `at`, one of [`NAMES`], [`WAL_NAMES`] or [`EXPIRE_NAMES`].
    pub fn new(at: Option<String>) -> Self {
        Self { at }
    }

    /// Dies here if told so: SIGKILL, so that nothing is flushed, unwound or dropped.
    #[cfg(feature = "crash-points")]
    pub(crate) fn hit(&self, name: &'static str) {
        debug_assert!(
            [NAMES, WAL_NAMES, EXPIRE_NAMES]
                .iter()
                .any(|names| names.contains(&name)),
            "`{name}` is missing in NAMES"
        );
        if self.at.as_deref() == Some(name) {
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
            std::process::abort();
        }
    }

    /// Does nothing: the feature `crash-points` is off.
    #[cfg(not(feature = "crash-points"))]
    #[expect(
        clippy::unused_self,
        reason = "the same call whether the feature is on or off"
    )]
    pub(crate) fn hit(&self, _name: &'static str) {}
}
