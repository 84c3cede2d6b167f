//! `engine = "barman"`: a server of an existing Barman installation, method `barman`.
//!
//! Barman makes and keeps the backups and the log; a recovery point is a small pointer to one of its backups, stored on tiers
//! like any other point. Barman alone decides how long its data stays: pruning a point removes the pointer, never the backup,
//! and a backup that Barman has deleted fails its point's verification.
//!
//! Files: `config` keys, `barman` runs the program, `info` what it leaves out, `pointer` the stored document, `capture`,
//! `read_through`, `arguments` of a recovery, `restore`, `server` for checks, `user`s, `leftovers`, `errors`.

mod arguments;
#[expect(
    clippy::module_inception,
    reason = "it is the program's name as well as the engine's"
)]
mod barman;
mod capture;
pub mod config;
mod errors;
mod info;
mod leftovers;
mod pointer;
mod read_through;
mod restore;
mod server;
mod user;

use crate::{
    api::{
        Capture, CaptureRequest, Check, Engine, ExistingBackup, ReadRequest, RestoreRequest,
        Restored, Result, SourceFacts,
    },
    registry::EngineEntry,
};
use async_trait::async_trait;
use barman::Barman;
use config::BarmanBackup;
pub use config::BarmanDatabase;
use model::ByteCount;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Value of `engine`.
pub const KIND: &str = "barman";
/// Its only method.
pub const METHOD: &str = "barman";

/// What the registry knows of this engine.
pub(crate) fn entry() -> EngineEntry {
    let method = config::method();
    EngineEntry {
        kind: KIND,
        database_schema: schemars::schema_for!(BarmanDatabase).to_value(),
        methods: [(
            method.clone(),
            schemars::schema_for!(BarmanBackup).to_value(),
        )]
        .into(),
        default_method: method,
        incremental: Vec::new(),
        // Over Barman's own log, which is not ours to archive.
        rolls_forward: Vec::new(),
        check_database: config::check_database,
        check_series: config::check_series,
        // Which Barman, and which server of it, only a policy says.
        adopts: &[],
        recognise: |_| None,
        restore_only: |_| None,
        build: |table, base| {
            let table = BarmanDatabase::read(table)?;
            Ok(Arc::new(BarmanEngine::new(table, base)))
        },
    }
}

/// The engine of one server of Barman.
#[derive(Debug)]
pub struct BarmanEngine {
    barman: Barman,
    table: BarmanDatabase,
    /// Folder of the policy, where relative paths start.
    base: PathBuf,
}

impl BarmanEngine {
    /// An engine; no IO.
    pub fn new(table: BarmanDatabase, base: &Path) -> Self {
        Self {
            barman: Barman::new(&table, base),
            table,
            base: base.to_owned(),
        }
    }

    fn user(&self) -> &str {
        self.table.user.as_deref().unwrap_or("barman")
    }

    fn scratch(&self) -> PathBuf {
        let folder = self.table.scratch.as_deref().unwrap_or("/var/tmp");
        self.base.join(folder)
    }
}

#[async_trait]
impl Engine for BarmanEngine {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn probe(&self) -> Result<SourceFacts> {
        let server = self.barman.show_server().await?;
        let text = |key: &str| match server.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let mut facts = BTreeMap::from([("barman_server".to_owned(), self.barman.server.clone())]);
        for (key, from) in [
            ("system_identifier", "postgres_systemid"),
            ("server_version", "server_txt_version"),
            ("barman_retention_policy", "retention_policy"),
        ] {
            facts.extend(text(from).map(|value| (key.to_owned(), value)));
        }
        Ok(SourceFacts {
            facts,
            bytes: text("current_size").and_then(|size| Some(ByteCount(size.parse().ok()?))),
        })
    }

    fn keeps_its_log(&self) -> bool {
        true
    }

    async fn existing_backups(&self) -> Result<Vec<ExistingBackup>> {
        let mut found = Vec::new();
        let server = self.barman.show_server().await?;
        for listed in self.barman.list().await? {
            if listed.status != "DONE" {
                continue;
            }
            let pointer = capture::look(&self.barman, &server, &listed.id).await?;
            found.push(ExistingBackup {
                options: serde_json::json!({"existing": listed.id}),
                name: listed.id,
                begun_at: pointer.begin_time,
                ended_at: pointer.end_time,
            });
        }
        found.sort_by_key(|backup| backup.begun_at);
        Ok(found)
    }

    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>> {
        let series = BarmanBackup::read(&request.options)?;
        let minutes = self.table.wait_for_wal_minutes.unwrap_or(60);
        let capture = capture::start(&self.barman, &series, minutes).await?;
        Ok(Box::new(capture))
    }

    async fn read_through(&self, request: ReadRequest) -> Result<Vec<Check>> {
        read_through::run(&self.barman, request).await
    }

    async fn restore(&self, request: RestoreRequest) -> Result<Restored> {
        restore::run(self, request).await
    }

    async fn clean_leftovers(&self) -> Result<Vec<String>> {
        let place = self.scratch();
        let cleaning = tokio::task::spawn_blocking(move || leftovers::clean(&place));
        cleaning
            .await
            .map_err(|_| errors::unexpected("clean", "it was given up"))?
    }
}
