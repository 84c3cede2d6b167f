//! Locks and holds of objects that are there. Nothing here ever shortens or lifts a lock.

use super::{
    client::{Store, from_store, to_store},
    delete::protection_of,
    errors,
};
use crate::api::{ObjectKey, Protection, Result};
use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput,
    types::{
        ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention,
        ObjectLockRetentionMode,
    },
};
use jiff::Timestamp;
use model::{LockOrder, tier_facts::LockMode};

/// What the store refuses to do to the newest version.
pub(super) async fn protection(store: &Store, key: &ObjectKey) -> Result<Protection> {
    look(store, key).await.map(|head| protection_of(&head))
}

/// Locks the newest version until `order.until` at least, and gives the end that the store tells afterwards.
pub(super) async fn extend(store: &Store, key: &ObjectKey, order: &LockOrder) -> Result<Timestamp> {
    let head = look(store, key).await?;
    let there = until(&head);
    if let Some(there) = there.filter(|_| suffices(&head, order)) {
        return Ok(there);
    }
    // A stricter mode and a later end stay.
    let compliance = order.mode == LockMode::Compliance
        || head.object_lock_mode() == Some(&ObjectLockMode::Compliance);
    let mode = if compliance {
        ObjectLockRetentionMode::Compliance
    } else {
        ObjectLockRetentionMode::Governance
    };
    let end = there.map_or(order.until, |there| there.max(order.until));
    let retention = ObjectLockRetention::builder()
        .mode(mode)
        .retain_until_date(to_store(end))
        .build();
    let done = store
        .client
        .put_object_retention()
        .bucket(store.bucket())
        .key(store.full(key.as_str()))
        .set_version_id(head.version_id.clone())
        .retention(retention)
        .send()
        .await;
    done.map_err(|error| {
        let failed = errors::failed(&format!("lock `{key}`"), &error);
        if compliance && head.object_lock_mode() == Some(&ObjectLockMode::Governance) {
            failed.help("what is locked in governance mode stays so, except for who may bypass it; only new copies get a compliance lock")
        } else {
            failed
        }
    })?;
    let after = look(store, key).await?;
    match until(&after) {
        Some(there) if suffices(&after, order) => Ok(there),
        there => Err(errors::not_honoured(
            key.as_str(),
            &format!(
                "its lock is `{}` until {}, and should be until {}",
                after
                    .object_lock_mode()
                    .map_or("none", |mode| mode.as_str()),
                there.map_or("never".to_owned(), |there| there.to_string()),
                order.until
            ),
        )),
    }
}

/// Sets or lifts a legal hold on the newest version.
pub(super) async fn hold(store: &Store, key: &ObjectKey, held: bool) -> Result<()> {
    let there = look(store, key).await?;
    if protection_of(&there).legal_hold == held {
        return Ok(());
    }
    let status = if held {
        ObjectLockLegalHoldStatus::On
    } else {
        ObjectLockLegalHoldStatus::Off
    };
    let set = store
        .client
        .put_object_legal_hold()
        .bucket(store.bucket())
        .key(store.full(key.as_str()))
        .set_version_id(there.version_id)
        .legal_hold(ObjectLockLegalHold::builder().status(status).build())
        .send()
        .await;
    let verb = if held { "hold" } else { "release" };
    set.map_err(|error| errors::failed(&format!("{verb} `{key}`"), &error))?;
    if protection_of(&look(store, key).await?).legal_hold == held {
        Ok(())
    } else {
        Err(errors::not_honoured(
            key.as_str(),
            if held {
                "no legal hold lies on it"
            } else {
                "the legal hold still lies on it"
            },
        ))
    }
}

async fn look(store: &Store, key: &ObjectKey) -> Result<HeadObjectOutput> {
    let head = store.head(key.as_str()).await?;
    head.ok_or_else(|| errors::not_found(key.as_str()))
}

fn until(head: &HeadObjectOutput) -> Option<Timestamp> {
    head.object_lock_retain_until_date().map(from_store)
}

fn suffices(head: &HeadObjectOutput, order: &LockOrder) -> bool {
    let strong = match order.mode {
        LockMode::Governance => head.object_lock_mode().is_some(),
        LockMode::Compliance => head.object_lock_mode() == Some(&ObjectLockMode::Compliance),
    };
    strong && until(head).is_some_and(|there| there.as_second() >= order.until.as_second())
}
