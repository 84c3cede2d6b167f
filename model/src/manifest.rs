//! The manifest of a recovery point: written last on every tier, so that its presence means "complete".
//!
//! Format `mainstay.manifest.v1`, JSON, described in `docs/formats/manifest.md`. The catalog can be rebuilt from manifests alone.
//! Invariant: the same bytes on every tier; what differs between copies (where, since when, verified) is not in here.

use crate::{
    canonical,
    names::{DatabaseName, MethodName, SeriesName},
    recovery_point_id::RecoveryPointId,
    units::{ByteCount, Digest},
    wal::WalSpan,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Value of [`Manifest::format`].
pub const FORMAT: &str = "mainstay.manifest.v1";
/// Name of the manifest in a recovery point's folder.
pub const FILE_NAME: &str = "manifest.json";
/// The field of the stored form that is the digest of all others.
const DIGEST: &str = "digest";

/// Everything one must know to check and restore a recovery point without Mainstay's catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// Id of the recovery point.
    pub id: RecoveryPointId,
    /// Database it is a state of.
    pub database: DatabaseName,
    /// Series it belongs to.
    pub series: SeriesName,
    /// Nominal time.
    pub slot: Timestamp,
    /// Engine kind, such as `postgres`.
    pub engine: String,
    /// Method of the engine.
    pub method: MethodName,
    /// Point that this one is incremental to.
    pub parent: Option<RecoveryPointId>,
    /// The state of the database is that of this instant (its snapshot).
    pub captured_at: Timestamp,
    /// When the last byte was stored.
    pub finished_at: Timestamp,
    /// Identity of the source: server version, system identifier, database name, tool version … Never a secret.
    pub source: BTreeMap<String, String>,
    /// The stored objects, the data first.
    pub objects: Vec<StoredObject>,
    /// What a restore must find again, taken in the same snapshot as the data.
    pub expectations: Expectations,
    /// Names of the keys that could open it when it was made; empty when it is stored plain. Which can now, `keys.json` tells.
    pub recipients: Vec<String>,
    /// Digest of the policy in force.
    pub policy_digest: Digest,
    /// Version of Mainstay that wrote it.
    pub mainstay_version: String,
    /// For a physical point: the log that it needs to be consistent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal: Option<WalSpan>,
}

/// One file beside the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// `data`, or the engine's own word for an extra, such as `globals`.
    pub role: String,
    /// File name in the recovery point's folder.
    pub file: String,
    /// What the plain bytes are: `pg-custom`, `pg-plain`, `pg-directory-tar`, `sqlite`, `sql`.
    pub content: String,
    /// How the plain bytes were compressed.
    pub compression: Compression,
    /// How the compressed bytes were encrypted; `None`: they are stored as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Size of the stored file.
    pub bytes: ByteCount,
    /// SHA-256 of the stored file; anyone can check it with `sha256sum`.
    pub sha256: Digest,
    /// CRC-64/NVME of the stored file, big-endian in base64, as S3 tells it of an object: what an archive is asked for that
    /// cannot be read at once. Points of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc64nvme: Option<String>,
    /// Size before compression.
    pub plain_bytes: ByteCount,
    /// BLAKE3 of the bytes before compression.
    pub plain_blake3: Digest,
}

/// Compression of a stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Zstandard, RFC 8878.
    Zstd,
    /// gzip, RFC 1952.
    Gzip,
    /// As it came.
    None,
}

/// Encryption of a stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encryption {
    /// Tink's streaming AEAD of that name: a fresh 32-byte data key, HKDF-SHA-256, AES-256-GCM, segments of 1 MiB.
    #[serde(rename = "AES256_GCM_HKDF_1MB")]
    Aes256GcmHkdf1Mb,
}

/// What a restore must find again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Expectations {
    /// Tables that carry data in this point, by qualified name.
    pub tables: BTreeMap<String, TableExpectation>,
}

/// What is expected of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableExpectation {
    /// Rows, if they were counted or estimated.
    pub rows: Option<u64>,
    /// Whether `rows` was counted in the snapshot (else it is the server's estimate, which is not compared).
    pub exact: bool,
}

impl Manifest {
    /// Whether the point was made of an existing file.
    pub fn is_adopted(&self) -> bool {
        self.source.contains_key("adopted_from")
    }

    /// Total of the stored objects.
    pub fn bytes(&self) -> ByteCount {
        self.objects
            .iter()
            .fold(ByteCount(0), |sum, object| sum.saturating_add(object.bytes))
    }

    /// Whether any of its objects is encrypted, so that a `keys.json` lies beside it.
    pub fn is_encrypted(&self) -> bool {
        self.objects
            .iter()
            .any(|object| object.encryption.is_some())
    }

    /// The data object, which every manifest has.
    pub fn data(&self) -> Option<&StoredObject> {
        self.objects.iter().find(|object| object.role == "data")
    }

    /// Reads a manifest and checks what serde cannot: its digest, format, that the id agrees with its parts, and that file names
    /// stay in the folder. A manifest without a digest, as older versions wrote it, must hold nothing unknown.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let unreadable = |error: serde_json::Error| ManifestError(error.to_string());
        let mut value: Value = serde_json::from_slice(bytes).map_err(unreadable)?;
        let digest = value.as_object_mut().and_then(|map| map.remove(DIGEST));
        let manifest = Self::deserialize(&value).map_err(unreadable)?;
        let as_written = match digest {
            Some(digest) => {
                let found = canonical::digest(&canonical::sorted(&value)).map_err(unreadable)?;
                digest.as_str() == Some(found.to_string().as_str())
            }
            None => serde_json::to_value(&manifest).map_err(unreadable)? == value,
        };
        if !as_written {
            return Err(ManifestError(
                "its content is not what its digest was taken of".to_owned(),
            ));
        }
        if manifest.format != FORMAT {
            return Err(ManifestError(format!(
                "its format is `{}`, this program reads `{FORMAT}`",
                manifest.format
            )));
        }
        if manifest.id != RecoveryPointId::new(&manifest.database, &manifest.series, manifest.slot)
        {
            return Err(ManifestError(format!(
                "its id `{}` does not agree with its database, series and slot",
                manifest.id
            )));
        }
        if manifest.data().is_none() {
            return Err(ManifestError("it names no data object".to_owned()));
        }
        for object in &manifest.objects {
            let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            if object.file.is_empty()
                || object.file.starts_with('.')
                || !object.file.bytes().all(safe)
                || object.file == FILE_NAME
                || object.file == crate::key_ring::FILE_NAME
            {
                return Err(ManifestError(format!(
                    "`{}` is not a safe file name",
                    object.file
                )));
            }
        }
        Ok(manifest)
    }

    /// The bytes stored on a tier: indented JSON, for people with `less` in an emergency, with the SHA-256 of its canonical form as
    /// its last field, so that a changed bit is noticed also where nobody remembers the manifest.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut value = serde_json::to_value(self)?;
        let digest = canonical::digest(&canonical::sorted(&value))?.to_string();
        if let Some(map) = value.as_object_mut() {
            map.insert(DIGEST.to_owned(), Value::String(digest));
        }
        let mut bytes = serde_json::to_vec_pretty(&value)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// A file named `manifest.json` that is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid manifest: {0}")]
pub struct ManifestError(pub String);
