//! Proves by reading the log's records that a target lies in it: positions alone do not tell when anything was committed.
//!
//! A time is proved by a commit or abort behind it, looked for from the end of the log backwards: mostly in the last file. A
//! transaction or a named restore point is looked for in every file behind the base, the newest base first.
//!
//! Invariants: what lies behind the end of valid log is no proof, because no server gets there; log of a format that is not known
//! proves nothing, and that is said. Not here: which files there are (`model::wal::coverage`), fetching and opening them (`wal::archive`).

use crate::wal::WalStore;
use jiff::Timestamp;
use model::{
    Lsn, RecoveryPointId, WalFileName,
    wal::{
        coverage::{Proof, Route},
        records::{LogEvent, LogReader, SegmentEnd},
    },
};
use providers::api::{ProviderError, Result};
use std::{collections::BTreeMap, sync::Arc};

/// Log of a version that is not known here: nothing can be proved of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unknown {
    magic: u16,
}

impl Unknown {
    fn words(self) -> String {
        format!(
            "it cannot be proved: this version of mainstay does not know the format of the log (page magic {:#06X})",
            self.magic
        )
    }
}

/// What was found out by reading; the outer result is about getting the bytes.
type Told<T> = Result<std::result::Result<T, Unknown>>;

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
            let mut judged = BTreeMap::new();
            for route in routes {
                let place = (route.system_identifier, route.timeline, route.to);
                let last = if let Some(last) = judged.get(&place) {
                    *last
                } else {
                    let last = last_end(store, route).await?;
                    judged.insert(place, last);
                    last
                };
                match last {
                    Ok(Some(last)) if last > *at => proved.push(route),
                    Ok(last) => {
                        why.get_or_insert_with(|| behind_the_last(last, route));
                    }
                    Err(unknown) => why = Some(unknown.words()),
                }
            }
        }
        Proof::RecordFrom(at) => {
            for route in routes {
                match reaches(store, route, *at).await? {
                    Ok(true) => proved.push(route),
                    Ok(false) => {
                        why.get_or_insert_with(|| {
                            format!("the last record before {} begins before it", route.to)
                        });
                    }
                    Err(unknown) => why = Some(unknown.words()),
                }
            }
        }
        Proof::Transaction(xid) => {
            let low = u32::try_from(xid & u64::from(u32::MAX)).unwrap_or(u32::MAX);
            let wanted =
                |event: &LogEvent| matches!(event, LogEvent::Transaction(end) if end.xid == low);
            let found = behind_a_base(store, routes, ends, wanted).await?;
            why = Some(match found {
                Ok(found) => {
                    proved = found;
                    format!(
                        "no end of transaction {xid} is in the log behind any base that can be used"
                    )
                }
                Err(unknown) => unknown.words(),
            });
        }
        Proof::RestorePoint(name) => {
            let wanted = |event: &LogEvent| matches!(event, LogEvent::RestorePoint { name: found, .. } if found == name);
            let found = behind_a_base(store, routes, ends, wanted).await?;
            why = Some(match found {
                Ok(found) => {
                    proved = found;
                    format!(
                        "no restore point `{name}` is in the log behind any base that can be used"
                    )
                }
                Err(unknown) => unknown.words(),
            });
        }
    }
    Ok(if proved.is_empty() {
        Err(why.unwrap_or_default())
    } else {
        Ok(proved)
    })
}

/// When the last transaction that is in the log of a route ended well; `None`: none did, or it cannot be told.
pub(super) async fn last_commit(store: &Arc<WalStore>, route: &Route) -> Result<Option<Timestamp>> {
    let is_commit = |event: &LogEvent| matches!(event, LogEvent::Transaction(end) if end.committed);
    Ok(newest(store, route, is_commit).await?.ok().flatten())
}

/// When the last transaction ended, well or not: behind it a server cannot tell that a time has passed.
async fn last_end(store: &Arc<WalStore>, route: &Route) -> Told<Option<Timestamp>> {
    let is_end = |event: &LogEvent| matches!(event, LogEvent::Transaction(_));
    newest(store, route, is_end).await
}

