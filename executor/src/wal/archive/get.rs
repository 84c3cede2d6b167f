//! Reads archived files back, whole and checked, from whichever tier has them.
//!
//! "Not there" is only said when every tier was read: a server takes it for the end of the log.

use super::{
    WalStore, blocking,
    names::{Part, last_part, of_key},
};
use crate::{
    stored::{DAMAGED, NOT_FOUND},
    wal::keys,
};
use async_trait::async_trait;
use model::{Disposition, TierName, WalFileName, wal::SegmentHeader};
use providers::{
    api::{ObjectKey, ProviderError, Result, Tier, WalFetch},
    stream,
};
use std::{io::Read, sync::Arc};

/// Largest plain file that is read back: the largest segment that PostgreSQL can be built with.
const LARGEST: u64 = 1 << 30;

impl WalStore {
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

    /// The plain bytes of an archived file, from the first tier that has it whole, else from the spool. `None` when every tier was read
    /// and none has it; an error when that cannot be told.
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

    pub(super) async fn read(
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

    /// Gives the archived files of one cluster to whoever rolls a server forward.
    pub fn fetcher(self: &Arc<Self>, system_identifier: u64) -> Arc<dyn WalFetch> {
        Arc::new(Fetcher {
            store: Arc::clone(self),
            system_identifier,
        })
    }
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

fn damaged(key: &ObjectKey, how: &str) -> ProviderError {
    ProviderError::new(
        DAMAGED,
        Disposition::Permanent,
        format!("the stored file `{key}` is damaged: {how}"),
    )
}
