//! `pgbackrest expire`, which also runs after every backup.
//!
//! After pgBackRest's `src/command/expire/expire.c`: `expireFullBackup` (the oldest full backups beyond the count go, with everything that depends on them),
//! `expireTimeBasedBackup` (everything before the newest full backup that is older than so many days goes) and then `expireDiffBackup` (full ones count as
//! differential ones; the oldest differential ones beyond the count go, with their incremental ones). Without `repo-retention-full` no full backup goes.
//!
//! Not modelled: WAL (`repo-retention-archive`), backups that take time.

use super::{Backup, Kind};
use jiff::{SignedDuration, Timestamp};

/// Retention of one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// `repoN-retention-full`.
    pub full: Option<Full>,
    /// `repoN-retention-diff`.
    pub differential: Option<u32>,
}

/// `repoN-retention-full` by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// So many full backups.
    Count(u32),
    /// Days.
    Days(u32),
}

impl Rules {
    pub(super) fn judge(self, backups: &[Backup], now: Timestamp) -> Vec<Option<&'static str>> {
        let mut kept = vec![true; backups.len()];
        let first = self.first_full(backups, now);
        kept[..first].fill(false);
        if let Some(differential) = self.differential.filter(|count| *count > 0) {
            expire_differential(differential, backups, first, &mut kept);
        }
        let name = match self.full {
            Some(_) => "repo-retention-full",
            None => "nothing expires it",
        };
        kept.into_iter().map(|kept| kept.then_some(name)).collect()
    }

    /// Everything before this backup goes.
    fn first_full(self, backups: &[Backup], now: Timestamp) -> usize {
        let is_full = |index: &usize| backups[*index].kind == Kind::Full;
        let fulls: Vec<usize> = (0..backups.len()).filter(is_full).collect();
        let first = match self.full {
            None => None,
            Some(Full::Count(count)) => {
                let beyond = fulls.len().saturating_sub(count as usize);
                fulls.get(beyond).filter(|_| beyond > 0)
            }
            Some(Full::Days(days)) => {
                let length = SignedDuration::from_hours(24 * i64::from(days));
                let oldest = now.checked_sub(length).unwrap_or(Timestamp::MIN);
                fulls.iter().rfind(|index| backups[**index].at < oldest)
            }
        };
        first.copied().unwrap_or(0)
    }
}

fn expire_differential(count: u32, backups: &[Backup], first: usize, kept: &mut [bool]) {
    let counted: Vec<usize> = (first..backups.len())
        .filter(|index| backups[*index].kind != Kind::Incremental)
        .collect();
    let beyond = counted.len().saturating_sub(count as usize);
    for index in &counted[..beyond] {
        if backups[*index].kind == Kind::Differential {
            kept[*index] = false;
            // What follows it up to the next full or differential one is built upon it.
            let dependent = (index + 1..backups.len())
                .take_while(|index| backups[*index].kind == Kind::Incremental);
            for index in dependent {
                kept[index] = false;
            }
        }
    }
}
