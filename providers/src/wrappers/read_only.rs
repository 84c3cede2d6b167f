//! A tier that cannot be changed: what plans and dry runs get, so that a mistake *cannot* write.

use crate::api::{
    ObjectInfo, ObjectKey, ObjectReader, ObjectWriter, ProviderError, Result, Tier, TierState,
};
use async_trait::async_trait;
use model::{ByteCount, Disposition, TierName, tier_facts::Capabilities};
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

    async fn create(
        &self,
        key: &ObjectKey,
        _expected: Option<ByteCount>,
    ) -> Result<Box<dyn ObjectWriter>> {
        self.refuse(&format!("write `{key}`"))
    }

    async fn open(&self, key: &ObjectKey) -> Result<Box<dyn ObjectReader>> {
        self.0.open(key).await
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>> {
        self.0.stat(key).await
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
}
