//! An engine whose captures read existing files; for everything else it is the database's own engine.

use super::{
    find::ExistingFile,
    inspect::Inspected,
    tee::{Storing, Whole, damaged, open_twice},
};
use crate::api::{
    Capture, CaptureObject, CaptureRequest, CaptureSummary, Check, Engine, PlainObject,
    ProviderError, ReadRequest, RestoreRequest, Restored, Result, SourceFacts,
};
use async_trait::async_trait;
use jiff::Timestamp;
use model::{
    ByteCount, DatabaseName, Digest, Disposition, Expectations, Manifest, RecoveryPointId,
    SeriesName, manifest, manifest::Compression,
};
use serde::Deserialize as _;
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};
use tokio::task::JoinHandle;

/// The file that a point is made of.
#[derive(Debug, Clone)]
pub struct FileOfPoint {
    /// The file.
    pub file: ExistingFile,
    /// What is known of it.
    pub inspected: Inspected,
}

/// An engine whose next captures read files.
#[derive(Debug)]
pub struct AdoptingEngine {
    inner: Arc<dyn Engine>,
    database: DatabaseName,
    series: SeriesName,
    /// By slot.
    files: BTreeMap<Timestamp, FileOfPoint>,
}

impl AdoptingEngine {
    /// An engine that makes the point of each slot of this file.
    pub fn new(
        inner: Arc<dyn Engine>,
        database: DatabaseName,
        series: SeriesName,
        files: BTreeMap<Timestamp, FileOfPoint>,
    ) -> Self {
        Self {
            inner,
            database,
            series,
            files,
        }
    }

    /// What the format's own reader must know; nothing is expected, because nobody counted.
    fn manifest(&self, request: &CaptureRequest, of: &FileOfPoint) -> Manifest {
        Manifest {
            format: manifest::FORMAT.to_owned(),
            id: RecoveryPointId::new(&self.database, &self.series, request.slot),
            database: self.database.clone(),
            series: self.series.clone(),
            slot: request.slot,
            engine: self.inner.kind().to_owned(),
            method: request.method.clone(),
            parent: None,
            captured_at: of.inspected.captured.at,
            finished_at: request.now,
            source: source(of, None, &request.options),
            objects: Vec::new(),
            expectations: Expectations::default(),
            recipients: Vec::new(),
            policy_digest: Digest::sha256_of(b""),
            mainstay_version: String::new(),
            wal: None,
        }
    }
}

#[async_trait]
impl Engine for AdoptingEngine {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    async fn probe(&self) -> Result<SourceFacts> {
        self.inner.probe().await
    }

    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>> {
        let of = self.files.get(&request.slot).ok_or_else(|| {
            ProviderError::new(
                "mainstay::adopt::unreadable",
                Disposition::Permanent,
                format!("no file is known for the slot {}", request.slot),
            )
        })?;
        let words = of.inspected.recognised.words;
        let (storing, checking, whole) = open_twice(&of.file, words).await?;
        let scratch = request.scratch.join("check");
        std::fs::create_dir(&scratch).map_err(|error| {
            ProviderError::new(
                "mainstay::adopt::scratch",
                Disposition::NeedsOperator,
                "cannot make a folder in the scratch folder",
            )
            .help("make room in the scratch folder, and let this user write there")
            .source(error)
        })?;
        let reading = ReadRequest {
            manifest: self.manifest(&request, of),
            objects: vec![PlainObject {
                role: "data".to_owned(),
                content: of.inspected.recognised.content.to_owned(),
                stream: Box::new(checking),
            }],
            scratch,
        };
        let inner = Arc::clone(&self.inner);
        let check = tokio::spawn(async move { inner.read_through(reading).await });
        Ok(Box::new(FileCapture {
            of: of.clone(),
            options: request.options,
            storing: Some(storing),
            check: Some(check),
            whole,
        }))
    }

    async fn read_through(&self, request: ReadRequest) -> Result<Vec<Check>> {
        self.inner.read_through(request).await
    }

    async fn restore(&self, request: RestoreRequest) -> Result<Restored> {
        self.inner.restore(request).await
    }

