//! One multipart upload: parts in parallel, and a completion that makes the object visible, or never.
//!
//! Whatever ends before the completion aborts the upload: parts that stay are invisible, and paid for.

use super::{
    checksum::base64,
    client::{How, Store, patience},
    errors, leftovers,
    leftovers::Owned,
    parts,
    put::{Stored, dressed},
    sums::{self, Sum},
    writer::given_up,
};
use crate::api::{ObjectKey, Result};
use aws_sdk_s3::{
    primitives::ByteStream,
    types::{ChecksumType, CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often a completion is sent again that the store could not judge.
const CONFLICTS: u32 = 3;
/// Completing puts thousands of parts together; some stores take minutes. As if so many bytes were sent.
const COMPLETION: u64 = 32 << 20;
/// The same for one part that the store copies by itself.
pub(super) const COPYING: u64 = 128 << 20;
/// Parts that the store copies at once.
const COPIES: usize = 4;

/// A multipart upload. Dropped before its completion, it is aborted.
pub(super) struct Upload {
    store: Store,
    key: ObjectKey,
    id: String,
    started: u32,
    done: Vec<CompletedPart>,
    /// MD5 of each part that was sent, in order; not for parts that the store took from itself.
    sums: Vec<Sum>,
    on_their_way: JoinSet<Result<CompletedPart>>,
    /// `None`: completed or aborted.
    owned: Option<Owned>,
}

impl Upload {
    pub(super) async fn start(store: &Store, key: &ObjectKey, how: &How) -> Result<Self> {
        let request = store
            .client
            .create_multipart_upload()
            .bucket(store.bucket())
            .key(store.full(key.as_str()))
            .set_checksum_algorithm(store.checksum(how))
            .set_checksum_type(store.facts.checksums.then_some(ChecksumType::FullObject));
        let request = dressed!(request, store, how);
        let what = format!("start the upload of `{key}`");
        let start = Box::pin(async {
            let made = request.send().await;
            let made = made.map_err(|error| errors::failed(&what, &error))?;
            made.upload_id
                .ok_or_else(|| errors::io(format!("cannot {what}: the store named no upload")))
        });
        let (id, owned) = leftovers::own(store, start).await?;
        Ok(Self {
            store: store.clone(),
            key: key.clone(),
            id,
            started: 0,
            done: Vec::new(),
            sums: Vec::new(),
            on_their_way: JoinSet::new(),
            owned: Some(owned),
        })
    }

    /// Sends a part as soon as there is room for it among those on their way.
    pub(super) async fn send(&mut self, part: Bytes, how: &How) -> Result<()> {
        self.started += 1;
        if self.started > parts::MOST_PARTS {
            return Err(errors::too_large(self.key.as_str()));
        }
        while self.on_their_way.len() >= parts::in_flight(part.len().max(parts::SMALLEST)) {
            self.arrived().await?;
        }
        let number = i32::try_from(self.started).unwrap_or(i32::MAX);
        let checksum = self.store.checksum(how);
        let sum = (!self.store.facts.checksums).then(|| sums::sum(&part));
        self.sums.extend(sum);
        let mut request = self
            .store
            .client
            .upload_part()
            .bucket(self.store.bucket())
            .key(self.store.full(self.key.as_str()))
            .upload_id(&self.id)
            .part_number(number)
            .set_checksum_algorithm(checksum)
            .set_content_md5(sum.filter(|_| self.store.facts.md5).map(|sum| base64(&sum)))
            .body(ByteStream::from(part.clone()))
            .customize()
            .config_override(patience(part.len() as u64));
        if !self.store.signs_bytes() {
            request = request.disable_payload_signing();
        }
        let what = format!("write part {number} of `{}`", self.key);
        self.on_their_way.spawn(async move {
            let sent = request.send().await;
            let sent = sent.map_err(|error| errors::failed(&what, &error))?;
            Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(sent.e_tag)
                .set_checksum_crc64_nvme(sent.checksum_crc64_nvme)
                .set_checksum_crc32(sent.checksum_crc32)
                .build())
        });
        Ok(())
    }

    /// Lets the store take a part from another object of its own, as soon as there is room among those on their way.
    pub(super) async fn copy(&mut self, source: &str, range: Option<String>) -> Result<()> {
        self.started += 1;
        while self.on_their_way.len() >= COPIES {
            self.arrived().await?;
        }
        let number = i32::try_from(self.started).unwrap_or(i32::MAX);
        let request = self
            .store
            .client
            .upload_part_copy()
            .bucket(self.store.bucket())
            .key(self.store.full(self.key.as_str()))
            .upload_id(&self.id)
            .part_number(number)
            .copy_source(source)
            .set_copy_source_range(range)
            .customize()
            .config_override(patience(COPYING));
        let what = format!("copy part {number} of `{}`", self.key);
        self.on_their_way.spawn(async move {
            let made = request.send().await;
            let made = made.map_err(|error| errors::failed(&what, &error))?;
            let part = made.copy_part_result;
            let part = part.ok_or_else(|| errors::io(format!("cannot {what}: no answer")))?;
            Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag)
                .set_checksum_crc64_nvme(part.checksum_crc64_nvme)
                .build())
        });
        Ok(())
    }

    /// How many parts were started.
    pub(super) fn started(&self) -> u32 {
        self.started
    }

    /// Waits for one part.
    async fn arrived(&mut self) -> Result<()> {
        match self.on_their_way.join_next().await {
            Some(Ok(part)) => self.done.push(part?),
            Some(Err(_)) => return Err(given_up()),
            None => {}
        }
        Ok(())
    }

    /// Makes the object visible.
    pub(super) async fn complete(
        mut self,
        how: &How,
        crc: Option<&str>,
        bytes: u64,
    ) -> Result<Stored> {
        while !self.on_their_way.is_empty() {
            self.arrived().await?;
        }
        self.done.sort_by_key(CompletedPart::part_number);
        let store = self.store.clone();
        let key = self.key.clone();
        let _turn = store.turn(key.as_str()).await;
        if !store.facts.conditional_complete && store.head(key.as_str()).await?.is_some() {
            self.abort().await?;
            return Err(errors::exists(key.as_str()));
        }
        let mut conflicts = 0;
        loop {
            let parts = CompletedMultipartUpload::builder().set_parts(Some(self.done.clone()));
            let mut request = store
                .client
                .complete_multipart_upload()
                .bucket(store.bucket())
                .key(store.full(key.as_str()))
                .upload_id(&self.id)
                .multipart_upload(parts.build());
            if store.facts.checksums {
                request = request
                    .set_checksum_crc64_nvme(crc.map(str::to_owned))
                    .checksum_type(ChecksumType::FullObject)
                    .set_mpu_object_size(i64::try_from(bytes).ok());
            }
            if store.facts.conditional_complete {
                request = request.if_none_match("*");
            }
            let request = request.customize().config_override(patience(COMPLETION));
            let error = match request.send().await {
                Ok(made) => {
                    self.owned = None;
                    if self.sums.len() == self.done.len() {
                        store.sums.parts(key.as_str(), &self.sums, made.e_tag());
                    }
                    return Ok(Stored {
                        tag: made.e_tag,
                        version: made.version_id,
                    });
                }
                Err(error) => error,
            };
            if errors::is_conflict(&error) && conflicts < CONFLICTS {
                conflicts += 1;
                tokio::time::sleep(Duration::from_millis(200 << conflicts)).await;
                continue;
            }
            // The answer to a completion that worked may have been lost, and the repeat found no upload any more.
            if let Some(own) = store.own(key.as_str(), how).await? {
                self.owned = None;
                return Ok(own);
            }
            let taken = errors::is_precondition(&error)
                || (errors::is_conflict(&error) && store.head(key.as_str()).await?.is_some());
            let failed = errors::failed(&format!("complete the upload of `{key}`"), &error);
            self.abort().await?;
            return Err(if taken {
                errors::exists(key.as_str())
            } else if errors::is_not_found(&error) {
                errors::io(format!(
                    "cannot complete the upload of `{key}`: somebody else has aborted it"
                ))
            } else {
                failed
            });
        }
    }

    /// Removes the parts that the store has.
    pub(super) async fn abort(mut self) -> Result<()> {
        // A part that still arrives after an abort would stay, and be paid for.
        self.on_their_way.shutdown().await;
        let aborted = leftovers::abort(&self.store, self.key.as_str(), &self.id).await;
        self.owned = None;
        aborted
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(owned) = self.owned.take() else {
            return;
        };
        let mut on_their_way = std::mem::take(&mut self.on_their_way);
        on_their_way.abort_all();
        // Without a runtime the program is ending, and the next clean-up finds the upload.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (store, key, id) = (self.store.clone(), self.key.clone(), self.id.clone());
        runtime.spawn(async move {
            on_their_way.shutdown().await;
            // Nobody waits for this; what remains is a leftover.
            let _ = leftovers::abort(&store, key.as_str(), &id).await;
            drop(owned);
        });
    }
}
