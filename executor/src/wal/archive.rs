//! The files of one database's archive on its tiers.
//!
//! How a file is stored: looked at (`file`), compressed once, then on every tier at the same time: is it the tier's cluster, is
//! the folder's key there, is the name free, write, make it visible. A name that is taken is read and compared: the same content
//! is success, for a server sends a file again after a crash; other content is a loud failure. Files are never locked and
//! never go to an archive class: the log must be readable at once, and ages out by the day.
//!
//! Not here: what happens when one tier of several fails (`push`).

use super::{
    cluster::{self, WalClusters},
    file::WalFile,
    keys,
    spool::WalSpool,
};
use crate::{
    clock::Clock,
    crash_point::CrashPoints,
    keys::KeyChain,
    stored::{DAMAGED, EXISTS, NOT_FOUND},
    wiring::Wiring,
};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use model::{
    ByteCount, DatabaseName, Disposition, KeyName, TierName, WalFileName,
    wal::{SegmentHeader, WalFolder},
};
use providers::{
    api::{NewObject, ObjectKey, ProviderError, Result, Tier, WalFetch},
    seal::Sealing,
    stream,
};
use std::{
    collections::BTreeMap,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// Largest plain file that is read back: the largest segment that PostgreSQL can be built with.
const LARGEST: u64 = 1 << 30;
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

    /// Stores a file on every tier at once; by tier, the primary first, what became of it. Durable on a tier where it says so. A
    /// repeat, also of a call that was killed, changes nothing that is there.
    ///
    /// Errors on a tier: `mainstay::wal::other-cluster`, `mainstay::wal::different-content`, `mainstay::wal::keys…`, and the tier's.
    pub async fn put(self: &Arc<Self>, file: &WalFile) -> Vec<(TierName, Result<Put>)> {
        self.put_where(file, |_| true).await
    }

    /// The same on some of the tiers.
    pub async fn put_where(
        self: &Arc<Self>,
        file: &WalFile,
        wanted: impl Fn(&TierName) -> bool,
    ) -> Vec<(TierName, Result<Put>)> {
        let wanted: Vec<_> = self
            .tiers
            .iter()
            .filter(|tier| wanted(tier.name()))
            .cloned()
            .collect();
        let packed = match self.pack(file).await {
            Ok(packed) => packed,
            Err(error) => {
                let again = |tier: &Arc<dyn Tier>| (tier.name().clone(), Err(copy_of(&error)));
                return wanted.iter().map(again).collect();
            }
        };
        let mut working = JoinSet::new();
        for (at, tier) in wanted.iter().enumerate() {
            let (own, tier, file, packed) = (
                Arc::clone(self),
                Arc::clone(tier),
                file.clone(),
                packed.clone(),
            );
            working.spawn(async move {
                let result = own.put_on(&*tier, &file, &packed).await;
                (at, tier.name().clone(), result)
            });
        }
        let mut done = Vec::with_capacity(wanted.len());
        while let Some(joined) = working.join_next().await {
            match joined.map_err(tokio::task::JoinError::try_into_panic) {
                Ok(one) => done.push(one),
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                Err(Err(_)) => {}
            }
        }
        done.sort_by_key(|(at, _, _)| *at);
        done.into_iter()
            .map(|(_, tier, result)| (tier, result))
            .collect()
    }

    async fn pack(&self, file: &WalFile) -> Result<Bytes> {
        let (plain, level) = (file.plain.clone(), self.level);
        blocking(move || stream::compress_whole(&plain, level)).await
    }

    async fn put_on(&self, tier: &dyn Tier, file: &WalFile, packed: &Bytes) -> Result<Put> {
        self.ensure_taken(tier, file).await?;
        let encrypted = !self.encrypt_for.is_empty();
        let key = self.key(file.system_identifier, file.name, encrypted)?;
        let other = self.key(file.system_identifier, file.name, !encrypted)?;
        // Before encryption was switched on or off, the same file had the other name.
        if tier.stat(&other).await?.is_some() {
            self.compare(tier, file, !encrypted).await?;
            return Ok(Put::AlreadyThere);
        }
        let pieces = if encrypted {
            let folder = self.folder(file.system_identifier, file.name);
            let sealing = self.sealing_for_writing(tier, &folder).await?;
            let sealing = keys::of_file(&sealing, last_part(&key));
            let packed = packed.clone();
            blocking(move || stream::seal_whole(&packed, &sealing)).await?
        } else {
            vec![packed.clone()]
        };
        let size = pieces.iter().map(Bytes::len).sum();
        let taken = |error: ProviderError| match error.code {
            EXISTS => Ok(()),
            _ => Err(error),
        };
        let mut writer = match tier.create(&key, NewObject::index(size)).await {
            Ok(writer) => writer,
            Err(error) => {
                taken(error)?;
                self.compare(tier, file, encrypted).await?;
                return Ok(Put::AlreadyThere);
            }
        };
        for piece in pieces {
            writer.write(piece).await?;
            self.crash.hit("wal-mid-write");
        }
        self.crash.hit("wal-before-visible");
        match writer.finish().await {
            Ok(_) => {}
            Err(error) => {
                taken(error)?;
                self.compare(tier, file, encrypted).await?;
                return Ok(Put::AlreadyThere);
            }
        }
        self.crash.hit("wal-after-visible");
        Ok(Put::Stored)
    }

    async fn ensure_taken(&self, tier: &dyn Tier, file: &WalFile) -> Result<()> {
        let what = (
            tier.name().clone(),
            file.system_identifier,
            file.segment_bytes,
        );
        let is_fresh = |at: &Instant| at.elapsed() < LOOK_AGAIN;
        let known = || self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if known().get(&what).is_some_and(is_fresh) {
            return Ok(());
        }
        cluster::ensure_taken(
            tier,
            &self.database,
            file.system_identifier,
            file.segment_bytes,
            self.clock.now(),
        )
        .await?;
        known().insert(what, Instant::now());
        Ok(())
    }

    /// Whether what is there has the same content.
    async fn compare(&self, tier: &dyn Tier, file: &WalFile, encrypted: bool) -> Result<()> {
        let key = self.key(file.system_identifier, file.name, encrypted)?;
        let there = match self
            .read(tier, file.system_identifier, file.name, encrypted)
            .await
        {
            Ok(Some(there)) => there,
            Ok(None) => {
                return Err(ProviderError::new(
                    "mainstay::tier::io",
                    Disposition::Retry,
                    format!("`{key}` was there and is gone"),
                ));
            }
            Err(error) if error.code == DAMAGED => {
                return Err(ProviderError::new(
                    "mainstay::wal::existing-damaged",
                    Disposition::NeedsOperator,
                    format!("`{key}` exists on tier `{}` and is damaged", tier.name()),
                )
                .help("the server still has the right file: move the damaged one away on that tier, and the next try stores it anew")
                .source(error));
            }
            Err(error) => return Err(error),
        };
        if there == file.plain {
            // Whoever made it visible may have been killed before it was durable, and the server forgets the file now.
            return tier.ensure_durable(&key).await;
        }
        Err(other_content(&key, tier.name()))
    }

    /// The plain bytes of an archived file on one tier, whole and checked; `None` when the tier was read and it is not there.
    pub async fn get_from(
        &self,
        tier: &TierName,
        system_identifier: u64,
        name: WalFileName,
    ) -> Result<Option<Vec<u8>>> {
        let tier = self.tier(tier)?;
        let first = !self.encrypt_for.is_empty();
        for encrypted in [first, !first] {
            if let Some(found) = self.read(tier, system_identifier, name, encrypted).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The plain bytes of an archived file, from the first tier that has it whole, else from the spool. `None` when every tier was read and
    /// none has it; an error when that cannot be told.
    pub async fn get(&self, system_identifier: u64, name: WalFileName) -> Result<Option<Vec<u8>>> {
        let mut trouble = Vec::new();
        for tier in &self.tiers {
            match self.get_from(tier.name(), system_identifier, name).await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => trouble.push((tier.name(), error)),
            }
        }
        // What waits for one tier was durable on another, which may be gone since.
        if let Some(spool) = &self.spool
            && let Some(found) = spool.find(system_identifier, name).await?
        {
            return Ok(Some(found));
        }
        let Some((tier, first)) = trouble.into_iter().next() else {
            return Ok(None);
        };
        Err(ProviderError {
            message: format!("cannot tell whether `{name}` is archived: tier `{tier}`: {first}"),
            ..first
        })
    }

    /// What is archived of a segment that is not there whole: the `.partial` at the end of a timeline, or the longest beginning that
    /// a stream has sent; filled up with zeros, which a server takes for the end of the log.
    pub async fn get_beginning(
        &self,
        system_identifier: u64,
        name: WalFileName,
    ) -> Result<Option<Vec<u8>>> {
        if !name.is_segment() {
            return Ok(None);
        }
        let folder = self.folder(system_identifier, name).path();
        let prefix = format!("{folder}/{name}.");
        let mut best: Option<(u64, TierName, WalFileName)> = None;
        for tier in &self.tiers {
            for info in tier.list(&prefix).await? {
                let inner = info
                    .key
                    .as_str()
                    .split_once("/wal/")
                    .map(|(_, inner)| inner);
                let part = inner.and_then(|inner| of_key(&self.database, inner));
                let Some(Part::File(_, found)) = part else {
                    continue;
                };
                let length = match found {
                    WalFileName::Beginning { length, .. } => u64::from(length),
                    WalFileName::Partial { .. } => LARGEST,
                    _ => continue,
                };
                if best
                    .as_ref()
                    .is_none_or(|(longest, _, _)| length > *longest)
                {
                    best = Some((length, tier.name().clone(), found));
                }
            }
        }
        let Some((_, tier, found)) = best else {
            return Ok(None);
        };
        let Some(mut plain) = self.get_from(&tier, system_identifier, found).await? else {
            return Ok(None);
        };
        if let Ok(header) = SegmentHeader::parse(&plain)
            && let Ok(size) = usize::try_from(header.segment_bytes)
        {
            plain.resize(size.max(plain.len()), 0);
        }
        Ok(Some(plain))
    }

    async fn read(
        &self,
        tier: &dyn Tier,
        system_identifier: u64,
        name: WalFileName,
        encrypted: bool,
    ) -> Result<Option<Vec<u8>>> {
        let key = self.key(system_identifier, name, encrypted)?;
        let mut reader = match tier.open(&key).await {
            Ok(reader) => reader,
            Err(error) if error.code == NOT_FOUND => return Ok(None),
            Err(error) => return Err(error),
        };
        let (mut stored, mut size) = (Vec::new(), 0);
        while let Some(chunk) = reader.read().await? {
            size += chunk.len() as u64;
            if size > 2 * LARGEST {
                return Err(damaged(&key, "it is larger than any file of a log"));
            }
            stored.push(chunk);
        }
        let opening = if encrypted {
            let folder = self.folder(system_identifier, name);
            let sealing = self.sealing_for_reading(tier, &folder).await?;
            Some(keys::of_file(&sealing, last_part(&key)))
        } else {
            None
        };
        let text = key.to_string();
        let plain =
            blocking(move || stream::unpack_whole(&stored, opening, LARGEST, &text)).await?;
        if name.has_pages() {
            let header = SegmentHeader::parse(&plain).and_then(|header| {
                header.check(&name, plain.len() as u64)?;
                Ok(header)
            });
            match header {
                Ok(header) if header.system_identifier == system_identifier => {}
                Ok(_) => return Err(damaged(&key, "it is of another cluster")),
                Err(error) => return Err(damaged(&key, &error.to_string())),
            }
        }
        Ok(Some(plain))
    }

    async fn sealing_for_reading(&self, tier: &dyn Tier, folder: &WalFolder) -> Result<Sealing> {
        if let Some(known) = self.known_sealing(tier, folder) {
            return Ok(known);
        }
        match keys::for_reading(&self.chain, tier, folder).await? {
            Some(sealing) => Ok(self.remember(tier, folder, sealing)),
            None => Err(ProviderError::new(
                "mainstay::wal::keys-lost",
                Disposition::NeedsOperator,
                format!(
                    "`{}` on tier `{}` holds encrypted files, and its `keys.json` is gone",
                    folder.path(),
                    tier.name()
                ),
            )
            .help("put `keys.json` back from another tier or from an earlier version of it")),
        }
    }

    async fn sealing_for_writing(&self, tier: &dyn Tier, folder: &WalFolder) -> Result<Sealing> {
        if let Some(known) = self.known_sealing(tier, folder) {
            return Ok(known);
        }
        let _alone = self.making_keys.lock().await;
        if let Some(known) = self.known_sealing(tier, folder) {
            return Ok(known);
        }
        let others: Vec<_> = self
            .tiers
            .iter()
            .filter(|other| other.name() != tier.name())
            .cloned()
            .collect();
        let sealing =
            keys::for_writing(&self.chain, &self.encrypt_for, tier, &others, folder).await?;
        self.crash.hit("wal-after-keys");
        Ok(self.remember(tier, folder, sealing))
    }

    fn known_sealing(&self, tier: &dyn Tier, folder: &WalFolder) -> Option<Sealing> {
        let known = self.sealings.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&(tier.name().clone(), folder.path()))
            .filter(|(at, _)| at.elapsed() < LOOK_AGAIN)
            .map(|(_, sealing)| sealing.clone())
    }

    fn remember(&self, tier: &dyn Tier, folder: &WalFolder, sealing: Sealing) -> Sealing {
        let mut known = self.sealings.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < LOOK_AGAIN);
        let what = (tier.name().clone(), folder.path());
        known.insert(what, (Instant::now(), sealing.clone()));
        sealing
    }

    /// Everything in the archive on one tier.
    pub async fn list(&self, tier: &TierName) -> Result<WalListing> {
        let tier = self.tier(tier)?;
        let mut listing = WalListing {
            clusters: cluster::read(tier, &self.database)
                .await?
                .map(|(found, _)| found),
            ..WalListing::default()
        };
        let prefix = format!("{}/wal/", self.database);
        for info in tier.list(&prefix).await? {
            let path = info.key.as_str();
            let inner = path.strip_prefix(&prefix).unwrap_or(path);
            match of_key(&self.database, inner) {
                Some(Part::File(system_identifier, name)) => listing.files.push(WalObject {
                    name,
                    system_identifier,
                    bytes: info.bytes,
                    stored_at: info.stored_at,
                    key: info.key,
                }),
                Some(Part::Control) => {}
                None => listing.strangers.push(path.to_owned()),
            }
        }
        listing
            .files
            .sort_by_key(|file| (file.system_identifier, file.name));
        Ok(listing)
    }

    /// Whose log a tier takes; `None`: nothing was archived there yet.
    pub async fn clusters(&self, tier: &TierName) -> Result<Option<WalClusters>> {
        let found = cluster::read(self.tier(tier)?, &self.database).await?;
        Ok(found.map(|(found, _)| found))
    }

    /// Makes a tier take the files of another cluster from now on. `false`: it does already.
    pub async fn accept(
        &self,
        tier: &TierName,
        cluster: &super::cluster::KnownCluster,
    ) -> Result<bool> {
        cluster::accept(self.tier(tier)?, &self.database, cluster).await
    }

    /// Deletes one file of the archive on one tier. `false`: it was not there. The caller has decided that nothing needs it.
    pub async fn delete(&self, tier: &TierName, file: &WalObject) -> Result<bool> {
        self.tier(tier)?.delete(&file.key).await
    }

    /// Deletes the beginnings of a segment on one tier, or only those shorter than `keep`: a longer one, or the whole, is there.
    pub(crate) async fn delete_beginnings(
        &self,
        tier: &TierName,
        system_identifier: u64,
        segment: WalFileName,
        keep: Option<u32>,
    ) -> Result<()> {
        let tier = self.tier(tier)?;
        let folder = self.folder(system_identifier, segment).path();
        for info in tier.list(&format!("{folder}/{segment}.")).await? {
            let inner = info.key.as_str().split_once("/wal/");
            let part = inner.and_then(|(_, inner)| of_key(&self.database, inner));
            let Some(Part::File(_, WalFileName::Beginning { length, .. })) = part else {
                continue;
            };
            if keep.is_none_or(|keep| length < keep) {
                tier.delete(&info.key).await?;
            }
        }
        Ok(())
    }

    /// Whether a file is on a tier, by its name alone.
    pub async fn has(
        &self,
        tier: &TierName,
        system_identifier: u64,
        name: WalFileName,
    ) -> Result<bool> {
        let tier = self.tier(tier)?;
        let first = !self.encrypt_for.is_empty();
        for encrypted in [first, !first] {
            let key = self.key(system_identifier, name, encrypted)?;
            if tier.stat(&key).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives the archived files of one cluster to whoever rolls a server forward.
    pub fn fetcher(self: &Arc<Self>, system_identifier: u64) -> Arc<dyn WalFetch> {
        Arc::new(Fetcher {
            store: Arc::clone(self),
            system_identifier,
        })
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

    fn folder(&self, system_identifier: u64, name: WalFileName) -> WalFolder {
        WalFolder::of(&self.database, system_identifier, &name)
    }

    fn key(&self, system_identifier: u64, name: WalFileName, encrypted: bool) -> Result<ObjectKey> {
        let folder = self.folder(system_identifier, name).path();
        let ending = if encrypted { ENCRYPTED } else { PLAIN };
        let key = format!("{folder}/{name}{ending}");
        ObjectKey::new(key).ok_or_else(|| {
            ProviderError::new(
                "mainstay::run::unsafe-key",
                Disposition::Permanent,
                format!("`{name}` is not a safe name on a tier"),
            )
        })
    }
}

const PLAIN: &str = ".zst";
const ENCRYPTED: &str = ".zst.enc";

/// What a key below `<database>/wal/` stands for.
enum Part {
    File(u64, WalFileName),
    Control,
}

/// What a key stands for; `None`: nothing that belongs there.
fn of_key(database: &DatabaseName, inner: &str) -> Option<Part> {
    if inner == cluster::FILE_NAME {
        return Some(Part::Control);
    }
    let (system_identifier, rest) = inner.split_once('/')?;
    let system_identifier: u64 = system_identifier.parse().ok()?;
    let (_, file) = rest.rsplit_once('/')?;
    if file == model::key_ring::FILE_NAME {
        return Some(Part::Control);
    }
    let name = file
        .strip_suffix(ENCRYPTED)
        .or_else(|| file.strip_suffix(PLAIN))?;
    let name = WalFileName::parse(name).ok()?;
    let folder = WalFolder::of(database, system_identifier, &name).path();
    let here = format!("{database}/wal/{inner}");
    (here == format!("{folder}/{file}")).then_some(Part::File(system_identifier, name))
}

/// Whether a key is a part of some database's archive of its log.
pub(crate) fn is_part(key: &ObjectKey) -> bool {
    let Some((database, inner)) = key.as_str().split_once("/wal/") else {
        return false;
    };
    DatabaseName::new(database).is_ok_and(|database| of_key(&database, inner).is_some())
}

#[derive(Debug)]
struct Fetcher {
    store: Arc<WalStore>,
    system_identifier: u64,
}

#[async_trait]
impl WalFetch for Fetcher {
    async fn fetch(&self, file: &WalFileName) -> Result<Option<Box<dyn Read + Send>>> {
        let found = match self.store.get(self.system_identifier, *file).await? {
            Some(found) => Some(found),
            None => {
                self.store
                    .get_beginning(self.system_identifier, *file)
                    .await?
            }
        };
        Ok(found.map(|plain| Box::new(std::io::Cursor::new(plain)) as Box<dyn Read + Send>))
    }
}

fn last_part(key: &ObjectKey) -> &str {
    let text = key.as_str();
    text.rsplit_once('/').map_or(text, |(_, last)| last)
}

fn damaged(key: &ObjectKey, how: &str) -> ProviderError {
    ProviderError::new(
        DAMAGED,
        Disposition::Permanent,
        format!("the stored file `{key}` is damaged: {how}"),
    )
}

/// The name is taken by something else.
pub(super) fn other_content(what: &dyn std::fmt::Display, tier: &TierName) -> ProviderError {
    ProviderError::new(
        "mainstay::wal::different-content",
        Disposition::NeedsOperator,
        format!("`{what}` exists on tier `{tier}` with other content; nothing was overwritten"),
    )
    .help("two servers archive the same log to one place: most often a copy of a server that was started without `archive_mode = off`. Stop the one that must not archive; never delete the file before you know which of the two is right")
}

/// An error that several tiers get; its cause stays with the first.
fn copy_of(error: &ProviderError) -> ProviderError {
    let copy = ProviderError::new(
        error.code,
        error.disposition,
        crate::steps::error::chain(error),
    );
    ProviderError {
        help: error.help.clone(),
        ..copy
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
