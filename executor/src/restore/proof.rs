//! Proves by reading the log's records that a target lies in it: positions alone do not tell when anything was committed.
//!
//! A time is proved by a commit or abort behind it, looked for from the end of the log backwards: mostly in the last file. A
//! transaction or a named restore point is looked for in every file behind the base, the newest base first.
//! Not here: which files there are (`model::wal::coverage`), fetching and opening them (`wal::archive`).

use crate::wal::WalStore;
use jiff::Timestamp;
use model::{
    Lsn, RecoveryPointId, WalFileName,
    wal::{
        LogEvent, LogEventKind, LogScanner,
        coverage::{Proof, Route},
    },
};
use providers::api::{ProviderError, Result};
use std::{collections::BTreeMap, sync::Arc};

/// The routes that are proved, in their order; else why none is, in words.
pub(super) async fn prove<'a>(
    store: &Arc<WalStore>,
    routes: &'a [Route],
    ends: &BTreeMap<RecoveryPointId, Lsn>,
) -> Result<std::result::Result<Vec<&'a Route>, String>> {
    let Some(first) = routes.first() else {
        return Ok(Err("no base backup is readable".to_owned()));
    };
    let mut proved = Vec::new();
    let mut why = None;
    match &first.proof {
        Proof::Positions => proved.extend(routes),
        Proof::CommitAfter(at) => {
            // Routes that end in the same place share their last files.
            let mut judged: BTreeMap<(u64, u32, Lsn), Option<Timestamp>> = BTreeMap::new();
            for route in routes {
                let place = (route.system_identifier, route.timeline, route.to);
                let last = match judged.get(&place) {
                    Some(last) => *last,
                    None => {
                        let last = last_end(store, route).await?;
                        judged.insert(place, last);
                        last
                    }
                };
                if last.is_some_and(|last| last > *at) {
                    proved.push(route);
                } else {
                    why.get_or_insert_with(|| behind_the_last(last, route));
                }
            }
        }
        Proof::RecordFrom(at) => {
            for route in routes {
                if reaches(store, route, *at).await? {
                    proved.push(route);
                } else {
                    why.get_or_insert_with(|| {
                        format!("the last record before {} begins before it", route.to)
                    });
                }
            }
        }
        Proof::Transaction(xid) => {
            let low = u32::try_from(xid & u64::from(u32::MAX)).unwrap_or(u32::MAX);
            let wanted = |event: &LogEvent| matches!(event.kind, LogEventKind::Commit(x) | LogEventKind::Abort(x) if x == low);
            proved = behind_a_base(store, routes, ends, wanted).await?;
            why = Some(format!(
                "no end of transaction {xid} is in the log behind any base that can be used"
            ));
        }
        Proof::RestorePoint(name) => {
            let wanted = |event: &LogEvent| matches!(&event.kind, LogEventKind::RestorePoint(found) if found == name);
            proved = behind_a_base(store, routes, ends, wanted).await?;
            why = Some(format!(
                "no restore point `{name}` is in the log behind any base that can be used"
            ));
        }
    }
    Ok(if proved.is_empty() {
        Err(why.unwrap_or_default())
    } else {
        Ok(proved)
    })
}

/// When the last transaction that is in the log of a route ended well; `None`: none did.
pub(super) async fn last_commit(store: &Arc<WalStore>, route: &Route) -> Result<Option<Timestamp>> {
    let is_commit = |event: &LogEvent| matches!(event.kind, LogEventKind::Commit(_));
    newest(store, route, is_commit).await
}

/// When the last transaction ended, well or not: behind it a server cannot tell that a time has passed.
async fn last_end(store: &Arc<WalStore>, route: &Route) -> Result<Option<Timestamp>> {
    let is_end =
        |event: &LogEvent| matches!(event.kind, LogEventKind::Commit(_) | LogEventKind::Abort(_));
    newest(store, route, is_end).await
}

