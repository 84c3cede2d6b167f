//! Copies: a point on a tier, its state, and forgetting it after its deletion.
//!
//! Order of a prune: the tier deletes first, then the catalog forgets. A crash between the two leaves a copy that the next
//! look at the tier finds missing, never a deleted copy that looks kept for ever or a kept one that nobody knows.

use crate::{
    audit::{self, AuditDetails, AuditEntry, AuditKind},
    catalog::Catalog,
    connection::{Transaction, signed},
    error::CatalogError,
    lease::{self, Lease},
    points,
};
use jiff::Timestamp;
use model::{ByteCount, CopyState, RecoveryPointId, TierName, audit::Deletion};

impl Catalog {
    /// Records that a known point has a copy on a tier, present since `stored_at`. A verification older than that no longer counts.
    ///
    /// Errors: [`CatalogError::UnknownPoint`].
    pub async fn record_copy(
        &self,
        lease: &Lease,
        tier: &TierName,
        id: &RecoveryPointId,
        bytes: ByteCount,
        stored_at: Timestamp,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("record_copy").await?;
        lease::fence(&mut transaction, lease).await?;
        points::ensure_known(&mut transaction, id).await?;
        upsert_copy(&mut transaction, tier, id, bytes, stored_at).await?;
        transaction.commit().await
    }

    /// Records what was seen of a copy. `Damaged` takes its verification away; it must be verified anew after a repair. That a copy which
    /// was there is gone or damaged stands in the audit for ever: the state goes with the copy, and retention may want it no more.
    ///
    /// Errors: [`CatalogError::UnknownCopy`].
    pub async fn set_copy_state(
        &self,
        lease: &Lease,
        id: &RecoveryPointId,
        tier: &TierName,
        state: CopyState,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("set_copy_state").await?;
        lease::fence(&mut transaction, lease).await?;
        let was_there = transaction
            .row(
                "SELECT 1 FROM copies WHERE point = $1 AND tier = $2 AND state = $3",
                &[
                    id.as_str().into(),
                    tier.as_str().into(),
                    word(CopyState::Present).into(),
                ],
            )
            .await?
            .is_some();
        let changed = transaction
            .execute(
                "UPDATE copies SET state = $3, \
                 verified_level = CASE WHEN $3 = 'damaged' THEN NULL ELSE verified_level END, \
                 verified_at = CASE WHEN $3 = 'damaged' THEN NULL ELSE verified_at END \
                 WHERE point = $1 AND tier = $2",
                &[id.as_str().into(), tier.as_str().into(), word(state).into()],
            )
            .await?;
        if changed == 0 {
            return Err(CatalogError::UnknownCopy {
                recovery_point: id.clone(),
                tier: tier.clone(),
            });
        }
        if was_there && matches!(state, CopyState::Missing | CopyState::Damaged) {
            let loss = loss(lease, id, tier, state, at);
            audit::append(&mut transaction, &loss).await?;
        }
        transaction.commit().await
    }

    /// Records in the audit that a copy was found gone, and leaves its state: whoever is about to forget the copy may die before that,
    /// and a copy that is known to be missing would not be pruned again. A repeat makes another entry.
    pub async fn record_loss(
        &self,
        lease: &Lease,
        id: &RecoveryPointId,
        tier: &TierName,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("record_loss").await?;
        lease::fence(&mut transaction, lease).await?;
        let loss = loss(lease, id, tier, CopyState::Missing, at);
        audit::append(&mut transaction, &loss).await?;
        transaction.commit().await
    }

    /// Records until when the storage refuses to delete a copy, as it was read back; `None`: it does not. A repeat changes nothing.
    ///
    /// Errors: [`CatalogError::UnknownCopy`].
    pub async fn set_lock(
        &self,
        lease: &Lease,
        id: &RecoveryPointId,
        tier: &TierName,
        until: Option<Timestamp>,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("set_lock").await?;
        lease::fence(&mut transaction, lease).await?;
        let changed = transaction
            .execute(
                "UPDATE copies SET locked_until = $3 WHERE point = $1 AND tier = $2",
                &[id.as_str().into(), tier.as_str().into(), until.into()],
            )
            .await?;
        if changed == 0 {
            return Err(CatalogError::UnknownCopy {
                recovery_point: id.clone(),
                tier: tier.clone(),
            });
        }
        transaction.commit().await
    }

