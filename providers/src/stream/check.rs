//! Reads a stored object to its end and compares it with the manifest.

use super::{
    Progress, damage,
    digest::{Sum, SumThread},
};
use crate::api::{ObjectReader, Result};
use model::StoredObject;

/// Reads a stored object to its end and compares size and SHA-256 (`mainstay::copy::damaged` when they differ).
pub async fn check_stored(
    mut reader: Box<dyn ObjectReader>,
    object: &StoredObject,
    progress: Progress,
) -> Result<()> {
    let thread = SumThread::start()?;
    let mut seen = 0;
    while let Some(chunk) = reader.read().await? {
        seen += chunk.len() as u64;
        not_too_long(seen, object)?;
        thread.add(chunk).await?;
        progress(seen);
    }
    agrees(&thread.finish().await?, object)
}

/// Stops early when there are more bytes than the manifest says.
pub(super) fn not_too_long(seen: u64, object: &StoredObject) -> Result<()> {
    if seen > object.bytes.0 {
        return Err(damage::damaged(
            object,
            &format!(
                "it is longer than the {} bytes of its manifest",
                object.bytes.0
            ),
        ));
    }
    Ok(())
}

/// Compares what was read with the manifest.
pub(super) fn agrees(sum: &Sum, object: &StoredObject) -> Result<()> {
    if sum.bytes != object.bytes {
        return Err(damage::damaged(
            object,
            &format!(
                "it has {} bytes, its manifest says {}",
                sum.bytes.0, object.bytes.0
            ),
        ));
    }
    if sum.sha256 != object.sha256 {
        return Err(damage::damaged(
            object,
            "its SHA-256 is not the one of its manifest",
        ));
    }
    Ok(())
}
