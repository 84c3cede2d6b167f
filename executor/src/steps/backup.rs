//! Makes a recovery point on a tier.
//!
//! Order of writes, and what a crash after each leaves:
//! 1. the intent in the catalog: nothing on the tier; the next run strikes it;
//! 2. the data objects, unfinished: invisible, removed by the next run;
//! 3. the capture ends well (every program's exit status, every trailer), then the objects become visible under their names;
//!    without a manifest they are no recovery point, and the next run removes them;
//! 4. the key ring, if they are encrypted: the same;
//! 5. the manifest: from here on the point exists; the next run only records it;
//! 6. the catalog.
//!
//! Invariants: one slot makes one point. A manifest that is there already is recorded, never written again. What shall be
//! encrypted is encrypted for every recipient or not captured at all: each key shows that it can wrap before the capture
//! begins, and the data key of an object is wrapped before its first byte is read.

use super::{Ended, Try, copying::write_manifest, error::StepError, key_file::write_keys, parent};
use crate::{
    adopted,
    keys::{self, KeyChain},
    leftovers,
    stored::{self, ManifestThere},
    wal::WalStore,
};
use catalog::CopyIntent;
use jiff::Timestamp;
use model::{
    ByteCount, Manifest, MethodName, StoredObject,
    key_ring::SealedObject,
    manifest::{self, Compression},
};
use providers::{
    api::{
        CaptureObject, CaptureRequest, CaptureSummary, NewObject, ObjectWriter, ProviderError, Tier,
    },
    stream,
};
use std::collections::BTreeMap;

/// Clocks of several machines differ a little.
const CLOCK_TOLERANCE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// How long the next segment of the log may take that a base backup needs. A server archives it as soon as the backup ends.
const LOG_PATIENCE: std::time::Duration = std::time::Duration::from_mins(5);

/// One object whose bytes are written and not yet visible.
struct Written {
    object: StoredObject,
    writer: Box<dyn ObjectWriter>,
    /// Its wrapped keys, if it is encrypted.
    sealed: Option<SealedObject>,
}

/// A capture whose objects are visible and durable.
struct Captured {
    objects: Vec<StoredObject>,
    /// Wrapped keys of those that are encrypted.
    sealed: BTreeMap<String, SealedObject>,
    summary: CaptureSummary,
}

/// Backs the database up, unless the point exists.
pub(crate) async fn ensure_backup(at: &Try<'_>) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    let (Some(method), Some(slot)) = (&step.method, step.slot) else {
        return Err(StepError::Unsupported(step.id.to_string()));
    };
    let known = context.known_copy(&step.recovery_point, &step.tier).await?;
    match known {
        Some(copy) if copy.is_present() => return Ok(Ended::AlreadyDone),
        // What is left of a spoilt copy is `repair`'s to judge; a new capture would be another state under the same id.
        Some(_) => {
            return Ok(Ended::Stale(format!(
                "`{}` exists already, and its copy on `{}` needs a repair",
                step.recovery_point, step.tier
            )));
        }
        None => {}
    }
    // A plan that was evaluated for later: the point would take the place of a backup that is yet to be made.
    if slot.duration_since(context.now()) > CLOCK_TOLERANCE {
        return Ok(Ended::Stale(format!("its slot {slot} is yet to come")));
    }
    let tier = &**context.receiving(&step.tier).await?;
    match stored::read_manifest(tier, &step.recovery_point).await? {
        ManifestThere::Absent => {
            leftovers::make_room(context, tier, &step.recovery_point).await?;
        }
        ManifestThere::Valid(manifest, _) => {
            record_existing(at, tier, &manifest).await?;
            return Ok(Ended::AlreadyDone);
        }
        ManifestThere::Unreadable(why) => {
            return Err(StepError::Conflict {
                point: step.recovery_point.clone(),
                tier: step.tier.clone(),
                why,
            });
        }
    }
    let chain = KeyChain::new(&context.wiring.keys);
    chain
        .ensure_wraps(&step.encrypt_for, &step.recovery_point)
        .await?;
    let intent = CopyIntent {
        run: context.run.clone(),
        recovery_point: step.recovery_point.clone(),
        tier: step.tier.clone(),
        method: method.clone(),
        slot,
        at: context.now(),
    };
    context.catalog.begin_copy(&context.lease, &intent).await?;
    context.crash.hit("after-intent");

    admit_tiers_of_the_log(at).await?;
    let captured = capture(at, tier, (method, slot), &chain).await?;
    ensure_log(at, &captured.summary).await?;
    let sealed = captured.sealed;
    let manifest = compose(at, method, slot, captured.objects, captured.summary)?;
    let unwritable = |error: serde_json::Error| StepError::ReadBack {
        point: manifest.id.clone(),
        tier: step.tier.clone(),
        why: error.to_string(),
    };
    let bytes = manifest.to_bytes().map_err(unwritable)?;
    if manifest.is_encrypted() {
        let ring = keys::ring_of(&manifest.id, sealed);
        let ring = ring.to_bytes().map_err(unwritable)?;
        write_keys(tier, &manifest, ring, step.lock, &context.crash).await?;
    }
    write_manifest(tier, &manifest, bytes, step.lock, &context.crash).await?;
    context.crash.hit("before-catalog");
    adopted::note(context, &manifest, &step.tier).await?;
    context
        .catalog
        .finish_copy(&context.lease, &manifest, &step.tier, context.now())
        .await?;
    context.crash.hit("after-catalog");
    Ok(Ended::Done(Some(manifest.bytes())))
}

