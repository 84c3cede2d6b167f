//! Copies stored bytes from tier to tier as they are.

use super::{
    Progress,
    check::{agrees, not_too_long},
    digest::SumThread,
};
use crate::api::{ObjectReader, ObjectWriter, Result};
use model::StoredObject;

/// Copies stored bytes as they are, checking size and SHA-256 on the way; the writer comes back unfinished. On error or
/// cancellation the writer is dropped and nothing becomes visible.
pub async fn copy(
    mut reader: Box<dyn ObjectReader>,
    mut writer: Box<dyn ObjectWriter>,
    object: &StoredObject,
    progress: Progress,
) -> Result<Box<dyn ObjectWriter>> {
    let thread = SumThread::start()?;
    let mut seen = 0;
    let mut next = reader.read().await?;
    while let Some(chunk) = next {
        seen += chunk.len() as u64;
        not_too_long(seen, object)?;
        thread.add(chunk.clone()).await?;
        // The next chunk is read while this one is written.
        let (written, read) = tokio::join!(writer.write(chunk), reader.read());
        written?;
        next = read?;
        progress(seen);
    }
    agrees(&thread.finish().await?, object)?;
    Ok(writer)
}
