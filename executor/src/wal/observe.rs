//! What of each database's log is archived, and where its server stands: listed, gathered to runs, without a judgement.
//!
//! Invariants: nothing is changed. A tier that could not be read is not in the answer; a server that did not answer is `None`.
//! One listing for each tier, of names alone; only the histories of timelines, some bytes each, are read.
//! Not here: what follows from it (`model::wal::coverage`, `status`).

use super::archive::{WalListing, WalStore};
use crate::{
    clock::Clock,
    crash_point::CrashPoints,
    gate,
    steps::error::StepError,
    wiring::{DatabaseWiring, Wiring},
};
use catalog::Catalog;
use model::{
    DatabaseName, Disposition, Lsn, TierName, WalArchive, WalFileName,
    event::Failure,
    wal::{ArchivedHistory, DEFAULT_SEGMENT_BYTES, TimelineHistory, WalPartial, WalRun, WalTier},
};
use providers::api::{ProviderError, WalState};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinSet;

/// The tier's storage is not there.
const UNREACHABLE: &str = "mainstay::tier::unreachable";

/// How long a server may take to answer; a plan shall not wait for one that hangs.
const ANSWER: Duration = Duration::from_secs(20);

/// What a look at the log of one database gave.
#[derive(Debug)]
pub struct WalLook {
    /// What is archived, and where the server stands.
    pub archive: WalArchive,
    /// What the server said; the error when it did not.
    pub state: Result<WalState, Failure>,
    /// Tiers that could not be read, and why.
    pub unreachable: BTreeMap<TierName, Failure>,
}

/// Looks at every database whose log is archived, or only at `only`. Tiers that are known to be unreachable are not tried.
pub async fn observe_wal(
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    clock: &Arc<dyn Clock>,
    only: Option<&DatabaseName>,
    unreachable: &BTreeSet<TierName>,
) -> BTreeMap<DatabaseName, WalLook> {
    let mut looking = JoinSet::new();
    for (name, wired) in &wiring.databases {
        if wired.wal.is_none() || only.is_some_and(|only| only != name) {
            continue;
        }
        let (name, wired, wiring) = (name.clone(), wired.clone(), wiring.clone());
        let (catalog, clock, skip) = (catalog.cloned(), Arc::clone(clock), unreachable.clone());
        looking.spawn(async move {
            let look = look(&name, &wired, &wiring, catalog, clock, skip).await;
            (name, look)
        });
    }
    joined(looking).await
}

async fn look(
    name: &DatabaseName,
    wired: &DatabaseWiring,
    wiring: &Wiring,
    catalog: Option<Catalog>,
    clock: Arc<dyn Clock>,
    skip: BTreeSet<TierName>,
) -> WalLook {
    let asking = tokio::time::timeout(ANSWER, wired.engine.wal_state());
    let reading = tiers(name, wiring, catalog, clock, skip);
    let (answer, (tiers, unreachable)) = tokio::join!(asking, reading);
    let answer = answer.unwrap_or_else(|_| {
        let seconds = ANSWER.as_secs();
        let message = format!("the server of `{name}` did not answer within {seconds} s");
        Err(
            ProviderError::new("mainstay::wal::no-answer", Disposition::Retry, message).help(
                "look whether the server is overloaded or a network device swallows its packets",
            ),
        )
    });
    let state = answer.map_err(|error| StepError::from(error).to_failure());
    WalLook {
        archive: WalArchive {
            source: state.as_ref().ok().map(|state| state.source.clone()),
            tiers,
        },
        state,
        unreachable,
    }
}

