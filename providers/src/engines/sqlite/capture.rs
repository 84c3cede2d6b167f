//! Captures a consistent copy while the source is written.
//!
//! Measured on a database that is written every 1-3 ms: small steps of the backup API never finish, because each foreign
//! commit restarts them; with a read transaction held on the source's connection there is no restart and writers go on.

use super::{Stop, checks, config::SqliteSnapshot, errors, open};
use crate::api::{Capture, CaptureObject, CaptureRequest, CaptureSummary, Result, SourceFacts};
use async_trait::async_trait;
use model::{ByteCount, Expectations, Timestamp};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

/// Pages between two looks whether the work is still wanted.
const PAGES: i32 = 2048;
/// Pause when the source is locked by a writer in rollback mode.
const PAUSE: Duration = Duration::from_millis(20);
/// Such pauses until giving up: half a minute, as long as any other lock is waited for.
const PAUSES: u32 = 1500;

/// A staged copy that waits to be stored.
pub(super) struct SqliteCapture {
    staged: Option<PathBuf>,
    series: SqliteSnapshot,
    captured_at: Timestamp,
    facts: SourceFacts,
    expectations: Expectations,
}

/// Copies the source into the scratch folder and counts its rows, in one read transaction.
pub(super) fn start(path: &Path, request: &CaptureRequest, stop: &Stop) -> Result<SqliteCapture> {
    let series = SqliteSnapshot::read(&request.options)?;
    let source = open::source(path)?;
    let fail = |error| errors::sqlite(&format!("copy the database `{}`", path.display()), error);
    // The transaction begins with the first read, which also finds out whether this is a database at all.
    source
        .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")
        .map_err(fail)?;
    let pages: i64 = source
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .map_err(fail)?;
    if pages == 0 {
        return Err(errors::empty(path));
    }
    let facts = facts(&source, path)?;
    let staged = request.scratch.join("data.sqlite");
    let mut copy = open::fresh(&staged)
        .map_err(|error| errors::sqlite("make the staged copy of a database", error))?;
    copy_pages(&source, &mut copy, path, stop)?;
    drop(copy);
    let expectations = checks::expectations(&source).map_err(fail)?;
    source.execute_batch("COMMIT").map_err(fail)?;
    Ok(SqliteCapture {
        staged: Some(staged),
        series,
        captured_at: request.now,
        facts,
        expectations,
    })
}

fn copy_pages(source: &Connection, copy: &mut Connection, path: &Path, stop: &Stop) -> Result<()> {
    let fail = |error| errors::sqlite(&format!("copy the database `{}`", path.display()), error);
    let backup = Backup::new(source, copy).map_err(fail)?;
    let mut pauses = 0;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(errors::given_up());
        }
        match backup.step(PAGES).map_err(fail)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Busy, Locked: a writer in rollback mode waits for us or we for it.
            _ if pauses < PAUSES => {
                pauses += 1;
                std::thread::sleep(PAUSE);
            }
            _ => {
                let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                return Err(fail(rusqlite::Error::SqliteFailure(busy, None)));
            }
        }
    }
}

/// What a look at the source gives.
pub(super) fn facts(source: &Connection, path: &Path) -> Result<SourceFacts> {
    let fail = |error| errors::sqlite(&format!("read the database `{}`", path.display()), error);
    let mut facts = BTreeMap::new();
    facts.insert("sqlite_version".to_owned(), rusqlite::version().to_owned());
    for pragma in [
        "application_id",
        "encoding",
        "journal_mode",
        "page_size",
        "user_version",
    ] {
        let value = source
            .query_row(&format!("PRAGMA {pragma}"), [], |row| {
                row.get::<_, rusqlite::types::Value>(0)
            })
            .map_err(fail)?;
        let text = match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            _ => continue,
        };
        facts.insert(pragma.to_owned(), text);
    }
    if let Some(name) = path.file_name() {
        facts.insert("file".to_owned(), name.to_string_lossy().into_owned());
    }
    let bytes = path.metadata().map(|found| ByteCount(found.len())).ok();
    if let Some(bytes) = bytes {
        facts.insert("file_bytes".to_owned(), bytes.0.to_string());
    }
    Ok(SourceFacts { facts, bytes })
}

#[async_trait]
impl Capture for SqliteCapture {
    async fn next_object(&mut self) -> Result<Option<CaptureObject>> {
        let Some(staged) = self.staged.take() else {
            return Ok(None);
        };
        let fail = |error| errors::file("read the staged copy of a database", error);
        let file = File::open(&staged).map_err(fail)?;
        let bytes = file.metadata().map_err(fail)?.len();
        let object = CaptureObject::new("data", "data.sqlite", "sqlite", file)
            .compressed(self.series.compression, self.series.compression_level)
            .expecting(Some(ByteCount(bytes)));
        Ok(Some(object))
    }

    async fn finish(self: Box<Self>) -> Result<CaptureSummary> {
        Ok(CaptureSummary {
            wal: None,
            captured_at: self.captured_at,
            source: self.facts.facts,
            expectations: self.expectations,
        })
    }
}
