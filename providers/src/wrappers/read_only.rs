//! A tier that cannot be changed: what plans and dry runs get, so that a mistake *cannot* write.

use crate::api::{
    Attestation, ControlTag, Expected, NewObject, ObjectInfo, ObjectKey, ObjectReader,
    ObjectWriter, PlaceInStore, ProbeResult, Protection, ProviderError, Readiness, Result, Tier,
    TierState,
};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use model::{Capabilities, Disposition, LockOrder, StoredObject, ThawOrder, TierName};
use std::sync::Arc;

/// Passes on every look and every read, refuses the rest with `mainstay::tier::read-only`.
#[derive(Debug)]
pub struct ReadOnlyTier(Arc<dyn Tier>);

impl ReadOnlyTier {
    /// Wraps a tier.
    pub fn new(tier: Arc<dyn Tier>) -> Self {
        Self(tier)
    }

    fn refuse<T>(&self, what: &str) -> Result<T> {
        Err(ProviderError::new(
            "mainstay::tier::read-only",
            Disposition::Permanent,
            format!("will not {what}: tier `{}` is open for looking only", self.0.name()),
        )
        .help("this is a mistake in Mainstay: planning and dry runs must not change a tier; please report it"))
    }
}

#[async_trait]
impl Tier for ReadOnlyTier {
    fn name(&self) -> &TierName {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn observe(&self) -> Result<TierState> {
        self.0.observe().await
    }

    async fn initialise(&self, _identity: &str) -> Result<String> {
        self.refuse("initialise the tier")
    }

    async fn create(&self, key: &ObjectKey, _new: NewObject) -> Result<Box<dyn ObjectWriter>> {
        self.refuse(&format!("write `{key}`"))
    }

    async fn open_at(&self, key: &ObjectKey, offset: u64) -> Result<Box<dyn ObjectReader>> {
        self.0.open_at(key, offset).await
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>> {
        self.0.stat(key).await
    }

    async fn ensure_durable(&self, key: &ObjectKey) -> Result<()> {
        self.refuse(&format!("sync `{key}`"))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.0.list(prefix).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<bool> {
        self.refuse(&format!("delete `{key}`"))
    }

    async fn clean_leftovers(&self, prefix: &str) -> Result<Vec<String>> {
        self.refuse(&format!("clean up below `{prefix}`"))
    }

    async fn read_control(&self, key: &ObjectKey) -> Result<Option<(Bytes, ControlTag)>> {
        self.0.read_control(key).await
    }

    async fn write_control(
        &self,
        key: &ObjectKey,
        _content: Bytes,
        _expected: Expected,
        _lock: Option<LockOrder>,
    ) -> Result<ControlTag> {
        self.refuse(&format!("replace `{key}`"))
    }

    async fn readiness(&self, key: &ObjectKey) -> Result<Readiness> {
        self.0.readiness(key).await
    }

    async fn thaw(&self, key: &ObjectKey, _order: &ThawOrder) -> Result<Readiness> {
        self.refuse(&format!("thaw `{key}`"))
    }

    async fn attest(&self, key: &ObjectKey, object: &StoredObject) -> Result<Attestation> {
        self.0.attest(key, object).await
    }

    async fn protection(&self, key: &ObjectKey) -> Result<Protection> {
        self.0.protection(key).await
    }

    async fn extend_lock(&self, key: &ObjectKey, _order: &LockOrder) -> Result<Timestamp> {
        self.refuse(&format!("lock `{key}`"))
    }

    async fn set_legal_hold(&self, key: &ObjectKey, _held: bool) -> Result<()> {
        self.refuse(&format!("hold or release `{key}`"))
    }

    async fn copy_from(
        &self,
        _source: &dyn Tier,
        key: &ObjectKey,
        _object: &StoredObject,
        _new: NewObject,
    ) -> Result<Option<ObjectInfo>> {
        self.refuse(&format!("write `{key}`"))
    }

    fn place_in_store(&self) -> Option<PlaceInStore> {
        self.0.place_in_store()
    }

    async fn probe(&self) -> Result<Vec<ProbeResult>> {
        self.refuse("probe the tier")
    }
}