/// A crash came between the manifest and the catalog, or the catalog is new: the point exists, so it is recorded.
async fn record_existing(
    at: &Try<'_>,
    tier: &dyn Tier,
    manifest: &Manifest,
) -> Result<(), StepError> {
    let (context, step) = (at.context, at.step);
    if let Some(trouble) = stored::check_sizes(tier, manifest).await? {
        return Err(StepError::Damaged {
            point: step.recovery_point.clone(),
            tier: step.tier.clone(),
            why: trouble.text().to_owned(),
        });
    }
    adopted::note(context, manifest, &step.tier).await?;
    context
        .catalog
        .finish_copy(&context.lease, manifest, &step.tier, context.now())
        .await?;
    Ok(())
}

/// A base backup without the log from its beginning to its end restores nothing: the point is complete only when that is archived.
async fn ensure_log(at: &Try<'_>, summary: &CaptureSummary) -> Result<(), StepError> {
    let (context, database) = (at.context, &at.step.database);
    let Some(span) = summary.wal.filter(|span| !span.included) else {
        return Ok(());
    };
    if context.database(database)?.wal.is_none() {
        return Ok(());
    }
    let (clock, crash) = (std::sync::Arc::clone(&context.clock), context.crash.clone());
    let archive = WalStore::open(&context.wiring, database, clock, crash)?;
    archive.ensure_archived(&span, LOG_PATIENCE).await?;
    Ok(())
}

