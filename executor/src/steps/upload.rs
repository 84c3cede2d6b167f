//! Copies a recovery point from one tier to another: the objects with their bytes checked on the way, then the key ring and the manifest verbatim.
//!
//! Invariant: the copies of a point are interchangeable, so a target that holds another state under the same id is a conflict,
//! never overwritten. A crash leaves what `backup` would leave, and is settled in the same way.

use super::{
    Ended, Try,
    copying::{copy_object, write_manifest},
    error::StepError,
    key_file::{source_keys, write_keys},
    repair,
};
use crate::{
    leftovers,
    stored::{self, ManifestThere},
};
use catalog::CopyIntent;
use model::{Manifest, TierName};
use providers::api::Tier;

/// Copies the point, unless the tier has it.
pub(crate) async fn ensure_uploaded(at: &Try<'_>) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    let Some(from) = &step.from else {
        return Err(StepError::Unsupported(step.id.to_string()));
    };
    match context.known_copy(&step.recovery_point, &step.tier).await? {
        Some(copy) if copy.is_present() => return Ok(Ended::AlreadyDone),
        // Parts of a spoilt copy may be good, and are not thrown away unread.
        Some(_) => return repair::ensure_repaired(at).await,
        None => {}
    }
    let source = &**context.admitted(from).await?;
    let target = &**context.receiving(&step.tier).await?;
    let Some((manifest, bytes)) = source_manifest(at, source, from).await? else {
        return Ok(Ended::Stale(format!(
            "the copy of `{}` on `{from}` is not there any more",
            step.recovery_point
        )));
    };
    let conflict = |why: String| StepError::Conflict {
        point: step.recovery_point.clone(),
        tier: step.tier.clone(),
        why,
    };
    match stored::read_manifest(target, &step.recovery_point).await? {
        ManifestThere::Valid(there, _) if *there == manifest => {
            // A crash came between the manifest and the catalog.
            if let Some(trouble) = stored::check_sizes(target, &manifest).await? {
                return Err(StepError::Damaged {
                    point: step.recovery_point.clone(),
                    tier: step.tier.clone(),
                    why: trouble.text().to_owned(),
                });
            }
            finish(at, &manifest).await?;
            return Ok(Ended::AlreadyDone);
        }
        ManifestThere::Valid(..) => return Err(conflict("its manifest differs".to_owned())),
        ManifestThere::Unreadable(why) => return Err(conflict(why)),
        ManifestThere::Absent => {
            leftovers::make_room(context, target, &step.recovery_point).await?;
        }
    }
    announce(at, &manifest).await?;
    for object in &manifest.objects {
        copy_object(&manifest.id, object, source, target, step.lock, &at.meter).await?;
        context.crash.hit("mid-upload");
    }
    if manifest.is_encrypted() {
        let keys = source_keys(source, &manifest).await?;
        write_keys(target, &manifest, keys, step.lock, &context.crash).await?;
    }
    write_manifest(target, &manifest, bytes, step.lock, &context.crash).await?;
    finish(at, &manifest).await?;
    Ok(Ended::Done(Some(manifest.bytes())))
}

/// The manifest to copy from, if there is one; it must be the one that the catalog knows.
pub(super) async fn source_manifest(
    at: &Try<'_>,
    source: &dyn Tier,
    from: &TierName,
) -> Result<Option<(Manifest, Vec<u8>)>, StepError> {
    let point = &at.step.recovery_point;
    let (manifest, bytes) = match stored::read_manifest(source, point).await? {
        ManifestThere::Valid(manifest, bytes) => (*manifest, bytes),
        ManifestThere::Absent => return Ok(None),
        ManifestThere::Unreadable(why) => {
            return Err(StepError::Damaged {
                point: point.clone(),
                tier: from.clone(),
                why,
            });
        }
    };
    let known = at.context.catalog.manifest(point).await?;
    if known.is_some_and(|known| known != manifest) {
        return Err(StepError::Conflict {
            point: point.clone(),
            tier: from.clone(),
            why: "its manifest is not the one that the catalog knows".to_owned(),
        });
    }
    Ok(Some((manifest, bytes)))
}

/// Writes the intent before the first byte.
pub(super) async fn announce(at: &Try<'_>, manifest: &Manifest) -> Result<(), StepError> {
    let (context, step) = (at.context, at.step);
    let intent = CopyIntent {
        run: context.run.clone(),
        recovery_point: step.recovery_point.clone(),
        tier: step.tier.clone(),
        method: manifest.method.clone(),
        slot: manifest.slot,
        at: context.now(),
    };
    context.catalog.begin_copy(&context.lease, &intent).await?;
    context.crash.hit("after-intent");
    Ok(())
}

/// Records the copy.
pub(super) async fn finish(at: &Try<'_>, manifest: &Manifest) -> Result<(), StepError> {
    let (context, step) = (at.context, at.step);
    context.crash.hit("before-catalog");
    context
        .catalog
        .finish_copy(&context.lease, manifest, &step.tier, context.now())
        .await?;
    context.crash.hit("after-catalog");
    Ok(())
}
