//! What `status`, `wal status`, `apply` and `backup` share: judging what was seen of the archived logs, and writing down their breaks.

use super::planning::Looked;
use crate::{arguments::Global, failure::Result, session, settings};
use executor::{
    Clock, DatabaseWiring, Wiring,
    crash_point::CrashPoints,
    wal::{
        WalFacts, WalLook, WalStatus, WalStore, breaks, judge, newest_moment, observe_wal,
        record_breaks,
    },
};
use jiff::Timestamp;
use model::{
    DatabaseName, Inventory, Lsn, TierName,
    wal::coverage::{Base, bases},
};
use planner::status::{LogStatus, LogTier, LogWindow};
use policy_schema::Policy;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How long one waits for a stream to send what it has, before a promise is called broken.
const PATIENCE: Duration = Duration::from_secs(12);

/// Judges every log that was looked at. The newest files of each tier are read; nothing is changed.
pub(crate) async fn judged(
    policy: &Policy,
    wiring: &Wiring,
    looks: &BTreeMap<DatabaseName, WalLook>,
    inventory: &Inventory,
    clock: &Arc<dyn Clock>,
) -> Vec<WalStatus> {
    let mut all = Vec::new();
    for (name, look) in looks {
        let Some(declared) = wiring.databases.get(name) else {
            continue;
        };
        let store = WalStore::open(wiring, name, Arc::clone(clock), CrashPoints::new(None));
        let about = About {
            name,
            declared,
            policy,
            inventory,
            store: store.ok().map(Arc::new),
        };
        let mut status = about.judged(look, None, clock.now()).await;
        // After a quiet time nobody can tell how old that is which was written just now. A stream sends it at once.
        let streams = declared
            .wal
            .as_ref()
            .is_some_and(|wal| wal.stream_slot.is_some());
        let lags = |status: &WalStatus| status.concerns.iter().any(|c| c.what == "lag");
        if let Some(source) = look.archive.source.as_ref().filter(|_| streams) {
            let seen = Some((source.position, source.at));
            let began = Instant::now();
            while lags(&status) && began.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let none = BTreeSet::new();
                let looks = observe_wal(wiring, None, clock, Some(name), &none).await;
                for look in looks.values() {
                    status = about.judged(look, seen, clock.now()).await;
                }
            }
        }
        all.push(status);
    }
    all
}

struct About<'a> {
    name: &'a DatabaseName,
    declared: &'a DatabaseWiring,
    policy: &'a Policy,
    inventory: &'a Inventory,
    store: Option<Arc<WalStore>>,
}

impl About<'_> {
    async fn judged(
        &self,
        look: &WalLook,
        seen: Option<(Lsn, Timestamp)>,
        now: Timestamp,
    ) -> WalStatus {
        let mut newest = BTreeMap::new();
        if let Some(store) = &self.store {
            for (tier, log) in &look.archive.tiers {
                let source = look.archive.source.as_ref();
                // A last file that cannot be read leaves the time unknown; `verify` says what is wrong with it.
                if let Ok(Some(found)) = newest_moment(store, tier, log, source).await {
                    newest.insert(tier.clone(), found);
                }
            }
        }
        let spool = self.store.as_ref().and_then(|store| store.spool());
        judge(&WalFacts {
            database: self.name,
            declared: self.declared,
            look,
            bases: bases_on_tiers(self.name, look, self.inventory),
            newest,
            wanted_since: wanted_since(self.policy, self.name, now),
            spool: spool
                .and_then(|spool| spool.waiting().ok())
                .unwrap_or_default(),
            seen,
            now,
        })
    }
}

/// Writes breaks of the logs into the catalog's audit, each once.
pub(crate) async fn record(
    global: &Global,
    path: &Path,
    policy: &Policy,
    looked: &Looked,
    now: Timestamp,
) -> Result<()> {
    let mut found = BTreeMap::new();
    for (name, look) in &looked.logs {
        let bases = bases_on_tiers(name, look, &looked.inventory);
        let breaks = breaks(look, &bases, &wanted_since(policy, name, now), now);
        if !breaks.is_empty() {
            found.insert(name, breaks);
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let catalog = session::catalog(global, path).await?;
    for (name, breaks) in found {
        record_breaks(&catalog, &settings::who(), name, &breaks, now).await?;
    }
    catalog.close().await;
    Ok(())
}

/// What `status` shows of it.
pub(crate) fn short(status: &WalStatus) -> LogStatus {
    let tiers = status.tiers.iter().map(|(name, tier)| {
        let newest = tier.newest;
        let at_end = |to| newest.filter(|newest| newest.whole_to == to);
        let windows = &tier.coverage.windows;
        let short = LogTier {
            lag_bytes: tier.lag_bytes,
            lag_seconds: tier.lag_seconds,
            newest_commit: newest.and_then(|newest| newest.time),
            reaches_end: windows.iter().any(|window| at_end(window.to).is_some()),
            windows: windows
                .iter()
                .map(|window| LogWindow {
                    from: window.from_time,
                    to: at_end(window.to).and_then(|newest| newest.time),
                    to_position: window.to,
                })
                .collect(),
        };
        (name.clone(), short)
    });
    LogStatus {
        server_trouble: status.server_trouble.clone(),
        tiers: tiers.collect(),
    }
}

fn bases_on_tiers(
    name: &DatabaseName,
    look: &WalLook,
    inventory: &Inventory,
) -> BTreeMap<TierName, Vec<Base>> {
    let tiers = look.archive.tiers.keys();
    tiers
        .map(|tier| {
            let of_tier = bases(&inventory.recovery_points, name, Some(tier));
            (tier.clone(), of_tier)
        })
        .collect()
}

fn wanted_since(
    policy: &Policy,
    name: &DatabaseName,
    now: Timestamp,
) -> BTreeMap<TierName, Timestamp> {
    let declared = policy.databases.get(name).and_then(|d| d.wal.as_ref());
    let keep = declared.into_iter().flat_map(|wal| &wal.keep);
    let zone = &policy.timezone;
    keep.map(|(tier, period)| (tier.clone(), period.before(now, zone)))
        .collect()
}
