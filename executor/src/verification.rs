//! Reads a copy and judges it, at one of the levels. Records nothing.
//!
//! Invariants: "passed" means that every stored byte was read and agreed with the manifest, whatever the engine's reader looked
//! at (or, at the level `attested`, that the store vouches for it: the level that was reached is part of the answer); the key
//! ring of an encrypted copy is part of the copy; and an error is blamed on the copy only when the copy's own bytes are shown to be wrong, never on the word of a program.

use crate::{
    keys::{self, KeyChain, Keys},
    meter::Meter,
    steps::error::StepError,
    stored::{self, KeysThere, ManifestThere},
    wiring::DatabaseWiring,
};
use model::{
    ByteCount, Disposition, KeyRing, Manifest, RecoveryPointId, StoredObject, TierName, VerifyLevel,
};
use providers::{
    api::{
        Attestation, Check, PlainObject, ProviderError, ReadRequest, Readiness, RestoreRequest,
        RestoreTarget, Selection, Tier,
    },
    seal::Sealing,
    stream,
};
use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What is verified, and with what.
#[derive(Debug)]
pub(crate) struct CopyToVerify<'a> {
    pub(crate) point: &'a RecoveryPointId,
    pub(crate) tier: &'a dyn Tier,
    pub(crate) level: VerifyLevel,
    /// The manifest that the catalog knows, if it knows one: the copy must carry the same.
    pub(crate) recorded: Option<&'a Manifest>,
    /// Needed above the level `checksum`.
    pub(crate) database: Option<&'a DatabaseWiring>,
    /// Needed above the level `checksum` for what is encrypted.
    pub(crate) keys: &'a Keys,
    pub(crate) scratch: &'a Path,
    pub(crate) meter: &'a Meter,
}

/// A verification that passed.
#[derive(Debug)]
pub(crate) struct Passed {
    /// What was really done: more than was asked where a store could not vouch for its copy and the bytes were read instead.
    pub(crate) level: VerifyLevel,
    /// Stored bytes that were read.
    pub(crate) bytes: ByteCount,
    pub(crate) checks: Vec<Check>,
    /// What could not be looked at, and why: recipients whose key is not here.
    pub(crate) not_tried: Vec<String>,
}

/// What a failure says about the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Damaged,
    Missing,
    ChecksFailed,
}

/// What an error of [`verify`] says about the copy; `None`: nothing.
pub(crate) fn verdict(error: &StepError) -> Option<Verdict> {
    match error {
        StepError::Damaged { .. } => Some(Verdict::Damaged),
        StepError::Missing { .. } => Some(Verdict::Missing),
        StepError::ChecksFailed { .. } => Some(Verdict::ChecksFailed),
        _ => None,
    }
}

/// A passed verification in one line.
pub(crate) fn describe(passed: &Passed) -> String {
    let mut parts = match passed.checks.len() {
        0 => Vec::new(),
        1 => vec!["1 check".to_owned()],
        n => vec![format!("{n} checks")],
    };
    parts.extend(passed.not_tried.iter().cloned());
    parts.join("; ")
}

/// Verifies a copy.
pub(crate) async fn verify(copy: CopyToVerify<'_>) -> Result<Passed, StepError> {
    let manifest = manifest_of(&copy).await?;
    let ring = ring_of(copy.point, copy.tier, &manifest).await?;
    let mut passed = Passed {
        level: copy.level,
        bytes: manifest.bytes(),
        checks: Vec::new(),
        not_tried: Vec::new(),
    };
    match copy.level {
        VerifyLevel::Attested => {
            (passed.level, passed.bytes) = attest(&copy, &manifest).await?;
        }
        VerifyLevel::Checksum => {
            check_bytes(&copy, &manifest, &vec![false; manifest.objects.len()]).await?;
        }
        VerifyLevel::FullRead | VerifyLevel::Restore => {
            let Some(database) = copy.database else {
                return Err(StepError::NotDeclared {
                    what: "database",
                    name: copy.point.database().to_owned(),
                });
            };
            let opened = open_ring(&copy, ring.as_ref()).await?;
            passed.checks = opened.agree.iter().map(|name| key_check(name)).collect();
            passed.not_tried = opened.not_tried;
            let checks = read_with_engine(&copy, &manifest, &opened.sealings, database).await?;
            passed.checks.extend(checks);
        }
    }
    let checks = &passed.checks;
    let failed: Vec<&Check> = checks.iter().filter(|check| !check.passed).collect();
    if let Some(first) = failed.first() {
        return Err(StepError::ChecksFailed {
            point: copy.point.clone(),
            tier: copy.tier.name().clone(),
            failed: failed.len(),
            all: checks.len(),
            first: format!("{} ({})", first.what, first.detail),
        });
    }
    Ok(passed)
}

