//! Copies from another tier of the same store, without moving bytes through this machine.
//!
//! Made of parts, because a completion can be create-only where a plain copy mostly cannot; the manifest's checksum goes with the
//! completion, so that the store itself compares. Stores without conditional completions get a plain copy right after a look.

use super::{
    client::{How, Store, patience},
    errors,
    put::{Stored, dressed},
    read_back,
    upload::{COPYING, Upload},
};
use crate::api::{NewObject, ObjectInfo, ObjectKey, PlaceInStore, Result};
use aws_sdk_s3::types::{ChecksumAlgorithm, MetadataDirective};
use model::StoredObject;
use std::fmt::Write;

/// Largest object of one `CopyObject` (Amazon S3 API Reference).
const LARGEST_WHOLE: u64 = 5 << 30;
/// Part of a larger one: 10,000 of them reach 5 TiB.
const PART: u64 = 1 << 30;

/// Copies one object, create-only.
pub(super) async fn copy(
    store: &Store,
    from: &PlaceInStore,
    key: &ObjectKey,
    object: &StoredObject,
    new: NewObject,
) -> Result<ObjectInfo> {
    store.check_key(key)?;
    if store.head(key.as_str()).await?.is_some() {
        return Err(errors::exists(key.as_str()));
    }
    let how = store.how(new.class, new.lock)?;
    let bytes = object.bytes.0;
    let crc = object.crc64nvme.as_deref();
    let source = format!(
        "{}/{}{}",
        from.bucket,
        encoded(&from.prefix),
        encoded(key.as_str())
    );
    let in_parts = bytes > LARGEST_WHOLE || (store.facts.conditional_complete && bytes > 0);
    let stored = if in_parts {
        let mut upload = Upload::start(store, key, &how).await?;
        for range in ranges(bytes) {
            upload.copy(&source, range).await?;
        }
        upload.complete(&how, crc, bytes).await?
    } else {
        whole(store, &source, key, &how).await?
    };
    read_back::confirm(store, key, &how, bytes, crc, &stored).await
}

async fn whole(store: &Store, source: &str, key: &ObjectKey, how: &How) -> Result<Stored> {
    let _turn = store.turn(key.as_str()).await;
    if store.head(key.as_str()).await?.is_some() {
        return Err(errors::exists(key.as_str()));
    }
    let request = store
        .client
        .copy_object()
        .bucket(store.bucket())
        .key(store.full(key.as_str()))
        .copy_source(source)
        .metadata_directive(MetadataDirective::Replace)
        .set_checksum_algorithm(
            store
                .facts
                .checksums
                .then_some(ChecksumAlgorithm::Crc64Nvme),
        )
        .set_if_none_match(store.facts.conditional_create.then(|| "*".to_owned()));
    let request = dressed!(request, store, how);
    let request = request.customize().config_override(patience(COPYING));
    match request.send().await {
        Ok(made) => Ok(Stored {
            tag: made.copy_object_result.and_then(|made| made.e_tag),
            version: made.version_id,
        }),
        Err(error) if errors::is_precondition(&error) => {
            let own = store.own(key.as_str(), how).await?;
            own.ok_or_else(|| errors::exists(key.as_str()))
        }
        Err(error) => Err(errors::failed(&format!("copy `{key}`"), &error)),
    }
}

/// Ranges of the parts; one part is taken whole.
fn ranges(bytes: u64) -> Vec<Option<String>> {
    if bytes <= PART {
        return vec![None];
    }
    (0..bytes.div_ceil(PART))
        .map(|part| {
            let first = part * PART;
            Some(format!("bytes={first}-{}", (first + PART).min(bytes) - 1))
        })
        .collect()
}

/// Percent-encodes what is not unreserved (RFC 3986, section 2.3); slashes stay.
fn encoded(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_copy_cover_the_object_once() {
        assert_eq!(ranges(5), [None]);
        assert_eq!(ranges(PART), [None]);
        assert_eq!(
            ranges(2 * PART + 1)
                .into_iter()
                .flatten()
                .collect::<Vec<_>>(),
            [
                "bytes=0-1073741823",
                "bytes=1073741824-2147483647",
                "bytes=2147483648-2147483648"
            ]
        );
        assert!(ranges(5 << 40).len() <= 10_000);
    }

    #[test]
    fn the_source_of_a_copy_is_encoded() {
        assert_eq!(encoded("a b/č+%.zst"), "a%20b/%C4%8D%2B%25.zst");
    }
}
