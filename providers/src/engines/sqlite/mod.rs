//! `engine = "sqlite"`: SQLite files, method `snapshot`.
//!
//! The source is opened read-only and never created, checkpointed or otherwise changed. A read transaction is held while the
//! online backup API copies into a staged file, so writers neither wait nor restart the copy; the rows of all tables are
//! counted in that same transaction, because an integrity check alone proves nothing about completeness.
//!
//! Files: `config` keys, `capture`, `read_through`, `restore` (whole files) and `tables` (selected ones), `replace` (over an
//! existing file), `checks`, `open` connections, `errors`.

mod capture;
mod checks;
pub mod config;
mod errors;
mod existing;
mod open;
mod read_through;
mod replace;
mod restore;
mod staging;
mod tables;
#[cfg(test)]
mod tests;

use crate::{
    api::{
        Capture, CaptureRequest, Check, Engine, ReadRequest, RestoreRequest, Restored, Result,
        SourceFacts,
    },
    registry::EngineEntry,
};
use async_trait::async_trait;
pub use config::SqliteDatabase;
use config::SqliteSnapshot;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Value of `engine`.
pub const KIND: &str = "sqlite";
/// Its only method.
pub const METHOD: &str = "snapshot";

/// What the registry knows of this engine.
pub(crate) fn entry() -> EngineEntry {
    let method = config::method();
    EngineEntry {
        kind: KIND,
        database_schema: schemars::schema_for!(SqliteDatabase).to_value(),
        methods: [(
            method.clone(),
            schemars::schema_for!(SqliteSnapshot).to_value(),
        )]
        .into(),
        default_method: method,
        incremental: Vec::new(),
        rolls_forward: Vec::new(),
        check_database: config::check_database,
        check_series: config::check_series,
        adopts: &[METHOD],
        recognise: existing::recognise,
        restore_only: |target| Some(serde_json::json!({"path": target})),
        build: |table, base| {
            let config = SqliteDatabase::read(table)?;
            Ok(Arc::new(SqliteEngine::new(&config, base)))
        },
    }
}

/// The engine of one SQLite file.
#[derive(Debug)]
pub struct SqliteEngine {
    path: PathBuf,
}

impl SqliteEngine {
    /// An engine for the file below `base`; no IO.
    pub fn new(config: &SqliteDatabase, base: &Path) -> Self {
        Self {
            path: base.join(&config.path),
        }
    }
}

#[async_trait]
impl Engine for SqliteEngine {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn probe(&self) -> Result<SourceFacts> {
        let path = self.path.clone();
        blocking(move |_| capture::facts(&open::source(&path)?, &path)).await
    }

    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>> {
        let path = self.path.clone();
        let capture = blocking(move |stop| capture::start(&path, &request, stop)).await?;
        Ok(Box::new(capture))
    }

    async fn read_through(&self, request: ReadRequest) -> Result<Vec<Check>> {
        blocking(move |stop| read_through::run(request, stop)).await
    }

    async fn restore(&self, request: RestoreRequest) -> Result<Restored> {
        blocking(move |stop| restore::run(request, stop)).await
    }

    async fn clean_leftovers(&self) -> Result<Vec<String>> {
        let path = self.path.clone();
        blocking(move |_| restore::clean_leftovers(&path)).await
    }
}

/// Set when nobody waits for the work any more.
type Stop = Arc<AtomicBool>;

struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs work on a blocking thread; it is told when its caller gives up. A panic goes on in the caller.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Stop) -> Result<T> + Send + 'static,
) -> Result<T> {
    let stop = Stop::default();
    let _guard = StopOnDrop(Arc::clone(&stop));
    match tokio::task::spawn_blocking(move || work(&stop)).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(errors::given_up()),
        },
    }
}
