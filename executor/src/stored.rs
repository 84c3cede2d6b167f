//! How a recovery point lies on a tier, and what a look at it tells.
//!
//! Invariant: a manifest that can be read and agrees with its folder means "complete"; anything else is not a recovery
//! point one may count on. Reads only. Not here: writing (`steps/`), removing (`leftovers.rs`, `steps/prune.rs`).

use bytes::Bytes;
use model::{Disposition, KeyRing, Manifest, RecoveryPointId, StoredObject, key_ring, manifest};
use providers::api::{ControlTag, ObjectInfo, ObjectKey, ProviderError, Result, Tier};

/// The key of an object does not exist.
pub(crate) const NOT_FOUND: &str = "mainstay::tier::not-found";
/// The key of an object is taken.
pub(crate) const EXISTS: &str = "mainstay::tier::exists";
/// The bytes of a copy are wrong.
pub(crate) const DAMAGED: &str = "mainstay::copy::damaged";

/// The bytes of a copy are right, and the keys beside them are not theirs.
pub(crate) const WRONG_KEY: &str = "mainstay::seal::wrong-key";

/// A manifest is a few kilobytes, some megabytes with very many tables; more is no manifest.
const MANIFEST_LIMIT: usize = 64 << 20;

/// Key of a file of a recovery point.
pub(crate) fn key(point: &RecoveryPointId, file: &str) -> Result<ObjectKey> {
    ObjectKey::new(format!("{}/{file}", point.folder())).ok_or_else(|| {
        ProviderError::new(
            "mainstay::run::unsafe-key",
            Disposition::Permanent,
            format!("`{file}` of `{point}` is not a safe name on a tier"),
        )
    })
}

/// Key of the manifest of a recovery point.
pub(crate) fn manifest_key(point: &RecoveryPointId) -> Result<ObjectKey> {
    key(point, manifest::FILE_NAME)
}

/// Key of the key ring of a recovery point.
pub(crate) fn keys_key(point: &RecoveryPointId) -> Result<ObjectKey> {
    key(point, key_ring::FILE_NAME)
}

/// What is said of an encrypted copy without its key ring.
pub(crate) const NO_KEYS: &str = "`keys.json` is not there";

/// What the place of a copy's key ring holds.
#[derive(Debug)]
pub(crate) enum KeysThere {
    /// Nothing of the copy is encrypted.
    NotNeeded,
    /// Nothing.
    Absent,
    /// The key ring of this point.
    Valid {
        ring: Box<KeyRing>,
        bytes: Bytes,
        tag: ControlTag,
    },
    /// Something else, and what is wrong with it.
    Unreadable { why: String, tag: ControlTag },
}

/// Reads the key ring of a copy, which can be read at once wherever the data lies.
pub(crate) async fn read_keys(tier: &dyn Tier, manifest: &Manifest) -> Result<KeysThere> {
    if !manifest.is_encrypted() {
        return Ok(KeysThere::NotNeeded);
    }
    let Some((bytes, tag)) = tier.read_control(&keys_key(&manifest.id)?).await? else {
        return Ok(KeysThere::Absent);
    };
    let ring = KeyRing::parse(&bytes).and_then(|ring| {
        ring.belongs_to(manifest)?;
        Ok(ring)
    });
    Ok(match ring {
        Ok(ring) => KeysThere::Valid {
            ring: Box::new(ring),
            bytes,
            tag,
        },
        Err(error) => KeysThere::Unreadable {
            why: format!("`keys.json` is not its key ring: {}", error.0),
            tag,
        },
    })
}

/// What a manifest's place holds.
#[derive(Debug)]
pub(crate) enum ManifestThere {
    /// Nothing.
    Absent,
    /// A valid manifest of this point, with its bytes as they are stored.
    Valid(Box<Manifest>, Vec<u8>),
    /// Something else, and what is wrong with it.
    Unreadable(String),
}

