//! The audit: who did what, why and when, for ever, as a chain (`model::audit`). The databases themselves refuse to change or delete a
//! row of it.
//!
//! Invariant: numbers have no gaps and no entry has two followers, also when several programs append at once: whoever appends changes
//! the only row of `audit_head` first, which the others wait for, and the tables hold no number and no predecessor twice.
//! Not here: carrying the entries to the tiers and comparing (`executor`).

pub(crate) mod adopt;
mod exports;

pub use exports::AuditExport;
pub use model::audit::{AuditDetails, AuditEntry, AuditKind, ChainedEntry};

use crate::{
    catalog::Catalog,
    connection::{Row, Transaction, signed},
    error::CatalogError,
    identity,
};
use jiff::Timestamp;
use model::{
    Digest,
    audit::chain::{self, beginning},
    canonical,
};

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// Digest of the last entry; before the first one that of the beginning.
    pub digest: Digest,
    /// Number of the last entry; 0 before the first.
    pub sequence: u64,
}

impl Catalog {
    /// Appends an entry. The acts that the catalog itself records (deletions, holds, recoveries, runs and their policies, tiers,
    /// verifications) need no call. A repeat after a lost answer appends a second one.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<(), CatalogError> {
        let mut transaction = self.write("audit").await?;
        append(&mut transaction, entry).await?;
        transaction.commit().await
    }

    /// Appends an entry unless one of the same kind, on the same, for the same reason is there; whether it did.
    pub async fn audit_once(&self, entry: &AuditEntry) -> Result<bool, CatalogError> {
        let mut transaction = self.write("audit_once").await?;
        let same = transaction
            .rows(
                "SELECT 1 FROM audit WHERE kind = $1 AND what = $2 AND why = $3 LIMIT 1",
                &[
                    entry.kind.as_str().into(),
                    entry.what.as_str().into(),
                    entry.why.as_str().into(),
                ],
            )
            .await?;
        if same.is_empty() {
            append(&mut transaction, entry).await?;
        }
        transaction.commit().await?;
        Ok(same.is_empty())
    }

    /// The newest `limit` entries, oldest of them first.
    pub async fn audit_entries(&self, limit: u64) -> Result<Vec<AuditEntry>, CatalogError> {
        let mut transaction = self.read("audit_entries").await?;
        let rows = transaction
            .rows(
                "SELECT sequence, at, who, kind, what, why, details, previous, digest FROM audit ORDER BY sequence DESC LIMIT $1",
                &[signed(limit).into()],
            )
            .await?;
        rows.iter()
            .rev()
            .map(|row| {
                let entry = chained(row)?;
                let kind = entry.kind.parse();
                Ok(AuditEntry {
                    details: entry.typed(),
                    at: entry.at,
                    who: entry.who,
                    kind: kind.map_err(|_| row.bad("a kind of audit entry"))?,
                    what: entry.what,
                    why: entry.why,
                })
            })
            .collect()
    }

    /// The end of the chain, as the catalog remembers it apart from the entries.
    pub async fn audit_head(&self) -> Result<AuditHead, CatalogError> {
        let mut transaction = self.read("audit_head").await?;
        let row = transaction
            .row("SELECT sequence, digest FROM audit_head WHERE id = 1", &[])
            .await?;
        let Some(row) = row else {
            return Err(transaction.corrupt(NO_HEAD));
        };
        head(&mut transaction, &row).await
    }

    /// Up to `limit` entries behind number `after`, in order, as they stand in the table: nothing is checked. Entries are only ever
    /// appended, so page after page up to a head that was read before is one state of the audit.
    pub async fn audit_page(
        &self,
        after: u64,
        limit: u64,
    ) -> Result<Vec<ChainedEntry>, CatalogError> {
        let mut transaction = self.read("audit_page").await?;
        let rows = transaction
            .rows(
                "SELECT sequence, at, who, kind, what, why, details, previous, digest FROM audit \
                 WHERE sequence > $1 ORDER BY sequence LIMIT $2",
                &[signed(after).into(), signed(limit).into()],
            )
            .await?;
        rows.iter().map(chained).collect()
    }
}

