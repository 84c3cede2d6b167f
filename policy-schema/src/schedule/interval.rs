//! `every = "15m"`: slots at a fixed distance from an anchor, in real time.
//!
//! Not here: calendar months (they have no fixed length and are refused when the policy is read).

use jiff::{SignedDuration, Timestamp};
use std::fmt;

/// A fixed interval with its anchor, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    seconds: i64,
    anchor: i64,
}

impl Interval {
    pub(super) fn new(interval: SignedDuration, anchor: Timestamp) -> Option<Self> {
        let seconds = interval.as_secs();
        (seconds > 0).then_some(Self {
            seconds,
            anchor: anchor.as_second(),
        })
    }

    pub(super) fn length(self) -> SignedDuration {
        SignedDuration::from_secs(self.seconds)
    }

    pub(super) fn last_at_or_before(self, at: Timestamp) -> Option<Timestamp> {
        // Floor, not `as_second`: before 1970 that one rounds towards zero.
        let second = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
        let passed = second.checked_sub(self.anchor)?.div_euclid(self.seconds);
        let slot = passed.checked_mul(self.seconds)?.checked_add(self.anchor)?;
        Timestamp::from_second(slot).ok()
    }

    pub(super) fn next_after(self, after: Timestamp) -> Option<Timestamp> {
        let second = after.as_second() - i64::from(after.subsec_nanosecond() < 0);
        let passed = second.checked_sub(self.anchor)?.div_euclid(self.seconds);
        let slot = (passed + 1)
            .checked_mul(self.seconds)?
            .checked_add(self.anchor)?;
        Timestamp::from_second(slot).ok()
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = model::Period {
            seconds: self.seconds.unsigned_abs(),
            ..model::Period::default()
        };
        write!(f, "every {period}")?;
        match Timestamp::from_second(self.anchor) {
            Ok(anchor) if self.anchor != 0 => write!(f, " from {anchor}"),
            _ => Ok(()),
        }
    }
}
