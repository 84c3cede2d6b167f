//! Fails the n-th call of all IO together: engine, capture, tiers, writers, readers and catalog share one counter.
//!
//! Three kinds: the call is not made; it is made and its answer is lost; or the program dies in it, after which no call is made
//! any more until the next run.

use async_trait::async_trait;
use bytes::Bytes;
use catalog::{CallHook, CatalogError};
use model::{Disposition, KeyName, LockOrder, TierName, WrappedKey, tier_facts::Capabilities};
use providers::api::{
    Capture, CaptureObject, CaptureRequest, CaptureSummary, Check, ControlTag, Engine, Expected,
    KeyContext, KeyFacts, KeyProvider, NewObject, ObjectInfo, ObjectKey, ObjectReader,
    ObjectWriter, ProviderError, ReadRequest, RestoreRequest, Restored, Result, SourceFacts, Tier,
    TierState,
};
use providers::seal::DataKey;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::Notify;

/// When to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call is not made.
    Before,
    /// The call is made and its answer is lost.
    After,
    /// The program dies in this call.
    Death,
}

#[derive(Debug, Clone)]
pub struct Faults(Arc<State>);

#[derive(Debug)]
struct State {
    calls: AtomicU64,
    /// 0: never.
    fail_at: AtomicU64,
    fault: Mutex<Fault>,
    hit: AtomicBool,
    died: Notify,
    synced: Mutex<Vec<String>>,
}

impl Faults {
    pub fn none() -> Self {
        Self(Arc::new(State {
            calls: AtomicU64::new(0),
            fail_at: AtomicU64::new(0),
            fault: Mutex::new(Fault::Before),
            hit: AtomicBool::new(false),
            died: Notify::new(),
            synced: Mutex::default(),
        }))
    }

    /// Fails the n-th call from now on, once.
    pub fn arm(&self, n: u64, fault: Fault) {
        self.0.calls.store(0, Ordering::SeqCst);
        self.0.hit.store(false, Ordering::SeqCst);
        *self.0.fault.lock().unwrap() = fault;
        self.0.fail_at.store(n, Ordering::SeqCst);
    }

    /// Objects that were made durable after they had been found, since the last question.
    pub fn synced(&self) -> Vec<String> {
        std::mem::take(&mut self.0.synced.lock().unwrap())
    }

    /// No more faults; whether the armed one came.
    pub fn disarm(&self) -> bool {
        self.0.fail_at.store(0, Ordering::SeqCst);
        self.0.hit.load(Ordering::SeqCst)
    }

    /// Whether this call is the one that fails.
    fn is_it(&self) -> Option<Fault> {
        let n = self.0.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let fail_at = self.0.fail_at.load(Ordering::SeqCst);
        let fault = *self.0.fault.lock().unwrap();
        let dead = fault == Fault::Death && fail_at > 0 && n > fail_at;
        if n != fail_at && !dead {
            return None;
        }
        self.0.hit.store(true, Ordering::SeqCst);
        if fault == Fault::Death {
            self.0.died.notify_one();
        }
        Some(fault)
    }

    /// Returns when the program has died.
    pub async fn death(&self) {
        self.0.died.notified().await;
    }

    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let fault = || {
            ProviderError::new(
                "mainstay::test::fault",
                Disposition::Retry,
                "a fault of the test",
            )
        };
        match self.is_it() {
            None => call.await,
            Some(Fault::Death) => std::future::pending().await,
            Some(Fault::Before) => Err(fault()),
            Some(Fault::After) => {
                call.await?;
                Err(fault())
            }
        }
    }

    pub fn catalog_hook(&self) -> CallHook {
        let own = self.clone();
        Arc::new(move |call| match own.is_it() {
            None => Ok(()),
            Some(_) => Err(CatalogError::unavailable(call)),
        })
    }
}

#[derive(Debug)]
pub struct FaultyTier {
    inner: Arc<dyn Tier>,
    faults: Faults,
}

impl FaultyTier {
    pub fn new(inner: Arc<dyn Tier>, faults: Faults) -> Self {
        Self { inner, faults }
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
        self.faults.around(self.inner.observe()).await
    }
    async fn initialise(&self, identity: &str) -> Result<String> {
        self.faults.around(self.inner.initialise(identity)).await
    }
    async fn create(&self, key: &ObjectKey, new: NewObject) -> Result<Box<dyn ObjectWriter>> {
        let inner = self.faults.around(self.inner.create(key, new)).await?;
        Ok(Box::new(FaultyWriter {
            inner,
            faults: self.faults.clone(),
        }))
    }
    async fn read_control(&self, key: &ObjectKey) -> Result<Option<(Bytes, ControlTag)>> {
        self.faults.around(self.inner.read_control(key)).await
    }

