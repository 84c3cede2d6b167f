//! `engine = "files"`: configuration files and folders, method `archive`.
//!
//! One tar (POSIX names, GNU long names) with owners, modes and times; links are kept as links. Sensitive values are covered
//! because the whole object is encrypted; `encrypt-fields` additionally stores a readable copy for review, in which the values
//! of matching fields are replaced.
//!
//! What it does not promise: that several files are of the same instant. Each file is: one that changes while it is read is
//! read again, and fails the capture if it goes on changing.
//!
//! Files: `config` keys, `select` what belongs to it, `capture`, `document`, `redact` and `suspect` the readable copy, `read_through`, `restore`, `tree`
//! writing below a folder without ever leaving it, `errors`.

mod capture;
pub mod config;
mod document;
mod errors;
mod read_through;
mod redact;
mod restore;
mod select;
mod suspect;
#[cfg(test)]
mod tests;
mod tree;

use crate::{
    api::{
        Capture, CaptureRequest, Check, Engine, ReadRequest, RestoreRequest, Restored, Result,
        SourceFacts,
    },
    registry::EngineEntry,
};
use async_trait::async_trait;
use config::FilesArchive;
pub use config::FilesDatabase;
use model::ByteCount;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Value of `engine`.
pub const KIND: &str = "files";
/// Its only method.
pub const METHOD: &str = "archive";
/// What the stored bytes are.
const CONTENT: &str = "tar";

/// What the registry knows of this engine.
pub(crate) fn entry() -> EngineEntry {
    let method = config::method();
    EngineEntry {
        kind: KIND,
        database_schema: schemars::schema_for!(FilesDatabase).to_value(),
        methods: [(
            method.clone(),
            schemars::schema_for!(FilesArchive).to_value(),
        )]
        .into(),
        default_method: method,
        incremental: Vec::new(),
        rolls_forward: Vec::new(),
        check_database: config::check_database,
        check_series: config::check_series,
        adopts: &[],
        recognise: |_| None,
        restore_only: |_| Some(serde_json::json!({"paths": ["."]})),
        build: |table, base| {
            Ok(Arc::new(FilesEngine {
                config: FilesDatabase::read(table)?,
                base: base.to_owned(),
            }))
        },
    }
}

/// The engine of one set of files.
#[derive(Debug)]
pub struct FilesEngine {
    config: FilesDatabase,
    base: PathBuf,
}

#[async_trait]
impl Engine for FilesEngine {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn probe(&self) -> Result<SourceFacts> {
        let (config, base) = (self.config.clone(), self.base.clone());
        blocking(move || {
            let selected = select::select(&config, &base)?;
            Ok(SourceFacts {
                facts: BTreeMap::from([("entries".to_owned(), selected.found.len().to_string())]),
                bytes: Some(ByteCount(selected.bytes)),
            })
        })
        .await
    }

    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>> {
        let (config, base) = (self.config.clone(), self.base.clone());
        let capture = blocking(move || capture::start(&config, &base, &request)).await?;
        Ok(Box::new(capture))
    }

    async fn read_through(&self, request: ReadRequest) -> Result<Vec<Check>> {
        blocking(move || read_through::run(request)).await
    }

    async fn restore(&self, request: RestoreRequest) -> Result<Restored> {
        blocking(move || restore::run(request)).await
    }

    /// Unfinished restores lie beside their target, which only a person knows; the next restore there removes them.
    async fn clean_leftovers(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// Runs work on a blocking thread. A panic goes on in the caller.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(errors::stopped()),
        },
    }
}
