//! Stores a file on the tiers of an archive.
//!
//! It is looked at (`file`), compressed once, then on every tier at the same time: is it the tier's cluster, is the folder's key there, is the name
//! free, write, make it visible. A name that is taken is read and compared: the same content is success, for a server sends a file
//! again after a crash; other content is a loud failure. Files are never locked and never go to an archive class: the log must be
//! readable at once, and ages out by the day.
//!
//! Not here: what happens when one tier of several fails (`push`).

use super::{LOOK_AGAIN, Put, WalStore, blocking, names::last_part};
use crate::{
    stored::{DAMAGED, EXISTS},
    wal::{cluster, file::WalFile, keys},
};
use bytes::Bytes;
use model::{Disposition, TierName};
use providers::{
    api::{NewObject, ProviderError, Result, Tier},
    seal::sealed_bytes,
    stream::{self, SealedPieces},
};
use std::sync::{Arc, PoisonError};
use tokio::{task::JoinSet, time::Instant};

impl WalStore {
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
        let mut pieces = if encrypted {
            let folder = self.folder(file.system_identifier, file.name);
            let sealing = self.sealing_for_writing(tier, &folder).await?;
            let sealing = keys::of_file(&sealing, last_part(&key));
            Pieces::Sealed(Box::new(SealedPieces::new(packed.clone(), &sealing)?))
        } else {
            Pieces::Plain(Some(packed.clone()))
        };
        let size = if encrypted {
            sealed_bytes(packed.len() as u64).unwrap_or(u64::MAX)
        } else {
            packed.len() as u64
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
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
        loop {
            let (rest, piece) = pieces.next().await?;
            pieces = rest;
            let Some(piece) = piece else { break };
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
}

/// What is written, a piece at a time.
enum Pieces {
    Plain(Option<Bytes>),
    Sealed(Box<SealedPieces>),
}

impl Pieces {
    async fn next(self) -> Result<(Self, Option<Bytes>)> {
        match self {
            Self::Plain(piece) => Ok((Self::Plain(None), piece)),
            Self::Sealed(mut sealed) => {
                blocking(move || {
                    let piece = sealed.take()?;
                    Ok((Self::Sealed(sealed), piece))
                })
                .await
            }
        }
    }
}

/// The name is taken by something else.
pub(in crate::wal) fn other_content(
    what: &dyn std::fmt::Display,
    tier: &TierName,
) -> ProviderError {
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
