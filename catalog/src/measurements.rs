//! Measurements: how many bytes took how long, the base of promised restore times and of alarms about odd sizes.

use crate::{catalog::Catalog, connection::signed, error::CatalogError};
use jiff::Timestamp;
use model::{ByteCount, DatabaseName, SeriesName, TierName};

/// One timed piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    /// What was done: `backup`, `upload`, `verify-checksum`, `restore` …
    pub kind: String,
    /// Database concerned.
    pub database: DatabaseName,
    /// Series concerned.
    pub series: SeriesName,
    /// Tier written or read.
    pub tier: TierName,
    /// Bytes stored or read.
    pub bytes: ByteCount,
    /// Wall time.
    pub milliseconds: u64,
    /// When it ended.
    pub at: Timestamp,
}

impl Catalog {
    /// Appends a measurement. A repeat after a lost answer appends it again.
    pub async fn record_measurement(&self, measured: &Measurement) -> Result<(), CatalogError> {
        let mut transaction = self.write("record_measurement").await?;
        transaction
            .execute(
                "INSERT INTO measurements (kind, database_name, series, tier, bytes, milliseconds, at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                &[
                    measured.kind.as_str().into(),
                    measured.database.as_str().into(),
                    measured.series.as_str().into(),
                    measured.tier.as_str().into(),
                    signed(measured.bytes.0).into(),
                    signed(measured.milliseconds).into(),
                    measured.at.into(),
                ],
            )
            .await?;
        transaction.commit().await
    }

    /// The newest `limit` measurements of a series, newest first.
    pub async fn measurements(
        &self,
        database: &DatabaseName,
        series: &SeriesName,
        limit: u64,
    ) -> Result<Vec<Measurement>, CatalogError> {
        let mut transaction = self.read("measurements").await?;
        let rows = transaction
            .rows(
                "SELECT kind, database_name, series, tier, bytes, milliseconds, at FROM measurements \
                 WHERE database_name = $1 AND series = $2 ORDER BY id DESC LIMIT $3",
                &[
                    database.as_str().into(),
                    series.as_str().into(),
                    signed(limit).into(),
                ],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Measurement {
                    kind: row.get(0)?,
                    database: row.parsed(1, "a database name")?,
                    series: row.parsed(2, "a series name")?,
                    tier: row.parsed(3, "a tier name")?,
                    bytes: ByteCount(row.natural(4)?),
                    milliseconds: row.natural(5)?,
                    at: row.time(6)?,
                })
            })
            .collect()
    }
}
