//! Where files wait on this machine for a tier that is away.
//!
//! `<spool>/<database>/<tier>/<system identifier>/<file>.zst`: compressed, not encrypted (the key's folder lies on the tier that
//! is away; `pg_wal` beside it is plain as well), readable by its owner only, synced before the server is told that the file is
//! archived. Bounded by size, and by age: what the RPO allows.
//! Not here: whether a file may wait at all (`push`).

use super::{
    archive::{WalStore, blocking, other_content},
    fetch::remove_stale,
    file::WalFile,
};
use crate::wiring::DatabaseWiring;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::{ByteCount, DatabaseName, Disposition, TierName, WalFileName};
use providers::{
    api::{ProviderError, Result},
    stream,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Largest plain file: the largest segment that PostgreSQL can be built with.
const LARGEST: u64 = 1 << 30;
const ENDING: &str = ".zst";
/// Beginning of the names of unfinished files.
const TEMPORARY: &str = ".tmp-";

/// The spool of one database.
#[derive(Debug, Clone)]
pub struct WalSpool {
    folder: PathBuf,
    limit: ByteCount,
    /// The oldest file that waits must be younger: the largest loss that is promised.
    longest: Option<SignedDuration>,
}

/// What waits for one tier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many files.
    pub files: u64,
    /// Their size as they lie there.
    pub bytes: ByteCount,
    /// Since when the oldest waits.
    pub oldest: Option<Timestamp>,
}

/// One file that waits.
#[derive(Debug, Clone)]
struct Kept {
    path: PathBuf,
    system_identifier: u64,
    name: WalFileName,
}

impl WalSpool {
    /// The spool that a database declares.
    pub fn of(database: &DatabaseName, declared: &DatabaseWiring) -> Option<Self> {
        let wal = declared.wal.as_ref()?;
        let seconds = |promise: model::recovery_record::Promise| {
            SignedDuration::from_secs(i64::try_from(promise.maximum_seconds).unwrap_or(i64::MAX))
        };
        Some(Self {
            folder: wal.spool.as_ref()?.join(database.as_str()),
            limit: wal.spool_limit,
            longest: declared.rpo.map(seconds),
        })
    }

    /// What waits, by tier; also for tiers that are not declared any more.
    pub fn waiting(&self) -> Result<BTreeMap<TierName, Waiting>> {
        let mut found: BTreeMap<TierName, Waiting> = BTreeMap::new();
        for (tier, files) in self.kept().map_err(|error| self.trouble(error))? {
            let waiting = found.entry(tier).or_default();
            for kept in files {
                let Ok(about) = fs::metadata(&kept.path) else {
                    continue;
                };
                waiting.files += 1;
                waiting.bytes = waiting.bytes.saturating_add(ByteCount(about.len()));
                let since = about
                    .modified()
                    .ok()
                    .and_then(|at| Timestamp::try_from(at).ok());
                waiting.oldest = match (waiting.oldest, since) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
        }
        Ok(found)
    }

    /// Keeps a file for a tier, durably, if size and age allow it; else why not.
    pub(crate) async fn keep(
        &self,
        tier: &TierName,
        file: &WalFile,
        level: i32,
        now: Timestamp,
    ) -> Result<std::result::Result<(), String>> {
        let (own, tier, file) = (self.clone(), tier.clone(), file.clone());
        blocking(move || {
            if let Some(why) = own.refuses(now)? {
                return Ok(Err(why));
            }
            let waits = own.kept().map_err(|error| own.trouble(error))?;
            for kept in waits.get(&tier).into_iter().flatten() {
                let same =
                    (kept.system_identifier, kept.name) == (file.system_identifier, file.name);
                // One that cannot be read is replaced by this one.
                if same
                    && own
                        .load(kept)
                        .is_ok_and(|there| there.is_some_and(|there| there.plain != file.plain))
                {
                    return Err(other_content(&kept.path.display(), &tier));
                }
            }
            let packed = stream::compress_whole(&file.plain, level)?;
            own.write(&tier, &file, &packed)
                .map_err(|error| own.trouble(error))?;
            Ok(Ok(()))
        })
        .await
    }

    fn refuses(&self, now: Timestamp) -> Result<Option<String>> {
        let Some(longest) = self.longest else {
            return Ok(Some(
                "the spool is not used, because no `objective.rpo` says for how long a tier may lag".to_owned(),
            ));
        };
        let waiting = self.waiting()?;
        let bytes = waiting.values().fold(0, |sum, one| sum + one.bytes.0);
        if bytes >= self.limit.0 {
            return Ok(Some(format!(
                "the spool holds {}, its limit is {}",
                ByteCount(bytes),
                self.limit
            )));
        }
        let oldest = waiting.values().filter_map(|one| one.oldest).min();
        let age = oldest.map(|oldest| now.duration_since(oldest));
        Ok(match age {
            Some(age) if age >= longest => Some(format!(
                "the oldest file in the spool waits for {} s, the objective allows {} s",
                age.as_secs(),
                longest.as_secs()
            )),
            _ => None,
        })
    }

    fn write(&self, tier: &TierName, file: &WalFile, packed: &Bytes) -> io::Result<()> {
        let folder = self
            .folder
            .join(tier.as_str())
            .join(file.system_identifier.to_string());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let target = folder.join(format!("{}{ENDING}", file.name));
        let temporary = folder.join(format!("{TEMPORARY}{}-{}", std::process::id(), file.name));
        let attempt = || -> io::Result<()> {
            let mut out = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            remove_stale(&target, &out, TEMPORARY);
            out.write_all(packed)?;
            out.sync_all()?;
            fs::rename(&temporary, &target)
        };
        attempt().inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })?;
        // Up to the spool itself: each of these folders may be new.
        for folder in folder.ancestors().take(4) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Sends up to `at_most` waiting files to each of the tiers that `wanted` names, the oldest name first. Stops with a tier at its first
    /// trouble; what is there now is removed here. How many went, and what stopped which tier.
    pub async fn send(
        &self,
        store: &Arc<WalStore>,
        at_most: usize,
        wanted: impl Fn(&TierName) -> bool,
    ) -> (usize, Vec<(TierName, ProviderError)>) {
        let own = self.clone();
        let kept = blocking(move || own.kept().map_err(|error| own.trouble(error))).await;
        let (mut sent, mut trouble) = (0, Vec::new());
        let declared: Vec<TierName> = store.tiers().cloned().collect();
        for (tier, files) in kept.unwrap_or_default() {
            if !declared.contains(&tier) || !wanted(&tier) {
                continue;
            }
            for kept in files.into_iter().take(at_most) {
                match self.send_one(store, &tier, &kept).await {
                    Ok(()) => sent += 1,
                    Err(error) => {
                        trouble.push((tier.clone(), error));
                        break;
                    }
                }
            }
        }
        (sent, trouble)
    }

