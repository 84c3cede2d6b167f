//! Brings a copy that was begun and not finished to an end: recorded if it is whole, removed if it is not.
//!
//! Why the removal in here is safe. It deletes only
//! - while this run holds the lease of the catalog and that of the tier, so the run that began the copy is dead or is this one, and no other run writes there;
//! - below the folder of one point on one tier that stands in the catalog's `unfinished` journal, or that this run is about to
//!   write itself and where nothing has been written for days;
//! - when the tier answered that there is no manifest, so the point was never visible and nobody can have relied on it;
//! - when the catalog knows no copy there, whatever its state: then data without a manifest is not a leftover but a damaged copy,
//!   perhaps the last one, and stays for `repair`.
//!
//! Fresh data without a manifest that no journal mentions is never touched: another installation may be writing to the tier.

use crate::{
    adopted, gate,
    steps::{RunContext, error::StepError},
    stored::{self, ManifestThere},
    tier_lease::{Purpose, Waiting},
};
use catalog::Catalog;
use jiff::{SignedDuration, Timestamp};
use model::{CopyState, RecoveryPointId, TierName};
use providers::api::{ObjectInfo, Tier};

/// What became of a copy that was begun.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// There was nothing.
    Nothing,
    /// It was whole and is recorded now.
    Recorded,
    /// It was not whole; these files are gone now.
    Removed(Vec<String>),
    /// It is left as it is, because the catalog knows a copy there or its manifest cannot be read.
    Left(String),
}

/// Removes what an interrupted writer left of a point that is not visible on a tier: what was listed, and nothing that came later.
/// The caller has found no manifest.
async fn remove_invisible(
    context: &RunContext,
    tier: &dyn Tier,
    point: &RecoveryPointId,
    there: Vec<ObjectInfo>,
) -> Result<Vec<String>, StepError> {
    context.catalog.ensure_current(&context.lease).await?;
    let manifest = stored::manifest_key(point)?;
    if !there.is_empty() {
        // A store that cannot keep a lease may still be tidied of what never became an object.
        context.tier_leases.renew(tier.name()).await?;
    }
    if there.iter().any(|info| info.key == manifest) {
        return Err(StepError::Conflict {
            point: point.clone(),
            tier: tier.name().clone(),
            why: "its manifest has appeared at this moment; another installation is writing it"
                .to_owned(),
        });
    }
    let mut removed = tier
        .clean_leftovers(&format!("{}/", point.folder()))
        .await?;
    for info in there {
        if tier.delete(&info.key).await? {
            removed.push(info.key.to_string());
        }
    }
    Ok(removed)
}

/// Makes room for a copy that is about to be written. The caller has found no manifest.
///
/// Errors: [`StepError::Conflict`] when data lies there that this catalog never announced, unless it is old: another
/// installation may be writing the same point at this moment, and its manifest may come after our look.
pub(crate) async fn make_room(
    context: &RunContext,
    tier: &dyn Tier,
    point: &RecoveryPointId,
) -> Result<(), StepError> {
    let there = stored::list_folder(tier, point).await?;
    let newest = there.iter().map(|info| info.stored_at).max();
    let is_fresh = |at: Timestamp| context.now().duration_since(at) < FORGOTTEN_AFTER;
    if let Some(newest) = newest.filter(|newest| is_fresh(*newest))
        && !is_announced(context, point, tier.name()).await?
    {
        return Err(StepError::Conflict {
            point: point.clone(),
            tier: tier.name().clone(),
            why: format!(
                "data without a manifest lies there since {newest} that this catalog did not announce; another installation may be writing it"
            ),
        });
    }
    remove_invisible(context, tier, point, there).await?;
    Ok(())
}

/// Whether this catalog's journal says that a copy was begun.
pub(crate) async fn is_announced(
    context: &RunContext,
    point: &RecoveryPointId,
    tier: &TierName,
) -> Result<bool, StepError> {
    let begun = context.catalog.unfinished().await?;
    Ok(begun
        .iter()
        .any(|begun| begun.intent.recovery_point == *point && begun.intent.tier == *tier))
}

