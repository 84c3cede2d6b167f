//! Reads a copy and judges it, at one of the levels. Records nothing.
//!
//! Invariants: "passed" means that every stored byte was read and agreed with the manifest, whatever the engine's reader looked
//! at (or, at the level `attested`, that the store vouches for it: the level that was reached is part of the answer); the key
//! ring of an encrypted copy is part of the copy; and an error is blamed on the copy only when the copy's own bytes are shown to be wrong, never on the word of a program.

use crate::{
    chain::{self, Avoided},
    clock::Clock,
    keys::{self, KeyChain},
    meter::Meter,
    restore::replay,
    steps::error::StepError,
    stored::{self, KeysThere, ManifestThere},
    wiring::{DatabaseWiring, Wiring},
};
use catalog::Catalog;
use model::{
    ByteCount, DatabaseName, Disposition, KeyRing, Manifest, RecoveryPointId, StoredObject,
    TierName, VerifyLevel,
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
    /// Engine and keys, needed above the level `checksum`; the other tiers, where links of a chain may lie.
    pub(crate) wiring: &'a Wiring,
    /// What is known of the links of a chain.
    pub(crate) catalog: Option<&'a Catalog>,
    pub(crate) clock: &'a Arc<dyn Clock>,
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
        StepError::ChecksFailed { .. } | StepError::BrokenChain { .. } => {
            Some(Verdict::ChecksFailed)
        }
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
            let name = DatabaseName::new(copy.point.database()).ok();
            let Some(database) = name.and_then(|name| copy.wiring.databases.get(&name)) else {
                return Err(StepError::NotDeclared {
                    what: "database",
                    name: copy.point.database().to_owned(),
                });
            };
            let opened = open_ring(&copy, ring.as_ref()).await?;
            passed.checks = opened.agree.iter().map(|name| key_check(name)).collect();
            passed.not_tried = opened.not_tried;
            let chain = chain::check(
                &manifest,
                copy.tier.name(),
                copy.wiring,
                copy.catalog,
                copy.clock.now(),
            );
            passed.checks.extend(chain.await?);
            // Without its whole chain it cannot be restored; its own bytes are still worth a look.
            let level = match copy.level {
                VerifyLevel::Restore if passed.checks.iter().all(|check| check.passed) => {
                    VerifyLevel::Restore
                }
                _ => VerifyLevel::FullRead,
            };
            let checks = read_with_engine(&copy, level, &manifest, &opened.sealings, database);
            passed.checks.extend(checks.await?);
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
    keys::open_with_all(&KeyChain::new(&copy.wiring.keys), ring)
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
    level: VerifyLevel,
    manifest: &Manifest,
    openings: &BTreeMap<String, Sealing>,
    database: &DatabaseWiring,
) -> Result<Vec<Check>, StepError> {
    let mut avoid = Avoided::new();
    loop {
        let (objects, fates) =
            plain_objects(copy.point, copy.tier, manifest, openings, copy.meter).await?;
        let mut links = None;
        let result = if level == VerifyLevel::Restore {
            let found = chain::ancestors(
                manifest,
                copy.tier.name(),
                &avoid,
                copy.wiring,
                copy.catalog,
                copy.clock.now(),
            );
            let mut open = chain::open(found.await?, copy.wiring, copy.meter).await?;
            let for_engine = std::mem::take(&mut open.for_engine);
            links = Some(open);
            let request = RestoreRequest {
                chain: for_engine,
                recovery: replay::until_consistent(manifest, copy.wiring, copy.clock)?,
                manifest: manifest.clone(),
                objects,
                target: RestoreTarget::Scratch,
                replace: false,
                selection: Selection::default(),
                asserts: database.asserts.clone(),
                scratch: copy.scratch.to_owned(),
            };
            let restored = database.engine.restore(request).await;
            restored.map(|restored| restored.checks)
        } else {
            let request = ReadRequest {
                manifest: manifest.clone(),
                objects,
                scratch: copy.scratch.to_owned(),
            };
            database.engine.read_through(request).await
        };
        match result {
            Ok(checks) => {
                // A reader may stop at its format's own end; the rest of the bytes must be right too.
                let read: Vec<bool> = fates.iter().map(|fate| fate.has_ended()).collect();
                check_bytes(copy, manifest, &read).await?;
                return Ok(checks);
            }
            Err(error) => {
                // A link's bad copy says nothing about this one; another tier may have a good one.
                if let Some(bad) = links.and_then(|links| links.bad()) {
                    avoid.insert(bad);
                    continue;
                }
                return Err(whose_fault(copy, manifest, error).await);
            }
        }
    }
}

/// Is it the copy, or the program, the server, the tier? The bytes tell.
async fn whose_fault(
    copy: &CopyToVerify<'_>,
    manifest: &Manifest,
    error: ProviderError,
) -> StepError {
    let unread = vec![false; manifest.objects.len()];
    if let Err(error) = check_bytes(copy, manifest, &unread).await {
        return error;
    }
    // The bytes are right and the keys agree with each other, but not with the bytes.
    if error.code == stored::DAMAGED || error.code == stored::WRONG_KEY {
        return StepError::Damaged {
            point: copy.point.clone(),
            tier: copy.tier.name().clone(),
            why: error.message,
        };
    }
    error.into()
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

/// Plain streams of every object, the sealed ones opened with what stands in `openings`, and what becomes of each.
pub(crate) async fn plain_objects(
    point: &RecoveryPointId,
    tier: &dyn Tier,
    manifest: &Manifest,
    openings: &BTreeMap<String, Sealing>,
    meter: &Meter,
) -> Result<(Vec<PlainObject>, Vec<Arc<Fate>>), StepError> {
    let mut objects = Vec::with_capacity(manifest.objects.len());
    let mut fates = Vec::with_capacity(manifest.objects.len());
    for object in &manifest.objects {
        let reader = open(point, tier, &object.file).await?;
        let opening = openings.get(&object.file).cloned();
        let fate = Arc::new(Fate::default());
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
                fate: Arc::clone(&fate),
            }),
        });
        fates.push(fate);
    }
    Ok((objects, fates))
}

/// What became of a stream that somebody else reads.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    begun: AtomicBool,
    ended: AtomicBool,
    failed: AtomicBool,
}

impl Fate {
    /// Somebody has begun to read it.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// It was read to its end; a plain stream ends well only when all its digests agree.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// It gave an error, so whatever its reader says then is the copy's or the tier's fault.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

struct Witness {
    inner: Box<dyn Read + Send>,
    fate: Arc<Fate>,
}

impl Read for Witness {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fate.begun.store(true, Ordering::Release);
        match self.inner.read(buffer) {
            Ok(count) => {
                if count == 0 && !buffer.is_empty() {
                    self.fate.ended.store(true, Ordering::Release);
                }
                Ok(count)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.fate.failed.store(true, Ordering::Release);
                }
                Err(error)
            }
        }
    }
}
