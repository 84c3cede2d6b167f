//! What can go wrong in a step, and how it is reported.
//!
//! Not here: a step that is not tried at all (`Ended`), a run that cannot begin (`apply::RunError`).

use catalog::CatalogError;
use model::{DatabaseName, Disposition, RecoveryPointId, TierName, event::Failure};
use providers::api::ProviderError;
use std::{error::Error, io};

/// A try of a step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the copy of `{point}` on tier `{tier}` is damaged: {why}")]
    Damaged {
        point: RecoveryPointId,
        tier: TierName,
        why: String,
    },
    #[error("the copy of `{point}` on tier `{tier}` is not there: {why}")]
    Missing {
        point: RecoveryPointId,
        tier: TierName,
        why: String,
    },
    #[error(
        "`{point}` is incremental and builds on `{link}`, of which no tier has a whole copy: {why}"
    )]
    BrokenChain {
        point: RecoveryPointId,
        link: RecoveryPointId,
        why: String,
    },
    #[error("the copy of `{point}` on tier `{tier}` failed {failed} of {all} checks: {first}")]
    ChecksFailed {
        point: RecoveryPointId,
        tier: TierName,
        failed: usize,
        all: usize,
        first: String,
    },
    #[error("tier `{tier}` already has another state of `{point}`: {why}")]
    Conflict {
        point: RecoveryPointId,
        tier: TierName,
        why: String,
    },
    #[error("what was written of `{point}` on tier `{tier}` reads back differently: {why}")]
    ReadBack {
        point: RecoveryPointId,
        tier: TierName,
        why: String,
    },
    #[error("the try took longer than {seconds} s")]
    TimedOut { seconds: u64 },
    #[error("{what} `{name}` is not declared")]
    NotDeclared { what: &'static str, name: String },
    #[error("tier `{tier}` shows no marker, but it has been used before as `{remembered}`")]
    MarkerMissing { tier: TierName, remembered: String },
    #[error("tier `{tier}` is `{found}`, but `{remembered}` was used before")]
    OtherTier {
        tier: TierName,
        found: String,
        remembered: String,
    },
    #[error("another run is changing tier `{tier}`: {holder}")]
    TierLeased {
        tier: TierName,
        holder: String,
        seconds: u64,
    },
    #[error("the lease of tier `{tier}` was lost; it is held by {holder}")]
    TierLeaseLost { tier: TierName, holder: String },
    #[error("nothing is deleted on tier `{tier}`, because its store cannot keep a lease: {why}")]
    NoTierLease { tier: TierName, why: String },
    #[error("step `{0}` is not one that this version can do")]
    Unsupported(String),
    #[error("the guard refuses `{step}`: {why}")]
    Unguarded { step: String, why: String },
    #[error("cannot use the scratch folder")]
    Scratch(#[source] io::Error),
    #[error("drill `{name}` of `{database}` failed: {}", failure.message)]
    Drill {
        name: String,
        database: DatabaseName,
        failure: Box<Failure>,
        record: String,
    },
    #[error("the step stopped by a fault of the program")]
    Panicked,
}

impl StepError {
    /// Every code, for the test that each has its page in `docs/errors/`.
    pub(crate) const CODES: &'static [&'static str] = &[
        "mainstay::drill::failed",
        "mainstay::guard::not-a-prune",
        "mainstay::observe::marker-missing",
        "mainstay::observe::other-tier",
        "mainstay::run::broken-chain",
        "mainstay::run::checks-failed",
        "mainstay::run::conflict",
        "mainstay::run::copy-missing",
        "mainstay::run::fault",
        "mainstay::run::not-declared",
        "mainstay::run::read-back",
        "mainstay::run::scratch",
        "mainstay::run::timeout",
        "mainstay::run::unsafe-key",
        "mainstay::run::unsupported-step",
        "mainstay::tier::lease-lost",
        "mainstay::tier::leased",
        "mainstay::tier::no-conditional-writes",
    ];

    /// Stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Provider(error) => error.code,
            Self::Catalog(error) => error.code(),
            Self::Damaged { .. } => crate::stored::DAMAGED,
            Self::Missing { .. } => "mainstay::run::copy-missing",
            Self::BrokenChain { .. } => "mainstay::run::broken-chain",
            Self::ChecksFailed { .. } => "mainstay::run::checks-failed",
            Self::Conflict { .. } => "mainstay::run::conflict",
            Self::ReadBack { .. } => "mainstay::run::read-back",
            Self::TimedOut { .. } => "mainstay::run::timeout",
            Self::NotDeclared { .. } => "mainstay::run::not-declared",
            Self::MarkerMissing { .. } => "mainstay::observe::marker-missing",
            Self::OtherTier { .. } => "mainstay::observe::other-tier",
            Self::TierLeased { .. } => "mainstay::tier::leased",
            Self::TierLeaseLost { .. } => "mainstay::tier::lease-lost",
            Self::NoTierLease { .. } => "mainstay::tier::no-conditional-writes",
            Self::Unsupported(_) => "mainstay::run::unsupported-step",
            Self::Unguarded { .. } => "mainstay::guard::not-a-prune",
            Self::Scratch(_) => "mainstay::run::scratch",
            Self::Drill { .. } => "mainstay::drill::failed",
            Self::Panicked => "mainstay::run::fault",
        }
    }

    /// One sentence that an operator can act on.
    pub(crate) fn help(&self) -> Option<String> {
        let text = match self {
            Self::Provider(error) => return error.help.clone(),
            Self::Catalog(error) => return error.help(),
            Self::Damaged { .. } | Self::Missing { .. } => {
                "run `mainstay plan`: it shows whether another tier has a good copy to repair this one from"
            }
            Self::BrokenChain { link, .. } => {
                return Some(format!(
                    "restore an older point that does not need `{link}` (`mainstay list {}`), and run `mainstay plan`: it repairs the link from another tier or makes a new full point",
                    link.database()
                ));
            }
            Self::ChecksFailed { point, .. } => {
                return Some(format!(
                    "do not rely on this copy; run `mainstay verify {point} --level restore` on another tier, and back up again"
                ));
            }
            Self::Conflict { point, .. } => {
                return Some(format!(
                    "compare the tiers with `mainstay info {point}` and move the wrong state off its tier"
                ));
            }
            Self::ReadBack { .. } => {
                "check the storage below the tier (`dmesg`, the NAS's own log); it returned other bytes than it was given"
            }
            Self::TimedOut { .. } => {
                "raise `window.timeout` of the series if the work is honestly that long; otherwise look what it waits for"
            }
            Self::NotDeclared { .. } => {
                "the plan was made for another policy; run `mainstay plan` again"
            }
            Self::MarkerMissing { .. } => {
                "mount the tier and run the same command again; an empty folder is never taken for it"
            }
            Self::OtherTier { .. } => {
                "mount the right disk, or give the new one a new name in the policy"
            }
            Self::TierLeased { seconds, .. } => {
                return Some(format!(
                    "let the other run finish, then run `mainstay apply` again; if it has died, its lease ends {seconds} s after its last sign of life, and the next `mainstay apply` waits for that"
                ));
            }
            Self::TierLeaseLost { .. } => {
                "this run gave no sign of life for too long and another one took the tier over; let that one finish, then run `mainstay apply` again"
            }
            Self::NoTierLease { .. } => {
                "if no other machine ever writes to this tier, say so with `exclusive = true` in its table; otherwise use a store with conditional writes"
            }
            Self::Unsupported(_) => "use a version of mainstay that knows this kind of step",
            Self::Unguarded { .. } => {
                "run `mainstay plan` again; this plan was not made by mainstay"
            }
            Self::Scratch(_) => {
                "give this user a writable folder with free space for scratch files, then run `mainstay apply` again"
            }
            Self::Drill {
                record, failure, ..
            } => {
                let way_out = failure.help.as_ref().map(|help| format!("; {help}"));
                return Some(format!(
                    "everything that is known of it: `mainstay drill show {record}`{}",
                    way_out.unwrap_or_default()
                ));
            }
            Self::Panicked => "run `mainstay apply` again and please report this",
        };
        Some(text.to_owned())
    }

    /// Whether another try could help.
    pub(crate) fn disposition(&self) -> Disposition {
        match self {
            Self::Provider(error) => error.disposition,
            Self::Catalog(error) => error.disposition(),
            Self::Drill { failure, .. } => failure.disposition,
            Self::ReadBack { .. } | Self::TimedOut { .. } | Self::TierLeased { .. } => {
                Disposition::Retry
            }
            Self::MarkerMissing { .. }
            | Self::OtherTier { .. }
            | Self::Scratch(_)
            | Self::TierLeaseLost { .. }
            | Self::NoTierLease { .. } => Disposition::NeedsOperator,
            _ => Disposition::Permanent,
        }
    }

    /// Whether the run may not go on, because it no longer has the right to write.
    pub(crate) fn is_lost_lease(&self) -> bool {
        matches!(self, Self::Catalog(CatalogError::LeaseLost { .. }))
    }

    /// The same as plain data.
    pub(crate) fn to_failure(&self) -> Failure {
        Failure {
            code: self.code().to_owned(),
            message: chain(self),
            help: self.help(),
            disposition: self.disposition(),
        }
    }
}

/// An error with its causes, joined by `: `.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some drivers repeat their cause's words.
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// A catalog's error as plain data.
pub(crate) fn catalog_failure(error: &CatalogError) -> Failure {
    Failure {
        code: error.code().to_owned(),
        message: chain(error),
        help: error.help(),
        disposition: error.disposition(),
    }
}