async fn tiers(
    name: &DatabaseName,
    wiring: &Wiring,
    catalog: Option<Catalog>,
    clock: Arc<dyn Clock>,
    skip: BTreeSet<TierName>,
) -> (BTreeMap<TierName, WalTier>, BTreeMap<TierName, Failure>) {
    let store = match WalStore::open(wiring, name, clock, CrashPoints::new(None)) {
        Ok(store) => Arc::new(store),
        Err(error) => {
            let failure = StepError::from(error).to_failure();
            let declared = wiring.databases.get(name).and_then(|d| d.wal.as_ref());
            let tiers = declared.into_iter().flat_map(|wal| wal.tiers.iter());
            let all = tiers.map(|tier| (tier.clone(), failure.clone()));
            return (BTreeMap::new(), all.collect());
        }
    };
    let mut reading = JoinSet::new();
    for tier in store.tiers().filter(|tier| !skip.contains(*tier)) {
        let (store, tier, catalog) = (Arc::clone(&store), tier.clone(), catalog.clone());
        let wired = wiring.tiers.get(&tier).cloned();
        reading.spawn(async move {
            let read = async {
                // A mount that is not mounted is an empty folder, and would be one large hole.
                if let Some(wired) = wired {
                    gate::look(&*wired.tier, catalog.as_ref()).await?;
                }
                Ok::<_, StepError>(read_tier(&store, &tier).await?)
            };
            let read = match read.await {
                Ok(log) => Ok(log),
                Err(error) => Err(unread(&error, &tier, catalog.as_ref()).await),
            };
            (tier, read)
        });
    }
    let (mut found, mut unreachable) = (BTreeMap::new(), BTreeMap::new());
    for (tier, read) in joined(reading).await {
        match read {
            Ok(log) => {
                found.insert(tier, log);
            }
            Err(failure) => {
                unreachable.insert(tier, failure);
            }
        }
    }
    (found, unreachable)
}

/// Why a tier could not be read. One that nobody has used yet has no marker, and often no folder; that is no mount that went.
async fn unread(error: &StepError, tier: &TierName, catalog: Option<&Catalog>) -> Failure {
    let failure = error.to_failure();
    let remembered = match catalog {
        Some(catalog) => !matches!(catalog.tier_identity(tier).await, Ok(None)),
        None => false,
    };
    if remembered || failure.code != UNREACHABLE {
        return failure;
    }
    Failure {
        message: format!("it has not been used yet, as far as is known here: {}", failure.message),
        help: Some(
            "`mainstay apply` makes its first use: it gives the folder of the tier its marker, and from then on the log can be archived there. If the tier was used before, check that the disk or share is attached and mounted"
                .to_owned(),
        ),
        ..failure
    }
}

async fn read_tier(store: &WalStore, tier: &TierName) -> Result<WalTier, ProviderError> {
    let listing = store.list(tier).await?;
    let mut log = gather(&listing);
    for file in &listing.files {
        let WalFileName::History { timeline } = file.name else {
            continue;
        };
        let text = store
            .get_from(tier, file.system_identifier, file.name)
            .await?;
        // One that is not readable as a history cuts the windows at its switch, which is said; it never makes one up.
        let history = text
            .as_deref()
            .and_then(|text| std::str::from_utf8(text).ok())
            .and_then(|text| TimelineHistory::parse(timeline, text));
        log.histories.extend(history.map(|history| ArchivedHistory {
            history,
            system_identifier: file.system_identifier,
        }));
    }
    Ok(log)
}

/// Gathers a listing, which is sorted by cluster and name, to runs.
fn gather(listing: &WalListing) -> WalTier {
    let mut log = WalTier::default();
    let mut beginnings: BTreeMap<(u64, WalFileName), WalPartial> = BTreeMap::new();
    let mut whole = BTreeSet::new();
    for file in &listing.files {
        let cluster = file.system_identifier;
        let known = listing.clusters.as_ref().and_then(|all| all.get(cluster));
        let segment_bytes = known
            .and_then(|known| known.segment_bytes)
            .unwrap_or(DEFAULT_SEGMENT_BYTES);
        let (Some(start), Some(segment)) = (file.name.start(segment_bytes), file.name.segment())
        else {
            continue;
        };
        match file.name {
            WalFileName::Segment { timeline, .. } => {
                whole.insert((cluster, segment));
                let end = Lsn(start.0.saturating_add(segment_bytes));
                match log.runs.last_mut() {
                    Some(run)
                        if (run.system_identifier, run.timeline, run.end)
                            == (cluster, timeline, start) =>
                    {
                        run.bytes = run.bytes.saturating_add(file.bytes);
                        run.end = end;
                        // Files that are sent at the same time may come in another order.
                        run.last_stored_at = run.last_stored_at.max(file.stored_at);
                    }
                    _ => log.runs.push(WalRun {
                        bytes: file.bytes,
                        end,
                        last_stored_at: file.stored_at,
                        segment_bytes,
                        start,
                        stored_at: file.stored_at,
                        system_identifier: cluster,
                        timeline,
                    }),
                }
            }
            WalFileName::Beginning {
                timeline, length, ..
            } => {
                let partial = WalPartial {
                    bytes: file.bytes,
                    end: Lsn(start.0.saturating_add(u64::from(length))),
                    segment_bytes,
                    stored_at: file.stored_at,
                    system_identifier: cluster,
                    timeline,
                };
                let known = beginnings
                    .entry((cluster, segment))
                    .or_insert_with(|| partial.clone());
                if known.end < partial.end {
                    *known = partial;
                }
            }
            _ => {}
        }
    }
    beginnings.retain(|place, _| !whole.contains(place));
    log.partials = beginnings.into_values().collect();
    log
}

