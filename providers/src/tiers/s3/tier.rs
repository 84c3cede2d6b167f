//! The calls of the contract: each connects, makes sure that this is the tier, and hands over to the file of its subject.

use super::{
    archive, attest,
    client::{Store, info, is_hidden},
    config::S3Config,
    control, delete, errors, leftovers, list, locks, marker, probe, reader, server_side, writer,
};
use crate::api::{
    Attestation, ControlTag, Expected, NewObject, ObjectInfo, ObjectKey, ObjectReader,
    ObjectWriter, PlaceInStore, ProbeResult, Protection, Readiness, Result, Tier, TierState,
};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use model::{
    LockOrder, StoredObject, TierName,
    tier_facts::{Capabilities, ThawOrder},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::OnceCell;

/// A bucket, or what lies below a prefix of one.
#[derive(Debug)]
pub struct S3Tier {
    name: TierName,
    config: Arc<S3Config>,
    /// Where relative files of credentials start.
    base: PathBuf,
    connected: OnceCell<Store>,
    /// The same with what the marker says; set once the marker was seen. Unlike a mount, a bucket does not go away quietly.
    marked: OnceCell<Store>,
    /// Whether it is only used when it has its marker.
    needs_marker: bool,
}

impl S3Tier {
    /// A tier; no IO.
    pub fn new(name: TierName, config: S3Config, base: &Path) -> Self {
        Self {
            name,
            config: Arc::new(config),
            base: base.to_owned(),
            connected: OnceCell::new(),
            marked: OnceCell::new(),
            needs_marker: true,
        }
    }

    /// One of which only what others have stored is read; no IO.
    pub fn foreign(name: TierName, config: S3Config, base: &Path) -> Self {
        Self {
            needs_marker: false,
            ..Self::new(name, config, base)
        }
    }

    async fn store(&self) -> Result<&Store> {
        self.connected
            .get_or_try_init(|| Store::connect(Arc::clone(&self.config), &self.base))
            .await
    }

    /// The store of a tier that has its marker.
    async fn marked(&self) -> Result<&Store> {
        self.marked
            .get_or_try_init(|| async {
                let store = self.store().await?;
                match marker::read(store).await? {
                    Some((_, facts)) => Ok(store.with_facts(facts)),
                    None if !self.needs_marker => Ok(store.clone()),
                    None => Err(errors::no_marker(&store.place())),
                }
            })
            .await
    }
}

#[async_trait]
impl Tier for S3Tier {
    fn name(&self) -> &TierName {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        self.config.capabilities()
    }

    async fn observe(&self) -> Result<TierState> {
        let store = self.store().await.map_err(errors::not_there)?;
        let found = marker::read(store).await?;
        Ok(TierState {
            identity: found.map(|(identity, _)| identity),
            space: None,
        })
    }

    async fn initialise(&self, identity: &str) -> Result<String> {
        let store = self.store().await?;
        if let Some((there, _)) = marker::read(store).await? {
            return Ok(there);
        }
        let (results, facts) = probe::run(store).await?;
        let missing: Vec<&ProbeResult> = results
            .iter()
            .filter(|result| result.needed && !result.works)
            .collect();
        if !missing.is_empty() {
            return Err(errors::unfit(&store.place(), &missing));
        }
        marker::write(&store.with_facts(facts), identity).await
    }

    async fn create(&self, key: &ObjectKey, new: NewObject) -> Result<Box<dyn ObjectWriter>> {
        let store = self.marked().await?;
        Ok(Box::new(writer::create(store.clone(), key, new).await?))
    }

    async fn open_at(&self, key: &ObjectKey, offset: u64) -> Result<Box<dyn ObjectReader>> {
        let store = self.marked().await?;
        Ok(Box::new(reader::open(store.clone(), key, offset).await?))
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>> {
        let store = self.marked().await?;
        if is_hidden(key.as_str()) {
            return Ok(None);
        }
        let head = store.head(key.as_str()).await?;
        Ok(head.map(|head| info(key.clone(), &head)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        list::objects(self.marked().await?, prefix).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<bool> {
        delete::delete(self.marked().await?, key).await
    }

    async fn clean_leftovers(&self, prefix: &str) -> Result<Vec<String>> {
        leftovers::clean(self.marked().await?, prefix).await
    }

    async fn read_control(&self, key: &ObjectKey) -> Result<Option<(Bytes, ControlTag)>> {
        control::read(self.marked().await?, key).await
    }

    async fn write_control(
        &self,
        key: &ObjectKey,
        content: Bytes,
        expected: Expected,
        lock: Option<LockOrder>,
    ) -> Result<ControlTag> {
        control::write(self.marked().await?, key, content, &expected, lock).await
    }

    async fn readiness(&self, key: &ObjectKey) -> Result<Readiness> {
        archive::readiness(self.marked().await?, key).await
    }

    async fn thaw(&self, key: &ObjectKey, order: &ThawOrder) -> Result<Readiness> {
        archive::thaw(self.marked().await?, key, order).await
    }

    async fn attest(&self, key: &ObjectKey, object: &StoredObject) -> Result<Attestation> {
        attest::attest(self.marked().await?, key, object).await
    }

    async fn protection(&self, key: &ObjectKey) -> Result<Protection> {
        locks::protection(self.marked().await?, key).await
    }

    async fn extend_lock(&self, key: &ObjectKey, order: &LockOrder) -> Result<Timestamp> {
        locks::extend(self.marked().await?, key, order).await
    }

    async fn set_legal_hold(&self, key: &ObjectKey, held: bool) -> Result<()> {
        locks::hold(self.marked().await?, key, held).await
    }

    async fn copy_from(
        &self,
        source: &dyn Tier,
        key: &ObjectKey,
        object: &StoredObject,
        new: NewObject,
    ) -> Result<Option<ObjectInfo>> {
        let (Some(from), Some(here)) = (source.place_in_store(), self.place_in_store()) else {
            return Ok(None);
        };
        if from.store != here.store || from == here {
            return Ok(None);
        }
        let store = self.marked().await?;
        server_side::copy(store, &from, key, object, new)
            .await
            .map(Some)
    }

    fn place_in_store(&self) -> Option<PlaceInStore> {
        Some(PlaceInStore {
            store: self.config.store_name(),
            bucket: self.config.bucket.clone(),
            prefix: self.config.key_prefix(),
        })
    }

    async fn probe(&self) -> Result<Vec<ProbeResult>> {
        let (results, _) = probe::run(self.store().await?).await?;
        Ok(results)
    }
}
