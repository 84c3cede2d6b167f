//! `restic forget`: a snapshot stays if any rule wants it.
//!
//! After `ApplyPolicy` in restic's `internal/data/snapshot_policy.go` (`internal/restic/` before 0.17). Newest first; each rule with a count takes the first snapshot
//! of every unit until the count is used up, and from 0.16 on the very oldest snapshot too while it is not; each `within` rule does so back to a boundary measured from the newest
//! snapshot. Units and boundaries are of the local zone; boundaries are reckoned as Go's `AddDate` does, which lets 31 March less a month be 3 March.
//!
//! Not modelled: `--keep-tag` (nothing in a policy has tags), snapshots from the future.

use super::{
    Backup, Count,
    calendar::{unit, wall_clock},
};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use model::{Period, retention::Each};

/// The options of `restic forget`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// `--keep-last` (`Each::Point`), `--keep-hourly` … `--keep-yearly`.
    pub counts: Vec<(Each, Count)>,
    /// `--keep-within` (`Each::Point`), `--keep-within-hourly` … `--keep-within-yearly`.
    pub windows: Vec<(Each, Period)>,
    /// Before 0.16: the oldest snapshot is not kept for the sake of a count that is not used up.
    pub drops_oldest: bool,
}

struct Bucket {
    each: Each,
    left: Option<u32>,
    boundary: Option<Timestamp>,
    last: Option<i64>,
    name: &'static str,
}

impl Rules {
    pub(super) fn judge(
        &self,
        backups: &[Backup],
        now: Timestamp,
        zone: &TimeZone,
    ) -> Vec<Option<&'static str>> {
        let mut verdicts = vec![None; backups.len()];
        let Some(latest) = backups
            .iter()
            .map(|one| one.at)
            .filter(|at| *at <= now)
            .max()
        else {
            return verdicts;
        };
        let mut buckets = self.buckets(latest, zone);
        for (index, backup) in backups.iter().enumerate().rev() {
            let civil = wall_clock(backup.at, zone);
            let is_oldest = index == 0 && !self.drops_oldest;
            for bucket in &mut buckets {
                if bucket.left == Some(0) || bucket.boundary.is_some_and(|from| backup.at <= from) {
                    continue;
                }
                // restic numbers the snapshots for `last`: no two are of one unit.
                let value = match bucket.each {
                    Each::Point => i64::try_from(index).unwrap_or(i64::MAX),
                    each => unit(each, civil),
                };
                if bucket.last != Some(value) || is_oldest {
                    bucket.last = Some(value);
                    bucket.left = bucket.left.map(|left| left - 1);
                    verdicts[index].get_or_insert(bucket.name);
                }
            }
        }
        verdicts
    }

    fn buckets(&self, latest: Timestamp, zone: &TimeZone) -> Vec<Bucket> {
        let counts = self.counts.iter().filter(|(_, count)| count.is_set());
        let counts = counts.map(|(each, count)| Bucket {
            each: *each,
            left: match count {
                Count::Of(n) => Some(*n),
                Count::Unlimited => None,
            },
            boundary: None,
            last: None,
            name: count_name(*each),
        });
        let windows = self.windows.iter().filter(|(_, window)| !window.is_zero());
        let windows = windows.map(|(each, window)| Bucket {
            each: *each,
            left: None,
            boundary: Some(less(latest, *window, zone)),
            last: None,
            name: window_name(*each),
        });
        counts.chain(windows).collect()
    }
}

/// Go's `AddDate(-years, -months, -days)` and then so many hours less.
fn less(from: Timestamp, window: Period, zone: &TimeZone) -> Timestamp {
    let civil = wall_clock(from, zone);
    let months = i64::from(civil.year()) * 12 + i64::from(civil.month())
        - 1
        - i64::from(window.years) * 12
        - i64::from(window.months);
    let first = i16::try_from(months.div_euclid(12))
        .ok()
        .zip(i8::try_from(months.rem_euclid(12) + 1).ok())
        .and_then(|(year, month)| Date::new(year, month, 1).ok());
    // The day of the month is added last, so that one that the month does not have runs over into the next.
    let days = i64::from(civil.day()) - 1 - i64::from(window.days);
    first
        .and_then(|first| {
            first
                .checked_add(SignedDuration::from_hours(24 * days))
                .ok()
        })
        .and_then(|date| date.to_datetime(civil.time()).to_zoned(zone.clone()).ok())
        .and_then(|zoned| {
            let seconds = SignedDuration::from_secs(window.seconds.cast_signed());
            zoned.timestamp().checked_sub(seconds).ok()
        })
        .unwrap_or(Timestamp::MIN)
}

/// The option that sets a count.
pub fn count_name(each: Each) -> &'static str {
    match each {
        Each::Point => "keep-last",
        Each::Hour => "keep-hourly",
        Each::Day => "keep-daily",
        Each::Week => "keep-weekly",
        Each::Month => "keep-monthly",
        Each::Quarter => "keep-quarterly",
        Each::Year => "keep-yearly",
    }
}

/// The option that sets a window.
pub fn window_name(each: Each) -> &'static str {
    match each {
        Each::Point => "keep-within",
        Each::Hour => "keep-within-hourly",
        Each::Day => "keep-within-daily",
        Each::Week => "keep-within-weekly",
        Each::Month => "keep-within-monthly",
        Each::Quarter => "keep-within-quarterly",
        Each::Year => "keep-within-yearly",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_before_the_thirty_first_runs_over_as_in_go() {
        let zone = TimeZone::UTC;
        let at: Timestamp = "2027-03-31T02:00:00Z".parse().unwrap();
        let month = Period::parse("1mo").unwrap();
        assert_eq!(less(at, month, &zone).to_string(), "2027-03-03T02:00:00Z");
        let long = Period::parse("1y1mo31d2h").unwrap();
        assert_eq!(less(at, long, &zone).to_string(), "2026-01-31T00:00:00Z");
    }
}
