//! Writes `keys.json` beside the data: after the objects that it opens, before the manifest that makes them a recovery point.
//!
//! Invariant: whatever is written is a ring of this very point, and is read back. A ring that is there and wrong is replaced as
//! a whole or not at all, so a copy is never without one. Not here: other recipients (`rotate.rs`).

use super::error::StepError;
use crate::{
    crash_point::CrashPoints,
    stored::{self, KeysThere},
};
use bytes::Bytes;
use model::{LockOrder, Manifest};
use providers::api::{ControlTag, Expected, NewObject, Tier};

/// Writes the ring of a copy that is being made, create-only, and reads it back.
pub(crate) async fn write_keys(
    tier: &dyn Tier,
    manifest: &Manifest,
    bytes: Vec<u8>,
    lock: Option<LockOrder>,
    crash: &CrashPoints,
) -> Result<(), StepError> {
    crash.hit("before-keys");
    let new = NewObject::index(bytes.len()).locked(lock);
    let mut writer = tier.create(&stored::keys_key(&manifest.id)?, new).await?;
    writer.write(Bytes::from(bytes.clone())).await?;
    writer.finish().await?;
    crash.hit("after-keys");
    read_back(tier, manifest, &bytes).await
}

/// Puts the source's ring beside data that is there already, unless a right one is: it may have other recipients than the
/// source's, if a rotation has come to only one of the two. A `suspect` ring gives way to any other. Says whether anything
/// was written.
pub(crate) async fn ensure_keys(
    source: &dyn Tier,
    target: &dyn Tier,
    manifest: &Manifest,
    suspect: bool,
    lock: Option<LockOrder>,
    crash: &CrashPoints,
) -> Result<bool, StepError> {
    match stored::read_keys(target, manifest).await? {
        KeysThere::Valid { bytes, tag, .. } if suspect => {
            let good = source_keys(source, manifest).await?;
            let differs = good != bytes;
            if differs {
                replace_keys(target, manifest, good, tag, lock).await?;
            }
            Ok(differs)
        }
        KeysThere::NotNeeded | KeysThere::Valid { .. } => Ok(false),
        KeysThere::Absent => {
            let bytes = source_keys(source, manifest).await?;
            write_keys(target, manifest, bytes, lock, crash).await?;
            Ok(true)
        }
        KeysThere::Unreadable { tag, .. } => {
            let bytes = source_keys(source, manifest).await?;
            replace_keys(target, manifest, bytes, tag, lock).await?;
            Ok(true)
        }
    }
}

/// Replaces the ring that was read with `tag`, atomically, and reads it back.
pub(crate) async fn replace_keys(
    tier: &dyn Tier,
    manifest: &Manifest,
    bytes: Vec<u8>,
    tag: ControlTag,
    lock: Option<LockOrder>,
) -> Result<(), StepError> {
    tier.write_control(
        &stored::keys_key(&manifest.id)?,
        Bytes::from(bytes.clone()),
        Expected::Unchanged(tag),
        lock,
    )
    .await?;
    read_back(tier, manifest, &bytes).await
}

/// The bytes of the ring that a copy is made from.
pub(crate) async fn source_keys(
    source: &dyn Tier,
    manifest: &Manifest,
) -> Result<Vec<u8>, StepError> {
    let damaged = |why: String| StepError::Damaged {
        point: manifest.id.clone(),
        tier: source.name().clone(),
        why,
    };
    match stored::read_keys(source, manifest).await? {
        KeysThere::Valid { bytes, .. } => Ok(bytes.to_vec()),
        KeysThere::Unreadable { why, .. } => Err(damaged(why)),
        KeysThere::NotNeeded | KeysThere::Absent => Err(StepError::Missing {
            point: manifest.id.clone(),
            tier: source.name().clone(),
            why: stored::NO_KEYS.to_owned(),
        }),
    }
}

async fn read_back(tier: &dyn Tier, manifest: &Manifest, bytes: &[u8]) -> Result<(), StepError> {
    let wrong = |why: String| StepError::ReadBack {
        point: manifest.id.clone(),
        tier: tier.name().clone(),
        why,
    };
    match stored::read_keys(tier, manifest).await? {
        KeysThere::Valid { bytes: there, .. } if there == bytes => Ok(()),
        KeysThere::Valid { .. } => Err(wrong("`keys.json` differs".to_owned())),
        KeysThere::Unreadable { why, .. } => Err(wrong(why)),
        KeysThere::NotNeeded | KeysThere::Absent => Err(wrong(stored::NO_KEYS.to_owned())),
    }
}