/// Gives tiers that nobody has used their marker before a server must archive to them: a base backup ends only when the log
/// that it needs is archived, and a tier without a marker takes none.
async fn admit_tiers_of_the_log(at: &Try<'_>) -> Result<(), StepError> {
    let (context, step) = (at.context, at.step);
    let Some(wal) = &context.database(&step.database)?.wal else {
        return Ok(());
    };
    for tier in &wal.tiers {
        if let Err(error) = context.admitted(tier).await {
            // One that is away may be spooled for; whether the log arrives is asked when the capture ends.
            if matches!(error, StepError::Catalog(_)) {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Captures into objects that are visible and durable when this returns.
async fn capture(
    at: &Try<'_>,
    tier: &dyn Tier,
    (method, slot): (&MethodName, Timestamp),
    chain: &KeyChain,
) -> Result<Captured, StepError> {
    let (context, step) = (at.context, at.step);
    let database = context.database(&step.database)?;
    // The engine's own folder is to be empty.
    let (scratch, beside) = (at.scratch.join("capture"), at.scratch.join("parent"));
    for folder in [&scratch, &beside] {
        std::fs::create_dir(folder).map_err(StepError::Scratch)?;
    }
    let request = CaptureRequest {
        parent: parent::of(at, &beside).await?,
        wal_is_archived: database.wal.is_some(),
        method: method.clone(),
        slot,
        options: database
            .series
            .get(&step.series)
            .cloned()
            .unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new())),
        scratch,
        now: context.now(),
    };
    let mut capture = database.engine.capture(request).await?;
    let mut written: Vec<Written> = Vec::new();
    let stored = loop {
        match capture.next_object().await {
            Ok(Some(object)) => match store(at, tier, object, chain).await {
                Ok(one) => written.push(one),
                Err(error) => break Err(error),
            },
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.into()),
        }
    };
    context.crash.hit("after-data");
    // Also after a failure: the programs' own words tell more than a stream that broke off.
    let finished = capture.finish().await;
    let summary = match (stored, finished) {
        (Ok(()), Ok(summary)) => summary,
        (stored, finished) => {
            let error = better_of(stored.err(), finished.err());
            for one in written {
                // What cannot be removed now stays invisible and is removed by the next try or run.
                let _ = one.writer.abort().await;
            }
            return Err(error);
        }
    };
    let mut captured = Captured {
        objects: Vec::with_capacity(written.len()),
        sealed: BTreeMap::new(),
        summary,
    };
    for one in written {
        one.writer.finish().await?;
        if let Some(sealed) = one.sealed {
            captured.sealed.insert(one.object.file.clone(), sealed);
        }
        captured.objects.push(one.object);
    }
    Ok(captured)
}

/// The error that says more: the tier's own trouble, else what the capture reports, else the broken stream.
fn better_of(stored: Option<StepError>, finished: Option<ProviderError>) -> StepError {
    match (stored, finished) {
        (Some(stored), Some(finished)) if stored.code() == "mainstay::stream::source" => {
            finished.into()
        }
        (Some(error), _) => error,
        (None, Some(error)) => error.into(),
        (None, None) => StepError::Panicked,
    }
}

async fn store(
    at: &Try<'_>,
    tier: &dyn Tier,
    object: CaptureObject,
    chain: &KeyChain,
) -> Result<Written, StepError> {
    let ending = match object.compression {
        Compression::Zstd => ".zst",
        Compression::Gzip => ".gz",
        Compression::None => "",
    };
    let encrypt_for = if object.readable {
        &[]
    } else {
        at.step.encrypt_for.as_slice()
    };
    let sealed = if encrypt_for.is_empty() { "" } else { ".enc" };
    let file = format!("{}{ending}{sealed}", object.file_stem);
    let (sealing, sealed) = if encrypt_for.is_empty() {
        (None, None)
    } else {
        let point = &at.step.recovery_point;
        let (sealing, sealed) = chain.seal(encrypt_for, point, &file).await?;
        (Some(sealing), Some(sealed))
    };
    let key = stored::key(&at.step.recovery_point, &file)?;
    // The plain size would refuse a tier on which the compressed bytes have room; the tier watches while writing anyway.
    let expected = match object.compression {
        Compression::None => object.expected,
        Compression::Zstd | Compression::Gzip => at.step.bytes.filter(|_| object.role == "data"),
    };
    let writer = tier
        .create(&key, NewObject::data(expected).locked(at.step.lock))
        .await?;
    let (stored, writer) = stream::store(
        object.stream,
        writer,
        object.compression,
        object.level,
        sealing,
        at.meter.callback(),
    )
    .await?;
    at.meter.object_done(stored.plain_bytes.0);
    let object = StoredObject {
        role: object.role,
        file,
        content: object.content,
        compression: object.compression,
        encryption: sealed.as_ref().map(|sealed| sealed.encryption),
        bytes: stored.bytes,
        sha256: stored.sha256,
        crc64nvme: Some(stored.crc64nvme),
        plain_bytes: stored.plain_bytes,
        plain_blake3: stored.plain_blake3,
    };
    Ok(Written {
        object,
        writer,
        sealed,
    })
}

fn compose(
    at: &Try<'_>,
    method: &MethodName,
    slot: Timestamp,
    objects: Vec<StoredObject>,
    summary: CaptureSummary,
) -> Result<Manifest, StepError> {
    let (context, step) = (at.context, at.step);
    let is_encrypted = objects.iter().any(|object| object.encryption.is_some());
    let manifest = Manifest {
        wal: summary.wal,
        format: manifest::FORMAT.to_owned(),
        id: step.recovery_point.clone(),
        database: step.database.clone(),
        series: step.series.clone(),
        slot,
        engine: context.database(&step.database)?.engine.kind().to_owned(),
        method: method.clone(),
        parent: step.parent.clone(),
        captured_at: summary.captured_at,
        finished_at: context.now(),
        source: summary.source,
        objects,
        expectations: summary.expectations,
        recipients: step
            .encrypt_for
            .iter()
            .filter(|_| is_encrypted)
            .map(ToString::to_string)
            .collect(),
        policy_digest: context.policy_digest.clone(),
        mainstay_version: context.wiring.mainstay_version.clone(),
    };
    // What would not be read back must not be written: a manifest is for ever.
    let parsed = manifest
        .to_bytes()
        .map_err(|error| error.to_string())
        .and_then(|bytes| Manifest::parse(&bytes).map_err(|error| error.0));
    match parsed {
        Ok(parsed) if parsed == manifest && manifest.bytes() > ByteCount(0) => Ok(manifest),
        Ok(_) => Err(StepError::ReadBack {
            point: step.recovery_point.clone(),
            tier: step.tier.clone(),
            why: "its manifest does not describe what was captured".to_owned(),
        }),
        Err(why) => Err(StepError::ReadBack {
            point: step.recovery_point.clone(),
            tier: step.tier.clone(),
            why,
        }),
    }
}
