//! Exit codes: documented API (design: the command line). Never renumbered.

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// `plan --detailed-exitcode`: changes are planned.
    ChangesPlanned = 2,
    /// A destructive step needs `--approve`.
    NeedsApproval = 3,
    /// The policy is invalid.
    PolicyInvalid = 4,
    /// `plan --refresh-only`: reality differs from the catalog.
    DriftFound = 5,
    /// An objective is violated or cannot be shown to hold.
    ObjectiveViolated = 6,
    /// The saved plan no longer fits.
    Stale = 7,
    /// Another run holds the lease.
    Locked = 8,
    /// Some steps failed, others were done.
    PartlyFailed = 9,
    /// Blocked by a hold, a lock, the guard or a window.
    Blocked = 10,
    /// `wal fetch`: whether the file is archived cannot be told. Above 125, so that PostgreSQL stops instead of taking it for the
    /// end of the log.
    CannotTell = 200,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