/// All results, by name. A panic in a provider goes on here: hiding it would call a tier empty.
async fn joined<K: Ord + 'static, V: 'static>(mut working: JoinSet<(K, V)>) -> BTreeMap<K, V> {
    let mut all = BTreeMap::new();
    while let Some(result) = working.join_next().await {
        match result.map_err(tokio::task::JoinError::try_into_panic) {
            Ok((name, value)) => {
                all.insert(name, value);
            }
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_)) => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::WalObject;
    use jiff::Timestamp;
    use model::ByteCount;
    use providers::api::ObjectKey;

    fn file(name: &str, second: i64) -> WalObject {
        WalObject {
            name: WalFileName::parse(name).unwrap(),
            system_identifier: 7,
            bytes: ByteCount(10),
            stored_at: Timestamp::from_second(second).unwrap(),
            key: ObjectKey::new(format!("orders/wal/7/{name}")).unwrap(),
        }
    }

    fn listed(files: Vec<WalObject>) -> WalTier {
        let mut listing = WalListing {
            clusters: None,
            files,
            strangers: Vec::new(),
        };
        listing
            .files
            .sort_by_key(|file| (file.system_identifier, file.name));
        gather(&listing)
    }

    #[test]
    fn a_listing_becomes_runs_without_a_hole() {
        let log = listed(vec![
            file("0000000100000000000000FE", 1),
            file("0000000100000000000000FF", 2),
            file("000000010000000100000000", 3),
            file("000000010000000100000002", 4),
            file("000000020000000100000003", 5),
            file("00000002.history", 5),
            file("000000010000000000000003.00000028.backup", 1),
        ]);
        let runs: Vec<_> = log
            .runs
            .iter()
            .map(|run| (run.timeline, run.segments(), run.bytes.0))
            .collect();
        assert_eq!(runs, [(1, 3, 30), (1, 1, 10), (2, 1, 10)]);
        assert_eq!(log.runs[0].last_stored_at.as_second(), 3);
        assert!(log.partials.is_empty());
    }

    #[test]
    fn of_beginnings_only_the_longest_of_a_segment_that_is_not_whole_counts() {
        let log = listed(vec![
            file("000000010000000000000001", 1),
            file("000000010000000000000001.00000100.beginning", 1),
            file("000000010000000000000002.00000100.beginning", 2),
            file("000000010000000000000002.00000300.beginning", 3),
        ]);
        assert_eq!(log.partials.len(), 1);
        assert_eq!(log.partials[0].end, Lsn(0x0200_0300));
    }

    #[test]
    fn a_hundred_thousand_segments_are_gathered_in_no_time() {
        let size = DEFAULT_SEGMENT_BYTES;
        let files = (1..=100_000).map(|number| {
            file(
                &WalFileName::of_segment(1, number, size).to_string(),
                i64::try_from(number).unwrap(),
            )
        });
        let log = listed(files.collect());
        assert_eq!(log.runs.len(), 1);
        assert_eq!(log.runs[0].segments(), 100_000);
    }
}
