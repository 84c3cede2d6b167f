//! An engine whose calls and captures fail as [`Faults`] say.

use super::faults::Faults;
use crate::api::{
    Capture, CaptureObject, CaptureRequest, CaptureSummary, Check, Engine, ReadRequest,
    RestoreRequest, Restored, Result, SourceFacts,
};
use async_trait::async_trait;
use std::{
    io::{self, Read},
    sync::Arc,
};

/// Wraps an engine.
#[derive(Debug)]
pub struct FaultyEngine {
    inner: Arc<dyn Engine>,
    faults: Faults,
}

impl FaultyEngine {
    /// An engine that fails as `faults` say.
    pub fn new(inner: Arc<dyn Engine>, faults: Faults) -> Self {
        Self { inner, faults }
    }

    fn call(&self, what: &str) -> String {
        format!("{}.{what}", self.inner.kind())
    }
}

#[async_trait]
impl Engine for FaultyEngine {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    async fn probe(&self) -> Result<SourceFacts> {
        let what = self.call("probe");
        self.faults.around(&what, self.inner.probe()).await
    }

    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>> {
        let what = self.call("capture");
        let inner = self
            .faults
            .around(&what, self.inner.capture(request))
            .await?;
        Ok(Box::new(FaultyCapture {
            inner,
            faults: self.faults.clone(),
            what,
        }))
    }

    async fn read_through(&self, request: ReadRequest) -> Result<Vec<Check>> {
        let what = self.call("read_through");
        self.faults
            .around(&what, self.inner.read_through(request))
            .await
    }

    async fn restore(&self, request: RestoreRequest) -> Result<Restored> {
        let what = self.call("restore");
        self.faults.around(&what, self.inner.restore(request)).await
    }

    async fn clean_leftovers(&self) -> Result<Vec<String>> {
        let what = self.call("clean_leftovers");
        self.faults
            .around(&what, self.inner.clean_leftovers())
            .await
    }
}

struct FaultyCapture {
    inner: Box<dyn Capture>,
    faults: Faults,
    what: String,
}

#[async_trait]
impl Capture for FaultyCapture {
    async fn next_object(&mut self) -> Result<Option<CaptureObject>> {
        let what = format!("{} next_object", self.what);
        let object = self.faults.around(&what, self.inner.next_object()).await?;
        Ok(object.map(|mut object| {
            let what = format!("{} stream {}", self.what, object.role);
            object.stream = Box::new(FaultyStream {
                inner: object.stream,
                left: self.faults.source_limit(),
                started: false,
                faults: self.faults.clone(),
                what,
            });
            object
        }))
    }

    async fn finish(self: Box<Self>) -> Result<CaptureSummary> {
        let what = format!("{} finish", self.what);
        self.faults.around(&what, self.inner.finish()).await
    }
}

/// Counts as one call however often it is read, so that n does not depend on the sizes of a pipe's pieces.
struct FaultyStream {
    inner: Box<dyn Read + Send>,
    left: Option<u64>,
    started: bool,
    faults: Faults,
    what: String,
}

impl Read for FaultyStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.started {
            self.started = true;
            if self.faults.strikes(&self.what).is_some() {
                return Err(io::Error::other(self.faults.error(&self.what)));
            }
        }
        let Some(left) = self.left else {
            return self.inner.read(buffer);
        };
        let room = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if room == 0 {
            return Err(io::Error::other(self.faults.error(&self.what)));
        }
        let count = self.inner.read(&mut buffer[..room])?;
        self.left = Some(left - count as u64);
        Ok(count)
    }
}