const NO_HEAD: &str = "the end of its audit is not remembered";

/// Appends an entry in the transaction of the act itself. The last thing before the commit: others wait for it.
pub(crate) async fn append(
    transaction: &mut Transaction,
    entry: &AuditEntry,
) -> Result<(), CatalogError> {
    let row = transaction
        .row(
            "UPDATE audit_head SET sequence = sequence + 1 WHERE id = 1 RETURNING sequence - 1, digest",
            &[],
        )
        .await?;
    let Some(row) = row else {
        return Err(transaction.corrupt(NO_HEAD));
    };
    let last = head(transaction, &row).await?;
    let next = follow(transaction, &last, entry)?;
    let details = text_of(transaction, &next)?;
    transaction
        .execute(
            "INSERT INTO audit (sequence, at, who, kind, what, why, details, previous, digest) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                signed(next.sequence).into(),
                next.at.into(),
                next.who.as_str().into(),
                next.kind.as_str().into(),
                next.what.as_str().into(),
                next.why.as_str().into(),
                details.as_deref().into(),
                next.previous.as_str().into(),
                next.digest.as_str().into(),
            ],
        )
        .await?;
    transaction
        .execute(
            "UPDATE audit_head SET digest = $1 WHERE id = 1",
            &[next.digest.as_str().into()],
        )
        .await?;
    Ok(())
}

async fn head(transaction: &mut Transaction, row: &Row) -> Result<AuditHead, CatalogError> {
    let sequence = row.natural(0)?;
    let digest = match sequence {
        0 => beginning(&identity::read(transaction).await?),
        _ => row.get::<String>(1)?.into(),
    };
    Ok(AuditHead { digest, sequence })
}

/// The entry that comes next in the chain.
fn follow(
    transaction: &Transaction,
    last: &AuditHead,
    entry: &AuditEntry,
) -> Result<ChainedEntry, CatalogError> {
    let details = match &entry.details {
        Some(details) => {
            let details = serde_json::to_value(details)
                .map_err(|_| transaction.corrupt("details of an act cannot be written"))?;
            Some(canonical::sorted(&details))
        }
        None => None,
    };
    let mut next = ChainedEntry {
        // As the table keeps it.
        at: Timestamp::from_microsecond(entry.at.as_microsecond()).unwrap_or(entry.at),
        details,
        digest: last.digest.clone(),
        format: chain::FORMAT.to_owned(),
        kind: entry.kind.as_str().to_owned(),
        previous: last.digest.clone(),
        sequence: last.sequence + 1,
        what: entry.what.clone(),
        who: entry.who.clone(),
        why: entry.why.clone(),
    };
    next.digest = next.computed();
    Ok(next)
}

fn text_of(
    transaction: &Transaction,
    entry: &ChainedEntry,
) -> Result<Option<String>, CatalogError> {
    let text = entry.details.as_ref().map(serde_json::to_string);
    text.transpose()
        .map_err(|_| transaction.corrupt("details of an act cannot be written"))
}

/// An entry as it stands in its row. What cannot be what was written is kept so that its digest tells, instead of ending the reading.
pub(crate) fn chained(row: &Row) -> Result<ChainedEntry, CatalogError> {
    let details = row.get::<Option<String>>(6)?.map(|text| {
        let read = serde_json::from_str(&text).map(|value| canonical::sorted(&value));
        match read {
            Ok(value) if serde_json::to_string(&value).is_ok_and(|again| again == text) => value,
            _ => serde_json::Value::String(text),
        }
    });
    Ok(ChainedEntry {
        at: Timestamp::from_microsecond(row.get(1)?).unwrap_or(Timestamp::UNIX_EPOCH),
        details,
        digest: row.get::<String>(8)?.into(),
        format: chain::FORMAT.to_owned(),
        kind: row.get(3)?,
        previous: row.get::<String>(7)?.into(),
        sequence: row.natural(0)?,
        what: row.get(4)?,
        who: row.get(2)?,
        why: row.get(5)?,
    })
}
