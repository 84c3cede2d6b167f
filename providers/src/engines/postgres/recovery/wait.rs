//! Waits until a recovering server is where it shall be: at its *target*, which "accepts connections" does not prove.
//!
//! A server with a target pauses there, and its log says that it stopped; without a target it ends its recovery by itself. A server that ends, or ends
//! its recovery without having said that it stopped, has not reached its target: that is an error which says how far it came.

use super::{
    log::{Said, ServerLog, instant},
    scratch_server::ScratchServer,
};
use crate::{
    api::{ProviderError, Result},
    engines::postgres::connection::{Address, text, texts},
};
use model::{Disposition, Lsn, RecoveryTarget, recovery_record::Reached};
use sqlx::PgConnection;
use std::{pin::Pin, time::Duration};

/// How often a server is asked.
const LOOK: Duration = Duration::from_millis(50);
/// How long a promotion may take: it ends with a checkpoint of what was replayed.
const PROMOTION: Duration = Duration::from_mins(30);

/// How a wait ended.
#[derive(Debug)]
pub(super) enum Arrival {
    /// It is there.
    There(Reached),
    /// It must be started again with other settings, which its log names.
    StartAgain,
}

/// Who can be connected as, and where to.
#[derive(Debug, Clone)]
pub(super) struct Doors {
    /// Users, the likeliest superuser first.
    pub(super) users: Vec<String>,
    /// Databases.
    pub(super) databases: Vec<String>,
}

/// Waits for the target.
pub(super) async fn for_target(
    server: &mut ScratchServer,
    feeding: Pin<&mut (impl Future<Output = ProviderError> + Send)>,
    log: &mut ServerLog,
    target: &RecoveryTarget,
    doors: &Doors,
) -> Result<Arrival> {
    let address = |user: &str, database: &str| server.address(user, database);
    let addresses: Vec<_> = doors
        .users
        .iter()
        .flat_map(|user| doors.databases.iter().map(move |database| (user, database)))
        .map(|(user, database)| address(user, database))
        .collect();
    let mut last = Reached::default();
    let outcome = tokio::select! {
        biased;
        error = feeding => return Err(error),
        there = look(&addresses, log, target, &mut last) => Some(there),
        () = server.ended() => None,
    };
    if let Some(there) = outcome {
        return there;
    }
    log.read();
    if !log.said.too_low.is_empty() || log.said.missing_library.is_some() {
        return Ok(Arrival::StartAgain);
    }
    Err(ended(&log.said, target, &last))
}

async fn look(
    addresses: &[Address],
    log: &mut ServerLog,
    target: &RecoveryTarget,
    last: &mut Reached,
) -> Result<Arrival> {
    let mut connection: Option<PgConnection> = None;
    loop {
        tokio::time::sleep(LOOK).await;
        log.read();
        if !log.said.too_low.is_empty() {
            return Ok(Arrival::StartAgain);
        }
        if !log.said.ready {
            continue;
        }
        let Some(open) = &mut connection else {
            connection = first_open(addresses).await;
            continue;
        };
        // A lost connection is no verdict: the server's end is noticed by itself.
        let Ok(state) = State::ask(open).await else {
            connection = None;
            continue;
        };
        state.reached.clone_into(last);
        if !state.recovering {
            log.read();
            let wanted = !matches!(target, RecoveryTarget::Latest);
            if wanted && log.said.stopped.is_none() {
                return Err(not_reached(&log.said, target, last));
            }
            return Ok(Arrival::There(with_log(&state.reached, &log.said)));
        }
        if state.paused && log.said.stopped.is_some() {
            return Ok(Arrival::There(with_log(&state.reached, &log.said)));
        }
    }
}

/// The first address that lets us in.
pub(super) async fn first_open(addresses: &[Address]) -> Option<PgConnection> {
    for address in addresses {
        if let Ok(connection) = address.connect().await {
            return Some(connection);
        }
    }
    None
}

fn with_log(reached: &Reached, said: &Said) -> Reached {
    Reached {
        position: reached.position.or(said.position),
        time: reached.time.or(said.time),
        timeline: reached.timeline,
    }
}

#[derive(Debug)]
struct State {
    recovering: bool,
    paused: bool,
    reached: Reached,
}

