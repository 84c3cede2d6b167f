//! `keys.json`: the data keys of a recovery point, each wrapped for every recipient; beside the data on every tier.
//!
//! Format `mainstay.keys.v1`, JSON, described in `docs/formats/keys.md`. The only file of a point that may be replaced, and only
//! as a whole: so keys are rotated without touching the data. Invariant: every entry opens the same data key.

use crate::{manifest::Encryption, names::KeyName, recovery_point_id::RecoveryPointId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Value of [`KeyRing::format`].
pub const FORMAT: &str = "mainstay.keys.v1";
/// Name of the file in a recovery point's folder.
pub const FILE_NAME: &str = "keys.json";

/// The wrapped data keys of one recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRing {
    /// [`FORMAT`].
    pub format: String,
    /// The point.
    pub recovery_point: RecoveryPointId,
    /// By file name, every encrypted object of the point.
    pub objects: BTreeMap<String, SealedObject>,
}

/// How one object can be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedObject {
    /// How it is encrypted.
    pub encryption: Encryption,
    /// Bound to the ciphertext; see [`associated_data`].
    pub associated_data: String,
    /// The data key for each recipient. Never empty.
    pub recipients: Vec<WrappedKey>,
}

/// A data key that only the holder of one key can open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Name of the key in the policy when it was wrapped.
    pub name: KeyName,
    /// `local`, `aws-kms` or `certificate`.
    pub kind: String,
    /// Which key it really is, whatever its name: the id in the key file, the ARN, the fingerprint of the certificate.
    pub key_id: String,
    /// The wrapped key, in base64; its form is its kind's (`docs/formats/keys.md`).
    pub wrapped: String,
}

/// What is bound to the ciphertext of an object, so that it cannot pass for another point's, or another object of its point.
pub fn associated_data(point: &RecoveryPointId, file: &str) -> String {
    format!(
        "mainstay.object.v1|{point}|{}|{}|{file}",
        point.database(),
        point.series()
    )
}

impl KeyRing {
    /// Reads a key ring and checks what serde cannot: format, that no object lacks recipients, that the associated data is right.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyRingError> {
        let ring: Self =
            serde_json::from_slice(bytes).map_err(|error| KeyRingError(error.to_string()))?;
        if ring.format != FORMAT {
            return Err(KeyRingError(format!(
                "its format is `{}`, this program reads `{FORMAT}`",
                ring.format
            )));
        }
        for (file, object) in &ring.objects {
            if object.recipients.is_empty() {
                return Err(KeyRingError(format!("`{file}` has no recipient")));
            }
            if object.associated_data != associated_data(&ring.recovery_point, file) {
                return Err(KeyRingError(format!(
                    "the associated data of `{file}` is that of another object"
                )));
            }
        }
        Ok(ring)
    }

    /// The bytes stored on a tier: indented JSON, for people in an emergency.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// A file named `keys.json` that is no key ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid key ring: {0}")]
pub struct KeyRingError(pub String);
