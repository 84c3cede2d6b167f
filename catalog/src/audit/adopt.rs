//! Chains the entries that were written before there was a chain, once, when such a catalog is first opened for writing.
//!
//! Invariant: one transaction, at whose end the old table is gone; a program that dies in the middle has changed nothing, and until it
//! is done the version of the tables counts as the one before, so that nobody reads or appends.

use super::{AuditEntry, NO_HEAD, follow, head};
use crate::{
    connection::{Arg, Pool, Purpose, Transaction, signed},
    error::CatalogError,
    schema,
};
use std::sync::Arc;

/// The table of entries that are not chained yet.
pub(crate) const UNCHAINED: &str = "audit_unchained";

/// Rows of one statement; see `rebuild`.
const BATCH: usize = 64;

/// Chains what is not chained yet.
pub(crate) async fn adopt(pool: &Pool, place: &Arc<str>) -> Result<(), CatalogError> {
    let mut transaction = pool.begin(Purpose::Write, place, "open").await?;
    // Another program may be doing the same: one waits here, and finds it done.
    let row = transaction
        .row(
            "UPDATE audit_head SET sequence = sequence WHERE id = 1 RETURNING sequence, digest",
            &[],
        )
        .await?;
    if !schema::has_table(&mut transaction, pool, UNCHAINED).await? {
        return Ok(());
    }
    let Some(row) = row else {
        return Err(transaction.corrupt(NO_HEAD));
    };
    let mut last = head(&mut transaction, &row).await?;
    let mut after = 0_i64;
    loop {
        let rows = transaction
            .rows(
                "SELECT id, at, who, kind, what, why FROM audit_unchained WHERE id > $1 ORDER BY id LIMIT $2",
                &[after.into(), signed(BATCH as u64).into()],
            )
            .await?;
        let mut chained = Vec::with_capacity(rows.len());
        for row in &rows {
            after = row.get(0)?;
            let kind: String = row.get(3)?;
            let entry = AuditEntry {
                at: row.time(1)?,
                who: row.get(2)?,
                kind: kind.parse().map_err(|_| row.bad("a kind of audit entry"))?,
                what: row.get(4)?,
                why: row.get(5)?,
                details: None,
            };
            let next = follow(&transaction, &last, &entry)?;
            last.sequence = next.sequence;
            last.digest = next.digest.clone();
            chained.push(next);
        }
        if chained.is_empty() {
            break;
        }
        insert(&mut transaction, &chained).await?;
    }
    if last.sequence > 0 {
        transaction
            .execute(
                "UPDATE audit_head SET sequence = $1, digest = $2 WHERE id = 1",
                &[signed(last.sequence).into(), last.digest.as_str().into()],
            )
            .await?;
    }
    transaction
        .execute("DROP TABLE audit_unchained", &[])
        .await?;
    transaction.commit().await
}

async fn insert(
    transaction: &mut Transaction,
    chained: &[super::ChainedEntry],
) -> Result<(), CatalogError> {
    let args: Vec<Arg<'_>> = chained
        .iter()
        .flat_map(|entry| {
            [
                signed(entry.sequence).into(),
                entry.at.into(),
                entry.who.as_str().into(),
                entry.kind.as_str().into(),
                entry.what.as_str().into(),
                entry.why.as_str().into(),
                entry.previous.as_str().into(),
                entry.digest.as_str().into(),
            ]
        })
        .collect();
    transaction
        .insert_many(
            "INSERT INTO audit (sequence, at, who, kind, what, why, previous, digest) VALUES",
            8,
            &args,
            "",
        )
        .await
}
