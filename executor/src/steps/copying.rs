//! Writing a recovery point's files: data objects first, the manifest last, every one created only if absent.
//!
//! Invariant: a manifest is written only when every object that it names is durable; it is read back before anybody is told.

use super::error::StepError;
use crate::{
    crash_point::CrashPoints,
    meter::Meter,
    stored::{self, ManifestThere},
};
use bytes::Bytes;
use model::{LockOrder, Manifest, RecoveryPointId, StoredObject};
use providers::{
    api::{NewObject, Tier},
    stream,
};

/// Copies one stored object as it is: inside the store where it can (its own checksums then stand for the bytes), else through
/// this machine, checking the bytes on the way.
pub(crate) async fn copy_object(
    point: &RecoveryPointId,
    object: &StoredObject,
    from: &dyn Tier,
    to: &dyn Tier,
    lock: Option<LockOrder>,
    meter: &Meter,
) -> Result<(), StepError> {
    let key = stored::key(point, &object.file)?;
    let new = NewObject::data(Some(object.bytes)).locked(lock);
    if to.copy_from(from, &key, object, new).await?.is_some() {
        meter.object_done(object.bytes.0);
        return Ok(());
    }
    let reader = match from.open(&key).await {
        Ok(reader) => reader,
        Err(error) if error.code == stored::NOT_FOUND => {
            return Err(StepError::Missing {
                point: point.clone(),
                tier: from.name().clone(),
                why: format!("`{}` is not there", object.file),
            });
        }
        Err(error) => return Err(error.into()),
    };
    let writer = to.create(&key, new).await?;
    let copied = stream::copy(reader, writer, object, meter.callback()).await;
    let writer = copied.map_err(|error| damage_on(from, point, error))?;
    writer.finish().await?;
    meter.object_done(object.bytes.0);
    Ok(())
}

/// Damage that a stream found belongs to the copy that was read.
fn damage_on(
    tier: &dyn Tier,
    point: &RecoveryPointId,
    error: providers::api::ProviderError,
) -> StepError {
    if error.code == stored::DAMAGED {
        StepError::Damaged {
            point: point.clone(),
            tier: tier.name().clone(),
            why: error.message,
        }
    } else {
        error.into()
    }
}

/// Writes the manifest, the moment at which the point becomes visible, and reads everything back that tells it is so.
pub(crate) async fn write_manifest(
    tier: &dyn Tier,
    manifest: &Manifest,
    bytes: Vec<u8>,
    lock: Option<LockOrder>,
    crash: &CrashPoints,
) -> Result<(), StepError> {
    let wrong = |why: String| StepError::ReadBack {
        point: manifest.id.clone(),
        tier: tier.name().clone(),
        why,
    };
    if let Some(trouble) = stored::check_sizes(tier, manifest).await? {
        return Err(wrong(trouble.text().to_owned()));
    }
    crash.hit("before-manifest");
    let mut writer = tier
        .create(
            &stored::manifest_key(&manifest.id)?,
            NewObject::index(bytes.len()).locked(lock),
        )
        .await?;
    writer.write(Bytes::from(bytes.clone())).await?;
    writer.finish().await?;
    crash.hit("after-manifest");
    match stored::read_manifest(tier, &manifest.id).await? {
        ManifestThere::Valid(_, there) if there == bytes => Ok(()),
        ManifestThere::Valid(..) => Err(wrong("its manifest differs".to_owned())),
        ManifestThere::Absent => Err(wrong("its manifest is not there".to_owned())),
        ManifestThere::Unreadable(why) => Err(wrong(why)),
    }
}
