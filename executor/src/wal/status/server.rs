//! The server's side: what waits, what holds log back, what is set wrongly.

use super::{Concern, Gravity, ServerStatus, SlotStatus, WalFacts};
use jiff::Timestamp;
use providers::api::{RECENT_SECONDS, WalState};

/// What is shown of it.
pub(super) fn server(state: &WalState) -> ServerStatus {
    let age = |at: Timestamp| state.source.at.duration_since(at).as_secs().max(0);
    ServerStatus {
        archived: state.archiver.archived,
        failed: state.archiver.failed,
        pg_wal_bytes: state.pg_wal,
        position: state.source.clone(),
        slots: state
            .slots
            .iter()
            .map(|slot| {
                let status = SlotStatus {
                    active: slot.active,
                    behind_bytes: slot.behind,
                    state: slot.wal_status.clone(),
                };
                (slot.name.clone(), status)
            })
            .collect(),
        waiting: state.waiting.map(|(files, _)| files),
        waiting_seconds: state.waiting.and_then(|(_, oldest)| oldest).map(age),
    }
}

/// What it says that will hurt.
pub(super) fn concerns(facts: &WalFacts<'_>, state: &WalState) -> Vec<Concern> {
    let mut concerns = Vec::new();
    let mut warn = |what, text: String, help: String| {
        concerns.push(Concern {
            gravity: Gravity::Warning,
            help,
            text,
            what,
        });
    };
    let wal = facts.declared.wal.as_ref();
    let rpo = facts.declared.rpo.map(|rpo| rpo.maximum_seconds);
    let slot = wal.and_then(|wal| wal.stream_slot.as_ref());
    if let Some(name) = slot {
        match state.slots.iter().find(|found| &found.name == name) {
            None => warn(
                "slot-gone",
                format!(
                    "the replication slot `{name}` is not there: nothing holds the log back for the stream"
                ),
                format!(
                    "is the stream running? mainstay wal run --database {}",
                    facts.database
                ),
            ),
            Some(found) if !found.active => warn(
                "slot-idle",
                format!("nobody receives from the replication slot `{name}`"),
                format!(
                    "start the stream: mainstay wal run --database {}",
                    facts.database
                ),
            ),
            Some(_) => {}
        }
    } else {
        if state.archive_mode == "off" || !state.archive_command_set {
            warn(
                "archiver-off",
                "the server archives nothing: `archive_mode` is off or `archive_command` is empty"
                    .to_owned(),
                format!(
                    "archive_mode = on, archive_command = 'mainstay wal push --database {} %p'",
                    facts.database
                ),
            );
        }
        let timeout = state.archive_timeout_seconds;
        if let Some(rpo) = rpo.filter(|rpo| timeout == 0 || timeout > *rpo) {
            warn(
                "archive-timeout",
                format!(
                    "`archive_timeout` is {timeout} s: on a quiet server a segment can stay longer than the {rpo} s that may be lost"
                ),
                format!(
                    "ALTER SYSTEM SET archive_timeout = '{}s'; SELECT pg_reload_conf()",
                    (rpo / 2).max(1)
                ),
            );
        }
    }
    for lost in state
        .slots
        .iter()
        .filter(|s| s.wal_status.as_deref() == Some("lost"))
    {
        warn(
            "slot-lost",
            format!(
                "the replication slot `{}` has lost log that it should hold",
                lost.name
            ),
            format!(
                "who used it has a hole: SELECT pg_drop_replication_slot('{}') and begin anew",
                lost.name
            ),
        );
    }
    for open in state
        .slots
        .iter()
        .filter(|s| s.safe.is_none() && s.wal_status.as_deref() != Some("lost"))
    {
        warn(
            "slot-unlimited",
            format!(
                "the replication slot `{}` may hold back log without a limit, until the server's disk is full",
                open.name
            ),
            "set `max_slot_wal_keep_size` to what the disk can bear".to_owned(),
        );
    }
    let age = |at: Timestamp| state.source.at.duration_since(at).as_secs().max(0);
    if let Some((files, Some(oldest))) = state.waiting
        && slot.is_none()
    {
        let waits = age(oldest);
        let limit = rpo
            .map_or(RECENT_SECONDS, |rpo| {
                i64::try_from(rpo / 2).unwrap_or(i64::MAX)
            })
            .clamp(10, RECENT_SECONDS);
        if waits > limit {
            let counted = state.archiver.failed;
            let pg_wal = state
                .pg_wal
                .map_or_else(String::new, |size| format!("; `pg_wal` has {size}"));
            let last = facts.look.archive.tiers.values().flat_map(|log| &log.runs);
            let still = last
                .map(|run| run.last_stored_at)
                .max()
                .is_some_and(|at| age(at) < limit);
            if still {
                let rate = u64::try_from(RECENT_SECONDS).unwrap_or(1);
                let grows = state.waiting_recently.saturating_mul(state.segment_bytes) / rate;
                let full = state.free.filter(|_| grows > 0).map_or_else(String::new, |free| {
                    format!("; at that rate the disk ({free} free) is full in {} min at the earliest", free.0 / grows / 60)
                });
                warn(
                    "archiver-behind",
                    format!("archiving is slower than writing: {files} files wait, the oldest for {waits} s, {} of them came within {RECENT_SECONDS} s{pg_wal}{full}", state.waiting_recently),
                    "run `mainstay wal run` beside the server, or raise `parallel` in `[database.NAME.wal]`".to_owned(),
                );
            } else {
                warn(
                    "archiver-stuck",
                    format!("{files} files wait, the oldest for {waits} s, and none is archived; the server has counted {counted} failures (it does not count a command that ends by a signal or with 126 and more){pg_wal}"),
                    "the server's log says what `archive_command` printed; run it by hand as the server's user with the oldest file".to_owned(),
                );
            }
        }
    }
    concerns
}
