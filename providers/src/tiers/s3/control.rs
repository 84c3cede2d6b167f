//! Control objects: small objects that are replaced as a whole, if they are still what the caller has read.
//!
//! On a bucket with versions every replacement leaves the former content behind. For what is replaced every few seconds (names
//! with a leading dot: the lease) it is removed; a former `keys.json` stays until its recovery point is pruned.

use super::{
    client::{Store, is_hidden},
    errors,
    put::Condition,
    read_back, reader,
};
use crate::api::{ControlTag, Expected, ObjectClass, ObjectKey, ObjectReader, Result};
use bytes::{Bytes, BytesMut};
use model::LockOrder;

/// Control objects are a few kilobytes; a key ring with thousands of objects stays below this.
const LARGEST: usize = 16 << 20;

/// Reads one whole, and what tells its content from the next.
pub(super) async fn read(store: &Store, key: &ObjectKey) -> Result<Option<(Bytes, ControlTag)>> {
    let mut reader = match reader::open(store.clone(), key, 0).await {
        Ok(reader) => reader,
        Err(error) if error.code == errors::NOT_FOUND => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = BytesMut::new();
    while let Some(chunk) = reader.read().await? {
        content.extend_from_slice(&chunk);
        if content.len() > LARGEST {
            return Err(errors::bad_key(
                key.as_str(),
                "something far too large lies there",
            ));
        }
    }
    let Some(tag) = &reader.tag else {
        return Err(errors::no_conditional_writes(key.as_str()));
    };
    Ok(Some((
        content.freeze(),
        control_tag(tag, reader.version.as_deref()),
    )))
}

/// Writes one whole, if what is there is what the caller expects.
pub(super) async fn write(
    store: &Store,
    key: &ObjectKey,
    content: Bytes,
    expected: &Expected,
    lock: Option<LockOrder>,
) -> Result<ControlTag> {
    let how = store.how(ObjectClass::Index, lock)?;
    let (condition, former) = match expected {
        Expected::Absent => (Condition::Absent, None),
        Expected::Unchanged(tag) => {
            let (tag, version) = split(tag);
            (Condition::Tag(tag.to_owned()), version)
        }
    };
    let bytes = content.len() as u64;
    let stored = store.put(key.as_str(), content, &how, &condition).await?;
    let stored = stored.ok_or_else(|| errors::changed(key.as_str()))?;
    if lock.is_some() {
        read_back::confirm(store, key, &how, bytes, None, &stored).await?;
    }
    if let Some(former) = former.filter(|_| is_hidden(key.as_str())) {
        // Only tidiness: a lock or a missing permission may forbid it.
        let _ = store
            .client
            .delete_object()
            .bucket(store.bucket())
            .key(store.full(key.as_str()))
            .version_id(former)
            .send()
            .await;
    }
    let Some(tag) = &stored.tag else {
        return Err(errors::no_conditional_writes(key.as_str()));
    };
    Ok(control_tag(tag, stored.version.as_deref()))
}

/// An `ETag` and, on a bucket with versions, the version.
fn control_tag(tag: &str, version: Option<&str>) -> ControlTag {
    match version.filter(|&version| version != "null") {
        Some(version) => ControlTag(format!("{tag} {version}")),
        None => ControlTag(tag.to_owned()),
    }
}

fn split(tag: &ControlTag) -> (&str, Option<&str>) {
    match tag.0.split_once(' ') {
        Some((tag, version)) => (tag, Some(version)),
        None => (&tag.0, None),
    }
}