    async fn clean_leftovers(&self) -> Result<Vec<String>> {
        self.inner.clean_leftovers().await
    }
}

/// A file that is read.
struct FileCapture {
    of: FileOfPoint,
    options: serde_json::Value,
    storing: Option<Storing>,
    check: Option<JoinHandle<Result<Vec<Check>>>>,
    whole: Whole,
}

impl Drop for FileCapture {
    fn drop(&mut self) {
        if let Some(check) = &self.check {
            check.abort();
        }
    }
}

#[async_trait]
impl Capture for FileCapture {
    async fn next_object(&mut self) -> Result<Option<CaptureObject>> {
        let Some(storing) = self.storing.take() else {
            return Ok(None);
        };
        let known = &self.of.inspected.recognised;
        let compression = self.options.get("compression");
        let compression = compression.and_then(|word| Compression::deserialize(word).ok());
        let level = self.options.get("compression-level");
        let level = level.and_then(serde_json::Value::as_i64);
        let expected = match self.of.inspected.compression {
            Compression::None => Some(ByteCount(self.of.file.bytes.0)),
            Compression::Gzip | Compression::Zstd => None,
        };
        let object = CaptureObject::new("data", known.file_stem, known.content, storing)
            .compressed(
                compression,
                level.and_then(|level| i32::try_from(level).ok()),
            )
            .expecting(expected);
        Ok(Some(object))
    }

    async fn finish(mut self: Box<Self>) -> Result<CaptureSummary> {
        let (file, known) = (&self.of.file, &self.of.inspected.recognised);
        // A stream that nobody took would let the reader wait for ever.
        drop(self.storing.take());
        let Some(check) = self.check.take() else {
            return Err(damaged(&file.name, known.words, "it was not read"));
        };
        let checked = match check.await {
            Ok(checked) => checked,
            Err(error) => {
                return Err(
                    damaged(&file.name, known.words, "its reader was stopped").source(error)
                );
            }
        };
        let checks = checked.map_err(|error| match error.disposition {
            // A missing program, a full scratch folder: nothing is wrong with the file.
            Disposition::NeedsOperator => error,
            _ => damaged(
                &file.name,
                known.words,
                "its own reader does not get to its end",
            )
            .source(error),
        })?;
        if let Some(failed) = checks.iter().find(|check| !check.passed) {
            return Err(damaged(
                &file.name,
                known.words,
                &format!("{}: {}", failed.what, failed.detail),
            ));
        }
        let whole = self
            .whole
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(sha256) = whole else {
            return Err(damaged(
                &file.name,
                known.words,
                "it was not read to its end",
            ));
        };
        Ok(CaptureSummary {
            captured_at: self.of.inspected.captured.at,
            source: source(&self.of, Some(&sha256), &self.options),
            expectations: Expectations::default(),
            wal: None,
        })
    }
}

/// Where the point comes from, and what the file says of itself.
fn source(
    of: &FileOfPoint,
    sha256: Option<&Digest>,
    options: &serde_json::Value,
) -> BTreeMap<String, String> {
    let known = &of.inspected.recognised;
    let mut source = known.facts.clone();
    // Not `database`: that is what an engine has asked a server.
    source.extend(
        known
            .database
            .iter()
            .map(|name| ("dump_of".to_owned(), name.clone())),
    );
    // A series of definitions alone gets such dumps.
    if let Some(content) = options.get("content").and_then(serde_json::Value::as_str) {
        source.insert("content".to_owned(), content.to_owned());
    }
    if let Some(sha256) = sha256 {
        source.insert("adopted_sha256".to_owned(), sha256.hex().to_owned());
    }
    for (name, value) in [
        ("adopted_from", of.file.name.clone()),
        ("adopted_bytes", of.file.bytes.0.to_string()),
        ("adopted_modified", of.file.modified.to_string()),
        (
            "captured_at_from",
            of.inspected.captured.from.word().to_owned(),
        ),
    ] {
        source.insert(name.to_owned(), value);
    }
    source
}
