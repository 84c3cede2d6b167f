//! The archive of one database's log on its tiers.
//!
//! `put` stores, `get` reads back, `list` shows and deletes; `names` knows where a file lies, `sealings` what opens it. A file lies
//! compressed, and encrypted if the policy says so, in a folder for every 4 GiB of log with one key ring.
//!
//! Not here: what happens when one tier of several fails (`push`), which cluster a tier takes (`cluster`), what may be deleted (the planner).

mod get;
mod list;
mod names;
mod put;
mod sealings;

pub(crate) use names::is_part;
pub(super) use put::other_content;

use super::{
    cluster::{self, WalClusters},
    spool::WalSpool,
};
use crate::{clock::Clock, crash_point::CrashPoints, keys::KeyChain, wiring::Wiring};
use jiff::Timestamp;
use model::{ByteCount, DatabaseName, Disposition, KeyName, TierName, WalFileName};
use providers::{
    api::{ObjectKey, ProviderError, Result, Tier},
    seal::Sealing,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// Whose log a tier takes, and that a ring is still there, is looked up again after so long: a long-running process must notice
/// what others change.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// A tier, a cluster, the size of its segments.
type Taken = (TierName, u64, Option<u64>);
/// By tier and folder, and since when it is known.
type Sealings = BTreeMap<(TierName, String), (Instant, Sealing)>;

/// The archive of one database.
#[derive(Debug)]
pub struct WalStore {
    database: DatabaseName,
    tiers: Vec<Arc<dyn Tier>>,
    encrypt_for: Vec<KeyName>,
    chain: KeyChain,
    level: i32,
    clock: Arc<dyn Clock>,
    crash: CrashPoints,
    spool: Option<WalSpool>,
    parallel: usize,
    /// Clusters that a tier takes, with the size of their segments.
    taken: Mutex<BTreeMap<Taken, Instant>>,
    sealings: Mutex<Sealings>,
    /// One at a time makes keys.
    making_keys: tokio::sync::Mutex<()>,
}

/// What became of a file on one tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there now, durably.
    Stored,
    /// It was there, with the same content.
    AlreadyThere,
}

/// One archived file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalObject {
    /// Its name.
    pub name: WalFileName,
    /// Its cluster.
    pub system_identifier: u64,
    /// Stored size.
    pub bytes: ByteCount,
    /// When it was stored, as the tier tells.
    pub stored_at: Timestamp,
    /// Where it lies.
    pub key: ObjectKey,
}

/// What lies in the archive on one tier.
#[derive(Debug, Clone, Default)]
pub struct WalListing {
    /// Whose log it is; `None`: nothing was archived yet.
    pub clusters: Option<WalClusters>,
    /// The files, by cluster and name.
    pub files: Vec<WalObject>,
    /// Objects in its folders that are neither files of a log nor their keys.
    pub strangers: Vec<String>,
}

impl WalStore {
    /// The archive of a declared database. `mainstay::wal::not-declared` when it has none.
    pub fn open(
        wiring: &Wiring,
        database: &DatabaseName,
        clock: Arc<dyn Clock>,
        crash: CrashPoints,
    ) -> Result<Self> {
        let declared = wiring.databases.get(database);
        let wal = declared.and_then(|declared| declared.wal.as_ref());
        let Some(wal) = wal.filter(|wal| !wal.tiers.is_empty()) else {
            return Err(ProviderError::new(
                "mainstay::wal::not-declared",
                Disposition::NeedsOperator,
                format!("the policy declares no archive of the log of `{database}`"),
            )
            .help(format!(
                "declare one: `[database.{database}.wal]` with `keep.TIER = \"14d\"`"
            )));
        };
        let mut tiers = Vec::with_capacity(wal.tiers.len());
        for name in &wal.tiers {
            let wired = wiring.tiers.get(name).ok_or_else(|| {
                ProviderError::new(
                    "mainstay::wal::not-declared",
                    Disposition::Permanent,
                    format!("tier `{name}` of the log of `{database}` is not declared"),
                )
            })?;
            tiers.push(Arc::clone(&wired.tier));
        }
        Ok(Self {
            database: database.clone(),
            tiers,
            encrypt_for: wal.encrypt_for.clone(),
            chain: KeyChain::new(&wiring.keys),
            level: wal.compression_level,
            clock,
            crash,
            spool: declared.and_then(|declared| WalSpool::of(database, declared)),
            parallel: wal.parallel.max(1),
            taken: Mutex::default(),
            sealings: Mutex::default(),
            making_keys: tokio::sync::Mutex::default(),
        })
    }

    /// The database.
    pub fn database(&self) -> &DatabaseName {
        &self.database
    }

    /// The tiers, the primary first.
    pub fn tiers(&self) -> impl Iterator<Item = &TierName> {
        self.tiers.iter().map(|tier| tier.name())
    }

    /// Where files wait for a tier that is away, if the policy declares it.
    pub fn spool(&self) -> Option<&WalSpool> {
        self.spool.as_ref()
    }

    /// Files that are sent at once.
    pub fn parallel(&self) -> usize {
        self.parallel
    }

    pub(super) fn level(&self) -> i32 {
        self.level
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whose log a tier takes; `None`: nothing was archived there yet.
    pub async fn clusters(&self, tier: &TierName) -> Result<Option<WalClusters>> {
        let found = cluster::read(self.tier(tier)?, &self.database).await?;
        Ok(found.map(|(found, _)| found))
    }

    /// Makes a tier take the files of another cluster from now on. `false`: it does already. `may` is asked whether that may be changed
    /// which is there at that moment.
    pub async fn accept(
        &self,
        tier: &TierName,
        cluster: &cluster::KnownCluster,
        may: &(dyn Fn(Option<&WalClusters>) -> bool + Sync),
    ) -> Result<bool> {
        cluster::accept(self.tier(tier)?, &self.database, cluster, may).await
    }

    fn tier(&self, name: &TierName) -> Result<&dyn Tier> {
        let found = self.tiers.iter().find(|tier| tier.name() == name);
        found.map(|tier| &**tier).ok_or_else(|| {
            ProviderError::new(
                "mainstay::wal::not-declared",
                Disposition::Permanent,
                format!(
                    "the log of `{}` is not archived on tier `{name}`",
                    self.database
                ),
            )
        })
    }
}

/// Runs what computes for a while where that holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ProviderError::new(
                "mainstay::stream::stopped",
                Disposition::Retry,
                "a stage of the stream ended without a result",
            )),
        },
    }
}
