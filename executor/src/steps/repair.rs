//! Replaces what is wrong with a copy, from a good copy on another tier.
//!
//! Why nothing good is lost: an object is deleted only after its bytes were read here and found wrong, and those of the other
//! tier were read and found right: of two damaged copies neither is touched, because a person may still mend one from
//! the other. What reads back right stays where it is.
//! Order: if anything must be replaced the manifest goes first, so that the copy is invisible while it is mended; it comes
//! back last. A crash in between leaves the copy known as damaged or missing, and the next repair goes on. Only a key ring that
//! is wrong is replaced in place, which is atomic and possible where the data is locked or archived.

use super::{
    Ended, Try,
    copying::{copy_object, write_manifest},
    error::StepError,
    key_file::ensure_keys,
    upload::{announce, finish, source_manifest},
};
use crate::stored::{self, ManifestThere};
use model::{ByteCount, CopyState, Manifest, StoredObject};
use providers::{api::Tier, stream};

/// Mends the copy; reads all of it, so a copy that is right after all is found right.
pub(crate) async fn ensure_repaired(at: &Try<'_>) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    let Some(from) = &step.from else {
        return Err(StepError::Unsupported(step.id.to_string()));
    };
    let known = context.known_copy(&step.recovery_point, &step.tier).await?;
    let was_damaged = known
        .as_ref()
        .is_some_and(|copy| copy.state == CopyState::Damaged);
    let present = known.filter(model::Copy::is_present);
    if present
        .as_ref()
        .is_some_and(|copy| copy.stored_at >= context.evaluated_at)
    {
        return Ok(Ended::AlreadyDone);
    }
    let source = &**context.admitted(from).await?;
    let target = &**context.receiving(&step.tier).await?;
    let Some((manifest, bytes)) = source_manifest(at, source, from).await? else {
        return Ok(Ended::Stale(format!(
            "the copy of `{}` on `{from}` is not there any more",
            step.recovery_point
        )));
    };
    if let Some(trouble) = stored::check_sizes(source, &manifest).await? {
        return Err(StepError::Damaged {
            point: step.recovery_point.clone(),
            tier: from.clone(),
            why: trouble.text().to_owned(),
        });
    }
    target
        .clean_leftovers(&format!("{}/", step.recovery_point.folder()))
        .await?;
    let wrong = wrong_objects(at, target, &manifest).await?;
    let manifest_is_right = matches!(
        stored::read_manifest(target, &step.recovery_point).await?,
        ManifestThere::Valid(there, _) if *there == manifest
    );
    if wrong.is_empty() && manifest_is_right {
        // Everything else of a copy that was found damaged is right, so its ring is what does not fit its data.
        let mended = mend_keys(at, source, target, &manifest, was_damaged).await?;
        if present.is_some() && !mended {
            return Ok(Ended::AlreadyDone);
        }
        finish(at, &manifest).await?;
        return Ok(Ended::Done(Some(ByteCount(0))));
    }
    for object in &wrong {
        if !is_right(at, source, &manifest, object).await? {
            return Err(StepError::Damaged {
                point: step.recovery_point.clone(),
                tier: from.clone(),
                why: format!("`{}` is not what its manifest says", object.file),
            });
        }
    }
    announce(at, &manifest).await?;
    if present.is_some() {
        mark_damaged(at).await?;
    }
    context.catalog.ensure_current(&context.lease).await?;
    context.tier_leases.renew(&step.tier).await?;
    target
        .delete(&stored::manifest_key(&step.recovery_point)?)
        .await?;
    context.crash.hit("after-delete-manifest");
    let mut replaced = ByteCount(0);
    for object in wrong {
        target
            .delete(&stored::key(&step.recovery_point, &object.file)?)
            .await?;
        copy_object(&manifest.id, object, source, target, step.lock, &at.meter).await?;
        replaced = replaced.saturating_add(object.bytes);
        context.crash.hit("mid-upload");
    }
    let lock = step.lock;
    ensure_keys(source, target, &manifest, false, lock, &context.crash).await?;
    write_manifest(target, &manifest, bytes, step.lock, &context.crash).await?;
    finish(at, &manifest).await?;
    Ok(Ended::Done(Some(replaced)))
}

/// Replaces a key ring that is absent, wrong or `suspect`, in place. Says whether it did.
async fn mend_keys(
    at: &Try<'_>,
    source: &dyn Tier,
    target: &dyn Tier,
    manifest: &Manifest,
    suspect: bool,
) -> Result<bool, StepError> {
    let (context, step) = (at.context, at.step);
    context.catalog.ensure_current(&context.lease).await?;
    let (lock, crash) = (step.lock, &context.crash);
    ensure_keys(source, target, manifest, suspect, lock, crash).await
}

/// The catalog did not know yet; if this run dies now, the next plan must.
async fn mark_damaged(at: &Try<'_>) -> Result<(), StepError> {
    let (context, step) = (at.context, at.step);
    let (point, damaged) = (&step.recovery_point, CopyState::Damaged);
    context
        .catalog
        .set_copy_state(&context.lease, point, &step.tier, damaged, context.now())
        .await?;
    Ok(())
}

/// Objects that are missing or whose bytes are wrong.
async fn wrong_objects<'a>(
    at: &Try<'_>,
    target: &dyn Tier,
    manifest: &'a Manifest,
) -> Result<Vec<&'a StoredObject>, StepError> {
    let mut wrong = Vec::new();
    for object in &manifest.objects {
        if !is_right(at, target, manifest, object).await? {
            wrong.push(object);
        }
    }
    Ok(wrong)
}

/// Whether an object is there with the right bytes; an error when that cannot be told.
async fn is_right(
    at: &Try<'_>,
    tier: &dyn Tier,
    manifest: &Manifest,
    object: &StoredObject,
) -> Result<bool, StepError> {
    let key = stored::key(&manifest.id, &object.file)?;
    match tier.open(&key).await {
        Ok(reader) => match stream::check_stored(reader, object, at.meter.callback()).await {
            Ok(()) => Ok(true),
            Err(error) if error.code == stored::DAMAGED => Ok(false),
            Err(error) => Err(error.into()),
        },
        Err(error) if error.code == stored::NOT_FOUND => Ok(false),
        Err(error) => Err(error.into()),
    }
}