impl State {
    async fn ask(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        // The pause is asked for only during a recovery: the function fails afterwards.
        let sql = "SELECT pg_is_in_recovery()::text, \
                   CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused()::text END, \
                   pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp()::text, \
                   current_setting('server_version_num')";
        let rows = texts(connection, sql).await?;
        let mut values = rows.into_iter().next().unwrap_or_default().into_iter();
        let mut next = || values.next().flatten();
        let recovering = next().as_deref() == Some("true");
        let mut paused = next().as_deref() == Some("true");
        let position = next().and_then(|text| Lsn::parse(&text).ok());
        let time = next().and_then(|text| instant(&text));
        let version: u32 = next().and_then(|text| text.parse().ok()).unwrap_or(0);
        // From 14 on a pause is asked for first and takes effect later.
        if paused && version >= 140_000 {
            let state = text(connection, "SELECT pg_get_wal_replay_pause_state()").await?;
            paused = state.as_deref() == Some("paused");
        }
        Ok(Self {
            recovering,
            paused,
            reached: Reached {
                position,
                time,
                timeline: None,
            },
        })
    }
}

/// Lets a paused server end its recovery, and waits for it. It goes on as a timeline of its own.
pub(super) async fn promote(
    server: &mut ScratchServer,
    feeding: Pin<&mut (impl Future<Output = ProviderError> + Send)>,
    log: &mut ServerLog,
    address: &Address,
) -> Result<()> {
    let promoting = async {
        let mut connection = address.connect().await?;
        let failed = |error| address.failed("promote", error);
        let recovering = "SELECT pg_is_in_recovery()::text";
        if text(&mut connection, recovering)
            .await
            .map_err(failed)?
            .as_deref()
            == Some("true")
        {
            text(&mut connection, "SELECT pg_wal_replay_resume()")
                .await
                .map_err(failed)?;
        }
        while text(&mut connection, recovering)
            .await
            .map_err(failed)?
            .as_deref()
            == Some("true")
        {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    let limited = tokio::time::timeout(PROMOTION, promoting);
    tokio::select! {
        biased;
        error = feeding => Err(error),
        done = limited => done.unwrap_or_else(|_| Err(ProviderError::new(
            "mainstay::process::timeout",
            Disposition::Retry,
            "the recovered server did not end its recovery in time",
        ))),
        () = server.ended() => {
            log.read();
            Err(replay_failed(&log.said))
        }
    }
}

/// Puts into words why a server ended.
fn ended(said: &Said, target: &RecoveryTarget, last: &Reached) -> ProviderError {
    if said.not_reached {
        return not_reached(said, target, last);
    }
    if said.too_early {
        return ProviderError::new(
            "mainstay::recovery::before-consistent",
            Disposition::NeedsOperator,
            format!("the target ({target}) lies before the moment at which this recovery point is consistent"),
        )
        .help("choose an older recovery point, or the target `immediate`: mainstay list");
    }
    if said.not_a_child {
        return ProviderError::new(
            "mainstay::recovery::timeline",
            Disposition::NeedsOperator,
            format!("this recovery point does not lead to the wanted timeline: {}", first(said)),
        )
        .help("leave `--timeline` out, or choose a point of that timeline or of one that it branched from: mainstay wal status");
    }
    replay_failed(said)
}

fn not_reached(said: &Said, target: &RecoveryTarget, last: &Reached) -> ProviderError {
    let time = said.time.or(last.time);
    let position = said.position.or(last.position);
    let time = time.map_or("no commit was replayed".to_owned(), |at| {
        format!("the last commit replayed is of {at}")
    });
    let position = position.map_or(String::new(), |at| format!(", the last position {at}"));
    ProviderError::new(
        "mainstay::recovery::target-not-reached",
        Disposition::NeedsOperator,
        format!("the archived log ends before the target ({target}): {time}{position}"),
    )
    .help("choose a target that is archived (mainstay wal status), or --latest for the last that there is")
}

pub(super) fn replay_failed(said: &Said) -> ProviderError {
    ProviderError::new(
        "mainstay::recovery::replay-failed",
        Disposition::NeedsOperator,
        format!("the recovered server ended: {}", first(said)),
    )
    .help("look up its words in PostgreSQL's documentation; try another copy or an older recovery point: mainstay list")
}

fn first(said: &Said) -> String {
    if said.fatal.is_empty() {
        return "its log gives no reason".to_owned();
    }
    said.fatal.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_after_the_end_of_the_log_is_named_with_how_far_it_came() {
        let said = Said {
            not_reached: true,
            position: Some(Lsn(0x0300_0060)),
            time: "2026-11-21T19:00:00Z".parse().ok(),
            ..Said::default()
        };
        let target = RecoveryTarget::Transaction(7);
        let error = ended(&said, &target, &Reached::default());
        insta::assert_snapshot!(format!("{} {error}", error.code), @"mainstay::recovery::target-not-reached the archived log ends before the target (transaction 7): the last commit replayed is of 2026-11-21T19:00:00Z, the last position 0/3000060");
    }
}
