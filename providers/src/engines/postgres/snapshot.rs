//! One exported snapshot for the dump and for the counts: a transaction that stays open until the dump has ended.
//!
//! Invariant: [`Snapshot::end`] is good only if the transaction lived to the end; a lost connection is an error, because
//! nobody can say then whether dump and counts saw the same state.
//! Standbys export snapshots as well (PostgreSQL 10 and newer).

use super::{
    connection::{Address, run, text, texts},
    expectations::{self, Candidate},
};
use crate::api::{ProviderError, Result};
use model::{ByteCount, Disposition, Expectations, Timestamp};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio::{sync::oneshot, task::JoinHandle};

/// Network devices forget silent connections after minutes; a dump may take hours.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// A snapshot that is kept open.
#[derive(Debug)]
pub(super) struct Snapshot {
    dump_ended: Option<oneshot::Sender<()>>,
    counting: JoinHandle<Result<Expectations>>,
}

/// Opens the transaction that a snapshot will be taken in, and gives the snapshot's name and instant.
pub(super) async fn export(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<(String, Timestamp)> {
    let failed = |error| address.failed("export a snapshot of", error);
    // With row security on, a policy could hide rows from the counts; pg_dump turns it off as well and then fails loudly.
    run(
        connection,
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off",
    )
    .await
    .map_err(failed)?;
    // now() is the transaction's begin, so nothing committed before it can be missing from the snapshot.
    let sql = "SELECT pg_export_snapshot(), (extract(epoch FROM now()) * 1000000)::bigint";
    let rows = texts(connection, sql).await.map_err(failed)?;
    let row = rows.into_iter().next().unwrap_or_default();
    let at = |index: usize| row.get(index).cloned().flatten();
    let instant = at(1)
        .and_then(|text| text.parse().ok())
        .and_then(|microseconds| Timestamp::from_microsecond(microseconds).ok());
    match (at(0), instant) {
        (Some(name), Some(instant)) => Ok((name, instant)),
        _ => Err(ProviderError::new(
            "mainstay::postgres::interrupted",
            Disposition::Retry,
            format!("the server of {address} gave no snapshot"),
        )),
    }
}

impl Snapshot {
    /// Keeps an exported snapshot's transaction open, counting on it.
    pub(super) fn keep(
        connection: PgConnection,
        address: Address,
        candidates: Vec<Candidate>,
        limit: Option<ByteCount>,
    ) -> Self {
        let (dump_ended, told) = oneshot::channel();
        let counting = tokio::spawn(async move {
            count_and_wait(connection, &address, candidates, limit, told).await
        });
        Self {
            dump_ended: Some(dump_ended),
            counting,
        }
    }

    /// Waits for the counts, makes sure that the transaction is alive, and ends it.
    pub(super) async fn end(mut self) -> Result<Expectations> {
        if let Some(told) = self.dump_ended.take() {
            // Nobody listens when the counting has failed, which the next line will tell.
            let _ = told.send(());
        }
        self.outcome().await
    }

    /// Why the transaction is over before its time, if it is: `pg_dump` then complains of a snapshot that it cannot find.
    pub(super) async fn failure(mut self) -> Option<ProviderError> {
        if !self.counting.is_finished() {
            return None;
        }
        self.outcome().await.err()
    }

    async fn outcome(&mut self) -> Result<Expectations> {
        match (&mut self.counting).await {
            Ok(result) => result,
            Err(error) => Err(ProviderError::new(
                "mainstay::postgres::interrupted",
                Disposition::Retry,
                "the counting of rows was stopped",
            )
            .source(error)),
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.counting.abort();
    }
}

async fn count_and_wait(
    mut connection: PgConnection,
    address: &Address,
    candidates: Vec<Candidate>,
    limit: Option<ByteCount>,
    mut told: oneshot::Receiver<()>,
) -> Result<Expectations> {
    let expectations = expectations::count(&mut connection, address, candidates, limit).await?;
    let lost = |error| address.failed("hold the snapshot of", error);
    while let Err(_silence) = tokio::time::timeout(SIGN_OF_LIFE, &mut told).await {
        text(&mut connection, "SELECT 1").await.map_err(lost)?;
    }
    run(&mut connection, "COMMIT").await.map_err(lost)?;
    let _ = connection.close().await;
    Ok(expectations)
}
