//! The marker object: which tier this is, and what the probe found of its store. Format `mainstay.tier.v1`, JSON.

use super::{client::Store, control, errors, put::Condition};
use crate::api::{ObjectClass, ObjectKey, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Name of the marker below the prefix. The leading dot keeps it out of listings.
const NAME: &str = ".mainstay-tier.json";
/// Every command looks at the marker first, `status` and a restore from another tier too: a store that is silent must not stop
/// them for the minutes that a transfer is given.
const PATIENCE: Duration = Duration::from_secs(30);
const FORMAT: &str = "mainstay.tier.v1";

#[derive(Serialize, Deserialize)]
struct Marker {
    format: String,
    identity: String,
    /// For whoever finds the object.
    #[serde(default)]
    about: String,
    /// Markers that were put there by hand have none: then nothing is relied on.
    #[serde(default)]
    store: StoreFacts,
}

/// What the probe found when the tier was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct StoreFacts {
    /// `PutObject` with `If-None-Match: *` refuses an existing key.
    pub(super) conditional_create: bool,
    /// `PutObject` with `If-Match` refuses another content.
    pub(super) conditional_replace: bool,
    /// `CompleteMultipartUpload` with `If-None-Match: *` refuses an existing key.
    pub(super) conditional_complete: bool,
    /// CRC-64/NVME is kept, and a wrong one is refused.
    pub(super) checksums: bool,
    /// A wrong `Content-MD5` is refused. Then, as with CRC-64/NVME, the signature need not cover the bytes too.
    pub(super) md5: bool,
    /// `If-Match` wants an `ETag` without its quotes.
    pub(super) bare_tags: bool,
    /// What lies in an archive class can be read at once all the same.
    pub(super) archive_is_readable: bool,
}

/// The identity in the marker and what stands beside it; `None` without a marker.
pub(super) async fn read(store: &Store) -> Result<Option<(String, StoreFacts)>> {
    let place = store.place();
    let key = key()?;
    let found = tokio::time::timeout(PATIENCE, control::read(store, &key)).await;
    let found = found.map_err(|_| errors::no_answer(&place, PATIENCE))?;
    let Some((text, _)) = found.map_err(errors::not_there)? else {
        return Ok(None);
    };
    let marker: Marker = serde_json::from_slice(&text).map_err(|error| {
        errors::bad_marker(&place, "it is not the JSON of a marker").source(error)
    })?;
    if marker.format != FORMAT {
        return Err(errors::bad_marker(
            &place,
            &format!(
                "its format is `{}`, this program reads `{FORMAT}`",
                marker.format
            ),
        ));
    }
    Ok(Some((marker.identity, marker.store)))
}

/// Writes the marker unless there is one, and gives the identity that is there afterwards.
pub(super) async fn write(store: &Store, identity: &str) -> Result<String> {
    let place = store.place();
    let marker = Marker {
        format: FORMAT.to_owned(),
        identity: identity.to_owned(),
        about: "What lies beside this object is a storage tier of Mainstay. Without this object it counts as not there."
            .to_owned(),
        store: store.facts,
    };
    let mut text = serde_json::to_vec_pretty(&marker)
        .map_err(|error| errors::bad_marker(&place, "it cannot be written").source(error))?;
    text.push(b'\n');
    let how = store.how(ObjectClass::Index, None)?;
    // Whether somebody was faster or not: what is there counts.
    store
        .put(NAME, Bytes::from(text), &how, &Condition::Absent)
        .await?;
    let there = read(store).await?;
    there
        .map(|(identity, _)| identity)
        .ok_or_else(|| errors::no_marker(&place))
}

fn key() -> Result<ObjectKey> {
    ObjectKey::new(NAME).ok_or_else(|| errors::bad_key(NAME, "it is no key"))
}
