//! Barman's `retention_policy`, which `barman cron` enforces.
//!
//! After `barman/retention_policies.py`: `REDUNDANCY n` keeps the newest n backups; `RECOVERY WINDOW OF …` keeps all back to the newest backup that ended before the window
//! begins, that one included, so that every moment of the window can be reached. A week is 7 days and a month 31. Neither keeps fewer than `minimum_redundancy`.
//!
//! Not modelled: `barman keep`, backups that take time.

use super::Backup;
use jiff::{SignedDuration, Timestamp};

/// Retention of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// `retention_policy`.
    pub policy: Policy,
    /// `minimum_redundancy`.
    pub minimum: u32,
}

/// `retention_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `REDUNDANCY n`.
    Redundancy(u32),
    /// `RECOVERY WINDOW OF n DAYS | WEEKS | MONTHS`, in days.
    WindowDays(u32),
}

impl Rules {
    pub(super) fn judge(self, backups: &[Backup], now: Timestamp) -> Vec<Option<&'static str>> {
        let (stay, name) = match self.policy {
            Policy::Redundancy(count) => (count as usize, "REDUNDANCY"),
            Policy::WindowDays(days) => {
                let length = SignedDuration::from_hours(24 * i64::from(days));
                let begins = now.checked_sub(length).unwrap_or(Timestamp::MIN);
                let inside = backups.iter().rev().take_while(|one| one.at >= begins);
                (inside.count() + 1, "RECOVERY WINDOW")
            }
        };
        let gone = backups
            .len()
            .saturating_sub(stay.max(self.minimum as usize));
        (0..backups.len())
            .map(|index| (index >= gone).then_some(name))
            .collect()
    }
}
