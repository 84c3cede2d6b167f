//! What the archived log makes of a database's RPO: with it, not the age of a base backup counts, but how far the archive is behind.
//!
//! Invariants: a lag counts only where it can be recovered from: a tier with a window that goes on to the end of its log. What
//! cannot be told is never called a promise kept. Not here: measuring (the executor), exit codes and words (the root package).

use crate::status::{DatabaseStatus, Verdict};
use jiff::{SignedDuration, Timestamp};
use model::{Lsn, TierName};
use serde::Serialize;
use std::collections::BTreeMap;

/// The archived log of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogStatus {
    /// Why the server could not be asked; `None`: it was.
    pub server_trouble: Option<String>,
    /// Each tier that could be read.
    pub tiers: BTreeMap<TierName, LogTier>,
}

/// On one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogTier {
    /// Written by the server and not archived here; `None`: it could not be asked.
    pub lag_bytes: Option<u64>,
    /// What would be lost, at most; `None`: it cannot be told.
    pub lag_seconds: Option<i64>,
    /// The newest archived commit.
    pub newest_commit: Option<Timestamp>,
    /// Whether a window goes on to the end of the log.
    pub reaches_end: bool,
    /// From when to when one can go back.
    pub windows: Vec<LogWindow>,
}

/// Every moment of it can be recovered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogWindow {
    /// The end of its first base.
    pub from: Timestamp,
    /// The newest commit in it; `None`: it was not looked for, because the window does not go on to the end.
    pub to: Option<Timestamp>,
    /// The log is whole up to here.
    pub to_position: Lsn,
}

impl DatabaseStatus {
    /// Judges the RPO by the archived log as well.
    pub fn judge_log(&mut self, log: LogStatus, now: Timestamp) {
        // Without one verified base nothing is proved, however much log there is.
        if let Some(rpo) = self.rpo
            && self.verdict != Verdict::Unproved
            && let Some((lag, why)) = loss(&log, now)
        {
            let judged = |lag: i64| {
                if lag <= rpo.target_seconds {
                    Some(Verdict::Met)
                } else if lag <= rpo.maximum_seconds {
                    Some(Verdict::Late)
                } else {
                    None
                }
            };
            let by_points = self.verdict;
            let (verdict, why) = match (lag, &log.server_trouble) {
                (Some(lag), None) => (judged(lag).unwrap_or(Verdict::Violated), why),
                // It is an upper bound: the server may have written nothing since.
                (Some(lag), Some(_)) => (judged(lag).unwrap_or(Verdict::Unknown), why),
                (None, _) => (Verdict::Unknown, why),
            };
            // A base that is young enough is enough.
            if !(matches!(by_points, Verdict::Met | Verdict::Late) && verdict >= by_points) {
                (self.verdict, self.why) = (verdict, why);
            }
        }
        self.log = Some(log);
    }
}

/// What would be lost at most, and in words; `None`: no log leads on to its end, so that only points count.
fn loss(log: &LogStatus, now: Timestamp) -> Option<(Option<i64>, String)> {
    let words = |seconds: i64| format!("{:#}", SignedDuration::from_secs(seconds));
    let useful = || log.tiers.values().filter(|tier| tier.reaches_end);
    useful().next()?;
    if let Some(trouble) = &log.server_trouble {
        let newest = useful().filter_map(|tier| tier.newest_commit).max();
        let lag = newest.map(|newest| now.duration_since(newest).as_secs().max(0));
        let why = match lag {
            Some(lag) => format!(
                "how far the archived log is behind cannot be told, its newest commit is {} old: {trouble}",
                words(lag)
            ),
            None => format!("how far the archived log is behind cannot be told: {trouble}"),
        };
        return Some((lag, why));
    }
    Some(match useful().filter_map(|tier| tier.lag_seconds).min() {
        Some(0) => (Some(0), "everything is archived".to_owned()),
        Some(lag) => (
            Some(lag),
            format!("the archived log is behind by {} at most", words(lag)),
        ),
        None => (
            None,
            "how far the archived log is behind cannot be told: no commit was found near its end"
                .to_owned(),
        ),
    })
}
