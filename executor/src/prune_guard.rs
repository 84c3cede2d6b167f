//! The last gate before a copy is deleted: asked for every copy, at the moment of its deletion.
//!
//! Written without looking at the planner's retention: it does not know which rule kept or dropped a point. It answers one
//! question, from what the catalog and the tier say *now*: can this deletion cost somebody a state that they still need?
//!
//! Why a deletion that passes is safe:
//! 1. This run holds the lease (asked in the catalog), so nobody else deletes, and guard and deletion are one act inside the
//!    run: two deletions never count on each other.
//! 2. The step is what it should be: a destructive prune of a declared tier.
//! 3. Nobody holds the point, and the storage does not lock the copy.
//! 4. No point that still has a copy is incremental to it, on any tier, in any series.
//! 5. Every point that justifies the deletion is there: verified according to the catalog, and its manifest and the sizes of all
//!    its objects are seen on the same tier. At least one of them shows a newer state than the deleted one.
//!    And it is a state of the same source: same engine, server, database, file, as far as both manifests tell. Else a source that
//!    was exchanged under the same name would push out the only copies of the old one. A step that a person approved passes.
//! 6. Besides it, `min-verified` verified copies stay in the series on this tier.
//! 7. The store neither locks nor holds any file of the copy: asked before the first of them is deleted, so that a refusal never
//!    leaves half a copy.
//! 8. This run holds the lease of the tier, written anew as the last thing before the deletion: no other machine, with a catalog
//!    of its own, prunes the tier for a whole time to live from then on.
//! 9. The clock does not stand before the newest thing that happened: with a wrong clock, ages mean nothing.
//!
//! A purge of what is no longer declared has nothing that justifies it but a person's approval; then 5 and 6 do not apply.
//! Doubt refuses: an unreachable tier or catalog is an error, never a permission.

use crate::{
    steps::{RunContext, error::StepError, lock::protections},
    stored::{self, ManifestThere},
};
use jiff::{SignedDuration, Timestamp};
use model::{Action, Manifest, Reason, ReasonCode, RecoveryPoint, RecoveryPointId, Step, TierName};
use providers::api::Tier;
use std::collections::BTreeMap;

/// Clocks of several machines differ a little.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// What the guard says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The copy may be deleted.
    Allowed,
    /// It stays, and why.
    Refused(Reason),
}

/// Judges the deletion of the step's copy. The caller holds [`RunContext::pruning`] until the copy is deleted.
pub(crate) async fn judge(
    context: &RunContext,
    step: &Step,
    tier: &dyn Tier,
) -> Result<Verdict, StepError> {
    context.catalog.ensure_current(&context.lease).await?;
    let purge = step.reason.code == ReasonCode::Purged && step.needs_approval;
    check_form(step, purge)?;

    let now = context.now();
    let series = context
        .catalog
        .series(&step.database, &step.series, now)
        .await?;
    let Some(pruned) = series.iter().find(|point| point.id == step.recovery_point) else {
        return Err(malformed(step, "the catalog does not know the point"));
    };
    let last = last_activity(context, &series).await?;
    let refusal = check_clock(now, last, step, context.evaluated_at)
        .or_else(|| check_free(pruned, &step.tier, now));
    if let Some(reason) = refusal {
        return Ok(Verdict::Refused(reason));
    }
    if let Some(reason) = check_chain(context, pruned).await? {
        return Ok(Verdict::Refused(reason));
    }
    if let Some(reason) = check_storage(context, tier, step).await? {
        return Ok(Verdict::Refused(reason));
    }
    if purge {
        context.tier_leases.renew(&step.tier).await?;
        return Ok(Verdict::Allowed);
    }
    if let Some(reason) =
        check_remaining(&series, step).or_else(|| check_newer(&series, pruned, step))
    {
        return Ok(Verdict::Refused(reason));
    }
    for point in &step.justified_by {
        if let Some(reason) = check_justification(context, tier, &series, point, step).await? {
            return Ok(Verdict::Refused(reason));
        }
    }
    context.tier_leases.renew(&step.tier).await?;
    Ok(Verdict::Allowed)
}

/// A step that does not say what a prune must say was not made by the planner.
fn check_form(step: &Step, purge: bool) -> Result<(), StepError> {
    if step.action != Action::Prune {
        return Err(malformed(step, "it is no prune"));
    }
    if !step.destructive {
        return Err(malformed(step, "it is not marked as destructive"));
    }
    if step.recovery_point.database() != step.database.as_str()
        || step.recovery_point.series() != step.series.as_str()
    {
        return Err(malformed(step, "its point is of another series"));
    }
    if !purge && step.justified_by.is_empty() {
        return Err(malformed(step, "it names no point that justifies it"));
    }
    if step.justified_by.contains(&step.recovery_point) {
        return Err(malformed(
            step,
            "it is justified by the point that it deletes",
        ));
    }
    Ok(())
}