    async fn send_one(&self, store: &Arc<WalStore>, tier: &TierName, kept: &Kept) -> Result<()> {
        let (own, what) = (self.clone(), kept.clone());
        let file = blocking(move || own.load(&what)).await?;
        let Some(file) = file else {
            return Ok(());
        };
        for (_, result) in store.put_where(&file, |name| name == tier).await {
            result?;
        }
        match fs::remove_file(&kept.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.trouble(error)),
            _ => Ok(()),
        }
    }

    /// A file that waits for any tier; `None`: none does.
    pub(crate) async fn find(
        &self,
        system_identifier: u64,
        name: WalFileName,
    ) -> Result<Option<Vec<u8>>> {
        let own = self.clone();
        blocking(move || {
            let mut trouble = None;
            let kept = own.kept().map_err(|error| own.trouble(error))?;
            for kept in kept.values().flatten() {
                if (kept.system_identifier, kept.name) != (system_identifier, name) {
                    continue;
                }
                match own.load(kept) {
                    Ok(Some(file)) => return Ok(Some(file.plain.to_vec())),
                    Ok(None) => {}
                    Err(error) => trouble = Some(error),
                }
            }
            trouble.map_or(Ok(None), Err)
        })
        .await
    }

    /// A file as it was kept; `None`: another process has sent it.
    fn load(&self, kept: &Kept) -> Result<Option<WalFile>> {
        let packed = match fs::read(&kept.path) {
            Ok(packed) => packed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.trouble(error)),
        };
        let text = kept.path.display().to_string();
        let plain = stream::unpack_whole(&[Bytes::from(packed)], None, LARGEST, &text)?;
        WalFile::new(kept.name, plain, Some(kept.system_identifier)).map(Some)
    }

    fn kept(&self) -> io::Result<BTreeMap<TierName, Vec<Kept>>> {
        let mut found = BTreeMap::new();
        for tier in children(&self.folder)? {
            let Some(name) = text(&tier).and_then(|name| TierName::new(name).ok()) else {
                continue;
            };
            let mut files = Vec::new();
            for cluster in children(&tier)? {
                let Some(system_identifier) = text(&cluster).and_then(|name| name.parse().ok())
                else {
                    continue;
                };
                for path in children(&cluster)? {
                    let name = text(&path).and_then(|name| name.strip_suffix(ENDING));
                    if let Some(name) = name.and_then(|name| WalFileName::parse(name).ok()) {
                        files.push(Kept {
                            path,
                            system_identifier,
                            name,
                        });
                    }
                }
            }
            files.sort_by_key(|kept| (kept.system_identifier, kept.name));
            if !files.is_empty() {
                found.insert(name, files);
            }
        }
        Ok(found)
    }

    fn trouble(&self, error: io::Error) -> ProviderError {
        ProviderError::new(
            "mainstay::wal::spool",
            Disposition::NeedsOperator,
            format!("cannot use the spool `{}`", self.folder.display()),
        )
        .help("the user that archives must be able to write there, and the disk must have room")
        .source(error)
    }
}

fn text(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}
