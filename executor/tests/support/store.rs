//! A store that vouches, archives and locks, around a real folder.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use model::{Capabilities, LockMode, LockOrder, LockRule, StoredObject, TierName};
use providers::api::{
    Attestation, ControlTag, Expected, NewObject, ObjectInfo, ObjectKey, ObjectReader,
    ObjectWriter, Protection, ProviderError, Readiness, Result, Tier, TierState,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

type Hook = Box<dyn FnOnce() + Send>;

pub struct Store {
    inner: Arc<dyn Tier>,
    /// What it says of every object.
    pub says: Mutex<Attestation>,
    /// Whether data must be thawed.
    pub archived: Mutex<bool>,
    pub protections: Mutex<BTreeMap<String, Protection>>,
    /// Done once, right before a control object is written.
    pub before_write: Mutex<Option<Hook>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    pub fn new(inner: Arc<dyn Tier>) -> Self {
        Self {
            inner,
            says: Mutex::new(Attestation::Agrees),
            archived: Mutex::new(false),
            protections: Mutex::default(),
            before_write: Mutex::new(None),
        }
    }

    pub fn protection_of(&self, key: &str) -> Protection {
        let protections = self.protections.lock().unwrap();
        protections.get(key).copied().unwrap_or_default()
    }

    pub fn protect(&self, key: &str, protection: Protection) {
        let mut protections = self.protections.lock().unwrap();
        protections.insert(key.to_owned(), protection);
    }
}

fn is_data(key: &ObjectKey) -> bool {
    std::path::Path::new(key.as_str())
        .extension()
        .is_none_or(|ending| ending != "json")
}

#[async_trait]
impl Tier for Store {
    fn name(&self) -> &TierName {
        self.inner.name()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            lock: Some(LockRule {
                mode: LockMode::Compliance,
                length: None,
            }),
            ..self.inner.capabilities()
        }
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
        if *self.archived.lock().unwrap() && is_data(key) {
            return Err(ProviderError::new(
                "mainstay::tier::archived",
                model::Disposition::NeedsOperator,
                format!("`{key}` is archived"),
            ));
        }
        self.inner.open_at(key, offset).await
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
        let hook = self.before_write.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        let tag = self
            .inner
            .write_control(key, content, expected, None)
            .await?;
        assert!(lock.is_none_or(|lock| lock.mode == LockMode::Compliance));
        // A new version: what protects the old one says nothing about it.
        self.protect(
            key.as_str(),
            Protection {
                locked_until: lock.map(|lock| lock.until),
                legal_hold: false,
            },
        );
        Ok(tag)
    }
    async fn readiness(&self, key: &ObjectKey) -> Result<Readiness> {
        Ok(if *self.archived.lock().unwrap() && is_data(key) {
            Readiness::Archived
        } else {
            Readiness::Ready { until: None }
        })
    }
    async fn attest(&self, key: &ObjectKey, _object: &StoredObject) -> Result<Attestation> {
        assert!(is_data(key), "only what the manifest names is attested");
        Ok(self.says.lock().unwrap().clone())
    }
    async fn protection(&self, key: &ObjectKey) -> Result<Protection> {
        Ok(self.protection_of(key.as_str()))
    }
    async fn extend_lock(&self, key: &ObjectKey, order: &LockOrder) -> Result<Timestamp> {
        let mut protection = self.protection_of(key.as_str());
        protection.locked_until = protection.locked_until.max(Some(order.until));
        self.protect(key.as_str(), protection);
        Ok(order.until)
    }
    async fn set_legal_hold(&self, key: &ObjectKey, held: bool) -> Result<()> {
        let mut protection = self.protection_of(key.as_str());
        protection.legal_hold = held;
        self.protect(key.as_str(), protection);
        Ok(())
    }
}
