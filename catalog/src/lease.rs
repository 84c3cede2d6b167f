//! One run at a time: a lease with a heartbeat and a fencing token.
//!
//! The token grows with every change of hands. Everything that changes copies checks it in its own transaction, so a run
//! that slept past its lease cannot write after its successor has begun. Times come from the callers' clocks: with several
//! hosts the time to live must be longer than their clocks disagree.

use crate::{
    catalog::Catalog,
    connection::{Row, Transaction, signed},
    error::CatalogError,
};
use jiff::{SignedDuration, Timestamp};

/// The right to write, until it is released, expires and is taken, or is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Fencing token; larger than that of every earlier lease.
    pub token: u64,
    /// Who holds it.
    pub holder: String,
    /// Since when.
    pub since: Timestamp,
    /// How long it lasts after the last heartbeat.
    pub ttl: SignedDuration,
}

/// What the catalog says of the current lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseState {
    /// Fencing token.
    pub token: u64,
    /// Who holds it.
    pub holder: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends unless renewed.
    pub expires: Timestamp,
}

impl Catalog {
    /// Takes the lease if nobody holds it or the holder's time is over (`expires <= at`).
    ///
    /// Errors: [`CatalogError::Locked`] with who holds it. A repeat after a lost answer finds the lease locked by its own
    /// first try: wait for the time to live, or [`Catalog::break_lease`] if the holder is the caller.
    pub async fn acquire_lease(
        &self,
        holder: &str,
        at: Timestamp,
        ttl: SignedDuration,
    ) -> Result<Lease, CatalogError> {
        let mut transaction = self.write("acquire_lease").await?;
        let row = transaction
            .row(
                "UPDATE lease SET token = token + 1, holder = $1, since = $2, expires = $3 \
                 WHERE id = 1 AND (holder IS NULL OR expires <= $2) RETURNING token",
                &[holder.into(), at.into(), end(at, ttl).into()],
            )
            .await?;
        let Some(row) = row else {
            return Err(locked(&mut transaction).await?);
        };
        let token = row.natural(0)?;
        transaction.commit().await?;
        Ok(Lease {
            token,
            holder: holder.to_owned(),
            since: at,
            ttl,
        })
    }

    /// Takes the lease from a holder that is known to be dead, if it is still the one with `previous_token`
    /// (compare-and-swap: of two that try, one succeeds).
    ///
    /// Errors: [`CatalogError::Locked`] when the lease has changed hands since.
    pub async fn break_lease(
        &self,
        previous_token: u64,
        holder: &str,
        at: Timestamp,
        ttl: SignedDuration,
    ) -> Result<Lease, CatalogError> {
        let mut transaction = self.write("break_lease").await?;
        let row = transaction
            .row(
                "UPDATE lease SET token = token + 1, holder = $1, since = $2, expires = $3 \
                 WHERE id = 1 AND token = $4 RETURNING token",
                &[
                    holder.into(),
                    at.into(),
                    end(at, ttl).into(),
                    signed(previous_token).into(),
                ],
            )
            .await?;
        let Some(row) = row else {
            return Err(locked(&mut transaction).await?);
        };
        let token = row.natural(0)?;
        transaction.commit().await?;
        Ok(Lease {
            token,
            holder: holder.to_owned(),
            since: at,
            ttl,
        })
    }

    /// Prolongs the lease to `at` + its time to live; also one that has expired, as long as nobody has taken it.
    ///
    /// Errors: [`CatalogError::LeaseLost`]. Any other error says nothing about the lease: beat again; a long call such as
    /// [`Catalog::rebuild`] may keep it waiting.
    pub async fn heartbeat(&self, lease: &Lease, at: Timestamp) -> Result<(), CatalogError> {
        let mut transaction = self.write("heartbeat").await?;
        let renewed = transaction
            .execute(
                "UPDATE lease SET expires = $2 WHERE id = 1 AND token = $1 AND holder IS NOT NULL",
                &[signed(lease.token).into(), end(at, lease.ttl).into()],
            )
            .await?;
        if renewed == 0 {
            return Err(CatalogError::LeaseLost { token: lease.token });
        }
        transaction.commit().await
    }

    /// Gives the lease back. One that is no longer current is left to its holder, without an error, so a repeat succeeds.
    pub async fn release(&self, lease: Lease) -> Result<(), CatalogError> {
        let mut transaction = self.write("release").await?;
        transaction
            .execute(
                "UPDATE lease SET holder = NULL WHERE id = 1 AND token = $1",
                &[signed(lease.token).into()],
            )
            .await?;
        transaction.commit().await
    }

    /// Fails with [`CatalogError::LeaseLost`] when the lease is no longer the current one. To be asked before every
    /// deletion on a tier, which the catalog cannot fence by itself.
    pub async fn ensure_current(&self, lease: &Lease) -> Result<(), CatalogError> {
        let mut transaction = self.read("ensure_current").await?;
        let current = transaction
            .row(
                "SELECT 1 FROM lease WHERE id = 1 AND token = $1 AND holder IS NOT NULL",
                &[signed(lease.token).into()],
            )
            .await?;
        match current {
            Some(_) => Ok(()),
            None => Err(CatalogError::LeaseLost { token: lease.token }),
        }
    }

    /// Who holds the lease, also when its time is over; `None` when nobody does.
    pub async fn lease(&self) -> Result<Option<LeaseState>, CatalogError> {
        let mut transaction = self.read("lease").await?;
        let row = transaction.row(STATE, &[]).await?;
        row.map_or(Ok(None), |row| state(&row))
    }
}

const STATE: &str = "SELECT token, holder, since, expires FROM lease WHERE id = 1";

/// Checks the token inside the caller's transaction, and keeps it from changing until that commits (the row is locked).
pub(crate) async fn fence(
    transaction: &mut Transaction,
    lease: &Lease,
) -> Result<(), CatalogError> {
    let current = transaction
        .execute(
            "UPDATE lease SET token = token WHERE id = 1 AND token = $1 AND holder IS NOT NULL",
            &[signed(lease.token).into()],
        )
        .await?;
    if current == 0 {
        return Err(CatalogError::LeaseLost { token: lease.token });
    }
    Ok(())
}

/// The error that says who holds the lease.
async fn locked(transaction: &mut Transaction) -> Result<CatalogError, CatalogError> {
    let row = transaction.row(STATE, &[]).await?;
    let Some(row) = row else {
        return Err(transaction.corrupt("it has no lease"));
    };
    Ok(match state(&row)? {
        Some(state) => CatalogError::Locked {
            holder: state.holder,
            since: state.since,
            expires: state.expires,
            token: state.token,
        },
        // Released between the two statements (PostgreSQL): nothing to name, the next try will succeed.
        None => CatalogError::unavailable("acquire_lease"),
    })
}

fn state(row: &Row) -> Result<Option<LeaseState>, CatalogError> {
    let Some(holder) = row.get::<Option<String>>(1)? else {
        return Ok(None);
    };
    Ok(Some(LeaseState {
        token: row.natural(0)?,
        holder,
        since: row.time(2)?,
        expires: row.time(3)?,
    }))
}

fn end(at: Timestamp, ttl: SignedDuration) -> i64 {
    let ttl = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
    at.as_microsecond()
        .saturating_add(ttl)
        .min(Timestamp::MAX.as_microsecond())
}
