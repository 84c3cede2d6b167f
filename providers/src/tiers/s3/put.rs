//! Writing one object in one request, if what is there is what the writer expects.

use super::{
    client::{How, Store, patience},
    config::{Class, SseKind},
    errors,
};
use crate::api::Result;
use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, ObjectLockMode, ServerSideEncryption, StorageClass},
};
use bytes::Bytes;
use model::tier_facts::LockMode;
use std::time::Duration;

/// Name of the metadata that carries the writer's token.
pub(super) const TOKEN: &str = "mainstay-writer";
/// How often a store may ask to try a conditional write again.
const CONFLICTS: u32 = 6;

/// What must be there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Absent,
    Tag(String),
}

/// What was written.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) tag: Option<String>,
    pub(super) version: Option<String>,
}

/// Adds class, encryption, lock and token to a request that makes an object.
macro_rules! dressed {
    ($request:expr, $store:expr, $how:expr) => {{
        let (class, sse, key, mode, until) = $crate::tiers::s3::put::dress($store, $how);
        $request
            .set_storage_class(class)
            .set_server_side_encryption(sse)
            .set_ssekms_key_id(key)
            .set_object_lock_mode(mode)
            .set_object_lock_retain_until_date(until)
            .metadata($crate::tiers::s3::put::TOKEN, $how.token.as_str())
    }};
}
pub(super) use dressed;

/// The values that [`dressed`] sets.
pub(super) fn dress(
    store: &Store,
    how: &How,
) -> (
    Option<StorageClass>,
    Option<ServerSideEncryption>,
    Option<String>,
    Option<ObjectLockMode>,
    Option<aws_sdk_s3::primitives::DateTime>,
) {
    let sse = store.config.server_side_encryption.as_ref();
    (
        (how.class != Class::Standard).then(|| how.class.in_protocol()),
        sse.map(|sse| match sse.kind {
            SseKind::S3 => ServerSideEncryption::Aes256,
            SseKind::Kms => ServerSideEncryption::AwsKms,
        }),
        sse.and_then(|sse| sse.key_id.clone()),
        how.lock.map(|order| lock_mode(order.mode)),
        how.lock.map(|order| super::client::to_store(order.until)),
    )
}

pub(super) fn lock_mode(mode: LockMode) -> ObjectLockMode {
    match mode {
        LockMode::Governance => ObjectLockMode::Governance,
        LockMode::Compliance => ObjectLockMode::Compliance,
    }
}

impl Store {
    /// Which checksum a request that carries bytes names. A store that locks objects wants one in any case.
    pub(super) fn checksum(&self, how: &How) -> Option<ChecksumAlgorithm> {
        match (self.facts.checksums, how.lock) {
            (true, _) => Some(ChecksumAlgorithm::Crc64Nvme),
            (false, Some(_)) => Some(ChecksumAlgorithm::Crc32),
            (false, None) => None,
        }
    }

    /// Writes an object. `None`: the condition does not hold, and nothing was written.
    pub(super) async fn put(
        &self,
        key: &str,
        body: Bytes,
        how: &How,
        condition: &Condition,
    ) -> Result<Option<Stored>> {
        let store_compares = match condition {
            Condition::Absent => self.facts.conditional_create,
            Condition::Tag(_) => self.facts.conditional_replace,
        };
        if !store_compares {
            if !self.config.exclusive {
                return Err(errors::no_conditional_writes(key));
            }
            // The policy's word that nobody else writes here.
            let there = self.head(key).await?;
            let there = there.as_ref().map(HeadObjectOutput::e_tag);
            let holds = match condition {
                Condition::Absent => there.is_none(),
                Condition::Tag(tag) => there == Some(Some(tag.as_str())),
            };
            if !holds {
                return Ok(None);
            }
        }
        let what = format!("write `{key}`");
        let mut conflicts = 0;
        loop {
            let mut request = self
                .client
                .put_object()
                .bucket(self.bucket())
                .key(self.full(key))
                .set_checksum_algorithm(self.checksum(how))
                .body(ByteStream::from(body.clone()));
            request = dressed!(request, self, how);
            request = match condition {
                _ if !store_compares => request,
                Condition::Absent => request.if_none_match("*"),
                Condition::Tag(tag) => request.if_match(tag),
            };
            let request = request
                .customize()
                .config_override(patience(body.len() as u64));
            return match request.send().await {
                Ok(stored) => Ok(Some(Stored {
                    tag: stored.e_tag,
                    version: stored.version_id,
                })),
                // A request that was sent again because its answer was lost meets its own object.
                Err(error) if errors::is_precondition(&error) => self.own(key, how).await,
                Err(error) if errors::is_conflict(&error) && conflicts < CONFLICTS => {
                    conflicts += 1;
                    tokio::time::sleep(Duration::from_millis(100 << conflicts)).await;
                    continue;
                }
                Err(error)
                    if matches!(condition, Condition::Tag(_)) && errors::is_not_found(&error) =>
                {
                    Ok(None)
                }
                Err(error) => Err(errors::failed(&what, &error)),
            };
        }
    }

    /// The object at a key, if this writer made it.
    pub(super) async fn own(&self, key: &str, how: &How) -> Result<Option<Stored>> {
        let head = self.head(key).await?;
        Ok(head.filter(|head| is_own(head, how)).map(|head| Stored {
            tag: head.e_tag,
            version: head.version_id,
        }))
    }
}

/// Whether an object was made by this writer.
pub(super) fn is_own(head: &HeadObjectOutput, how: &How) -> bool {
    let token = head.metadata().and_then(|metadata| metadata.get(TOKEN));
    token.is_some_and(|token| *token == how.token)
}
