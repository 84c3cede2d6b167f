//! Reading one object as a stream, one chunk ahead.
//!
//! A body that breaks off, or ends early, is asked for again from where it stopped, if the object is still the same (`If-Match`).
//! Its length is that of the first answer. Not here: whether the bytes are right (`stream` hashes them).

use super::{client::Store, errors};
use crate::api::{ObjectKey, ObjectReader, ProviderError, Result};
use async_trait::async_trait;
use aws_sdk_s3::{operation::get_object::GetObjectOutput, primitives::ByteStream};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::{sync::mpsc, task::JoinHandle};

const CHUNK: usize = 1 << 20;
/// Interruptions without a chunk between them, after which a read is given up.
const INTERRUPTIONS: u32 = 5;

/// The object's reader.
pub(super) struct S3Reader {
    key: ObjectKey,
    /// What tells this content, and this version, from others.
    pub(super) tag: Option<String>,
    pub(super) version: Option<String>,
    chunks: mpsc::Receiver<Result<Bytes>>,
    pump: JoinHandle<()>,
    failed: bool,
}

impl Drop for S3Reader {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Where a read stands.
struct Reading {
    store: Store,
    key: ObjectKey,
    tag: Option<String>,
    position: u64,
    end: u64,
}

/// Opens an object for reading from byte `offset`.
pub(super) async fn open(store: Store, key: &ObjectKey, offset: u64) -> Result<S3Reader> {
    let mut reading = Reading {
        store,
        key: key.clone(),
        tag: None,
        position: offset,
        end: 0,
    };
    let (body, version) = match reading.get().await? {
        Some(found) => {
            reading.end = offset + length(key, found.content_length)?;
            reading.tag = found.e_tag;
            (found.body, found.version_id)
        }
        None => (ByteStream::from_static(b""), None),
    };
    reading.end = reading.end.max(offset);
    let tag = reading.tag.clone();
    let (sender, chunks) = mpsc::channel(1);
    let pump = tokio::spawn(async move {
        if let Err(error) = reading.pump(body, &sender).await {
            // Nobody listens when the reader was dropped.
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(S3Reader {
        key: key.clone(),
        tag,
        version,
        chunks,
        pump,
        failed: false,
    })
}

impl Reading {
    /// Asks for the rest. `None`: the object ends before.
    async fn get(&self) -> Result<Option<GetObjectOutput>> {
        let key = &self.key;
        let request = self
            .store
            .client
            .get_object()
            .bucket(self.store.bucket())
            .key(self.store.full(key.as_str()))
            .set_range((self.position > 0).then(|| format!("bytes={}-", self.position)))
            .set_if_match(self.tag.clone());
        match request.send().await {
            // A store that does not know ranges gives the whole.
            Ok(found) if self.position > 0 && found.content_range.is_none() => {
                Err(errors::io(format!(
                    "cannot read `{key}` from byte {}: the store gives no ranges",
                    self.position
                )))
            }
            // A proxy or a login page answers 200 too: taken for the object it would look like damage.
            Ok(found) if found.e_tag.is_none() => Err(errors::no_store(key.as_str())),
            Ok(found) => Ok(Some(found)),
            Err(error) if errors::is_not_found(&error) => Err(errors::not_found(key.as_str())),
            Err(error) if errors::status_of(&error) == 416 => Ok(None),
            Err(error) if errors::is_precondition(&error) => Err(errors::io(format!(
                "`{key}` became another object while it was read"
            ))),
            Err(error) if errors::code_of(&error) == "InvalidObjectState" => {
                Err(errors::archived(key.as_str()))
            }
            Err(error) => Err(errors::failed(&format!("read `{key}`"), &error)),
        }
    }

    async fn pump(mut self, body: ByteStream, sender: &mpsc::Sender<Result<Bytes>>) -> Result<()> {
        let mut body = body;
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let mut interruptions = 0;
        while self.position < self.end {
            match body.next().await {
                Some(Ok(bytes)) => {
                    self.position += bytes.len() as u64;
                    if self.position > self.end {
                        return Err(errors::io(format!(
                            "the store sent more of `{}` than it announced",
                            self.key
                        )));
                    }
                    chunk.extend_from_slice(&bytes);
                    while chunk.len() >= CHUNK {
                        interruptions = 0;
                        let full = chunk.split_to(CHUNK).freeze();
                        chunk.reserve(CHUNK);
                        if sender.send(Ok(full)).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                broken => {
                    interruptions += 1;
                    if interruptions > INTERRUPTIONS {
                        return Err(self.interrupted(broken));
                    }
                    tokio::time::sleep(Duration::from_millis(50 << (2 * interruptions))).await;
                    let Some(rest) = self.get().await? else {
                        return Err(self.interrupted(None));
                    };
                    let left = length(&self.key, rest.content_length)?;
                    if left != self.end - self.position {
                        return Err(errors::io(format!(
                            "`{}` has another length than before",
                            self.key
                        )));
                    }
                    body = rest.body;
                }
            }
        }
        if !chunk.is_empty() {
            let _ = sender.send(Ok(chunk.freeze())).await;
        }
        Ok(())
    }

    fn interrupted(
        &self,
        broken: Option<Result<Bytes, aws_sdk_s3::primitives::ByteStreamError>>,
    ) -> ProviderError {
        let error = errors::io(format!(
            "reading `{}` was interrupted again and again at byte {} of {}",
            self.key, self.position, self.end
        ));
        match broken {
            Some(Err(cause)) => error.source(cause),
            _ => error,
        }
    }
}

/// An answer without a length could end anywhere, and nobody would notice.
fn length(key: &ObjectKey, announced: Option<i64>) -> Result<u64> {
    let announced = announced.and_then(|bytes| u64::try_from(bytes).ok());
    announced.ok_or_else(|| errors::io(format!("the store does not say how long `{key}` is")))
}

#[async_trait]
impl ObjectReader for S3Reader {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        if self.failed {
            return Err(errors::io(format!("reading `{}` failed before", self.key)));
        }
        match self.chunks.recv().await {
            Some(Ok(chunk)) => Ok(Some(chunk)),
            Some(Err(error)) => {
                self.failed = true;
                Err(error)
            }
            None => Ok(None),
        }
    }
}
