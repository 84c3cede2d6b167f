//! Writing one object from a stream of unknown length.
//!
//! What fits into one part is sent whole by `finish`. More is a multipart upload: parts leave while bytes come, and only the
//! completion in `finish` makes the object visible. Bytes that arrive wrong are refused by the store, which checks each part's
//! checksum, or the hash that its signature covers. A dropped writer aborts its upload in the background.

use super::{
    checksum::encode_crc,
    client::{How, Store},
    errors, parts,
    put::Condition,
    read_back,
    upload::Upload,
};
use crate::api::{NewObject, ObjectInfo, ObjectKey, ObjectWriter, Result};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

/// The object's writer.
pub(super) struct S3Writer {
    /// `None` after a failed or cancelled call: then the upload has been given up.
    writing: Option<Writing>,
}

struct Writing {
    store: Store,
    key: ObjectKey,
    how: How,
    /// The part that is being filled.
    buffer: BytesMut,
    bytes: u64,
    crc64nvme: crc_fast::Digest,
    upload: Option<Upload>,
}

/// Starts an object.
pub(super) async fn create(store: Store, key: &ObjectKey, new: NewObject) -> Result<S3Writer> {
    store.check_key(key)?;
    if store.head(key.as_str()).await?.is_some() {
        return Err(errors::exists(key.as_str()));
    }
    let how = store.how(new.class, new.lock)?;
    let expected = new.expected.map_or(0, |bytes| bytes.0);
    let room = usize::try_from(expected).unwrap_or(parts::SMALLEST);
    Ok(S3Writer {
        writing: Some(Writing {
            store,
            key: key.clone(),
            how,
            buffer: BytesMut::with_capacity(room.min(parts::SMALLEST)),
            bytes: 0,
            crc64nvme: crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme),
            upload: None,
        }),
    })
}

impl Writing {
    async fn write(&mut self, mut chunk: Bytes) -> Result<()> {
        self.crc64nvme.update(&chunk);
        self.bytes += chunk.len() as u64;
        while !chunk.is_empty() {
            let part = parts::bytes_of(self.upload.as_ref().map_or(0, Upload::started) + 1);
            // A full part leaves only when more comes: the last part must not be empty, and one part is no upload.
            if self.buffer.len() == part {
                self.send_part().await?;
                continue;
            }
            let taken = chunk.split_to((part - self.buffer.len()).min(chunk.len()));
            self.buffer.extend_from_slice(&taken);
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<()> {
        if self.upload.is_none() {
            let upload = Upload::start(&self.store, &self.key, &self.how).await?;
            self.upload = Some(upload);
        }
        let Some(upload) = &mut self.upload else {
            return Err(given_up());
        };
        let next = parts::bytes_of(upload.started() + 2);
        let part = std::mem::take(&mut self.buffer).freeze();
        upload.send(part, &self.how).await?;
        self.buffer = BytesMut::with_capacity(next);
        Ok(())
    }

    async fn finish(mut self) -> Result<ObjectInfo> {
        let crc = encode_crc(self.crc64nvme.finalize());
        let stored = if self.upload.is_some() {
            self.send_part().await?;
            let Some(upload) = self.upload.take() else {
                return Err(given_up());
            };
            upload.complete(&self.how, Some(&crc), self.bytes).await?
        } else {
            let body = std::mem::take(&mut self.buffer).freeze();
            let stored = self
                .store
                .put(self.key.as_str(), body, &self.how, &Condition::Absent)
                .await?;
            stored.ok_or_else(|| errors::exists(self.key.as_str()))?
        };
        read_back::confirm(
            &self.store,
            &self.key,
            &self.how,
            self.bytes,
            Some(&crc),
            &stored,
        )
        .await
    }
}

#[async_trait]
impl ObjectWriter for S3Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let mut writing = self.writing.take().ok_or_else(given_up)?;
        writing.write(chunk).await?;
        self.writing = Some(writing);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<ObjectInfo> {
        self.writing.take().ok_or_else(given_up)?.finish().await
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        match self.writing.take().and_then(|writing| writing.upload) {
            Some(upload) => upload.abort().await,
            None => Ok(()),
        }
    }
}

pub(super) fn given_up() -> crate::api::ProviderError {
    errors::io("the object was given up after an earlier failure")
}
