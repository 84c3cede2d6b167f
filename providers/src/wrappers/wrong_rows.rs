//! An engine that is told to find one row more than there is: to see whether its checks notice.

use crate::api::{
    Capture, CaptureRequest, Check, Engine, ReadRequest, RestoreRequest, Restored, Result,
    SourceFacts, WalReceive, WalState,
};
use async_trait::async_trait;
use model::{Assertion, Manifest, assertion::Expect};
use std::sync::Arc;

/// Wraps an engine.
#[derive(Debug)]
pub struct WrongRowsEngine {
    inner: Arc<dyn Engine>,
}

/// What was planted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlantedRow {
    /// One row more than there is in this table.
    Table {
        /// Its name.
        name: String,
        /// Rows that there are.
        rows: u64,
    },
    /// No table's rows are counted: an assertion that cannot hold.
    Assertion,
}

impl WrongRowsEngine {
    /// Wraps an engine.
    pub fn new(inner: Arc<dyn Engine>) -> Self {
        Self { inner }
    }

    /// What is planted in the expectations of a point.
    pub fn planted(manifest: &Manifest) -> PlantedRow {
        let mut tables = manifest.expectations.tables.iter();
        let counted = tables.find_map(|(name, table)| {
            let rows = table.rows.filter(|_| table.exact)?;
            Some(PlantedRow::Table {
                name: name.clone(),
                rows,
            })
        });
        counted.unwrap_or(PlantedRow::Assertion)
    }

    /// The assertion that cannot hold.
    pub fn assertion() -> Assertion {
        Assertion {
            sql: "select 1".to_owned(),
            expect: Expect::Equals("2".to_owned()),
        }
    }
}

#[async_trait]
impl Engine for WrongRowsEngine {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    async fn probe(&self) -> Result<SourceFacts> {
        self.inner.probe().await
    }

    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>> {
        self.inner.capture(request).await
    }

    async fn read_through(&self, request: ReadRequest) -> Result<Vec<Check>> {
        self.inner.read_through(request).await
    }

    async fn restore(&self, mut request: RestoreRequest) -> Result<Restored> {
        match Self::planted(&request.manifest) {
            PlantedRow::Table { name, rows } => {
                let tables = &mut request.manifest.expectations.tables;
                if let Some(table) = tables.get_mut(&name) {
                    table.rows = Some(rows.saturating_add(1));
                }
            }
            PlantedRow::Assertion => request.asserts.push(Self::assertion()),
        }
        self.inner.restore(request).await
    }

    async fn wal_state(&self) -> Result<WalState> {
        self.inner.wal_state().await
    }

    async fn receive_wal(&self, request: WalReceive) -> Result<()> {
        self.inner.receive_wal(request).await
    }

    async fn clean_leftovers(&self) -> Result<Vec<String>> {
        self.inner.clean_leftovers().await
    }
}
