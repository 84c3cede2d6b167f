//! Words of `barman recover` for a target, and whether what Barman has can reach it.

use super::{errors, pointer::Pointer};
use crate::api::{Recovery, Result};
use jiff::Timestamp;
use model::{RecoveryTarget, TimelineChoice, WalFileName, wal::Lsn};

/// The newest segment that Barman has of the backup's log, and when it was archived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newest {
    pub(super) segment: WalFileName,
    pub(super) archived_at: Option<Timestamp>,
}

/// What stands between `barman recover` and its server's name. A point without a recovery is restored as it was when it was whole.
pub(super) fn of(recovery: Option<&Recovery>, promotes: bool) -> Vec<String> {
    let immediate = (RecoveryTarget::Immediate, TimelineChoice::Current);
    let (target, timeline) = recovery.map_or(immediate, |recovery| {
        (recovery.target.clone(), recovery.timeline)
    });
    let mut words = vec!["--no-get-wal".to_owned()];
    let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
    let target_is_immediate = target == RecoveryTarget::Immediate;
    let is_latest = target == RecoveryTarget::Latest;
    match target {
        // Everything that is archived, which is what Barman does without a target.
        RecoveryTarget::Latest | RecoveryTarget::Immediate => {}
        // With a zone, always.
        RecoveryTarget::Time(at) => add(
            "--target-time",
            at.strftime("%Y-%m-%d %H:%M:%S%.6f+00:00").to_string(),
        ),
        RecoveryTarget::Transaction(xid) => add("--target-xid", xid.to_string()),
        RecoveryTarget::Name(name) => add("--target-name", name),
        RecoveryTarget::Position(lsn) => add("--target-lsn", lsn.to_string()),
    }
    // Without one Barman copies the log of the backup's own timeline alone, but all histories: PostgreSQL would follow them.
    let timeline = if target_is_immediate {
        TimelineChoice::Current
    } else {
        timeline
    };
    let timeline = match timeline {
        TimelineChoice::Latest => "latest".to_owned(),
        TimelineChoice::Current => "current".to_owned(),
        TimelineChoice::Number(number) => number.to_string(),
    };
    add("--target-tli", timeline);
    // Barman refuses an action where there is no target.
    if promotes && !is_latest {
        add("--target-action", "promote".to_owned());
    }
    if target_is_immediate {
        words.push("--target-immediate".to_owned());
    }
    words
}

/// Refuses what cannot be reached; what cannot be told beforehand shows when the server replays.
pub(super) fn check_reachable(
    pointer: &Pointer,
    target: &RecoveryTarget,
    newest: Option<Newest>,
) -> Result<()> {
    let beyond = |wanted: String, newest: Newest| {
        let at = newest
            .archived_at
            .map_or_else(String::new, |at| format!(", archived at {at}"));
        Err(errors::not_reachable(format!(
            "{wanted} lies after the newest log that Barman has of `{}`: {}{at}",
            pointer.server, newest.segment
        )))
    };
    match target {
        RecoveryTarget::Time(at) if *at < pointer.end_time => Err(errors::not_reachable(format!(
            "{at} is before backup `{}` was complete ({})",
            pointer.backup_id, pointer.end_time
        ))),
        RecoveryTarget::Position(lsn) if *lsn < pointer.end_lsn => {
            Err(errors::not_reachable(format!(
                "position {lsn} is before backup `{}` was complete ({})",
                pointer.backup_id, pointer.end_lsn
            )))
        }
        RecoveryTarget::Time(at) => match newest {
            Some(newest) if newest.archived_at.is_some_and(|archived| archived < *at) => {
                beyond(at.to_string(), newest)
            }
            _ => Ok(()),
        },
        RecoveryTarget::Position(lsn) => match newest {
            Some(newest) if end_of(newest.segment, pointer.segment_bytes) < Some(*lsn) => {
                beyond(format!("position {lsn}"), newest)
            }
            _ => Ok(()),
        },
        RecoveryTarget::Immediate
        | RecoveryTarget::Latest
        | RecoveryTarget::Transaction(_)
        | RecoveryTarget::Name(_) => Ok(()),
    }
}

fn end_of(segment: WalFileName, segment_bytes: u64) -> Option<Lsn> {
    let start = segment.start(segment_bytes)?;
    Some(Lsn(start.0.saturating_add(segment_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::AfterRecovery;
    use std::collections::BTreeMap;

    fn words(target: RecoveryTarget, timeline: TimelineChoice, promotes: bool) -> String {
        let recovery = Recovery {
            target,
            timeline,
            wal: None,
            restore_command: Vec::new(),
            tablespaces: BTreeMap::new(),
            after: AfterRecovery::Leave,
            amcheck: false,
            observer: None,
        };
        of(Some(&recovery), promotes).join(" ")
    }

    #[test]
    fn every_target_becomes_words_of_barman() {
        let at: Timestamp = "2026-06-20T12:00:00.25Z".parse().unwrap();
        let all = [
            words(RecoveryTarget::Time(at), TimelineChoice::Latest, false),
            words(
                RecoveryTarget::Transaction(728),
                TimelineChoice::Current,
                true,
            ),
            words(
                RecoveryTarget::Name("before".into()),
                TimelineChoice::Number(3),
                true,
            ),
            words(
                RecoveryTarget::Position(Lsn(0x500_0060)),
                TimelineChoice::Latest,
                true,
            ),
            words(RecoveryTarget::Latest, TimelineChoice::Latest, true),
            words(RecoveryTarget::Immediate, TimelineChoice::Current, true),
            of(None, true).join(" "),
        ];
        insta::assert_snapshot!(all.join("\n"), @r"
        --no-get-wal --target-time 2026-06-20 12:00:00.250000+00:00 --target-tli latest
        --no-get-wal --target-xid 728 --target-tli current --target-action promote
        --no-get-wal --target-name before --target-tli 3 --target-action promote
        --no-get-wal --target-lsn 0/5000060 --target-tli latest --target-action promote
        --no-get-wal --target-tli latest
        --no-get-wal --target-tli current --target-action promote --target-immediate
        --no-get-wal --target-tli current --target-action promote --target-immediate
        ");
    }
}