/// The newest time of the wanted events in the last file that has one.
async fn newest(
    store: &Arc<WalStore>,
    route: &Route,
    wanted: impl Fn(&LogEvent) -> bool,
) -> Result<Option<Timestamp>> {
    for file in route.files().rev() {
        let events =
            LogScanner::default().segment(begin(route, file), &read(store, route, file).await?);
        let times = events
            .iter()
            .filter(|event| wanted(event) && event.at < route.to);
        if let Some(newest) = times.map(|event| event.time).max() {
            return Ok(Some(newest));
        }
    }
    Ok(None)
}

/// Whether a record begins at or behind a position.
async fn reaches(store: &Arc<WalStore>, route: &Route, at: Lsn) -> Result<bool> {
    let mut scanner = LogScanner::default();
    for file in route.files() {
        let start = begin(route, file);
        if Lsn(start.0.saturating_add(segment_bytes(route))) <= at {
            continue;
        }
        scanner.segment(start, &read(store, route, file).await?);
        if scanner.last_record().is_some_and(|last| last >= at) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Routes whose base ended before a wanted event.
async fn behind_a_base<'a>(
    store: &Arc<WalStore>,
    routes: &'a [Route],
    ends: &BTreeMap<RecoveryPointId, Lsn>,
    wanted: impl Fn(&LogEvent) -> bool,
) -> Result<Vec<&'a Route>> {
    // Older bases go over the same files; where the wanted one lies is found once.
    let mut known: BTreeMap<(u64, WalFileName), Vec<Lsn>> = BTreeMap::new();
    let mut proved = Vec::new();
    for route in routes {
        let end = ends.get(&route.base).copied().unwrap_or_default();
        let mut scanner = LogScanner::default();
        for file in route.files() {
            let place = (route.system_identifier, file);
            if !known.contains_key(&place) {
                let plain = read(store, route, file).await?;
                let events = scanner.segment(begin(route, file), &plain);
                let found = events
                    .iter()
                    .filter(|event| wanted(event))
                    .map(|event| event.at);
                known.insert(place, found.collect());
            }
            let found = known.get(&place).into_iter().flatten();
            if found.into_iter().any(|at| *at >= end && *at < route.to) {
                proved.push(route);
                break;
            }
        }
        // The newest base that does is the best; older ones only cost more files.
        if proved.len() > 1 {
            break;
        }
    }
    Ok(proved)
}

async fn read(store: &Arc<WalStore>, route: &Route, file: WalFileName) -> Result<Vec<u8>> {
    let cluster = route.system_identifier;
    if let Some(plain) = store.get(cluster, file).await? {
        return Ok(plain);
    }
    let beginning = store.get_beginning(cluster, file).await?;
    beginning.ok_or_else(|| {
        ProviderError::new(
            "mainstay::restore::log-gone",
            model::Disposition::Retry,
            format!("`{file}` was in the archive a moment ago and is not any more"),
        )
        .help("run the same command again; if it says the same, look at `mainstay wal status`")
    })
}

fn begin(route: &Route, file: WalFileName) -> Lsn {
    file.start(segment_bytes(route)).unwrap_or_default()
}

fn segment_bytes(route: &Route) -> u64 {
    let size = route.pieces.first().map(|piece| piece.segment_bytes);
    size.unwrap_or(model::wal::DEFAULT_SEGMENT_BYTES)
}

fn behind_the_last(last: Option<Timestamp>, route: &Route) -> String {
    let last = match last {
        Some(at) => format!("the last transaction in the archived log ended at {at}"),
        None => "no transaction is in the archived log".to_owned(),
    };
    match &route.hole {
        Some((missing, _)) => {
            let words: Vec<String> = missing.iter().map(ToString::to_string).collect();
            format!("{last}, before a hole: {} missing", words.join(", "))
        }
        None => format!("{last}, and a server goes on only to what it has seen the end of"),
    }
}
