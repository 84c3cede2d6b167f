//! PostgreSQL. Method `logical`: `pg_dump` on an exported snapshot, whose rows are counted meanwhile; restored with
//! `pg_restore` or psql under a temporary name. Method `physical`: a base backup of the whole cluster (`physical`).
//!
//! `connection` knows the server's address (from `url` and `defaults`), `binaries` the programs, `config` the keys.
//! Not here: compression, digests, storage (`stream`, `tiers`).

mod archive;
mod binaries;
mod capture;
mod checks;
mod config;
mod connection;
mod copy_scan;
mod defaults;
mod directory_tar;
mod existing;
mod expectations;
mod facts;
mod leftovers;
mod names;
mod neighbours;
mod physical;
mod read_through;
mod receive;
mod recovery;
mod restore;
pub(crate) mod session;
mod snapshot;
mod url;
mod wal_state;

use crate::{
    api::{
        Capture, CaptureRequest, Check, Engine, Neighbours, ProviderError, ReadRequest,
        RestoreRequest, Restored, Result, SourceFacts, WalReceive, WalState,
    },
    registry::EngineEntry,
    secrets,
};
use async_trait::async_trait;
use config::{DatabaseTable, SeriesTable, UrlSetting};
use connection::Address;
use model::{Disposition, MethodName};
use physical::PhysicalTable;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The engine's line in the registry.
pub(crate) fn entry() -> EngineEntry {
    #[expect(clippy::expect_used, reason = "a constant that every test run checks")]
    let [logical, physical] =
        ["logical", physical::METHOD].map(|name| MethodName::new(name).expect("a valid name"));
    EngineEntry {
        kind: "postgres",
        database_schema: schemars::schema_for!(DatabaseTable).to_value(),
        methods: BTreeMap::from([
            (
                logical.clone(),
                schemars::schema_for!(SeriesTable).to_value(),
            ),
            (
                physical.clone(),
                schemars::schema_for!(PhysicalTable).to_value(),
            ),
        ]),
        default_method: logical,
        incremental: vec![physical.clone()],
        rolls_forward: vec![physical],
        check_database: config::check_database,
        check_series: config::check_series,
        adopts: &["logical"],
        recognise: existing::recognise,
        restore_only: |target| {
            let is_url = target.starts_with("postgres://") || target.starts_with("postgresql://");
            is_url.then(|| serde_json::json!({"url": target}))
        },
        build,
    }
}

fn build(table: &Value, base: &Path) -> Result<Arc<dyn Engine>> {
    let table = config::read(table, "database")?;
    Ok(Arc::new(Postgres {
        table,
        base: base.to_owned(),
    }))
}

/// One declared PostgreSQL database.
#[derive(Debug)]
struct Postgres {
    table: DatabaseTable,
    /// Folder of the policy, where relative paths start.
    base: PathBuf,
}

impl Postgres {
    /// Where the database is; the secret is resolved at every use, because passwords change under a service.
    async fn address(&self) -> Result<Address> {
        let url = match &self.table.url {
            UrlSetting::Text(text) => config::text_url(text),
            UrlSetting::Reference(reference) => secrets::resolve(reference, &self.base).await?,
        };
        Address::of_url(&url)
    }

    fn bin_dir(&self) -> Option<PathBuf> {
        self.table
            .bin_dir
            .as_ref()
            .map(|folder| self.base.join(folder))
    }
}

#[async_trait]
impl Engine for Postgres {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn probe(&self) -> Result<SourceFacts> {
        let address = self.address().await?;
        let mut connection = address.connect().await?;
        let mut found = facts::of_server(&mut connection, &address).await?;
        let bin_dir = self.bin_dir();
        let installed = binaries::installed(bin_dir.as_deref(), "pg_dump").await;
        let chosen = binaries::for_dump(&installed, found.major, bin_dir.as_deref())?;
        found
            .facts
            .insert("tool_version".to_owned(), chosen.version.clone());
        Ok(SourceFacts {
            facts: found.facts,
            bytes: Some(found.bytes),
        })
    }

    async fn name_in_dumps(&self) -> Option<String> {
        Some(self.address().await.ok()?.database)
    }

    async fn neighbours(&self) -> Result<Option<Neighbours>> {
        neighbours::ask(&self.address().await?).await.map(Some)
    }

    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>> {
        let address = self.address().await?;
        let bin_dir = self.bin_dir();
        match request.method.as_str() {
            "logical" => {
                let series: SeriesTable = config::read(&request.options, "series")?;
                let scratch = request.scratch;
                let capture = capture::begin(address, bin_dir.as_deref(), series, scratch).await?;
                Ok(Box::new(capture))
            }
            physical::METHOD => {
                let series: PhysicalTable = config::read(&request.options, "series")?;
                physical::begin(address, bin_dir.as_deref(), series, request).await
            }
            other => Err(ProviderError::new(
                "mainstay::postgres::policy",
                Disposition::NeedsOperator,
                format!("engine `postgres` has no method `{other}`"),
            )
            .help("use method = \"logical\" or \"physical\"")),
        }
    }

    async fn read_through(&self, request: ReadRequest) -> Result<Vec<Check>> {
        if request.manifest.method.as_str() == physical::METHOD {
            return physical::read_through(request).await;
        }
        read_through::read_through(request, self.bin_dir().as_deref()).await
    }

    async fn restore(&self, request: RestoreRequest) -> Result<Restored> {
        if request.manifest.method.as_str() == physical::METHOD {
            let setting = recovery::Setting {
                // The server may be gone together with whatever held its password.
                source: self.address().await,
                bin_dir: self.bin_dir(),
                maintenance: self.table.maintenance_database.clone(),
            };
            return recovery::restore(setting, request).await;
        }
        let setting = restore::Setting {
            source: self.address().await?,
            bin_dir: self.bin_dir(),
            maintenance: self.table.maintenance_database.clone(),
        };
        restore::restore(setting, request).await
    }

    async fn wal_state(&self) -> Result<WalState> {
        wal_state::ask(&self.address().await?).await
    }

    async fn receive_wal(&self, request: WalReceive) -> Result<()> {
        receive::receive(&self.address().await?, self.bin_dir().as_deref(), request).await
    }

    async fn clean_leftovers(&self) -> Result<Vec<String>> {
        // First what needs no server: it may be gone.
        let mut removed = recovery::clean();
        let address = self.address().await?;
        let maintenance = self.table.maintenance_database.as_deref();
        removed.extend(leftovers::clean(&address, maintenance).await?);
        Ok(removed)
    }
}