/// No backup takes longer; what a lost catalog announced is removed after that.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(48);

/// Brings a begun copy to an end and strikes its announcement.
pub(crate) async fn settle(
    context: &RunContext,
    point: &RecoveryPointId,
    name: &TierName,
) -> Result<Settled, StepError> {
    let tier = &**context.tier(name)?;
    // Not `admit`: cleaning up is no reason to start using a tier.
    let _ = gate::look(tier, Some(&context.catalog)).await?;
    let settled = match stored::read_manifest(tier, point).await? {
        ManifestThere::Valid(manifest, _) => {
            let trouble = stored::check_sizes(tier, &manifest).await?;
            adopted::note(context, &manifest, name).await?;
            let now = context.now();
            let (catalog, lease) = (&context.catalog, &context.lease);
            catalog.finish_copy(lease, &manifest, name, now).await?;
            if trouble.is_some() {
                catalog
                    .set_copy_state(lease, point, name, CopyState::Damaged, now)
                    .await?;
            }
            Settled::Recorded
        }
        ManifestThere::Unreadable(why) => Settled::Left(why),
        ManifestThere::Absent => {
            let known = context.known_copy(point, name).await?;
            context
                .tier_leases
                .hold(
                    context.tier(name)?,
                    context.now(),
                    Purpose::Store,
                    Waiting::No,
                )
                .await?;
            if known.is_some() {
                let _ = tier
                    .clean_leftovers(&format!("{}/", point.folder()))
                    .await?;
                Settled::Left("the catalog knows a copy there, which `repair` replaces".to_owned())
            } else {
                let there = stored::list_folder(tier, point).await?;
                match remove_invisible(context, tier, point, there).await? {
                    removed if removed.is_empty() => Settled::Nothing,
                    removed => Settled::Removed(removed),
                }
            }
        }
    };
    context
        .catalog
        .clear_unfinished(&context.lease, point, name)
        .await?;
    Ok(settled)
}

/// Settles everything that runs before this one have begun, and says what was done. A tier that is away keeps its entries.
pub(crate) async fn settle_all(context: &RunContext) -> Result<Vec<String>, StepError> {
    let mut words = Vec::new();
    for unfinished in context.catalog.unfinished().await? {
        let (point, tier) = (unfinished.intent.recovery_point, unfinished.intent.tier);
        match settle(context, &point, &tier).await {
            Ok(settled) => words.extend(describe(&point, &tier, settled)),
            Err(error) if error.is_lost_lease() => return Err(error),
            // One tier that is away must not stop backups to the others.
            Err(error) => {
                tracing::warn!(%point, %tier, code = error.code(), "leftovers could not be cleaned up");
            }
        }
    }
    Ok(words)
}

/// One line for people.
pub(crate) fn describe(
    point: &RecoveryPointId,
    tier: &TierName,
    settled: Settled,
) -> Option<String> {
    match settled {
        Settled::Nothing => None,
        Settled::Recorded => Some(format!(
            "recorded the copy of `{point}` on `{tier}`, which was complete"
        )),
        Settled::Removed(files) => Some(format!(
            "removed {} of the unfinished copy of `{point}` on `{tier}`",
            if files.len() == 1 {
                "1 file".to_owned()
            } else {
                format!("{} files", files.len())
            }
        )),
        Settled::Left(why) => Some(format!("left `{point}` on `{tier}` as it is: {why}")),
    }
}

/// Runs that began and never ended: with the lease in hand, they are dead.
pub(crate) async fn crashed_runs(catalog: &Catalog) -> Result<Vec<String>, StepError> {
    let runs = catalog.runs(LOOK_BACK).await?;
    Ok(runs
        .into_iter()
        .filter(|run| run.finished_at.is_none())
        .map(|run| run.id)
        .collect())
}

/// Crashed runs further back were seen by the runs between.
const LOOK_BACK: u64 = 32;
