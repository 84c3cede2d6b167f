//! Reads a copy and judges it, at one of the three levels. Records nothing.
//!
//! Invariants: "passed" means that every stored byte was read and agreed with the manifest, whatever the engine's reader looked
//! at; and an error is blamed on the copy only when the copy's own bytes are shown to be wrong, never on the word of a program.

use crate::{
    meter::Meter,
    steps::error::StepError,
    stored::{self, ManifestThere},
    wiring::DatabaseWiring,
};
use model::{ByteCount, Manifest, RecoveryPointId, TierName, VerifyLevel};
use providers::{
    api::{
        Check, PlainObject, ProviderError, ReadRequest, RestoreRequest, RestoreTarget, Selection,
        Tier,
    },
    stream,
};
use std::{
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
    pub(crate) scratch: &'a Path,
    pub(crate) meter: &'a Meter,
}

/// A verification that passed.
#[derive(Debug)]
pub(crate) struct Passed {
    /// Stored bytes that were read.
    pub(crate) bytes: ByteCount,
    pub(crate) checks: Vec<Check>,
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

/// The checks in one line.
pub(crate) fn describe(checks: &[Check]) -> String {
    match checks.len() {
        0 => String::new(),
        1 => "1 check".to_owned(),
        n => format!("{n} checks"),
    }
}

/// Verifies a copy.
pub(crate) async fn verify(copy: CopyToVerify<'_>) -> Result<Passed, StepError> {
    let manifest = manifest_of(&copy).await?;
    let checks = match copy.level {
        VerifyLevel::Attested | VerifyLevel::Checksum => {
            check_bytes(&copy, &manifest, &vec![false; manifest.objects.len()]).await?;
            Vec::new()
        }
        VerifyLevel::FullRead | VerifyLevel::Restore => {
            let Some(database) = copy.database else {
                return Err(StepError::NotDeclared {
                    what: "database",
                    name: copy.point.database().to_owned(),
                });
            };
            read_with_engine(&copy, &manifest, database).await?
        }
    };
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
    Ok(Passed {
        bytes: manifest.bytes(),
        checks,
    })
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
    database: &DatabaseWiring,
) -> Result<Vec<Check>, StepError> {
    let (objects, ended) = plain_objects(copy.point, copy.tier, manifest, copy.meter).await?;
    let result = match copy.level {
        VerifyLevel::Restore => database
            .engine
            .restore(RestoreRequest {
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
            if error.code == stored::DAMAGED {
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
        let reader = open(copy.point, copy.tier, &object.file).await?;
        stream::check_stored(reader, object, copy.meter.callback())
            .await
            .map_err(|error| blame(copy.point, copy.tier.name(), error))?;
        copy.meter.object_done(object.bytes.0);
    }
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

/// Plain streams of every object, and for each whether it was read to its checked end.
pub(crate) async fn plain_objects(
    point: &RecoveryPointId,
    tier: &dyn Tier,
    manifest: &Manifest,
    meter: &Meter,
) -> Result<(Vec<PlainObject>, Vec<Arc<AtomicBool>>), StepError> {
    let mut objects = Vec::with_capacity(manifest.objects.len());
    let mut ended = Vec::with_capacity(manifest.objects.len());
    for object in &manifest.objects {
        let reader = open(point, tier, &object.file).await?;
        let flag = Arc::new(AtomicBool::new(false));
        objects.push(PlainObject {
            role: object.role.clone(),
            content: object.content.clone(),
            stream: Box::new(Witness {
                inner: stream::plain(reader, object, None, meter.callback()),
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
