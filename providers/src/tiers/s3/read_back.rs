//! Looks after every write whether the store did what the policy demands. Stores silently ignore what they do not know.
//!
//! What was not honoured is an error, and the object is removed again by its version: a copy in the wrong class costs money, one
//! without its lock can be deleted, and both would be reported as they were declared. Only a missing lock is first asked for again:
//! several stores ignore it when a multipart upload is made (Ceph and moto do), and set it on an object that is there.

use super::{
    client::{How, Store, byte_count, from_store, info},
    config::{Class, SseKind},
    errors, locks,
    put::{Stored, is_own},
};
use crate::api::{ObjectInfo, ObjectKey, ProviderError, Result};
use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput,
    types::{ObjectLockMode, ServerSideEncryption},
};
use model::tier_facts::LockMode;

/// Looks at an object just written; the object when everything is as demanded.
pub(super) async fn confirm(
    store: &Store,
    key: &ObjectKey,
    how: &How,
    bytes: u64,
    crc64nvme: Option<&str>,
    stored: &Stored,
) -> Result<ObjectInfo> {
    let mut head = written(store, key, how).await?;
    if let Some(order) = &how.lock
        && lock(&head, how).is_some()
    {
        // What this says is judged below, by what is there then.
        let _ = locks::extend(store, key, order).await;
        head = written(store, key, how).await?;
    }
    match difference(store, &head, how, bytes, crc64nvme) {
        None => Ok(info(key.clone(), &head)),
        Some(what) => Err(remove(store, key, &what, stored).await),
    }
}

/// The object that this writer has just made.
async fn written(store: &Store, key: &ObjectKey, how: &How) -> Result<HeadObjectOutput> {
    let Some(head) = store.head(key.as_str()).await? else {
        return Err(errors::io(format!(
            "`{key}` was written, but is not there: somebody else may have deleted it"
        )));
    };
    if is_own(&head, how) {
        Ok(head)
    } else {
        Err(errors::exists(key.as_str()))
    }
}

/// What is not as demanded.
fn difference(
    store: &Store,
    head: &HeadObjectOutput,
    how: &How,
    bytes: u64,
    crc64nvme: Option<&str>,
) -> Option<String> {
    let there = byte_count(head.content_length()).0;
    if there != bytes {
        return Some(format!("{bytes} bytes were sent, {there} are stored"));
    }
    // A checksum of parts is no checksum of the object.
    let kept = head.checksum_crc64_nvme().filter(|_| {
        head.checksum_type()
            .is_none_or(|kind| *kind == aws_sdk_s3::types::ChecksumType::FullObject)
    });
    if let (Some(sent), Some(kept)) = (crc64nvme, kept)
        && sent != kept
    {
        return Some(format!("its checksum is {kept}, and should be {sent}"));
    }
    class(head, how.class)
        .or_else(|| encryption(store, head))
        .or_else(|| lock(head, how))
}

/// A class that is not the demanded one.
pub(super) fn class(head: &HeadObjectOutput, demanded: Class) -> Option<String> {
    let there = head
        .storage_class()
        .map_or("STANDARD", |class| class.as_str());
    let demanded_in_protocol = demanded.in_protocol();
    // What stands outside a class list of ours (a store's own default) is fine where it can be read at once.
    let fine = if demanded == Class::Standard {
        !matches!(there, "GLACIER" | "DEEP_ARCHIVE")
    } else {
        there == demanded_in_protocol.as_str()
    };
    (!fine).then(|| {
        format!(
            "its storage class is `{there}`, and should be `{}`",
            demanded_in_protocol.as_str()
        )
    })
}

/// An encryption that is not the demanded one. An alias cannot be compared with the key's ARN, which is what a store tells.
pub(super) fn encryption(store: &Store, head: &HeadObjectOutput) -> Option<String> {
    let demanded = store.config.server_side_encryption.as_ref()?;
    let there = head.server_side_encryption();
    let kind = match demanded.kind {
        SseKind::S3 => ServerSideEncryption::Aes256,
        SseKind::Kms => ServerSideEncryption::AwsKms,
    };
    if there != Some(&kind) {
        return Some(format!(
            "the store's encryption is `{}`, and should be `{}`",
            there.map_or("none", |kind| kind.as_str()),
            kind.as_str()
        ));
    }
    let wanted = demanded.key_id.as_deref()?;
    let key = head.ssekms_key_id().unwrap_or_default();
    let same = if wanted.starts_with("alias/") || wanted.contains(":alias/") {
        !key.is_empty()
    } else {
        key == wanted || key.ends_with(&format!("/{wanted}"))
    };
    (!same).then(|| format!("it is encrypted with the key `{key}`, and should be with `{wanted}`"))
}

/// A lock that is weaker than the demanded one.
pub(super) fn lock(head: &HeadObjectOutput, how: &How) -> Option<String> {
    let order = how.lock?;
    let mode = head.object_lock_mode().map(ObjectLockMode::as_str);
    let strong = match order.mode {
        LockMode::Governance => matches!(mode, Some("GOVERNANCE" | "COMPLIANCE")),
        LockMode::Compliance => mode == Some("COMPLIANCE"),
    };
    if !strong {
        return Some(format!(
            "its lock is `{}`, and should be `{}`",
            mode.unwrap_or("none"),
            super::put::lock_mode(order.mode).as_str()
        ));
    }
    let until = head.object_lock_retain_until_date().map(from_store);
    let long = until.is_some_and(|until| until.as_second() >= order.until.as_second());
    (!long).then(|| match until {
        Some(until) => format!(
            "it is locked until {until}, and should be until {}",
            order.until
        ),
        None => "its lock has no end".to_owned(),
    })
}

/// Removes an object that is not as demanded, and says so.
async fn remove(store: &Store, key: &ObjectKey, what: &str, stored: &Stored) -> ProviderError {
    let removed = store
        .client
        .delete_object()
        .bucket(store.bucket())
        .key(store.full(key.as_str()))
        .set_version_id(stored.version.clone())
        .send()
        .await;
    match removed {
        Ok(_) => errors::not_honoured(key.as_str(), what),
        Err(error) => errors::not_honoured(
            key.as_str(),
            &format!("{what}; and it cannot be removed: {}", errors::said(&error)),
        ),
    }
}
