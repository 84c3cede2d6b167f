//! Fails the n-th call of all IO together: engine, capture, tiers, writers, readers and catalog share one counter.
//!
//! Three kinds: the call is not made; it is made and its answer is lost; or the program dies in it, after which no call is made
//! any more until the next run.

use async_trait::async_trait;
use bytes::Bytes;
use catalog::{CallHook, CatalogError};
use model::{Disposition, KeyName, WrappedKey};
use providers::api::{
    Capture, CaptureObject, CaptureRequest, CaptureSummary, Check, Engine, KeyContext, KeyFacts,
    KeyProvider, ObjectInfo, ObjectKey, ObjectReader, ObjectWriter, ProviderError, ReadRequest,
    RestoreRequest, Restored, Result, SourceFacts, Tier,
};
use providers::seal::DataKey;
use providers::wrappers::{Call, Layer, LayeredTier};
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

    async fn or_fault<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
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

/// A tier whose calls, readers and writers fail as `faults` say.
pub fn faulty_tier(inner: Arc<dyn Tier>, faults: Faults) -> Arc<dyn Tier> {
    Arc::new(LayeredTier::over(inner, faults))
}

impl Layer for Faults {
    async fn around<T: Send>(
        &self,
        call: Call<'_>,
        made: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        if call.method == "ensure_durable" {
            self.0.synced.lock().unwrap().push(call.on.to_owned());
        }
        self.or_fault(made).await
    }

    fn reader(
        &self,
        _key: &ObjectKey,
        _offset: u64,
        inner: Box<dyn ObjectReader>,
    ) -> Box<dyn ObjectReader> {
        let faults = self.clone();
        Box::new(FaultyReader { inner, faults })
    }

    fn writer(&self, _key: &ObjectKey, inner: Box<dyn ObjectWriter>) -> Box<dyn ObjectWriter> {
        let faults = self.clone();
        Box::new(FaultyWriter { inner, faults })
    }
}

struct FaultyWriter {
    inner: Box<dyn ObjectWriter>,
    faults: Faults,
}

#[async_trait]
impl ObjectWriter for FaultyWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.faults.or_fault(self.inner.write(chunk)).await
    }
    async fn finish(self: Box<Self>) -> Result<ObjectInfo> {
        self.faults.or_fault(self.inner.finish()).await
    }
    async fn abort(self: Box<Self>) -> Result<()> {
        self.faults.or_fault(self.inner.abort()).await
    }
}

struct FaultyReader {
    inner: Box<dyn ObjectReader>,
    faults: Faults,
}

#[async_trait]
impl ObjectReader for FaultyReader {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        self.faults.or_fault(self.inner.read()).await
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
        self.faults.or_fault(self.inner.probe()).await
    }
    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>> {
        let inner = self.faults.or_fault(self.inner.capture(request)).await?;
        Ok(Box::new(FaultyCapture {
            inner,
            faults: self.faults.clone(),
        }))
    }
    async fn read_through(&self, request: ReadRequest) -> Result<Vec<Check>> {
        self.faults.or_fault(self.inner.read_through(request)).await
    }
    async fn restore(&self, request: RestoreRequest) -> Result<Restored> {
        self.faults.or_fault(self.inner.restore(request)).await
    }
    async fn clean_leftovers(&self) -> Result<Vec<String>> {
        self.faults.or_fault(self.inner.clean_leftovers()).await
    }
}

struct FaultyCapture {
    inner: Box<dyn Capture>,
    faults: Faults,
}

#[async_trait]
impl Capture for FaultyCapture {
    async fn next_object(&mut self) -> Result<Option<CaptureObject>> {
        self.faults.or_fault(self.inner.next_object()).await
    }
    async fn finish(self: Box<Self>) -> Result<CaptureSummary> {
        self.faults.or_fault(self.inner.finish()).await
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
        self.faults.or_fault(self.inner.observe()).await
    }
    async fn wrap(&self, data_key: &DataKey, context: &KeyContext) -> Result<WrappedKey> {
        self.faults
            .or_fault(self.inner.wrap(data_key, context))
            .await
    }
    async fn unwrap(&self, wrapped: &WrappedKey, context: &KeyContext) -> Result<DataKey> {
        self.faults
            .or_fault(self.inner.unwrap(wrapped, context))
            .await
    }
}
