//! Sealed objects on a real tier in a temporary folder.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up shall say why and stop"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses a part of this"
)]

use mainstay_providers::{
    api::{NewObject, ObjectKey, ProviderError, Tier},
    registry,
    seal::{DataKey, Sealing},
    stream::{Progress, plain, provider_error, store},
};
use model::{
    RecoveryPointId, StoredObject, TierName, key_ring,
    manifest::{Compression, Encryption},
};
use serde_json::json;
use std::{
    fmt::Write,
    fs,
    io::{Cursor, Read},
    path::PathBuf,
    sync::Arc,
};
use tempfile::TempDir;

/// A tier.
pub struct Place {
    /// Its folder.
    pub folder: TempDir,
    /// The tier.
    pub tier: Arc<dyn Tier>,
}

/// The point that everything here belongs to.
pub fn point() -> RecoveryPointId {
    RecoveryPointId::parse("orders/daily/20261121T020000Z").unwrap()
}

/// A fresh key, bound to a file of the point.
pub fn sealing(file: &str) -> Sealing {
    Sealing {
        key: DataKey::random().unwrap(),
        associated_data: key_ring::associated_data(&point(), file),
    }
}

/// As hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// No progress.
pub fn quiet() -> Progress {
    Arc::new(|_| {})
}

/// Bytes that do not compress, the same every time.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

impl Place {
    /// An empty one.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let table = json!({"path": "tier", "min-free": "0%"});
        let name = TierName::new("nas").unwrap();
        let tier = registry::tier(&name, "filesystem", &table, folder.path()).unwrap();
        tier.initialise("id").await.unwrap();
        Self { folder, tier }
    }

    /// Where a file of the point lies.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("tier/point").join(file)
    }

    /// Its key.
    pub fn key(file: &str) -> ObjectKey {
        ObjectKey::new(format!("point/{file}")).unwrap()
    }

    /// Stores bytes, sealed if there is a key.
    pub async fn put(
        &self,
        file: &str,
        bytes: Vec<u8>,
        compression: Compression,
        sealing: Option<&Sealing>,
    ) -> StoredObject {
        let new = NewObject::data(None);
        let writer = self.tier.create(&Self::key(file), new).await.unwrap();
        let source = Box::new(Cursor::new(bytes));
        let (stored, writer) = store(source, writer, compression, None, sealing.cloned(), quiet())
            .await
            .unwrap();
        writer.finish().await.unwrap();
        StoredObject {
            role: "data".to_owned(),
            file: file.to_owned(),
            content: "sql".to_owned(),
            compression,
            encryption: sealing.map(|_| Encryption::Aes256GcmHkdf1Mb),
            bytes: stored.bytes,
            sha256: stored.sha256,
            crc64nvme: Some(stored.crc64nvme),
            plain_bytes: stored.plain_bytes,
            plain_blake3: stored.plain_blake3,
        }
    }

    /// Puts other bytes in the place of a file.
    pub fn damage(&self, file: &str, bytes: &[u8]) {
        fs::write(self.path(file), bytes).unwrap();
    }

    /// What the reader of a file gave out, and how it ended.
    pub async fn read(
        &self,
        object: &StoredObject,
        opening: Option<&Sealing>,
    ) -> (Vec<u8>, Result<(), ProviderError>) {
        let reader = self.tier.open(&Self::key(&object.file)).await.unwrap();
        let mut reader = plain(reader, object, opening.cloned(), quiet());
        tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let mut buffer = vec![0; 300_000];
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => return (out, Ok(())),
                    Ok(count) => out.extend_from_slice(&buffer[..count]),
                    Err(error) => {
                        return (out, Err(provider_error(error)));
                    }
                }
            }
        })
        .await
        .unwrap()
    }
}