/// The newest time of the wanted events in the last file that has one.
async fn newest(
    store: &Arc<WalStore>,
    route: &Route,
    wanted: impl Fn(&LogEvent) -> bool,
) -> Told<Option<Timestamp>> {
    let mut later: Option<Vec<u8>> = None;
    for file in route.files().rev() {
        let bytes = read(store, route, file).await?;
        let mut reader = LogReader::new();
        let mut events = match scan(&mut reader, &bytes) {
            Ok((events, _)) => events,
            Err(unknown) => return Ok(Err(unknown)),
        };
        // A record may begin in this file and end in the next one, which was looked at before.
        if let Some(later) = &later
            && reader.is_inside_a_record()
            && let Ok((more, _)) = scan(&mut reader, later)
        {
            events.extend(more);
        }
        let times = events
            .iter()
            .filter(|event| wanted(event) && event.at() < route.to);
        if let Some(newest) = times.map(LogEvent::time).max() {
            return Ok(Ok(Some(newest)));
        }
        later = Some(bytes);
    }
    Ok(Ok(None))
}

/// Whether a record begins at or behind a position.
async fn reaches(store: &Arc<WalStore>, route: &Route, at: Lsn) -> Told<bool> {
    let mut reader = LogReader::new();
    let mut ended = None;
    for file in route.files() {
        let start = begin(route, file);
        if Lsn(start.0.saturating_add(segment_bytes(route))) <= at {
            continue;
        }
        if ended.is_some_and(|ended| ended < start) {
            break;
        }
        match scan(&mut reader, &read(store, route, file).await?) {
            Ok((_, end)) => ended = end,
            Err(unknown) => return Ok(Err(unknown)),
        }
        if reader.last_record().is_some_and(|last| last >= at) {
            return Ok(Ok(true));
        }
    }
    Ok(Ok(false))
}

/// What is known of one file: where the wanted events are, and where valid log ends in it.
struct Known {
    found: Vec<Lsn>,
    ended: Option<Lsn>,
}

/// Routes whose base ended before a wanted event.
async fn behind_a_base<'a>(
    store: &Arc<WalStore>,
    routes: &'a [Route],
    ends: &BTreeMap<RecoveryPointId, Lsn>,
    wanted: impl Fn(&LogEvent) -> bool,
) -> Told<Vec<&'a Route>> {
    // Older bases go over the same files; where the wanted one lies is found once.
    let mut known: BTreeMap<(u64, WalFileName), Known> = BTreeMap::new();
    let mut proved = Vec::new();
    for route in routes {
        let end = ends.get(&route.base).copied().unwrap_or_default();
        let mut reader = LogReader::new();
        let mut ended = None;
        for file in route.files() {
            // A server stops there; a timeline that began before that place goes on from it.
            if ended.is_some_and(|ended| ended < begin(route, file)) {
                break;
            }
            let place = (route.system_identifier, file);
            // The end of a record that began in the file before is not seen by who begins with this one.
            if reader.is_inside_a_record() || !known.contains_key(&place) {
                let plain = read(store, route, file).await?;
                let (events, ended) = match scan(&mut reader, &plain) {
                    Ok(told) => told,
                    Err(unknown) => return Ok(Err(unknown)),
                };
                let found = events.iter().filter(|event| wanted(event));
                let found = found.map(LogEvent::at).collect();
                known.insert(place, Known { found, ended });
            }
            let Some(file) = known.get(&place) else {
                continue;
            };
            ended = file.ended;
            if file.found.iter().any(|at| *at >= end && *at < route.to) {
                proved.push(route);
                break;
            }
        }
        // The newest base that does is the best; older ones only cost more files.
        if proved.len() > 1 {
            break;
        }
    }
    Ok(Ok(proved))
}

/// Reads the next file, or begins anew with one that does not follow: what it tells, and where valid log ends in it, if it does.
fn scan(
    reader: &mut LogReader,
    segment: &[u8],
) -> std::result::Result<(Vec<LogEvent>, Option<Lsn>), Unknown> {
    let mut events = Vec::new();
    let mut end = reader.read(segment, |event| events.push(event));
    if end == SegmentEnd::NotNext {
        *reader = LogReader::new();
        end = reader.read(segment, |event| events.push(event));
    }
    match end {
        SegmentEnd::EndsAt(at) => Ok((events, Some(at))),
        SegmentEnd::GoesOn | SegmentEnd::NotNext => Ok((events, None)),
        SegmentEnd::CannotTell { magic } => Err(Unknown { magic }),
    }
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
