//! Observes reality and carries out a plan, resumably.
//!
//! Read `apply` first, then `steps/`, one file per kind of step. The executor never sees the policy and decides nothing: the
//! plan says what, this crate finds out how far it is done and does the rest.
//! Not here: deciding (`planner`), looking after the clock, the environment and words for people (the root package).

pub mod adopted;
mod apply;
pub mod audit;
mod cancel;
mod chain;
mod clock;
mod copies;
pub mod crash_point;
mod drift;
pub mod drill;
mod expire_guard;
mod gate;
mod holder;
mod journal;
mod key_copies;
mod key_report;
mod keys;
mod lease;
mod leftovers;
mod legal_hold;
mod meter;
mod observe;
mod prune_guard;
mod rebuild;
mod recovery_kit;
mod restore;
mod rewrap;
mod rotate;
mod schedule;
mod scratch;
mod steps;
mod stored;
mod thawing;
mod tier_lease;
mod unknown_rules;
mod verification;
mod verify_now;
pub mod wal;
mod wiring;

pub use apply::{
    ApplyOptions, Routine, RunEnd, RunError, RunReport, StepReport, apply, how_to_sign,
};
pub use cancel::{Cancel, CancelSwitch, cancellation};
pub use clock::Clock;
pub use copies::find_manifest;
pub use drift::Drift;
pub use journal::EventSink;
pub use key_report::{KeyLook, KeyReport, KeyUse, key_report, look_at_keys};
pub use lease::TIME_TO_LIVE;
pub use legal_hold::{HeldCopy, HoldReport, spread_hold};
pub use observe::{Observation, Refresh, observe};
pub use rebuild::{RebuildReport, rebuild};
pub use restore::{
    DrillContext, NoWay, ReachOrder, ReachableWindow, RecoveryWish, RestoreError, RestoreOrder,
    RestoreReport, Unreached, Way, reach, restore, restore_until,
};
pub use rotate::{NotDone, RotateOrder, RotateReport, TierRotation, rotate};
pub use thawing::{Tell, ThawPolicy};
pub use tier_lease::TierLeaseTimes;
pub use verify_now::{VerifyOrder, VerifyReport, verify_now};
pub use wiring::{DatabaseWiring, TierWiring, WalWiring, Wiring};

/// Every error code that this crate gives, for the test that each has its page in `docs/errors/`.
pub fn error_codes() -> Vec<&'static str> {
    let mut codes: Vec<_> = [
        apply::RunError::CODES,
        audit::AuditError::CODES,
        apply::STOP_CODES,
        drill::CODES,
        restore::CODES,
        restore::RECORD_CODES,
        thawing::CODES,
        wal::CODES,
        steps::error::StepError::CODES,
    ]
    .concat();
    codes.sort_unstable();
    codes.dedup();
    codes
}