fn malformed(step: &Step, why: &str) -> StepError {
    StepError::Unguarded {
        step: step.id.to_string(),
        why: why.to_owned(),
    }
}

/// The newest time that anything is known to have happened.
async fn last_activity(
    context: &RunContext,
    series: &[RecoveryPoint],
) -> Result<Option<Timestamp>, StepError> {
    // Two: the newest may be this run, and with a clock that was set back it is not.
    let runs = context.catalog.runs(2).await?;
    let runs = runs
        .iter()
        .flat_map(|run| [Some(run.started_at), run.finished_at])
        .flatten();
    let points = series.iter().flat_map(|point| {
        std::iter::once(point.captured_at).chain(point.copies.iter().map(|copy| copy.stored_at))
    });
    Ok(runs.chain(points).max())
}

fn check_clock(
    now: Timestamp,
    last: Option<Timestamp>,
    step: &Step,
    evaluated_at: Timestamp,
) -> Option<Reason> {
    let newest = last.map_or(evaluated_at, |last| last.max(evaluated_at));
    (now.saturating_add(CLOCK_TOLERANCE).ok()? < newest).then(|| {
        Reason::new(
            ReasonCode::ClockSuspect,
            format!(
                "the clock says {now}, but something happened at {newest}; `{}` stays",
                step.recovery_point
            ),
        )
    })
}

fn check_free(pruned: &RecoveryPoint, tier: &TierName, now: Timestamp) -> Option<Reason> {
    if pruned.copies.iter().any(|copy| copy.held) {
        return Some(Reason::new(
            ReasonCode::Held,
            format!("`{}` is held", pruned.id),
        ));
    }
    let until = pruned.copy_on(tier)?.locked_until?;
    (until > now).then(|| locked(&pruned.id, tier, until))
}

/// What the storage says, whatever the catalog remembers: somebody may have locked or held a file with the store's own tools.
async fn check_storage(
    context: &RunContext,
    tier: &dyn Tier,
    step: &Step,
) -> Result<Option<Reason>, StepError> {
    // Also of a tier that declares no locks: a bucket may have a default of its own.
    let all = protections(tier, &step.recovery_point).await?;
    if let Some((key, _)) = all.iter().find(|(_, protection)| protection.legal_hold) {
        return Ok(Some(Reason::new(
            ReasonCode::Held,
            format!("`{}` holds `{key}`: a legal hold is set on it", step.tier),
        )));
    }
    let now = context.now();
    let last = all
        .iter()
        .filter_map(|(_, protection)| protection.locked_until)
        .filter(|until| *until > now)
        .max();
    let Some(until) = last else { return Ok(None) };
    // So that the next plan waits without asking.
    context
        .catalog
        .set_lock(
            &context.lease,
            &step.recovery_point,
            &step.tier,
            Some(until),
        )
        .await?;
    Ok(Some(locked(&step.recovery_point, &step.tier, until)))
}

/// The storage refuses a deletion until then.
pub(crate) fn locked(point: &RecoveryPointId, tier: &TierName, until: Timestamp) -> Reason {
    Reason::new(
        ReasonCode::Locked,
        format!("`{point}` is locked on `{tier}` until {until}"),
    )
}

/// Looks through all series, because a chain may cross them.
async fn check_chain(
    context: &RunContext,
    pruned: &RecoveryPoint,
) -> Result<Option<Reason>, StepError> {
    let children = context
        .children
        .get_or_try_init(|| async {
            let mut children: BTreeMap<RecoveryPointId, Vec<RecoveryPointId>> = BTreeMap::new();
            let inventory = context.catalog.inventory(context.now()).await?;
            for point in inventory.recovery_points {
                if let Some(parent) = point.parent {
                    children.entry(parent).or_default().push(point.id);
                }
            }
            Ok::<_, StepError>(children)
        })
        .await?;
    for child in children.get(&pruned.id).into_iter().flatten() {
        let known = context.catalog.point(child, context.now()).await?;
        if known.is_some_and(|known| !known.copies.is_empty()) {
            return Ok(Some(Reason::new(
                ReasonCode::ChainNeeded,
                format!("`{child}` cannot be restored without `{}`", pruned.id),
            )));
        }
    }
    Ok(None)
}

fn check_remaining(series: &[RecoveryPoint], step: &Step) -> Option<Reason> {
    let wanted = step.min_verified.unwrap_or(1).max(1);
    let remaining = series
        .iter()
        .filter(|point| point.id != step.recovery_point)
        .filter(|point| is_verified(point, step))
        .count();
    (remaining < wanted as usize).then(|| {
        Reason::new(
            ReasonCode::MinVerified,
            format!(
                "only {remaining} other verified points are on `{}`, and {wanted} must stay",
                step.tier
            ),
        )
    })
}

