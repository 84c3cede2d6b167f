//! An engine whose database is a text; its format's own reader counts lines.

use async_trait::async_trait;
use model::{
    Expectations,
    manifest::{Compression, TableExpectation},
};
use providers::{
    api::{
        Capture, CaptureObject, CaptureRequest, CaptureSummary, Check, Engine, ProviderError,
        ReadRequest, RestoreRequest, RestoreTarget, Restored, Result, SourceFacts,
    },
    stream,
};
use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// The database and what was restored from its points.
#[derive(Debug)]
pub struct TextEngine {
    content: Mutex<String>,
    pub captures: AtomicU64,
    pub fail_at_end: AtomicBool,
    pub hang: AtomicBool,
    woken: tokio::sync::Notify,
    pub stop_reading_early: AtomicBool,
    pub restored: Mutex<BTreeMap<String, String>>,
    /// The log that the next point says it needs.
    pub wal: Mutex<Option<model::wal::WalSpan>>,
}

impl TextEngine {
    pub fn new(content: &str) -> Self {
        Self {
            content: Mutex::new(content.to_owned()),
            captures: AtomicU64::new(0),
            fail_at_end: AtomicBool::new(false),
            hang: AtomicBool::new(false),
            woken: tokio::sync::Notify::new(),
            stop_reading_early: AtomicBool::new(false),
            restored: Mutex::new(BTreeMap::new()),
            wal: Mutex::new(None),
        }
    }

    pub fn set(&self, content: &str) {
        content.clone_into(&mut self.content.lock().unwrap());
    }

    /// Lets a hanging capture go on.
    pub fn wake(&self) {
        self.hang.store(false, Ordering::Relaxed);
        self.woken.notify_one();
    }

    pub fn restored(&self, target: &str) -> Option<String> {
        self.restored.lock().unwrap().get(target).cloned()
    }
}

struct TextCapture {
    objects: Vec<CaptureObject>,
    summary: CaptureSummary,
    fails: bool,
}

#[async_trait]
impl Capture for TextCapture {
    async fn next_object(&mut self) -> Result<Option<CaptureObject>> {
        Ok(self.objects.pop())
    }

    async fn finish(self: Box<Self>) -> Result<CaptureSummary> {
        if self.fails {
            return Err(ProviderError::new(
                "mainstay::text::failed",
                model::Disposition::Permanent,
                "the dump program ended with status 1",
            ));
        }
        Ok(self.summary)
    }
}

#[async_trait]
impl Engine for TextEngine {
    fn kind(&self) -> &'static str {
        "text"
    }

    async fn probe(&self) -> Result<SourceFacts> {
        Ok(SourceFacts::default())
    }

    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>> {
        if self.hang.load(Ordering::Relaxed) {
            self.woken.notified().await;
        }
        self.captures.fetch_add(1, Ordering::Relaxed);
        let content = self.content.lock().unwrap().clone();
        let rows = Some(content.lines().count() as u64);
        let object = |role, stem, text: String, compression| {
            CaptureObject::new(role, stem, "text", Cursor::new(text))
                .compressed(Some(compression), None)
        };
        Ok(Box::new(TextCapture {
            // Taken from the end.
            objects: vec![
                object(
                    "globals",
                    "globals.txt",
                    "roles\n".to_owned(),
                    Compression::Gzip,
                ),
                object("data", "data.txt", content, Compression::Zstd),
            ],
            summary: CaptureSummary {
                wal: *self.wal.lock().unwrap(),
                captured_at: request.now,
                source: BTreeMap::new(),
                expectations: Expectations {
                    tables: BTreeMap::from([(
                        "lines".to_owned(),
                        TableExpectation { rows, exact: true },
                    )]),
                },
            },
            fails: self.fail_at_end.load(Ordering::Relaxed),
        }))
    }

    async fn read_through(&self, request: ReadRequest) -> Result<Vec<Check>> {
        if self.stop_reading_early.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let (text, rows) = read_all(request.objects, &request.manifest).await?;
        Ok(vec![row_check(&text, rows)])
    }

    async fn restore(&self, request: RestoreRequest) -> Result<Restored> {
        let (text, rows) = read_all(request.objects, &request.manifest).await?;
        let checks = vec![row_check(&text, rows)];
        let target = match request.target {
            RestoreTarget::Scratch => "scratch".to_owned(),
            RestoreTarget::Named(name) => {
                let mut restored = self.restored.lock().unwrap();
                if restored.contains_key(&name) && !request.replace {
                    return Err(ProviderError::new(
                        "mainstay::text::target-exists",
                        model::Disposition::NeedsOperator,
                        format!("`{name}` exists"),
                    ));
                }
                restored.insert(name.clone(), text);
                name
            }
        };
        Ok(Restored {
            reached: model::recovery_record::Reached::default(),
            target,
            phases: vec![("load".to_owned(), 1), ("checks".to_owned(), 1)],
            checks,
            notes: Vec::new(),
        })
    }

    async fn clean_leftovers(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

fn row_check(text: &str, expected: Option<u64>) -> Check {
    let found = text.lines().count() as u64;
    Check {
        what: "rows of lines".to_owned(),
        passed: Some(found) == expected,
        detail: format!("found {found}, expected {expected:?}"),
    }
}

async fn read_all(
    objects: Vec<providers::api::PlainObject>,
    manifest: &model::Manifest,
) -> Result<(String, Option<u64>)> {
    let rows = manifest.expectations.tables["lines"].rows;
    let text = tokio::task::spawn_blocking(move || {
        let mut data = String::new();
        for mut object in objects {
            let mut text = String::new();
            object
                .stream
                .read_to_string(&mut text)
                .map_err(stream::provider_error)?;
            if object.role == "data" {
                data = text;
            }
        }
        Ok::<_, ProviderError>(data)
    })
    .await
    .unwrap()?;
    Ok((text, rows))
}