    /// Forgets a copy that was deleted from its tier, and with the last copy the point; the audit keeps who and why, and of the copy
    /// what the catalog knew. Gives whether it was known; a repeat gives `false` and writes nothing.
    pub async fn forget_copy(
        &self,
        lease: &Lease,
        deletion: &Deletion,
        who: &str,
        why: &str,
        at: Timestamp,
    ) -> Result<bool, CatalogError> {
        let (id, tier) = (&deletion.point, &deletion.tier);
        let mut transaction = self.write("forget_copy").await?;
        lease::fence(&mut transaction, lease).await?;
        let known = transaction
            .row(
                "SELECT points.captured_at, copies.stored_at, copies.bytes, points.parent FROM copies JOIN points ON points.id = copies.point \
                 WHERE copies.point = $1 AND copies.tier = $2",
                &[id.as_str().into(), tier.as_str().into()],
            )
            .await?;
        let Some(known) = known else {
            return Ok(false);
        };
        let details = Deletion {
            bytes: deletion.bytes.or(Some(ByteCount(known.natural(2)?))),
            captured_at: Some(known.time(0)?),
            parent: known
                .get::<Option<String>>(3)?
                .and_then(|parent| RecoveryPointId::parse(&parent).ok()),
            stored_at: Some(known.time(1)?),
            ..deletion.clone()
        };
        transaction
            .execute(
                "DELETE FROM copies WHERE point = $1 AND tier = $2",
                &[id.as_str().into(), tier.as_str().into()],
            )
            .await?;
        // The manifest goes with its point (ON DELETE CASCADE).
        transaction
            .execute(
                "DELETE FROM points WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM copies WHERE point = $1)",
                &[id.as_str().into()],
            )
            .await?;
        let entry = AuditEntry {
            at,
            who: who.to_owned(),
            kind: AuditKind::Deletion,
            what: format!("{id}@{tier}"),
            why: why.to_owned(),
            details: Some(AuditDetails::Deletion(details)),
        };
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Who found something under a lease: its run.
fn finder(lease: &Lease) -> String {
    match lease.holder.rsplit_once("run=") {
        Some((_, run)) => format!("run {run}"),
        None => lease.holder.clone(),
    }
}

/// What is done when a copy is recorded that is already known, after `INSERT INTO copies …`.
pub(crate) const ON_KNOWN_COPY: &str = "ON CONFLICT (point, tier) DO UPDATE SET \
    verified_level = CASE WHEN copies.verified_at >= excluded.stored_at THEN copies.verified_level END, \
    verified_at = CASE WHEN copies.verified_at >= excluded.stored_at THEN copies.verified_at END, \
    bytes = excluded.bytes, stored_at = excluded.stored_at, state = 'present'";

/// Writes a copy as present.
pub(crate) async fn upsert_copy(
    transaction: &mut Transaction,
    tier: &TierName,
    id: &RecoveryPointId,
    bytes: ByteCount,
    stored_at: Timestamp,
) -> Result<(), CatalogError> {
    let args = [
        id.as_str().into(),
        tier.as_str().into(),
        signed(bytes.0).into(),
        stored_at.into(),
        word(CopyState::Present).into(),
    ];
    transaction
        .insert_many(INSERT_COPY, args.len(), &args, ON_KNOWN_COPY)
        .await
}

/// Beginning of the statement that [`ON_KNOWN_COPY`] ends.
pub(crate) const INSERT_COPY: &str =
    "INSERT INTO copies (point, tier, bytes, stored_at, state) VALUES";

/// The word stored for a state.
pub(crate) fn word(state: CopyState) -> &'static str {
    match state {
        CopyState::Present => "present",
        CopyState::Missing => "missing",
        CopyState::Damaged => "damaged",
        CopyState::Foreign => "foreign",
    }
}

/// The state of a stored word.
pub(crate) fn state(word: &str) -> Option<CopyState> {
    match word {
        "present" => Some(CopyState::Present),
        "missing" => Some(CopyState::Missing),
        "damaged" => Some(CopyState::Damaged),
        "foreign" => Some(CopyState::Foreign),
        _ => None,
    }
}

/// That a copy which was there is not, or not as it should be.
fn loss(
    lease: &Lease,
    id: &RecoveryPointId,
    tier: &TierName,
    state: CopyState,
    at: Timestamp,
) -> AuditEntry {
    AuditEntry {
        at,
        who: finder(lease),
        kind: AuditKind::CopyLoss,
        what: format!("{id}@{tier}"),
        why: match state {
            CopyState::Missing => "it is gone from the tier".to_owned(),
            _ => "it is damaged".to_owned(),
        },
        details: Some(AuditDetails::CopyLoss {
            point: id.clone(),
            state,
            tier: tier.clone(),
        }),
    }
}
