//! A tier whose calls, writers and readers fail as [`Faults`] say.

use super::faults::{Faults, When};
use crate::api::{ObjectInfo, ObjectKey, ObjectReader, ObjectWriter, Result, Tier, TierState};
use async_trait::async_trait;
use bytes::Bytes;
use model::{ByteCount, TierName, tier_facts::Capabilities};
use std::sync::Arc;

/// Wraps a tier.
#[derive(Debug)]
pub struct FaultyTier {
    inner: Arc<dyn Tier>,
    faults: Faults,
}

impl FaultyTier {
    /// A tier that fails as `faults` say.
    pub fn new(inner: Arc<dyn Tier>, faults: Faults) -> Self {
        Self { inner, faults }
    }

    fn call(&self, what: &str) -> String {
        format!("{}.{what}", self.inner.name())
    }
}

#[async_trait]
impl Tier for FaultyTier {
    fn name(&self) -> &TierName {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn observe(&self) -> Result<TierState> {
        let what = self.call("observe");
        self.faults.around(&what, self.inner.observe()).await
    }

    async fn initialise(&self, identity: &str) -> Result<String> {
        let what = self.call("initialise");
        self.faults
            .around(&what, self.inner.initialise(identity))
            .await
    }

    async fn create(
        &self,
        key: &ObjectKey,
        expected: Option<ByteCount>,
    ) -> Result<Box<dyn ObjectWriter>> {
        let what = self.call(&format!("create {key}"));
        let inner = self
            .faults
            .around(&what, self.inner.create(key, expected))
            .await?;
        Ok(Box::new(FaultyWriter {
            inner,
            faults: self.faults.clone(),
            what,
            written: 0,
        }))
    }

    async fn open(&self, key: &ObjectKey) -> Result<Box<dyn ObjectReader>> {
        let what = self.call(&format!("open {key}"));
        let inner = self.faults.around(&what, self.inner.open(key)).await?;
        Ok(Box::new(FaultyReader {
            inner,
            faults: self.faults.clone(),
            what,
        }))
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>> {
        let what = self.call(&format!("stat {key}"));
        self.faults.around(&what, self.inner.stat(key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let what = self.call(&format!("list {prefix}"));
        self.faults.around(&what, self.inner.list(prefix)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<bool> {
        let what = self.call(&format!("delete {key}"));
        self.faults.around(&what, self.inner.delete(key)).await
    }

    async fn clean_leftovers(&self, prefix: &str) -> Result<Vec<String>> {
        let what = self.call(&format!("clean_leftovers {prefix}"));
        self.faults
            .around(&what, self.inner.clean_leftovers(prefix))
            .await
    }
}

struct FaultyWriter {
    inner: Box<dyn ObjectWriter>,
    faults: Faults,
    what: String,
    written: u64,
}

#[async_trait]
impl ObjectWriter for FaultyWriter {
    async fn write(&mut self, mut chunk: Bytes) -> Result<()> {
        let what = format!("{} write", self.what);
        let size = chunk.len() as u64;
        if let Some(limit) = self.faults.write_limit()
            && self.written + size > limit
        {
            let room = usize::try_from(limit - self.written).unwrap_or(usize::MAX);
            self.written = limit;
            let part = chunk.split_to(room.min(chunk.len()));
            self.inner.write(part).await?;
            return Err(self.faults.error(&what));
        }
        self.faults.around(&what, self.inner.write(chunk)).await?;
        self.written += size;
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<ObjectInfo> {
        let what = format!("{} finish", self.what);
        self.faults.around(&what, self.inner.finish()).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let what = format!("{} abort", self.what);
        self.faults.around(&what, self.inner.abort()).await
    }
}

struct FaultyReader {
    inner: Box<dyn ObjectReader>,
    faults: Faults,
    what: String,
}

#[async_trait]
impl ObjectReader for FaultyReader {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        let what = format!("{} read", self.what);
        // A read that fails after its effect would lose bytes that the next read cannot give: it fails before.
        match self.faults.strikes(&what) {
            None => self.inner.read().await,
            Some(When::Before | When::After) => Err(self.faults.error(&what)),
        }
    }
}
