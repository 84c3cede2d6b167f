//! Tries what the declaration and Mainstay's safety need, on objects of its own below `.mainstay-probe/`.
//!
//! Nothing is believed that was not seen: a condition must refuse, a wrong checksum must be refused, a locked object must not be
//! deletable. What was made is removed again, by version; what a default retention of the bucket keeps is said.

use super::{
    checksum::{content_md5, encode_crc},
    client::{How, Store, byte_count, random_token},
    config::Class,
    errors,
    errors::Failed,
    marker::StoreFacts,
    put::dressed,
    read_back,
};
use crate::api::{ObjectClass, ProbeResult, Result};
use aws_sdk_s3::{
    operation::{
        complete_multipart_upload::CompleteMultipartUploadError,
        head_object::HeadObjectOutput,
        put_object::{PutObjectError, PutObjectOutput, builders::PutObjectFluentBuilder},
    },
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use jiff::{SignedDuration, Timestamp};
use model::{LockOrder, tier_facts::LockMode};
use std::time::Duration;

/// Below the tier's prefix; the leading dot keeps it out of listings.
const FOLDER: &str = ".mainstay-probe";
/// The shortest lock that can be seen to hold.
const LOCK_SECONDS: u32 = 5;
const CONTENT: &[u8] = b"mainstay probe\n";

/// Tries everything. Fails only when the store cannot be written at all.
pub(super) async fn run(store: &Store) -> Result<(Vec<ProbeResult>, StoreFacts)> {
    let mut probe = Probe {
        store: store.clone(),
        folder: format!("{FOLDER}/{}", random_token()?),
        made: Vec::new(),
        results: Vec::new(),
        facts: StoreFacts::default(),
    };
    let tried = probe.try_all().await;
    probe.remove_all().await;
    tried?;
    Ok((probe.results, probe.facts))
}

struct Probe {
    store: Store,
    folder: String,
    /// What was made, and its version.
    made: Vec<(String, Option<String>)>,
    results: Vec<ProbeResult>,
    facts: StoreFacts,
}

type Put = Result<PutObjectOutput, Failed<PutObjectError>>;

impl Probe {
    async fn try_all(&mut self) -> Result<()> {
        self.conditional_create().await?;
        self.conditional_replace().await?;
        self.conditional_completion().await?;
        self.checksums().await?;
        self.storage_class().await?;
        self.encryption().await?;
        self.lock().await?;
        self.versions();
        Ok(())
    }

    fn report(
        &mut self,
        what: impl Into<String>,
        needed: bool,
        found: Result<String, String>,
    ) -> bool {
        let works = found.is_ok();
        self.results.push(ProbeResult {
            what: what.into(),
            works,
            needed,
            detail: found.unwrap_or_else(|why| why),
        });
        works
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn plain(&self) -> Result<How> {
        self.store.how(ObjectClass::Index, None)
    }

    /// A request for a probe object; conditions and checksums are for the caller to add.
    fn put(&self, key: &str, how: &How) -> PutObjectFluentBuilder {
        let request = self
            .store
            .client
            .put_object()
            .bucket(self.store.bucket())
            .key(self.store.full(key))
            .body(ByteStream::from_static(CONTENT));
        let locked = how.lock.map(|_| ChecksumAlgorithm::Crc32);
        dressed!(request.set_checksum_algorithm(locked), &self.store, how)
    }

    async fn send(&mut self, key: &str, request: PutObjectFluentBuilder) -> Put {
        let sent = request.send().await;
        if let Ok(made) = &sent {
            self.made.push((key.to_owned(), made.version_id.clone()));
        }
        sent
    }

    /// Writes an object that everything else builds on.
    async fn must_put(&mut self, key: &str) -> Result<PutObjectOutput> {
        let how = self.plain()?;
        let sent = self.send(key, self.put(key, &how)).await;
        sent.map_err(|error| errors::failed("write into the bucket", &error))
    }

    async fn conditional_create(&mut self) -> Result<()> {
        let key = self.key("create");
        let how = self.plain()?;
        let first = self
            .send(&key, self.put(&key, &how).if_none_match("*"))
            .await;
        let found = match first {
            Err(error) if errors::status_of(&error) == 403 || errors::status_of(&error) == 0 => {
                return Err(errors::failed("write into the bucket", &error));
            }
            Err(error) => {
                self.must_put(&key).await?;
                Err(format!(
                    "a conditional write is refused: {}",
                    errors::said(&error)
                ))
            }
            Ok(_) => {
                let second = self
                    .send(&key, self.put(&key, &how).if_none_match("*"))
                    .await;
                refuses(second, "a second write under the same key")
            }
        };
        let needed = !self.store.config.exclusive;
        self.facts.conditional_create = self.report("conditional create", needed, found);
        Ok(())
    }

    async fn conditional_replace(&mut self) -> Result<()> {
        let key = self.key("replace");
        let how = self.plain()?;
        let first = self.must_put(&key).await?;
        let other = "\"00000000000000000000000000000000\"";
        let wrong = self.send(&key, self.put(&key, &how).if_match(other)).await;
        let mut found = refuses(wrong, "replacing what somebody else has changed");
        if found.is_ok() {
            let tag = first.e_tag.unwrap_or_default();
            let bare = tag.trim_matches('"').to_owned();
            // Ceph compares the text, and keeps it without quotes.
            if let Err(error) = self.send(&key, self.put(&key, &how).if_match(tag)).await {
                let bare = self.send(&key, self.put(&key, &how).if_match(bare)).await;
                self.facts.bare_tags = bare.is_ok();
                if bare.is_err() {
                    found = Err(format!(
                        "replacing what is unchanged is refused too: {}",
                        errors::said(&error)
                    ));
                }
            }
        }
        let needed = !self.store.config.exclusive;
        self.facts.conditional_replace = self.report("conditional replace", needed, found);
        Ok(())
    }

    /// Makes an object by an upload of one part.
    async fn upload(
        &mut self,
        key: &str,
        how: &How,
        create_only: bool,
    ) -> Result<Result<(), Failed<CompleteMultipartUploadError>>> {
        let store = self.store.clone();
        let (bucket, full) = (store.bucket(), store.full(key));
        let fail = "try a multipart upload";
        let locked = how.lock.map(|_| ChecksumAlgorithm::Crc32);
        let upload = store.client.create_multipart_upload().bucket(bucket);
        let upload = upload.key(&full).set_checksum_algorithm(locked.clone());
        let upload = dressed!(upload, &store, how).send().await;
        let upload = upload.map_err(|error| errors::failed(fail, &error))?;
        let id = upload.upload_id.unwrap_or_default();
        let part = store
            .client
            .upload_part()
            .bucket(bucket)
            .key(&full)
            .upload_id(&id)
            .part_number(1)
            .set_checksum_algorithm(locked)
            .body(ByteStream::from_static(CONTENT));
        let part = part
            .send()
            .await
            .map_err(|error| errors::failed(fail, &error))?;
        let part = CompletedPart::builder()
            .part_number(1)
            .set_e_tag(part.e_tag)
            .set_checksum_crc32(part.checksum_crc32);
        let parts = CompletedMultipartUpload::builder().parts(part.build());
        let completed = store
            .client
            .complete_multipart_upload()
            .bucket(bucket)
            .key(&full)
            .upload_id(&id)
            .multipart_upload(parts.build())
            .set_if_none_match(create_only.then(|| "*".to_owned()))
            .send()
            .await;
        Ok(match completed {
            Ok(made) => {
                self.made.push((key.to_owned(), made.version_id));
                Ok(())
            }
            // Done, and said in words that nobody understands: some stores name the answer wrongly.
            Err(error)
                if (200..300).contains(&errors::status_of(&error))
                    && errors::code_of(&error).is_empty() =>
            {
                let head = store.head(key).await?;
                let version = head.and_then(|head| head.version_id);
                self.made.push((key.to_owned(), version));
                Ok(())
            }
            Err(error) => {
                // What it leaves is found by the next clean-up.
                let _ = super::leftovers::abort(&store, key, &id).await;
                Err(error)
            }
        })
    }

    async fn conditional_completion(&mut self) -> Result<()> {
        let key = self.key("complete");
        self.must_put(&key).await?;
        let how = self.plain()?;
        let completed = self.upload(&key, &how, true).await?;
        let found = match completed {
            Err(error) if errors::is_precondition(&error) => {
                Ok("an upload under a key that exists is refused when it is completed".to_owned())
            }
            Err(error) => Err(format!(
                "a conditional completion fails; Mainstay looks right before instead ({})",
                errors::said(&error)
            )),
            Ok(()) => Err(
                "the condition is ignored when an upload is completed; Mainstay looks right before instead"
                    .to_owned(),
            ),
        };
        self.facts.conditional_complete =
            self.report("conditional completion of uploads", false, found);
        Ok(())
    }

    async fn checksums(&mut self) -> Result<()> {
        let how = self.plain()?;
        let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        crc.update(CONTENT);
        let (right, wrong) = (encode_crc(crc.finalize()), encode_crc(!crc.finalize()));
        let key = self.key("checksum-wrong");
        let refused = self.put(&key, &how).checksum_crc64_nvme(wrong);
        let refused = self.send(&key, refused).await.is_err();
        let key = self.key("checksum");
        let sent = self
            .send(&key, self.put(&key, &how).checksum_crc64_nvme(&right))
            .await;
        let kept = match &sent {
            Ok(_) => {
                let head = self.store.head(&key).await?;
                head.and_then(|head| head.checksum_crc64_nvme) == Some(right)
            }
            Err(_) => false,
        };
        let key = self.key("md5");
        let wrong = self
            .put(&key, &how)
            .content_md5(content_md5(b"something else"));
        let wrong = self.send(&key, wrong).await.is_err();
        let md5 = content_md5(CONTENT);
        let right = self.send(&key, self.put(&key, &how).content_md5(md5)).await;
        self.facts.md5 = wrong && right.is_ok();
        let found = match (kept, refused, self.facts.md5) {
            (true, true, _) => Ok("CRC-64/NVME is kept, and a wrong one is refused".to_owned()),
            (true, false, _) => Err("CRC-64/NVME is kept, but a wrong one is accepted: it proves nothing".to_owned()),
            (false, _, true) => Err("CRC-64/NVME is not kept, so archived copies cannot be checked without reading them; damage on the way is refused (MD5)".to_owned()),
            (false, _, false) => Err("no checksum is kept or checked".to_owned()),
        };
        self.facts.checksums = self.report("checksums", false, found);
        Ok(())
    }

    async fn storage_class(&mut self) -> Result<()> {
        let class = self.store.config.storage_class;
        if class == Class::Standard {
            return Ok(());
        }
        let key = self.key("class");
        let how = self.store.how(ObjectClass::Data, None)?;
        let sent = self.send(&key, self.put(&key, &how)).await;
        let found = match sent {
            Err(error) => Err(format!("it is refused: {}", errors::said(&error))),
            Ok(_) => match read_back::class(&self.look(&key).await?, class) {
                Some(difference) => Err(difference),
                None => Ok("an object of this class says so when it is looked at".to_owned()),
            },
        };
        let works = self.report(format!("storage class {}", class.name()), true, found);
        if works && class.is_archive() {
            self.archive(&key).await;
        }
        Ok(())
    }

    async fn archive(&mut self, key: &str) {
        let request = self.store.client.get_object().bucket(self.store.bucket());
        let found = match request.key(self.store.full(key)).send().await {
            Err(error) if errors::code_of(&error) == "InvalidObjectState" => {
                Ok("archived data must be thawed before it is read".to_owned())
            }
            Err(error) => Err(format!("reading fails otherwise: {}", errors::said(&error))),
            Ok(_) => {
                self.facts.archive_is_readable = true;
                Err("what is called archived can be read at once, and is no archive".to_owned())
            }
        };
        self.report("archive", false, found);
    }

    async fn encryption(&mut self) -> Result<()> {
        if self.store.config.server_side_encryption.is_none() {
            return Ok(());
        }
        let key = self.key("encryption");
        let how = self.plain()?;
        let sent = self.send(&key, self.put(&key, &how)).await;
        let found = match sent {
            Err(error) => Err(format!("it is refused: {}", errors::said(&error))),
            Ok(_) => match read_back::encryption(&self.store, &self.look(&key).await?) {
                Some(difference) => Err(difference),
                None => Ok("an object says that it is encrypted as declared".to_owned()),
            },
        };
        self.report("server-side encryption", true, found);
        Ok(())
    }

    async fn lock(&mut self) -> Result<()> {
        let Some(mode) = self.store.config.object_lock.as_ref().map(|lock| lock.mode) else {
            return Ok(());
        };
        let found = match self.lock_end() {
            Some(until) => self.locked(LockOrder { mode, until }).await?,
            None => Err("the store tells no time, so no lock can be tried".to_owned()),
        };
        if self.report("object lock", true, found) {
            self.lock_of_uploads(mode).await?;
        }
        Ok(())
    }

    /// Whether an upload can be locked when it is started, and not only once it is there.
    async fn lock_of_uploads(&mut self, mode: LockMode) -> Result<()> {
        let Some(until) = self.lock_end() else {
            return Ok(());
        };
        let key = self.key("lock-upload");
        let how = How {
            lock: Some(LockOrder { mode, until }),
            ..self.plain()?
        };
        let found = match self.upload(&key, &how, false).await {
            Err(error) => return Err(error),
            Ok(Err(error)) => Err(format!("it is refused: {}", errors::said(&error))),
            Ok(Ok(())) => match read_back::lock(&self.look(&key).await?, &how) {
                None => {
                    tokio::time::sleep(Duration::from_secs(u64::from(LOCK_SECONDS) + 1)).await;
                    Ok("an upload is locked from the moment at which it is complete".to_owned())
                }
                Some(_) => Err(
                    "the lock of an upload is ignored; Mainstay sets it right after the completion"
                        .to_owned(),
                ),
            },
        };
        self.report("object lock of uploads", false, found);
        Ok(())
    }

    fn lock_end(&self) -> Option<Timestamp> {
        let now = self.store.now()?;
        now.checked_add(SignedDuration::from_secs(i64::from(LOCK_SECONDS)))
            .ok()
    }

    /// Locks an object for some seconds and tries to delete it.
    async fn locked(&mut self, order: LockOrder) -> Result<Result<String, String>> {
        let key = self.key("lock");
        let how = How {
            lock: Some(order),
            ..self.plain()?
        };
        let sent = self.send(&key, self.put(&key, &how)).await;
        let version = match sent {
            Ok(made) => made.version_id,
            Err(error) => return Ok(Err(format!("it is refused: {}", errors::said(&error)))),
        };
        if let Some(difference) = read_back::lock(&self.look(&key).await?, &how) {
            return Ok(Err(difference));
        }
        let deleted = self.delete(&key, version.clone()).await;
        // The end must pass, or what the probe made stays.
        tokio::time::sleep(Duration::from_secs(u64::from(LOCK_SECONDS) + 1)).await;
        Ok(match deleted {
            Ok(()) => {
                self.made.retain(|(made, _)| *made != key);
                Err(
                    "a locked object says that it is locked, and could be deleted all the same"
                        .to_owned(),
                )
            }
            Err(_) => Ok("a locked object says so, and cannot be deleted".to_owned()),
        })
    }

    /// Seen from the answers: some stores answer the question itself in a form of their own.
    fn versions(&mut self) {
        let kept = |version: &Option<String>| version.as_deref().is_some_and(|id| id != "null");
        let found = if self.made.iter().any(|(_, version)| kept(version)) {
            Ok("the bucket keeps versions; Mainstay deletes all of an object".to_owned())
        } else {
            Err(
                "the bucket keeps no versions: what somebody else overwrites or deletes is gone"
                    .to_owned(),
            )
        };
        self.report("versions", false, found);
    }

    async fn look(&self, key: &str) -> Result<HeadObjectOutput> {
        let head = self.store.head(key).await?;
        let head = head.filter(|head| byte_count(head.content_length()).0 == CONTENT.len() as u64);
        head.ok_or_else(|| errors::io(format!("`{key}` was written, but is not there")))
    }

    async fn delete(&self, key: &str, version: Option<String>) -> Result<(), String> {
        let request = self
            .store
            .client
            .delete_object()
            .bucket(self.store.bucket())
            .key(self.store.full(key))
            .set_version_id(version);
        request
            .send()
            .await
            .map(drop)
            .map_err(|error| errors::said(&error))
    }

    /// Removes what was made. What stays is said.
    async fn remove_all(&mut self) {
        let mut stayed = None;
        for (key, version) in std::mem::take(&mut self.made) {
            if let Err(why) = self.delete(&key, version).await {
                stayed = Some(why);
            }
        }
        if let Some(why) = stayed {
            let what = format!("objects of a few bytes stay below `{}`: {why}", self.folder);
            self.report("removing what was tried", false, Err(what));
        }
    }
}

/// A write that must have been refused because of its condition.
fn refuses(sent: Put, what: &str) -> Result<String, String> {
    match sent {
        Err(error) if errors::is_precondition(&error) => Ok(format!("{what} is refused")),
        Err(error) => Err(format!("{what} fails otherwise: {}", errors::said(&error))),
        Ok(_) => Err(format!("{what} is accepted: the condition is ignored")),
    }
}