fn check_newer(series: &[RecoveryPoint], pruned: &RecoveryPoint, step: &Step) -> Option<Reason> {
    let newer = series.iter().any(|point| {
        step.justified_by.contains(&point.id)
            && is_verified(point, step)
            && point.captured_at > pruned.captured_at
    });
    (!newer).then(|| {
        Reason::new(
            ReasonCode::PruneWaitsForVerified,
            format!(
                "nothing newer than `{}` is verified on `{}`",
                pruned.id, step.tier
            ),
        )
    })
}

fn is_verified(point: &RecoveryPoint, step: &Step) -> bool {
    point.state == model::PointState::Complete
        && point.copy_on(&step.tier).is_some_and(model::Copy::is_good)
}

/// The catalog may be wrong about what is there; the tier is asked.
async fn check_justification(
    context: &RunContext,
    tier: &dyn Tier,
    series: &[RecoveryPoint],
    point: &RecoveryPointId,
    step: &Step,
) -> Result<Option<Reason>, StepError> {
    let refuse = |why: String| {
        Some(Reason::new(
            ReasonCode::PruneWaitsForVerified,
            format!("`{point}`, which justifies the deletion, {why}"),
        ))
    };
    let known = series.iter().find(|known| known.id == *point);
    if !known.is_some_and(|known| is_verified(known, step)) {
        return Ok(refuse(format!("is not verified on `{}`", step.tier)));
    }
    let recorded = context.catalog.manifest(point).await?;
    let manifest = match stored::read_manifest(tier, point).await? {
        ManifestThere::Valid(manifest, _) => manifest,
        ManifestThere::Absent => return Ok(refuse(format!("is not on `{}`", step.tier))),
        ManifestThere::Unreadable(why) => return Ok(refuse(format!("cannot be read: {why}"))),
    };
    if recorded.as_ref() != Some(&*manifest) {
        return Ok(refuse(
            "carries another manifest than the catalog".to_owned(),
        ));
    }
    if !step.needs_approval
        && let Some(pruned) = context.catalog.manifest(&step.recovery_point).await?
        && let Some(what) = other_source(&pruned, &manifest)
    {
        let text = format!(
            "`{point}` is a state of another database than `{}` ({what}), so it cannot stand for it: declare the new source under \
             another name, then `--purge` the old points when nobody needs them",
            step.recovery_point
        );
        return Ok(Some(Reason::new(ReasonCode::SourceChanged, text)));
    }
    let trouble = stored::check_sizes(tier, &manifest).await?;
    Ok(trouble.and_then(|trouble| refuse(format!("is not whole: {}", trouble.text()))))
}

/// Facts that tell one source from another, where an engine records them.
const IDENTITY: [&str; 3] = ["system_identifier", "database", "file"];

/// What shows that two points are states of different sources; `None`: nothing does.
fn other_source(old: &Manifest, new: &Manifest) -> Option<String> {
    if old.engine != new.engine {
        return Some(format!("engine {}, now {}", old.engine, new.engine));
    }
    IDENTITY.iter().find_map(|fact| {
        let (old, new) = (old.source.get(*fact)?, new.source.get(*fact)?);
        (old != new).then(|| format!("{fact} {old}, now {new}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ByteCount, Copy, CopyState, PointState};

    fn locked(until: Option<Timestamp>) -> (RecoveryPoint, TierName) {
        let id = RecoveryPointId::parse("orders/daily/20261101T020000Z").unwrap();
        let tier = TierName::new("nas").unwrap();
        let at: Timestamp = "2026-11-01T02:00:00Z".parse().unwrap();
        let point = RecoveryPoint {
            adopted: false,
            wal: None,
            bytes: ByteCount(1),
            captured_at: at,
            copies: vec![Copy {
                bytes: ByteCount(1),
                held: false,
                locked_until: until,
                state: CopyState::Present,
                stored_at: at,
                tier: tier.clone(),
                verified: None,
            }],
            database: "orders".parse().unwrap(),
            id,
            method: "text".parse().unwrap(),
            parent: None,
            series: "daily".parse().unwrap(),
            slot: at,
            state: PointState::Complete,
        };
        (point, tier)
    }

    #[test]
    fn a_locked_copy_stays_until_its_lock_ends() {
        let now: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let second = SignedDuration::from_secs(1);
        for (until, refused) in [
            (None, false),
            (Some(now), false),
            (Some(now + second), true),
        ] {
            let (point, tier) = locked(until);
            let reason = check_free(&point, &tier, now);
            assert_eq!(
                reason.map(|reason| reason.code),
                refused.then_some(ReasonCode::Locked)
            );
        }
    }
}
