//! A tier whose calls, writers and readers fail as [`Faults`] say.

use super::faults::{Faults, When};
use crate::api::{
    Attestation, ControlTag, Expected, NewObject, ObjectInfo, ObjectKey, ObjectReader,
    ObjectWriter, PlaceInStore, ProbeResult, Protection, Readiness, Result, Tier, TierState,
};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use model::{Capabilities, LockOrder, StoredObject, ThawOrder, TierName};
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

    async fn create(&self, key: &ObjectKey, new: NewObject) -> Result<Box<dyn ObjectWriter>> {
        let what = self.call(&format!("create {key}"));
        let inner = self
            .faults
            .around(&what, self.inner.create(key, new))
            .await?;
        Ok(Box::new(FaultyWriter {
            inner,
            faults: self.faults.clone(),
            what,
            written: 0,
        }))
    }

    async fn open_at(&self, key: &ObjectKey, offset: u64) -> Result<Box<dyn ObjectReader>> {
        let what = self.call(&format!("open {key}"));
        let inner = self
            .faults
            .around(&what, self.inner.open_at(key, offset))
            .await?;
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

    async fn ensure_durable(&self, key: &ObjectKey) -> Result<()> {
        let what = self.call(&format!("ensure_durable {key}"));
        self.faults
            .around(&what, self.inner.ensure_durable(key))
            .await
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

    async fn read_control(&self, key: &ObjectKey) -> Result<Option<(Bytes, ControlTag)>> {
        let what = self.call(&format!("read_control {key}"));
        self.faults
            .around(&what, self.inner.read_control(key))
            .await
    }

    async fn write_control(
        &self,
        key: &ObjectKey,
        content: Bytes,
        expected: Expected,
        lock: Option<LockOrder>,
    ) -> Result<ControlTag> {
        let what = self.call(&format!("write_control {key}"));
        self.faults
            .around(
                &what,
                self.inner.write_control(key, content, expected, lock),
            )
            .await
    }

    async fn readiness(&self, key: &ObjectKey) -> Result<Readiness> {
        let what = self.call(&format!("readiness {key}"));
        self.faults.around(&what, self.inner.readiness(key)).await
    }

    async fn thaw(&self, key: &ObjectKey, order: &ThawOrder) -> Result<Readiness> {
        let what = self.call(&format!("thaw {key}"));
        self.faults.around(&what, self.inner.thaw(key, order)).await
    }

    async fn attest(&self, key: &ObjectKey, object: &StoredObject) -> Result<Attestation> {
        let what = self.call(&format!("attest {key}"));
        self.faults
            .around(&what, self.inner.attest(key, object))
            .await
    }

    async fn protection(&self, key: &ObjectKey) -> Result<Protection> {
        let what = self.call(&format!("protection {key}"));
        self.faults.around(&what, self.inner.protection(key)).await
    }

    async fn extend_lock(&self, key: &ObjectKey, order: &LockOrder) -> Result<Timestamp> {
        let what = self.call(&format!("extend_lock {key}"));
        self.faults
            .around(&what, self.inner.extend_lock(key, order))
            .await
    }

    async fn set_legal_hold(&self, key: &ObjectKey, held: bool) -> Result<()> {
        let what = self.call(&format!("set_legal_hold {key}"));
        self.faults
            .around(&what, self.inner.set_legal_hold(key, held))
            .await
    }

    async fn copy_from(
        &self,
        source: &dyn Tier,
        key: &ObjectKey,
        object: &StoredObject,
        new: NewObject,
    ) -> Result<Option<ObjectInfo>> {
        let what = self.call(&format!("copy_from {key}"));
        self.faults
            .around(&what, self.inner.copy_from(source, key, object, new))
            .await
    }

    fn place_in_store(&self) -> Option<PlaceInStore> {
        self.inner.place_in_store()
    }

    async fn probe(&self) -> Result<Vec<ProbeResult>> {
        let what = self.call("probe");
        self.faults.around(&what, self.inner.probe()).await
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
