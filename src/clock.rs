//! The only place that asks the clock.

use jiff::Timestamp;

/// The present, in whole microseconds.
pub(crate) fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "this file is the one that asks the clock"
    )]
    let now = Timestamp::now();
    now.round(jiff::Unit::Microsecond).unwrap_or(now)
}