    async fn write_control(
        &self,
        key: &ObjectKey,
        content: Bytes,
        expected: Expected,
        lock: Option<LockOrder>,
    ) -> Result<ControlTag> {
        self.faults
            .around(self.inner.write_control(key, content, expected, lock))
            .await
    }

    async fn open_at(&self, key: &ObjectKey, offset: u64) -> Result<Box<dyn ObjectReader>> {
        let inner = self.faults.around(self.inner.open_at(key, offset)).await?;
        Ok(Box::new(FaultyReader {
            inner,
            faults: self.faults.clone(),
        }))
    }
    async fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>> {
        self.faults.around(self.inner.stat(key)).await
    }
    async fn ensure_durable(&self, key: &ObjectKey) -> Result<()> {
        self.faults.0.synced.lock().unwrap().push(key.to_string());
        self.faults.around(self.inner.ensure_durable(key)).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.faults.around(self.inner.list(prefix)).await
    }
    async fn delete(&self, key: &ObjectKey) -> Result<bool> {
        self.faults.around(self.inner.delete(key)).await
    }
    async fn clean_leftovers(&self, prefix: &str) -> Result<Vec<String>> {
        self.faults.around(self.inner.clean_leftovers(prefix)).await
    }
}

struct FaultyWriter {
    inner: Box<dyn ObjectWriter>,
    faults: Faults,
}

#[async_trait]
impl ObjectWriter for FaultyWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.faults.around(self.inner.write(chunk)).await
    }
    async fn finish(self: Box<Self>) -> Result<ObjectInfo> {
        self.faults.around(self.inner.finish()).await
    }
    async fn abort(self: Box<Self>) -> Result<()> {
        self.faults.around(self.inner.abort()).await
    }
}

struct FaultyReader {
    inner: Box<dyn ObjectReader>,
    faults: Faults,
}

#[async_trait]
impl ObjectReader for FaultyReader {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        self.faults.around(self.inner.read()).await
    }
}

#[derive(Debug)]
pub struct FaultyEngine {
    inner: Arc<dyn Engine>,
    faults: Faults,
}

impl FaultyEngine {
    pub fn new(inner: Arc<dyn Engine>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl Engine for FaultyEngine {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
    async fn probe(&self) -> Result<SourceFacts> {
        self.faults.around(self.inner.probe()).await
    }
    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>> {
        let inner = self.faults.around(self.inner.capture(request)).await?;
        Ok(Box::new(FaultyCapture {
            inner,
            faults: self.faults.clone(),
        }))
    }
    async fn read_through(&self, request: ReadRequest) -> Result<Vec<Check>> {
        self.faults.around(self.inner.read_through(request)).await
    }
    async fn restore(&self, request: RestoreRequest) -> Result<Restored> {
        self.faults.around(self.inner.restore(request)).await
    }
    async fn clean_leftovers(&self) -> Result<Vec<String>> {
        self.faults.around(self.inner.clean_leftovers()).await
    }
}

struct FaultyCapture {
    inner: Box<dyn Capture>,
    faults: Faults,
}

#[async_trait]
impl Capture for FaultyCapture {
    async fn next_object(&mut self) -> Result<Option<CaptureObject>> {
        self.faults.around(self.inner.next_object()).await
    }
    async fn finish(self: Box<Self>) -> Result<CaptureSummary> {
        self.faults.around(self.inner.finish()).await
    }
}

#[derive(Debug)]
pub struct FaultyKey {
    inner: Arc<dyn KeyProvider>,
    faults: Faults,
}

impl FaultyKey {
    pub fn new(inner: Arc<dyn KeyProvider>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl KeyProvider for FaultyKey {
    fn name(&self) -> &KeyName {
        self.inner.name()
    }
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
    async fn observe(&self) -> Result<KeyFacts> {
        self.faults.around(self.inner.observe()).await
    }
    async fn wrap(&self, data_key: &DataKey, context: &KeyContext) -> Result<WrappedKey> {
        self.faults.around(self.inner.wrap(data_key, context)).await
    }
    async fn unwrap(&self, wrapped: &WrappedKey, context: &KeyContext) -> Result<DataKey> {
        self.faults
            .around(self.inner.unwrap(wrapped, context))
            .await
    }
}
