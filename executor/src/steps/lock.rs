//! Locks every file of a copy against deletion, and records until when the copy is locked.
//!
//! Invariants: a lock is never shortened; what the catalog learns was read back from the store. The earliest end of all files
//! counts, because a copy without one of them is none. No lease of the tier is needed: two machines that lock the same copy
//! for longer do each other no harm, and a copy must not stay unlocked because somebody else is writing.
//! Also the end of every step that stores a copy: a crash between storing and recording is made good by the next `lock` step.

use super::{Ended, Try, error::StepError};
use crate::stored;
use catalog::{AuditDetails, AuditEntry, AuditKind};
use jiff::Timestamp;
use model::{LockOrder, RecoveryPointId};
use providers::api::{Protection, Tier};

/// Locks the copy until the step's time at least.
pub(crate) async fn ensure_locked(at: &Try<'_>) -> Result<Ended, StepError> {
    let (context, step) = (at.context, at.step);
    let Some(order) = &step.lock else {
        return Err(StepError::Unsupported(step.id.to_string()));
    };
    if context
        .known_copy(&step.recovery_point, &step.tier)
        .await?
        .is_none()
    {
        return Ok(Ended::Stale(format!(
            "the catalog knows no copy of `{}` on `{}`",
            step.recovery_point, step.tier
        )));
    }
    let tier = &**context.admitted(&step.tier).await?;
    let (until, extended) = lock_all(tier, &step.recovery_point, Some(order)).await?;
    record(at, until).await?;
    if extended == 0 {
        return Ok(Ended::AlreadyDone);
    }
    let entry = AuditEntry {
        at: context.now(),
        who: context.who.clone(),
        kind: AuditKind::Lock,
        what: format!("{}@{}", step.recovery_point, step.tier),
        why: format!(
            "{extended} files locked until {} at least: {} (run {})",
            order.until, step.reason.text, context.run
        ),
        details: Some(AuditDetails::Lock {
            files: extended as u64,
            mode: order.mode,
            point: step.recovery_point.clone(),
            tier: step.tier.clone(),
            until: order.until,
        }),
    };
    context.catalog.audit(&entry).await?;
    Ok(Ended::Done(None))
}

/// After a copy was stored: locks what is not yet locked as ordered, and records what the store says of the copy.
pub(super) async fn note_stored(at: &Try<'_>) -> Result<(), StepError> {
    let (context, step) = (at.context, at.step);
    let tier = &**context.tier(&step.tier)?;
    if step.lock.is_none() && !tier.capabilities().locks_objects() {
        return Ok(());
    }
    let (until, _) = lock_all(tier, &step.recovery_point, step.lock.as_ref()).await?;
    record(at, until).await
}

async fn record(at: &Try<'_>, until: Option<Timestamp>) -> Result<(), StepError> {
    let (context, step) = (at.context, at.step);
    context
        .catalog
        .set_lock(&context.lease, &step.recovery_point, &step.tier, until)
        .await?;
    Ok(())
}

/// Locks every file of the copy for long enough; gives the earliest end, and how many locks were set or prolonged.
async fn lock_all(
    tier: &dyn Tier,
    point: &RecoveryPointId,
    order: Option<&LockOrder>,
) -> Result<(Option<Timestamp>, usize), StepError> {
    let there = stored::list_folder(tier, point).await?;
    if there.is_empty() {
        return Err(StepError::Missing {
            point: point.clone(),
            tier: tier.name().clone(),
            why: "its folder is not there".to_owned(),
        });
    }
    let mut ends = Vec::with_capacity(there.len());
    let mut extended = 0;
    for info in &there {
        let now = tier.protection(&info.key).await?.locked_until;
        ends.push(match order {
            Some(order) if now.is_none_or(|now| now < order.until) => {
                extended += 1;
                Some(tier.extend_lock(&info.key, order).await?)
            }
            _ => now,
        });
    }
    Ok((earliest(ends), extended))
}

/// The first end; `None` as soon as one file is not locked.
pub(crate) fn earliest(ends: Vec<Option<Timestamp>>) -> Option<Timestamp> {
    ends.into_iter()
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .min()
}

/// What the store refuses to do to each file of a copy.
pub(crate) async fn protections(
    tier: &dyn Tier,
    point: &RecoveryPointId,
) -> Result<Vec<(String, Protection)>, StepError> {
    let mut all = Vec::new();
    for info in stored::list_folder(tier, point).await? {
        let protection = tier.protection(&info.key).await?;
        all.push((info.key.to_string(), protection));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_locked_only_as_long_as_its_first_file() {
        let day = |day: i64| Timestamp::from_second(day * 86_400).ok();
        assert_eq!(earliest(vec![day(3), day(1), day(2)]), day(1));
        assert_eq!(earliest(vec![day(3), None]), None);
        assert_eq!(earliest(Vec::new()), None);
    }
}
