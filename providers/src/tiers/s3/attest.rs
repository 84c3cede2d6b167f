//! What the store says of its own copy: works for archived objects too, which nobody can read at once.
//!
//! Only a store that refuses wrong checksums (the probe tried) says something about the bytes; another one repeats what it was told.
//! Of such a store the sum counts that it worked out itself when this run stored the object (`sums.rs`).

use super::{
    checksum::base64,
    client::{Store, byte_count},
    errors,
};
use crate::api::{Attestation, ObjectKey, Result};
use aws_sdk_s3::types::ChecksumType;
use model::StoredObject;

/// Compares size and checksum of the whole object with those of the manifest.
pub(super) async fn attest(
    store: &Store,
    key: &ObjectKey,
    object: &StoredObject,
) -> Result<Attestation> {
    let head = store.head(key.as_str()).await?;
    let head = head.ok_or_else(|| errors::not_found(key.as_str()))?;
    let bytes = byte_count(head.content_length());
    if bytes != object.bytes {
        return Ok(Attestation::Differs(format!(
            "it has {} bytes, and should have {}",
            bytes.0, object.bytes.0
        )));
    }
    if !store.facts.checksums {
        return Ok(match store.sums.agrees(key.as_str(), head.e_tag()) {
            Some(true) => Attestation::Agrees,
            Some(false) => Attestation::Differs("its ETag is not the one that it had when it was stored".to_owned()),
            None => Attestation::CannotTell(
                "this store does not check the checksums that it is told, and its own sum is known only in the run that stores an object"
                    .to_owned(),
            ),
        });
    }
    let whole = head
        .checksum_type()
        .is_none_or(|kind| *kind == ChecksumType::FullObject);
    let compared = match (head.checksum_crc64_nvme(), &object.crc64nvme) {
        (Some(there), Some(wanted)) if whole => Some((there, wanted.clone(), "CRC-64/NVME")),
        _ => {
            let there = head.checksum_sha256().filter(|_| whole);
            let wanted = sha256_in_base64(object);
            there
                .zip(wanted)
                .map(|(there, wanted)| (there, wanted, "SHA-256"))
        }
    };
    Ok(match compared {
        Some((there, wanted, _)) if there == wanted => Attestation::Agrees,
        Some((there, wanted, kind)) => {
            Attestation::Differs(format!("its {kind} is {there}, and should be {wanted}"))
        }
        None => Attestation::CannotTell(
            "the store keeps no checksum of the whole object that the manifest has too".to_owned(),
        ),
    })
}

/// The manifest's SHA-256 as a store tells one; sums of parts (`…-3`) never equal it.
fn sha256_in_base64(object: &StoredObject) -> Option<String> {
    let text = object.sha256.to_string();
    let hex = text.rsplit(':').next()?;
    let bytes: Option<Vec<u8>> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
        .collect();
    bytes.map(|bytes| base64(&bytes))
}
