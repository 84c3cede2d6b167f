//! Holds: a person's order not to delete a point, on any tier, until a time or until released.

use crate::{
    audit::{self, AuditDetails, AuditEntry, AuditKind},
    catalog::Catalog,
    connection::{Row, Transaction},
    error::CatalogError,
    points,
};
use jiff::Timestamp;
use model::RecoveryPointId;
use std::collections::BTreeSet;

/// An order not to delete a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Names the hold.
    pub id: u64,
    /// What may not be deleted.
    pub recovery_point: RecoveryPointId,
    /// Who ordered it.
    pub who: String,
    /// Why.
    pub why: String,
    /// When it ends by itself; `None`: only when released.
    pub until: Option<Timestamp>,
    /// When it was ordered.
    pub at: Timestamp,
}

impl Hold {
    /// Whether it still forbids deletion.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Catalog {
    /// Orders that a known point is not deleted. The same order given again (same person, reason and end) is the same hold.
    ///
    /// Errors: [`CatalogError::UnknownPoint`].
    pub async fn add_hold(
        &self,
        id: &RecoveryPointId,
        who: &str,
        why: &str,
        until: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<Hold, CatalogError> {
        let mut transaction = self.write("add_hold").await?;
        points::ensure_known(&mut transaction, id).await?;
        let open = open_holds(&mut transaction).await?;
        let same = |hold: &Hold| {
            (&hold.recovery_point, hold.who.as_str(), hold.why.as_str()) == (id, who, why)
                && hold.until.map(Timestamp::as_microsecond) == until.map(Timestamp::as_microsecond)
        };
        if let Some(hold) = open.into_iter().find(same) {
            return Ok(hold);
        }
        let row = transaction
            .row(
                "INSERT INTO holds (point, who, why, until, at) VALUES ($1, $2, $3, $4, $5) RETURNING id",
                &[id.as_str().into(), who.into(), why.into(), until.into(), at.into()],
            )
            .await?;
        let Some(row) = row else {
            return Err(transaction.corrupt("a hold has got no id"));
        };
        let hold = Hold {
            id: row.natural(0)?,
            recovery_point: id.clone(),
            who: who.to_owned(),
            why: why.to_owned(),
            until,
            at,
        };
        let entry = AuditEntry {
            at,
            who: who.to_owned(),
            kind: AuditKind::Hold,
            what: id.to_string(),
            why: why.to_owned(),
            details: Some(AuditDetails::Hold {
                hold: hold.id,
                point: id.clone(),
                until,
            }),
        };
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(hold)
    }

    /// Releases every hold of a point and gives how many there were; 0 for a repeat.
    pub async fn release_hold(
        &self,
        id: &RecoveryPointId,
        who: &str,
        why: &str,
        at: Timestamp,
    ) -> Result<u64, CatalogError> {
        let mut transaction = self.write("release_hold").await?;
        let released = transaction
            .execute(
                "UPDATE holds SET released_at = $2, released_by = $3, released_why = $4 \
                 WHERE point = $1 AND released_at IS NULL",
                &[id.as_str().into(), at.into(), who.into(), why.into()],
            )
            .await?;
        if released > 0 {
            let entry = AuditEntry {
                at,
                who: who.to_owned(),
                kind: AuditKind::Release,
                what: id.to_string(),
                why: why.to_owned(),
                details: Some(AuditDetails::Release {
                    holds: released,
                    point: id.clone(),
                }),
            };
            audit::append(&mut transaction, &entry).await?;
        }
        transaction.commit().await?;
        Ok(released)
    }

    /// Every hold that was not released, by point; also those whose time is over ([`Hold::is_active`]).
    pub async fn holds(&self) -> Result<Vec<Hold>, CatalogError> {
        let mut transaction = self.read("holds").await?;
        open_holds(&mut transaction).await
    }
}

async fn open_holds(transaction: &mut Transaction) -> Result<Vec<Hold>, CatalogError> {
    let rows = transaction
        .rows(
            "SELECT id, point, who, why, until, at FROM holds WHERE released_at IS NULL ORDER BY point, id",
            &[],
        )
        .await?;
    rows.iter().map(hold).collect()
}

/// A row that begins with `id, point, who, why, until, at`.
pub(crate) fn hold(row: &Row) -> Result<Hold, CatalogError> {
    Ok(Hold {
        id: row.natural(0)?,
        recovery_point: row.parsed(1, "a recovery point id")?,
        who: row.get(2)?,
        why: row.get(3)?,
        until: row.maybe_time(4)?,
        at: row.time(5)?,
    })
}

/// The points that are held at `now`.
pub(crate) async fn held_points(
    transaction: &mut Transaction,
    now: Timestamp,
) -> Result<BTreeSet<RecoveryPointId>, CatalogError> {
    Ok(open_holds(transaction)
        .await?
        .into_iter()
        .filter(|hold| hold.is_active(now))
        .map(|hold| hold.recovery_point)
        .collect())
}
