//! A tier whose calls, writers and readers fail as [`Faults`] say.

use super::{
    faults::{Faults, When},
    layered::{Call, Layer, LayeredTier},
};
use crate::api::{ObjectInfo, ObjectKey, ObjectReader, ObjectWriter, Result, Tier};
use async_trait::async_trait;
use bytes::Bytes;
use model::TierName;
use std::sync::Arc;

/// A tier that fails.
pub type FaultyTier = LayeredTier<FaultyCalls>;

/// Fails calls, readers and writers.
#[derive(Debug)]
pub struct FaultyCalls {
    tier: TierName,
    faults: Faults,
}

impl FaultyTier {
    /// A tier that fails as `faults` say.
    pub fn new(inner: Arc<dyn Tier>, faults: Faults) -> Self {
        let tier = inner.name().clone();
        Self::over(inner, FaultyCalls { tier, faults })
    }
}

impl Layer for FaultyCalls {
    async fn around<T: Send>(
        &self,
        call: Call<'_>,
        made: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let what = format!("{}.{call}", self.tier);
        self.faults.around(what.trim_end(), made).await
    }

    fn reader(
        &self,
        key: &ObjectKey,
        _offset: u64,
        inner: Box<dyn ObjectReader>,
    ) -> Box<dyn ObjectReader> {
        Box::new(FaultyReader {
            inner,
            faults: self.faults.clone(),
            what: format!("{}.open {key}", self.tier),
        })
    }

    fn writer(&self, key: &ObjectKey, inner: Box<dyn ObjectWriter>) -> Box<dyn ObjectWriter> {
        Box::new(FaultyWriter {
            inner,
            faults: self.faults.clone(),
            what: format!("{}.create {key}", self.tier),
            written: 0,
        })
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
