//! `borg prune`: one rule after the other, each counting only archives that no rule before it keeps.
//!
//! After `prune_within` and `prune_split` in borg's `helpers/misc.py` and `do_prune` in `archiver.py` (1.2). `--keep-within` first, measured back from now in hours (a month
//! is 31 days, a year 365); then secondly (`--keep-last` is another name for it), minutely, hourly, daily, weekly, monthly, yearly. Each takes the newest archive of every unit; while
//! its count is not used up, the oldest archive too. A unit is what `strftime` prints in the local zone. -1 counts without end, and then leaves the oldest out.
//!
//! Not modelled: checkpoints, `--keep-13weekly` and `--keep-3monthly` (1.4).

use super::{
    Backup, Count,
    calendar::{unit, wall_clock},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::retention::Each;

/// The options of `borg prune`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// `--keep-within`.
    pub within_hours: Option<u32>,
    /// The others, in any order.
    pub counts: Vec<(Unit, Count)>,
}

/// Units of borg, in the order in which its rules come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// `--keep-secondly`, `--keep-last`.
    Second,
    /// `--keep-minutely`.
    Minute,
    /// `--keep-hourly`.
    Hour,
    /// `--keep-daily`.
    Day,
    /// `--keep-weekly`.
    Week,
    /// `--keep-monthly`.
    Month,
    /// `--keep-yearly`.
    Year,
}

impl Unit {
    /// The option of this unit.
    pub fn option(self) -> &'static str {
        match self {
            Self::Second => "keep-last",
            Self::Minute => "keep-minutely",
            Self::Hour => "keep-hourly",
            Self::Day => "keep-daily",
            Self::Week => "keep-weekly",
            Self::Month => "keep-monthly",
            Self::Year => "keep-yearly",
        }
    }

    fn of(self, at: Timestamp, zone: &TimeZone) -> i64 {
        let civil = wall_clock(at, zone);
        match self {
            Self::Second => unit(Each::Point, civil),
            Self::Minute => unit(Each::Point, civil) / 100,
            Self::Hour => unit(Each::Hour, civil),
            Self::Day => unit(Each::Day, civil),
            Self::Week => unit(Each::Week, civil),
            Self::Month => unit(Each::Month, civil),
            Self::Year => unit(Each::Year, civil),
        }
    }
}

impl Rules {
    pub(super) fn judge(
        &self,
        backups: &[Backup],
        now: Timestamp,
        zone: &TimeZone,
    ) -> Vec<Option<&'static str>> {
        let mut verdicts = vec![None; backups.len()];
        if let Some(hours) = self.within_hours {
            let target = now
                .checked_sub(SignedDuration::from_hours(i64::from(hours)))
                .unwrap_or(Timestamp::MIN);
            for (backup, verdict) in backups.iter().zip(&mut verdicts) {
                if backup.at > target {
                    *verdict = Some("keep-within");
                }
            }
        }
        let mut counts = self.counts.clone();
        counts.sort_unstable_by_key(|(unit, _)| *unit);
        for (unit, count) in counts.into_iter().filter(|(_, count)| count.is_set()) {
            split(unit, count, backups, zone, &mut verdicts);
        }
        verdicts
    }
}

fn split(
    unit: Unit,
    count: Count,
    backups: &[Backup],
    zone: &TimeZone,
    verdicts: &mut [Option<&'static str>],
) {
    let mut kept: u32 = 0;
    let mut last = None;
    for (index, backup) in backups.iter().enumerate().rev() {
        let period = unit.of(backup.at, zone);
        if last != Some(period) {
            last = Some(period);
            if verdicts[index].is_none() {
                verdicts[index] = Some(unit.option());
                kept += 1;
                if count == Count::Of(kept) {
                    return;
                }
            }
        }
    }
    if matches!(count, Count::Of(n) if kept < n)
        && let Some(oldest) = verdicts.first_mut()
    {
        oldest.get_or_insert(unit.option());
    }
}
