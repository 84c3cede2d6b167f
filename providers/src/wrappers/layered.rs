//! A tier with one layer around it: passes every call on, and lets the layer stand around calls, readers and writers.
//!
//! Invariant: no method of the contract is left to its default, or a wrapped tier would say "cannot" of what it can. Not here: what
//! a layer does (`throttle`, `flipped_tier`, `faulty_tier`); and [`super::ReadOnlyTier`], which says of each method by itself that it
//! is refused, so that a new one is not passed on by mistake.

use crate::api::{
    Attestation, ControlTag, Expected, NewObject, ObjectInfo, ObjectKey, ObjectReader,
    ObjectWriter, PlaceInStore, ProbeResult, Protection, Readiness, Result, Tier, TierState,
};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use model::{Capabilities, LockOrder, StoredObject, ThawOrder, TierName};
use std::{fmt, sync::Arc};

/// One call of the contract that does something.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Name of the method; `open` for both ways to open.
    pub method: &'static str,
    /// The key or the prefix; empty for a call on the tier as a whole.
    pub on: &'a str,
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.on)
    }
}

/// What a layer does; each method leaves all as it is unless a layer says otherwise.
pub trait Layer: fmt::Debug + Send + Sync {
    /// Makes a call, or fails in its stead.
    fn around<T: Send>(
        &self,
        _call: Call<'_>,
        made: impl Future<Output = Result<T>> + Send,
    ) -> impl Future<Output = Result<T>> + Send {
        made
    }

    /// The reader of an object that was opened at `offset`.
    fn reader(
        &self,
        _key: &ObjectKey,
        _offset: u64,
        inner: Box<dyn ObjectReader>,
    ) -> Box<dyn ObjectReader> {
        inner
    }

    /// The writer of an object that was begun.
    fn writer(&self, _key: &ObjectKey, inner: Box<dyn ObjectWriter>) -> Box<dyn ObjectWriter> {
        inner
    }
}

/// A tier behind a layer.
#[derive(Debug)]
pub struct LayeredTier<L> {
    inner: Arc<dyn Tier>,
    layer: L,
}

impl<L: Layer> LayeredTier<L> {
    /// Lays `layer` around a tier.
    pub fn over(inner: Arc<dyn Tier>, layer: L) -> Self {
        Self { inner, layer }
    }

    async fn on<T: Send>(
        &self,
        method: &'static str,
        on: &str,
        made: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        self.layer.around(Call { method, on }, made).await
    }
}

#[async_trait]
impl<L: Layer> Tier for LayeredTier<L> {
    fn name(&self) -> &TierName {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn observe(&self) -> Result<TierState> {
        self.on("observe", "", self.inner.observe()).await
    }

    async fn initialise(&self, identity: &str) -> Result<String> {
        let made = self.inner.initialise(identity);
        self.on("initialise", "", made).await
    }

    async fn create(&self, key: &ObjectKey, new: NewObject) -> Result<Box<dyn ObjectWriter>> {
        let made = self.inner.create(key, new);
        let inner = self.on("create", key.as_str(), made).await?;
        Ok(self.layer.writer(key, inner))
    }

    async fn open_at(&self, key: &ObjectKey, offset: u64) -> Result<Box<dyn ObjectReader>> {
        let made = self.inner.open_at(key, offset);
        let inner = self.on("open", key.as_str(), made).await?;
        Ok(self.layer.reader(key, offset, inner))
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>> {
        self.on("stat", key.as_str(), self.inner.stat(key)).await
    }

    async fn ensure_durable(&self, key: &ObjectKey) -> Result<()> {
        let made = self.inner.ensure_durable(key);
        self.on("ensure_durable", key.as_str(), made).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.on("list", prefix, self.inner.list(prefix)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<bool> {
        self.on("delete", key.as_str(), self.inner.delete(key))
            .await
    }

    async fn clean_leftovers(&self, prefix: &str) -> Result<Vec<String>> {
        let made = self.inner.clean_leftovers(prefix);
        self.on("clean_leftovers", prefix, made).await
    }

    async fn read_control(&self, key: &ObjectKey) -> Result<Option<(Bytes, ControlTag)>> {
        let made = self.inner.read_control(key);
        self.on("read_control", key.as_str(), made).await
    }

    async fn write_control(
        &self,
        key: &ObjectKey,
        content: Bytes,
        expected: Expected,
        lock: Option<LockOrder>,
    ) -> Result<ControlTag> {
        let made = self.inner.write_control(key, content, expected, lock);
        self.on("write_control", key.as_str(), made).await
    }

    async fn readiness(&self, key: &ObjectKey) -> Result<Readiness> {
        self.on("readiness", key.as_str(), self.inner.readiness(key))
            .await
    }

    async fn thaw(&self, key: &ObjectKey, order: &ThawOrder) -> Result<Readiness> {
        self.on("thaw", key.as_str(), self.inner.thaw(key, order))
            .await
    }

    async fn attest(&self, key: &ObjectKey, object: &StoredObject) -> Result<Attestation> {
        self.on("attest", key.as_str(), self.inner.attest(key, object))
            .await
    }

    async fn protection(&self, key: &ObjectKey) -> Result<Protection> {
        self.on("protection", key.as_str(), self.inner.protection(key))
            .await
    }

    async fn extend_lock(&self, key: &ObjectKey, order: &LockOrder) -> Result<Timestamp> {
        let made = self.inner.extend_lock(key, order);
        self.on("extend_lock", key.as_str(), made).await
    }

    async fn set_legal_hold(&self, key: &ObjectKey, held: bool) -> Result<()> {
        let made = self.inner.set_legal_hold(key, held);
        self.on("set_legal_hold", key.as_str(), made).await
    }

    async fn copy_from(
        &self,
        source: &dyn Tier,
        key: &ObjectKey,
        object: &StoredObject,
        new: NewObject,
    ) -> Result<Option<ObjectInfo>> {
        let made = self.inner.copy_from(source, key, object, new);
        self.on("copy_from", key.as_str(), made).await
    }

    fn place_in_store(&self) -> Option<PlaceInStore> {
        self.inner.place_in_store()
    }

    async fn probe(&self) -> Result<Vec<ProbeResult>> {
        self.on("probe", "", self.inner.probe()).await
    }
}
