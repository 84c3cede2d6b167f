//! Deletes archived log that nothing needs, as far as the guard allows it.
//!
//! Only whole files inside the step's pieces go: segments, beginnings of segments and notes of backups; histories of timelines stay, they
//! are small and tell what belongs together. The oldest go first, so that a crash leaves less old log and no new hole. Trying again
//! goes on with what is left. Nothing is remembered in the catalog: what is there is read from the tier.
//!
//! Not here: which pieces (`planner`); folders' `keys.json`, which stay (a retried push may still need them).

use super::{Ended, Try, error::StepError};
use crate::{
    expire_guard::{self, Verdict},
    wal::{WalListing, WalObject, WalStore},
};
use catalog::{AuditDetails, AuditEntry, AuditKind};
use model::{ByteCount, Reason, ReasonCode, Step, WalFileName, audit::LogDeletion, wal::Lsn};
use std::sync::Arc;

/// The storage refuses to delete an object.
const LOCKED: &str = "mainstay::tier::locked";
/// Before every so many deletions the tier's lease is looked at once more.
const BETWEEN_LOOKS: usize = 16;

/// One file that would go.
struct Going<'a> {
    file: &'a WalObject,
    timeline: u32,
    end: Lsn,
}

/// Deletes the step's pieces of log, unless they are gone.
pub(crate) async fn ensure_expired(at: &Try<'_>) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    // A base that is counted on must not be pruned meanwhile.
    let _alone = context.pruning.lock().await;
    context.admitted(&step.tier).await?;
    let store = WalStore::open(
        &context.wiring,
        &step.database,
        Arc::clone(&context.clock),
        context.crash.clone(),
    )?;
    let listing = store.list(&step.tier).await?;
    let inside = inside(&listing, step);
    if inside.is_empty() {
        return Ok(Ended::AlreadyDone);
    }
    let allowed = match expire_guard::judge(context, step).await? {
        Verdict::Allowed(allowed) => allowed,
        Verdict::Refused(reason) => return Ok(Ended::Blocked(reason)),
    };
    let (going, staying): (Vec<Going<'_>>, Vec<Going<'_>>) = inside
        .into_iter()
        .partition(|one| allowed.covers(one.file, one.timeline, one.end));
    if going.is_empty() {
        let text = format!(
            "all {} files may still be needed to roll `{}` forward",
            staying.len(),
            step.recovery_point
        );
        return Ok(Ended::Blocked(Reason::new(ReasonCode::WalNeeded, text)));
    }
    context.crash.hit("before-expire");
    let mut freed = ByteCount(0);
    let mut deleted = 0_u64;
    let mut blocked = None;
    let mut failed = None;
    for (number, one) in going.iter().enumerate() {
        if number % BETWEEN_LOOKS == 0
            && let Err(error) = context.tier_leases.ensure_current(&step.tier).await
        {
            failed = Some(error);
            break;
        }
        match store.delete(&step.tier, one.file).await {
            Ok(was_there) => {
                deleted += u64::from(was_there);
                freed = freed.saturating_add(one.file.bytes);
            }
            // Younger ones are locked for longer.
            Err(error) if error.code == LOCKED => {
                let text = format!("`{}` refuses to delete `{}`", step.tier, one.file.key);
                blocked = Some(Reason::new(ReasonCode::Locked, text));
                break;
            }
            Err(error) => {
                failed = Some(error.into());
                break;
            }
        }
        context.crash.hit("after-expire-one");
    }
    // What is gone is told also when the rest could not be deleted.
    if deleted > 0 {
        context
            .catalog
            .audit(&AuditEntry {
                at: context.now(),
                who: context.who.clone(),
                kind: AuditKind::Deletion,
                what: format!("{}/wal@{}", step.database, step.tier),
                why: format!(
                    "{deleted} files of log: {} (run {})",
                    step.reason.text, context.run
                ),
                details: Some(AuditDetails::LogDeletion(LogDeletion {
                    approved_by: context.approver(step),
                    bytes: freed,
                    database: step.database.clone(),
                    files: deleted,
                    pieces: step.wal.clone(),
                    plan: context.plan.clone(),
                    reason: step.reason.code,
                    run: context.run.clone(),
                    tier: step.tier.clone(),
                })),
            })
            .await?;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(match blocked {
        Some(reason) if deleted == 0 => Ended::Blocked(reason),
        _ => Ended::Done(Some(freed)),
    })
}

/// The files that lie wholly in the step's pieces, the oldest first.
fn inside<'l>(listing: &'l WalListing, step: &Step) -> Vec<Going<'l>> {
    let mut inside: Vec<Going<'l>> = listing
        .files
        .iter()
        .filter_map(|file| {
            let (timeline, start, end) = place(listing, file)?;
            let within = step.wal.iter().any(|range| {
                range.system_identifier == file.system_identifier
                    && range.timeline == timeline
                    && range.start <= start
                    && end <= range.end
            });
            within.then_some(Going {
                file,
                timeline,
                end,
            })
        })
        .collect();
    inside.sort_by_key(|one| (one.file.system_identifier, one.end, one.timeline));
    inside
}

/// Timeline, start and end of the segment that a file belongs to; a history belongs to none.
fn place(listing: &WalListing, file: &WalObject) -> Option<(u32, Lsn, Lsn)> {
    if matches!(file.name, WalFileName::History { .. }) {
        return None;
    }
    let clusters = listing.clusters.as_ref()?;
    let cluster = clusters
        .clusters
        .iter()
        .find(|cluster| cluster.system_identifier == file.system_identifier)?;
    // Without the size of a segment nobody can tell where a file lies.
    let size = cluster.segment_bytes?;
    let number = file.name.number(size)?;
    let end = Lsn::of_segment(number.checked_add(1)?, size);
    Some((file.name.timeline(), Lsn::of_segment(number, size), end))
}
