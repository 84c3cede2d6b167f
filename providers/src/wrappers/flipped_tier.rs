//! A tier that shows one byte of one object wrongly: to see whether what reads it notices.
//!
//! Nothing is changed, nothing can be: what it shows of all else comes from a tier that is open for looking only.

use super::{
    ReadOnlyTier,
    layered::{Layer, LayeredTier},
};
use crate::api::{ObjectKey, ObjectReader, Result, Tier};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

/// A tier that shows one byte with all its bits inverted.
pub type FlippedTier = LayeredTier<Flip>;

/// Which byte.
#[derive(Debug)]
pub struct Flip {
    key: ObjectKey,
    position: u64,
}

impl FlippedTier {
    /// Wraps a tier; the byte at `position` of the object `key` is shown wrongly.
    pub fn new(inner: Arc<dyn Tier>, key: ObjectKey, position: u64) -> Self {
        let inner = Arc::new(ReadOnlyTier::new(inner));
        Self::over(inner, Flip { key, position })
    }
}

impl Layer for Flip {
    fn reader(
        &self,
        key: &ObjectKey,
        offset: u64,
        inner: Box<dyn ObjectReader>,
    ) -> Box<dyn ObjectReader> {
        let left = self.position.checked_sub(offset);
        Box::new(FlippedReader {
            inner,
            left: left.filter(|_| *key == self.key),
        })
    }
}

struct FlippedReader {
    inner: Box<dyn ObjectReader>,
    /// Bytes before the wrong one; `None`: it has passed.
    left: Option<u64>,
}

#[async_trait]
impl ObjectReader for FlippedReader {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        let Some(chunk) = self.inner.read().await? else {
            return Ok(None);
        };
        let Some(left) = self.left else {
            return Ok(Some(chunk));
        };
        let length = chunk.len() as u64;
        if left >= length {
            self.left = Some(left - length);
            return Ok(Some(chunk));
        }
        self.left = None;
        let mut bytes = chunk.to_vec();
        let at = usize::try_from(left).unwrap_or(usize::MAX);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = !*byte;
        }
        Ok(Some(Bytes::from(bytes)))
    }
}
