//! Writing one object in one request, if what is there is what the writer expects.

use super::{
    checksum::content_md5,
    client::{How, Store, patience, to_store},
    config::{Class, SseKind},
    errors,
};
use crate::api::Result;
use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput,
    primitives::{ByteStream, DateTime},
    types::{ChecksumAlgorithm, ObjectLockMode, ServerSideEncryption, StorageClass},
};
use bytes::Bytes;
use model::tier_facts::LockMode;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};
use tokio::sync::{Mutex, MutexGuard};

/// Name of the metadata that carries the writer's token.
pub(super) const TOKEN: &str = "mainstay-writer";
/// How often a store may ask to try a conditional write again.
const CONFLICTS: u32 = 6;

/// One of these is held from a look to the write that relies on it; keys share them by their hash.
static TURNS: [Mutex<()>; 64] = [const { Mutex::const_new(()) }; 64];

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
        let dress = $crate::tiers::s3::put::Dress::of($store, $how);
        $request
            .set_storage_class(dress.class)
            .set_server_side_encryption(dress.encryption)
            .set_ssekms_key_id(dress.key_id)
            .set_object_lock_mode(dress.lock_mode)
            .set_object_lock_retain_until_date(dress.locked_until)
            .metadata($crate::tiers::s3::put::TOKEN, $how.token.as_str())
    }};
}
pub(super) use dressed;

/// The values that [`dressed`] sets.
pub(super) struct Dress {
    pub(super) class: Option<StorageClass>,
    pub(super) encryption: Option<ServerSideEncryption>,
    pub(super) key_id: Option<String>,
    pub(super) lock_mode: Option<ObjectLockMode>,
    pub(super) locked_until: Option<DateTime>,
}

impl Dress {
    pub(super) fn of(store: &Store, how: &How) -> Self {
        let encryption = store.config.server_side_encryption.as_ref();
        Self {
            class: (how.class != Class::Standard).then(|| how.class.in_protocol()),
            encryption: encryption.map(|declared| match declared.kind {
                SseKind::S3 => ServerSideEncryption::Aes256,
                SseKind::Kms => ServerSideEncryption::AwsKms,
            }),
            key_id: encryption.and_then(|declared| declared.key_id.clone()),
            lock_mode: how.lock.map(|order| lock_mode(order.mode)),
            locked_until: how.lock.map(|order| to_store(order.until)),
        }
    }
}

pub(super) fn lock_mode(mode: LockMode) -> ObjectLockMode {
    match mode {
        LockMode::Governance => ObjectLockMode::Governance,
        LockMode::Compliance => ObjectLockMode::Compliance,
    }
}

impl Store {
    /// Which checksum of an object the store keeps. A store that locks objects wants one of each request, or MD5.
    pub(super) fn checksum(&self, how: &How) -> Option<ChecksumAlgorithm> {
        match (self.facts.checksums, how.lock) {
            (true, _) => Some(ChecksumAlgorithm::Crc64Nvme),
            (false, Some(_)) if !self.facts.md5 => Some(ChecksumAlgorithm::Crc32),
            (false, _) => None,
        }
    }

    /// The `Content-MD5` of a request, for stores that check nothing better.
    pub(super) fn md5(&self, body: &[u8]) -> Option<String> {
        (self.facts.md5 && !self.facts.checksums).then(|| content_md5(body))
    }

    /// Whether the signature must cover the bytes, because no checksum does. It is by far the slowest way.
    pub(super) fn signs_bytes(&self) -> bool {
        !self.facts.md5 && !self.facts.checksums
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
        // Where the store does not compare everything, writers of this process at least take turns.
        let _turn = self.turn(key).await;
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
                .set_content_md5(self.md5(&body))
                .body(ByteStream::from(body.clone()));
            request = dressed!(request, self, how);
            request = match condition {
                _ if !store_compares => request,
                Condition::Absent => request.if_none_match("*"),
                Condition::Tag(tag) => request.if_match(self.tag(tag)),
            };
            let mut request = request
                .customize()
                .config_override(patience(body.len() as u64));
            if !self.signs_bytes() {
                request = request.disable_payload_signing();
            }
            return match request.send().await {
                Ok(stored) => {
                    if !self.facts.checksums {
                        self.sums.whole(key, &body, stored.e_tag());
                    }
                    Ok(Some(Stored {
                        tag: stored.e_tag,
                        version: stored.version_id,
                    }))
                }
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

    /// An `ETag` as this store wants it in `If-Match`.
    fn tag<'a>(&self, tag: &'a str) -> &'a str {
        if self.facts.bare_tags {
            tag.trim_matches('"')
        } else {
            tag
        }
    }

    /// Waits for the turn to look and write at a key; only where the store leaves the comparing to us.
    pub(super) async fn turn(&self, key: &str) -> Option<MutexGuard<'static, ()>> {
        let facts = &self.facts;
        if facts.conditional_create && facts.conditional_replace && facts.conditional_complete {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (self.bucket(), self.full(key)).hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % TURNS.len() as u64).unwrap_or(0);
        match TURNS.get(place) {
            Some(turn) => Some(turn.lock().await),
            None => None,
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
