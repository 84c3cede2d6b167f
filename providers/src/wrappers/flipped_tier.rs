//! A tier that shows one byte of one object wrongly: to see whether what reads it notices.
//!
//! Nothing is changed, nothing can be: what it shows of all else comes from a tier that is open for looking only.

use super::ReadOnlyTier;
use crate::api::{
    Attestation, ControlTag, Expected, NewObject, ObjectInfo, ObjectKey, ObjectReader,
    ObjectWriter, PlaceInStore, ProbeResult, Protection, Readiness, Result, Tier, TierState,
};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use model::{Capabilities, LockOrder, StoredObject, ThawOrder, TierName};
use std::sync::Arc;

/// Shows one byte with all its bits inverted.
#[derive(Debug)]
pub struct FlippedTier {
    inner: ReadOnlyTier,
    key: ObjectKey,
    position: u64,
}

impl FlippedTier {
    /// Wraps a tier; the byte at `position` of the object `key` is shown wrongly.
    pub fn new(inner: Arc<dyn Tier>, key: ObjectKey, position: u64) -> Self {
        Self {
            inner: ReadOnlyTier::new(inner),
            key,
            position,
        }
    }
}

struct FlippedReader {
    inner: Box<dyn ObjectReader>,
    /// Bytes before the wrong one; `None`: it has passed.
    left: Option<u64>,
}

#[async_trait]
impl ObjectReader for FlippedReader {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        let Some(chunk) = self.inner.read().await? else {
            return Ok(None);
        };
        let Some(left) = self.left else {
            return Ok(Some(chunk));
        };
        let length = chunk.len() as u64;
        if left >= length {
            self.left = Some(left - length);
            return Ok(Some(chunk));
        }
        self.left = None;
        let mut bytes = chunk.to_vec();
        let at = usize::try_from(left).unwrap_or(usize::MAX);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = !*byte;
        }
        Ok(Some(Bytes::from(bytes)))
    }
}

#[async_trait]
impl Tier for FlippedTier {
    fn name(&self) -> &TierName {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn observe(&self) -> Result<TierState> {
        self.inner.observe().await
    }

    async fn initialise(&self, identity: &str) -> Result<String> {
        self.inner.initialise(identity).await
    }

    async fn create(&self, key: &ObjectKey, new: NewObject) -> Result<Box<dyn ObjectWriter>> {
        self.inner.create(key, new).await
    }

    async fn open_at(&self, key: &ObjectKey, offset: u64) -> Result<Box<dyn ObjectReader>> {
        let inner = self.inner.open_at(key, offset).await?;
        let left = self.position.checked_sub(offset);
        Ok(Box::new(FlippedReader {
            inner,
            left: left.filter(|_| *key == self.key),
        }))
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>> {
        self.inner.stat(key).await
    }

    async fn ensure_durable(&self, key: &ObjectKey) -> Result<()> {
        self.inner.ensure_durable(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<bool> {
        self.inner.delete(key).await
    }

    async fn clean_leftovers(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.clean_leftovers(prefix).await
    }

    async fn read_control(&self, key: &ObjectKey) -> Result<Option<(Bytes, ControlTag)>> {
        self.inner.read_control(key).await
    }

    async fn write_control(
        &self,
        key: &ObjectKey,
        content: Bytes,
        expected: Expected,
        lock: Option<LockOrder>,
    ) -> Result<ControlTag> {
        self.inner.write_control(key, content, expected, lock).await
    }

    async fn readiness(&self, key: &ObjectKey) -> Result<Readiness> {
        self.inner.readiness(key).await
    }

    async fn thaw(&self, key: &ObjectKey, order: &ThawOrder) -> Result<Readiness> {
        self.inner.thaw(key, order).await
    }

    async fn attest(&self, key: &ObjectKey, object: &StoredObject) -> Result<Attestation> {
        self.inner.attest(key, object).await
    }

    async fn protection(&self, key: &ObjectKey) -> Result<Protection> {
        self.inner.protection(key).await
    }

    async fn extend_lock(&self, key: &ObjectKey, order: &LockOrder) -> Result<Timestamp> {
        self.inner.extend_lock(key, order).await
    }

    async fn set_legal_hold(&self, key: &ObjectKey, held: bool) -> Result<()> {
        self.inner.set_legal_hold(key, held).await
    }

    async fn copy_from(
        &self,
        source: &dyn Tier,
        key: &ObjectKey,
        object: &StoredObject,
        new: NewObject,
    ) -> Result<Option<ObjectInfo>> {
        self.inner.copy_from(source, key, object, new).await
    }

    fn place_in_store(&self) -> Option<PlaceInStore> {
        self.inner.place_in_store()
    }

    async fn probe(&self) -> Result<Vec<ProbeResult>> {
        self.inner.probe().await
    }
}
