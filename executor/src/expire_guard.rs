//! The last gate before archived log is deleted: asked once for a step, at the moment of the deletion.
//!
//! Written without looking at the planner's windows. It answers one question, from what the catalog and the tier say *now*: does
//! anybody who could still want to recover need one of these files?
//!
//! Why what passes is safe:
//! 1. This run holds the lease, and no copy is pruned meanwhile: the bases that are counted on stay.
//! 2. The step is what it should be: destructive, on a declared tier, with pieces of log and bases that justify it.
//! 3. The base that what stays begins with is verified according to the catalog, and its manifest and the sizes of its objects are seen on a
//!    tier. So is every other base that justifies the step.
//! 4. No piece holds log that any known base needs to be consistent, whatever the state of the base or of its copies.
//! 5. No file lies behind the start of that base, or of a newer one, on its timeline. On other timelines of its cluster, and of other
//!    clusters, only what was stored before the base was made can go, unless it lies before the start of all of them.
//! 6. The clock does not stand before the newest thing that happened.
//!
//! Files are looked at one by one (5), so that a piece in which one file is younger loses only the others. Doubt refuses.

use crate::{
    steps::{RunContext, error::StepError},
    stored::{self, ManifestThere},
    wal::WalObject,
};
use jiff::{SignedDuration, Timestamp};
use model::{
    Action, Copy, PointState, Reason, ReasonCode, RecoveryPoint, RecoveryPointId, Step,
    wal::{Lsn, WalSpan},
};

/// Clocks of several machines differ a little.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// What the guard says of a step.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Files that [`Allowed::covers`] may be deleted.
    Allowed(Allowed),
    /// Everything stays, and why.
    Refused(Reason),
}

/// What may go.
#[derive(Debug)]
pub(crate) struct Allowed {
    /// When the base was made that what stays begins with.
    since: Timestamp,
    /// Where that base and all newer ones start.
    needed: Vec<WalSpan>,
}

/// Judges the step. The caller holds [`RunContext::pruning`] until everything is deleted.
pub(crate) async fn judge(context: &RunContext, step: &Step) -> Result<Verdict, StepError> {
    context.catalog.ensure_current(&context.lease).await?;
    check_form(step)?;
    let now = context.now();
    let known = context.catalog.inventory(now).await?;
    let bases: Vec<&RecoveryPoint> = known
        .recovery_points
        .iter()
        .filter(|point| point.database == step.database && point.wal.is_some())
        .collect();
    let refused = |code, text: String| Ok(Verdict::Refused(Reason::new(code, text)));

    let happened = known.recovery_points.iter().map(|point| point.captured_at);
    let happened = happened.chain(known.last_activity).max();
    let newest = happened.map_or(context.evaluated_at, |at| at.max(context.evaluated_at));
    let latest = now.saturating_add(CLOCK_TOLERANCE).unwrap_or(now);
    if latest < newest {
        let text = format!("the clock says {now}, but something happened at {newest}");
        return refused(ReasonCode::ClockSuspect, text);
    }
    for base in &bases {
        let Some(span) = base.wal.as_deref().filter(|span| !span.included) else {
            continue;
        };
        let hit = step.wal.iter().any(|range| {
            range.system_identifier == span.system_identifier
                && range.start < Lsn::of_segment(span.last_segment() + 1, span.segment_bytes)
                && range.end > Lsn::of_segment(span.first_segment(), span.segment_bytes)
        });
        if hit {
            let text = format!("`{}` cannot be restored without a part of it", base.id);
            return refused(ReasonCode::WalNeeded, text);
        }
    }
    for point in std::iter::once(&step.recovery_point).chain(&step.justified_by) {
        let base = bases.iter().find(|base| base.id == *point);
        if let Some(why) = not_restorable(context, step, base.copied()).await? {
            let text = format!("`{point}`, which would be rolled forward, {why}");
            return refused(ReasonCode::PruneWaitsForVerified, text);
        }
    }
    let first = bases.iter().find(|base| base.id == step.recovery_point);
    let Some(first) = first else {
        return Err(malformed(step, "the catalog does not know its base"));
    };
    let since = first.captured_at;
    let newer = bases.iter().filter(|base| base.captured_at >= since);
    context.tier_leases.renew(&step.tier).await?;
    Ok(Verdict::Allowed(Allowed {
        since,
        needed: newer
            .filter_map(|base| base.wal.as_deref().copied())
            .collect(),
    }))
}

impl Allowed {
    /// Whether a file may go that holds log of a timeline up to `end`.
    pub(crate) fn covers(&self, file: &WalObject, timeline: u32, end: Lsn) -> bool {
        let mut ours = self
            .needed
            .iter()
            .filter(|span| span.system_identifier == file.system_identifier)
            .peekable();
        let known = ours.peek().is_some();
        let (mut before_all, mut before_own) = (true, true);
        for span in ours {
            let needed_from = Lsn::of_segment(span.first_segment(), span.segment_bytes);
            before_all &= end <= needed_from;
            before_own &= span.timeline != timeline || end <= needed_from;
        }
        (known && before_all) || (before_own && file.stored_at < self.since)
    }
}

/// A step that does not say what it must was not made by the planner.
fn check_form(step: &Step) -> Result<(), StepError> {
    if step.action != Action::ExpireWal || step.wal.is_empty() {
        return Err(malformed(step, "it names no log"));
    }
    if !step.destructive {
        return Err(malformed(step, "it is not marked as destructive"));
    }
    if step.recovery_point.database() != step.database.as_str() {
        return Err(malformed(step, "its base is of another database"));
    }
    if step.justified_by.is_empty() {
        return Err(malformed(step, "it names no base that justifies it"));
    }
    Ok(())
}

fn malformed(step: &Step, why: &str) -> StepError {
    StepError::Unguarded {
        step: step.id.to_string(),
        why: why.to_owned(),
    }
}

/// Why a base could not be restored; the catalog may be wrong about what is there, so a tier is asked.
async fn not_restorable(
    context: &RunContext,
    step: &Step,
    base: Option<&RecoveryPoint>,
) -> Result<Option<String>, StepError> {
    let good = |base: &RecoveryPoint| {
        let mut tiers: Vec<_> = base
            .copies
            .iter()
            .filter(|copy| copy.is_good())
            .map(|copy: &Copy| copy.tier.clone())
            .collect();
        tiers.sort_by_key(|tier| *tier != step.tier);
        tiers.into_iter().next()
    };
    let Some(base) = base.filter(|base| base.state == PointState::Complete) else {
        return Ok(Some("is not known any more".to_owned()));
    };
    let Some(tier) = good(base) else {
        return Ok(Some("is not verified on any tier".to_owned()));
    };
    let there = &**context.admitted(&tier).await?;
    manifest_trouble(context, there, &base.id).await
}

async fn manifest_trouble(
    context: &RunContext,
    tier: &dyn providers::api::Tier,
    point: &RecoveryPointId,
) -> Result<Option<String>, StepError> {
    let recorded = context.catalog.manifest(point).await?;
    let manifest = match stored::read_manifest(tier, point).await? {
        ManifestThere::Valid(manifest, _) => manifest,
        ManifestThere::Absent => return Ok(Some("is not there".to_owned())),
        ManifestThere::Unreadable(why) => return Ok(Some(format!("cannot be read: {why}"))),
    };
    if recorded.as_ref() != Some(&*manifest) {
        return Ok(Some("carries another manifest than the catalog".to_owned()));
    }
    let trouble = stored::check_sizes(tier, &manifest).await?;
    Ok(trouble.map(|trouble| format!("is not whole: {}", trouble.text())))
}