fn key_check(name: &str) -> Check {
    Check {
        what: format!("the key `{name}` opens the copy"),
        passed: true,
        detail: "it gave the data key of every object".to_owned(),
    }
}

/// The key ring of a copy; `None` when nothing of it is encrypted.
pub(crate) async fn ring_of(
    point: &RecoveryPointId,
    tier: &dyn Tier,
    manifest: &Manifest,
) -> Result<Option<KeyRing>, StepError> {
    match stored::read_keys(tier, manifest).await? {
        KeysThere::NotNeeded => Ok(None),
        KeysThere::Valid { ring, .. } => Ok(Some(*ring)),
        KeysThere::Unreadable { why, .. } => Err(StepError::Damaged {
            point: point.clone(),
            tier: tier.name().clone(),
            why,
        }),
        KeysThere::Absent => Err(StepError::Missing {
            point: point.clone(),
            tier: tier.name().clone(),
            why: stored::NO_KEYS.to_owned(),
        }),
    }
}

async fn open_ring(
    copy: &CopyToVerify<'_>,
    ring: Option<&KeyRing>,
) -> Result<keys::Opened, StepError> {
    let Some(ring) = ring else {
        return Ok(keys::Opened::default());
    };
    keys::open_with_all(&KeyChain::new(copy.keys), ring)
        .await?
        .map_err(|why| StepError::Damaged {
            point: copy.point.clone(),
            tier: copy.tier.name().clone(),
            why,
        })
}

/// Asks the store about every object, and reads what it cannot tell about. Gives the level that was reached, and the bytes read.
async fn attest(
    copy: &CopyToVerify<'_>,
    manifest: &Manifest,
) -> Result<(VerifyLevel, ByteCount), StepError> {
    let mut level = VerifyLevel::Checksum;
    let mut bytes = ByteCount(0);
    for object in &manifest.objects {
        let key = stored::key(copy.point, &object.file)?;
        let missing = |error: ProviderError| match error.code {
            stored::NOT_FOUND => StepError::Missing {
                point: copy.point.clone(),
                tier: copy.tier.name().clone(),
                why: format!("`{}` is not there", object.file),
            },
            _ => error.into(),
        };
        match copy.tier.attest(&key, object).await.map_err(missing)? {
            Attestation::Agrees => level = VerifyLevel::Attested,
            Attestation::Differs(why) => {
                return Err(StepError::Damaged {
                    point: copy.point.clone(),
                    tier: copy.tier.name().clone(),
                    why: format!("the store says of `{}`: {why}", object.file),
                });
            }
            Attestation::CannotTell(why) => {
                match copy.tier.readiness(&key).await.map_err(missing)? {
                    Readiness::Ready { .. } => {
                        check_object(copy, object).await?;
                        bytes = bytes.saturating_add(object.bytes);
                    }
                    Readiness::Archived | Readiness::Thawing => {
                        return Err(cannot_attest(copy, object, &why).into());
                    }
                }
            }
        }
    }
    Ok((level, bytes))
}

fn cannot_attest(copy: &CopyToVerify<'_>, object: &StoredObject, why: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::verify::cannot-attest",
        Disposition::NeedsOperator,
        format!(
            "tier `{}` cannot vouch for `{}` of `{}` ({why}), and its bytes cannot be read before a thaw",
            copy.tier.name(),
            object.file,
            copy.point
        ),
    )
    .help(format!(
        "`mainstay restore {} --point {} --from {} --to TARGET --thaw` asks the archive to make it readable, which takes hours and costs money; then `mainstay verify {} --tier {} --level checksum` reads it",
        copy.point.database(),
        copy.point,
        copy.tier.name(),
        copy.point,
        copy.tier.name()
    ))
}

async fn manifest_of(copy: &CopyToVerify<'_>) -> Result<Manifest, StepError> {
    let damaged = |why: String| StepError::Damaged {
        point: copy.point.clone(),
        tier: copy.tier.name().clone(),
        why,
    };
    match stored::read_manifest(copy.tier, copy.point).await? {
        ManifestThere::Valid(manifest, _) => match copy.recorded {
            Some(recorded) if *recorded != *manifest => Err(damaged(
                "its manifest is not the one that the catalog knows".to_owned(),
            )),
            _ => Ok(*manifest),
        },
        ManifestThere::Unreadable(why) => Err(damaged(why)),
        ManifestThere::Absent => Err(StepError::Missing {
            point: copy.point.clone(),
            tier: copy.tier.name().clone(),
            why: "its manifest is not there".to_owned(),
        }),
    }
}