/// Reads the manifest of a point.
pub(crate) async fn read_manifest(
    tier: &dyn Tier,
    point: &RecoveryPointId,
) -> Result<ManifestThere> {
    let key = manifest_key(point)?;
    let mut reader = match tier.open(&key).await {
        Ok(reader) => reader,
        Err(error) if error.code == NOT_FOUND => return Ok(ManifestThere::Absent),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.read().await? {
        if bytes.len() + chunk.len() > MANIFEST_LIMIT {
            return Ok(ManifestThere::Unreadable(
                "its manifest is larger than any manifest is".to_owned(),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(match Manifest::parse(&bytes) {
        Ok(manifest) if manifest.id == *point => ManifestThere::Valid(Box::new(manifest), bytes),
        Ok(manifest) => {
            ManifestThere::Unreadable(format!("its manifest is that of `{}`", manifest.id))
        }
        Err(error) => ManifestThere::Unreadable(format!("its manifest is not valid: {}", error.0)),
    })
}

/// What one object of a manifest looks like on the tier, by its size alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SizeTrouble {
    /// It is not there.
    Missing(String),
    /// Its size differs.
    Differs(String),
}

impl SizeTrouble {
    /// In words.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Missing(text) | Self::Differs(text) => text,
        }
    }
}

/// Compares an object with what the manifest says of it.
pub(crate) fn judge_size(object: &StoredObject, found: Option<&ObjectInfo>) -> Option<SizeTrouble> {
    match found {
        None => Some(SizeTrouble::Missing(format!(
            "`{}` is not there",
            object.file
        ))),
        Some(info) if info.bytes != object.bytes => Some(SizeTrouble::Differs(format!(
            "`{}` has {} bytes instead of {}",
            object.file, info.bytes.0, object.bytes.0
        ))),
        Some(_) => None,
    }
}

/// Asks the tier for the size of every object of a manifest, and reads the key ring; the first trouble, if any.
pub(crate) async fn check_sizes(
    tier: &dyn Tier,
    manifest: &Manifest,
) -> Result<Option<SizeTrouble>> {
    for object in &manifest.objects {
        let info = tier.stat(&key(&manifest.id, &object.file)?).await?;
        if let Some(trouble) = judge_size(object, info.as_ref()) {
            return Ok(Some(trouble));
        }
    }
    // Without its keys the data is noise.
    Ok(match read_keys(tier, manifest).await? {
        KeysThere::NotNeeded | KeysThere::Valid { .. } => None,
        KeysThere::Absent => Some(SizeTrouble::Missing(NO_KEYS.to_owned())),
        KeysThere::Unreadable { why, .. } => Some(SizeTrouble::Differs(why)),
    })
}

/// All finished objects of a point's folder.
pub(crate) async fn list_folder(
    tier: &dyn Tier,
    point: &RecoveryPointId,
) -> Result<Vec<ObjectInfo>> {
    // The slash matters: without it the folder of a longer name would match too.
    tier.list(&format!("{}/", point.folder())).await
}

/// The point and the file name that a key stands for, if it lies where a recovery point's files lie.
pub(crate) fn point_of(key: &ObjectKey) -> Option<(RecoveryPointId, &str)> {
    let mut parts = key.as_str().split('/');
    let (database, series, year, stamp, file) = (
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
    );
    if parts.next().is_some() || !stamp.starts_with(year) || year.len() != 4 {
        return None;
    }
    let point = RecoveryPointId::parse(&format!("{database}/{series}/{stamp}")).ok()?;
    Some((point, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_recovery_point() {
        let key = ObjectKey::new("orders/daily/2026/20261121T020000Z/data.dump.zst").unwrap();
        let (point, file) = point_of(&key).unwrap();
        assert_eq!(point.as_str(), "orders/daily/20261121T020000Z");
        assert_eq!(file, "data.dump.zst");
    }

    #[test]
    fn keys_elsewhere_belong_to_no_recovery_point() {
        for other in [
            "orders/wal/1/2/000000010000000000000001",
            "notes.txt",
            "orders/daily/2025/20261121T020000Z/data.dump",
            "orders/daily/2026/20261121T020000Z/sub/data.dump",
            "Orders/daily/2026/20261121T020000Z/data.dump",
        ] {
            assert!(
                point_of(&ObjectKey::new(other).unwrap()).is_none(),
                "{other}"
            );
        }
    }
}
