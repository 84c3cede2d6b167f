//! Tiers of kind `s3` on the stores of `s3.rs`, and the few calls that every test of them makes.
//!
//! To be included beside `s3.rs`, as `mod s3_tier`.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "every test binary uses a part of this, and a failed test panics"
)]

use super::s3::Store;
use bytes::Bytes;
use mainstay_providers as providers;
use model::{ByteCount, TierName};
use providers::{
    api::{NewObject, ObjectInfo, ObjectKey, Result, Tier},
    registry,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The table of a tier in this bucket, reached at `endpoint`; `more` is added to it. The store's keys lie in its folder.
pub fn table(store: &Store, endpoint: &str, bucket: &str, more: &Value) -> Value {
    let id = store.folder.join("access-key-id");
    let secret = store.folder.join("secret-access-key");
    if !id.exists() {
        std::fs::write(&secret, &store.secret_key).unwrap();
        std::fs::write(&id, &store.access_key).unwrap();
    }
    let mut table = json!({
        "bucket": bucket,
        "endpoint": endpoint,
        "region": store.region,
        "credentials": {"access-key-id": {"file": id}, "secret-access-key": {"file": secret}},
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        table[name] = value.clone();
    }
    table
}

/// A tier in this bucket, reached at `endpoint`.
pub fn tier_at(store: &Store, endpoint: &str, bucket: &str, more: &Value) -> Arc<dyn Tier> {
    let table = table(store, endpoint, bucket, more);
    registry::tier(
        &TierName::new("off-site").unwrap(),
        "s3",
        &table,
        &store.folder,
    )
    .unwrap()
}

/// A tier in this bucket.
pub fn tier(store: &Store, bucket: &str, more: &Value) -> Arc<dyn Tier> {
    tier_at(store, &store.endpoint, bucket, more)
}

/// A tier in this bucket with its marker.
pub async fn ready(store: &Store, bucket: &str, more: &Value) -> Arc<dyn Tier> {
    let tier = tier(store, bucket, more);
    tier.initialise("the-identity").await.unwrap();
    tier
}

/// A key.
pub fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

/// So many bytes that repeat nowhere within a part.
pub fn content(len: usize) -> Bytes {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(len).collect()
}

/// Writes an object.
pub async fn put(tier: &dyn Tier, name: &str, bytes: &Bytes) -> Result<ObjectInfo> {
    put_as(
        tier,
        name,
        bytes,
        NewObject::data(Some(ByteCount(bytes.len() as u64))),
    )
    .await
}

/// Writes an object in this way.
pub async fn put_as(
    tier: &dyn Tier,
    name: &str,
    bytes: &Bytes,
    new: NewObject,
) -> Result<ObjectInfo> {
    let mut writer = tier.create(&key(name), new).await?;
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let chunk = rest.split_to(rest.len().min(1 << 20));
        writer.write(chunk).await?;
    }
    writer.finish().await
}

/// Reads an object from `offset`.
pub async fn get_at(tier: &dyn Tier, name: &str, offset: u64) -> Result<Vec<u8>> {
    let mut reader = tier.open_at(&key(name), offset).await?;
    let mut all = Vec::new();
    while let Some(chunk) = reader.read().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// Reads an object.
pub async fn get(tier: &dyn Tier, name: &str) -> Result<Vec<u8>> {
    get_at(tier, name, 0).await
}

/// Code of what must have failed.
pub fn code<T>(result: Result<T>) -> &'static str {
    match result {
        Ok(_) => "it should have failed, and did not",
        Err(error) => error.code,
    }
}