async fn read_with_engine(
    copy: &CopyToVerify<'_>,
    manifest: &Manifest,
    openings: &BTreeMap<String, Sealing>,
    database: &DatabaseWiring,
) -> Result<Vec<Check>, StepError> {
    let (objects, ended) =
        plain_objects(copy.point, copy.tier, manifest, openings, copy.meter).await?;
    let result = match copy.level {
        VerifyLevel::Restore => database
            .engine
            .restore(RestoreRequest {
                chain: Vec::new(),
                recovery: None,
                manifest: manifest.clone(),
                objects,
                target: RestoreTarget::Scratch,
                replace: false,
                selection: Selection::default(),
                asserts: database.asserts.clone(),
                scratch: copy.scratch.to_owned(),
            })
            .await
            .map(|restored| restored.checks),
        VerifyLevel::Attested | VerifyLevel::Checksum | VerifyLevel::FullRead => {
            database
                .engine
                .read_through(ReadRequest {
                    manifest: manifest.clone(),
                    objects,
                    scratch: copy.scratch.to_owned(),
                })
                .await
        }
    };
    match result {
        Ok(checks) => {
            // A reader may stop at its format's own end; the rest of the bytes must be right too.
            let read: Vec<bool> = ended
                .iter()
                .map(|ended| ended.load(Ordering::Acquire))
                .collect();
            check_bytes(copy, manifest, &read).await?;
            Ok(checks)
        }
        Err(error) => {
            // Is it the copy, or the program, the server, the tier? The bytes tell.
            check_bytes(copy, manifest, &vec![false; manifest.objects.len()]).await?;
            // The bytes are right and the keys agree with each other, but not with the bytes.
            if error.code == stored::DAMAGED || error.code == stored::WRONG_KEY {
                return Err(StepError::Damaged {
                    point: copy.point.clone(),
                    tier: copy.tier.name().clone(),
                    why: error.message,
                });
            }
            Err(error.into())
        }
    }
}

/// Compares the stored bytes of every object that was not `read` to its checked end.
async fn check_bytes(
    copy: &CopyToVerify<'_>,
    manifest: &Manifest,
    read: &[bool],
) -> Result<(), StepError> {
    for (object, read) in manifest.objects.iter().zip(read) {
        if *read {
            continue;
        }
        check_object(copy, object).await?;
    }
    Ok(())
}

async fn check_object(copy: &CopyToVerify<'_>, object: &StoredObject) -> Result<(), StepError> {
    let reader = open(copy.point, copy.tier, &object.file).await?;
    stream::check_stored(reader, object, copy.meter.callback())
        .await
        .map_err(|error| blame(copy.point, copy.tier.name(), error))?;
    copy.meter.object_done(object.bytes.0);
    Ok(())
}

fn blame(point: &RecoveryPointId, tier: &TierName, error: ProviderError) -> StepError {
    if error.code == stored::DAMAGED {
        StepError::Damaged {
            point: point.clone(),
            tier: tier.clone(),
            why: error.message,
        }
    } else {
        error.into()
    }
}

async fn open(
    point: &RecoveryPointId,
    tier: &dyn Tier,
    file: &str,
) -> Result<Box<dyn providers::api::ObjectReader>, StepError> {
    match tier.open(&stored::key(point, file)?).await {
        Ok(reader) => Ok(reader),
        Err(error) if error.code == stored::NOT_FOUND => Err(StepError::Missing {
            point: point.clone(),
            tier: tier.name().clone(),
            why: format!("`{file}` is not there"),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Plain streams of every object, the sealed ones opened with what stands in `openings`, and for each whether it was read to its checked end.
pub(crate) async fn plain_objects(
    point: &RecoveryPointId,
    tier: &dyn Tier,
    manifest: &Manifest,
    openings: &BTreeMap<String, Sealing>,
    meter: &Meter,
) -> Result<(Vec<PlainObject>, Vec<Arc<AtomicBool>>), StepError> {
    let mut objects = Vec::with_capacity(manifest.objects.len());
    let mut ended = Vec::with_capacity(manifest.objects.len());
    for object in &manifest.objects {
        let reader = open(point, tier, &object.file).await?;
        let opening = openings.get(&object.file).cloned();
        let flag = Arc::new(AtomicBool::new(false));
        objects.push(PlainObject {
            role: object.role.clone(),
            content: object.content.clone(),
            stream: Box::new(Witness {
                inner: stream::plain_timed(
                    reader,
                    object,
                    opening,
                    meter.callback(),
                    meter.stages(),
                ),
                ended: Arc::clone(&flag),
            }),
        });
        ended.push(flag);
    }
    Ok((objects, ended))
}

/// Notes whether a stream was read to its end; a plain stream ends well only when all its digests agree.
struct Witness {
    inner: Box<dyn Read + Send>,
    ended: Arc<AtomicBool>,
}

impl Read for Witness {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.ended.store(true, Ordering::Release);
        }
        Ok(count)
    }
}
