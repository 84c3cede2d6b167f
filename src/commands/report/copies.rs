//! What became of copies: which are there, which were deleted, when each was verified, and which were found gone. From the catalog and what
//! was observed; nothing is judged.

use super::gather::Span;
use crate::failure::Result;
use catalog::{AuditDetails, Catalog, ChainedEntry};
use jiff::Timestamp;
use model::{
    CopyState, Inventory, PointState, RecoveryPointId, TierName, Verified, audit,
    event::{Outcome, RunEvent, What},
    evidence::{CopyFact, CopyFate, Deletion, LossFact, VerificationFact},
};
use std::collections::BTreeMap;

/// When each copy was completed, as the journals of runs remember it.
pub(super) fn stored(steps: &[RunEvent]) -> BTreeMap<(RecoveryPointId, TierName), Timestamp> {
    let mut stored = BTreeMap::new();
    for event in steps {
        let What::StepFinished { step, outcome, .. } = &event.what else {
            continue;
        };
        if !matches!(outcome, Outcome::Done) {
            continue;
        }
        let Some((action, what)) = step.as_str().split_once(':') else {
            continue;
        };
        if matches!(action, "backup" | "upload" | "repair" | "adopt")
            && let Some(copy) = point_and_tier(what)
        {
            stored.insert(copy, event.at);
        }
    }
    stored
}

/// `<point>@<tier>`.
pub(super) fn point_and_tier(text: &str) -> Option<(RecoveryPointId, TierName)> {
    let (point, tier) = text.split_once('@')?;
    Some((
        RecoveryPointId::parse(point).ok()?,
        TierName::new(tier).ok()?,
    ))
}

/// Copies that are there, as they were at the end of the period.
pub(super) fn existing(
    inventory: &Inventory,
    sealed: &BTreeMap<RecoveryPointId, (bool, Vec<String>)>,
    span: Span,
) -> Vec<CopyFact> {
    let mut copies = Vec::new();
    for point in inventory
        .recovery_points
        .iter()
        .filter(|point| point.state == PointState::Complete)
    {
        let seal = sealed.get(&point.id);
        for copy in point
            .copies
            .iter()
            .filter(|copy| copy.stored_at <= span.until)
        {
            copies.push(CopyFact {
                bytes: Some(copy.bytes.0),
                captured_at: Some(point.captured_at),
                encrypted: seal.map(|(encrypted, _)| *encrypted),
                fate: CopyFate::Exists(copy.state),
                held: copy.held,
                locked_until: copy.locked_until,
                parent: point.parent.clone(),
                recipients: seal
                    .map(|(_, recipients)| recipients.clone())
                    .unwrap_or_default(),
                recovery_point: point.id.clone(),
                slot: point.slot,
                stored_at: Some(copy.stored_at),
                tier: copy.tier.clone(),
                verified: copy
                    .verified
                    .filter(|verified: &Verified| verified.at <= span.until),
            });
        }
    }
    copies
}

/// A copy that was deleted in the period, or after it: then it was there at its end. Entries of older versions have no details, and
/// say in words what they say.
pub(super) fn deleted(
    entry: &ChainedEntry,
    stored: &BTreeMap<(RecoveryPointId, TierName), Timestamp>,
    span: Span,
) -> Option<CopyFact> {
    let (point, tier) = point_and_tier(&entry.what)?;
    let slot = slot(&point)?;
    let told = match entry.typed() {
        Some(AuditDetails::Deletion(told)) => told,
        _ => audit::Deletion::of(point.clone(), tier.clone()),
    };
    let stored_at = told
        .stored_at
        .or_else(|| stored.get(&(point.clone(), tier.clone())).copied());
    let begins = stored_at.unwrap_or(slot);
    if entry.at < span.from || begins > span.until {
        return None;
    }
    let run = entry
        .why
        .rsplit_once(" (run ")
        .and_then(|(_, run)| run.strip_suffix(')'))
        .map(str::to_owned);
    let fate = if entry.at <= span.until {
        CopyFate::Deleted(Deletion {
            approved_by: told.approved_by,
            at: entry.at,
            run: told.run.or(run),
            who: entry.who.clone(),
            why: entry.why.clone(),
        })
    } else {
        CopyFate::Exists(CopyState::Present)
    };
    Some(CopyFact {
        bytes: told.bytes.map(|bytes| bytes.0),
        captured_at: told.captured_at,
        encrypted: None,
        fate,
        held: false,
        locked_until: None,
        parent: told.parent,
        recipients: Vec::new(),
        recovery_point: point,
        slot,
        stored_at,
        tier,
        verified: None,
    })
}

/// What a copy had passed at the end of the period, where the copy itself tells less: it is gone by now, or has passed another
/// verification since. As the catalog counts: the strongest one since the last that failed.
pub(super) fn remember_verifications(copies: &mut [CopyFact], verifications: &[VerificationFact]) {
    let mut then: BTreeMap<(&RecoveryPointId, &TierName), Vec<&VerificationFact>> = BTreeMap::new();
    for check in verifications {
        let checks = then.entry((&check.recovery_point, &check.tier));
        checks.or_default().push(check);
    }
    for copy in copies
        .iter_mut()
        .filter(|copy| copy.is_present() && copy.verified.is_none())
    {
        let stored = copy.stored_at;
        let Some(checks) = then.get_mut(&(&copy.recovery_point, &copy.tier)) else {
            continue;
        };
        checks.sort_by_key(|check| check.at);
        let since = checks
            .iter()
            .filter(|check| stored.is_none_or(|stored| check.at >= stored));
        copy.verified = since.fold(None, |best: Option<Verified>, check| {
            let new = Verified {
                at: check.at,
                level: check.level,
            };
            match best {
                _ if !check.passed => None,
                Some(best) if best.level > new.level => Some(best),
                _ => Some(new),
            }
        });
    }
}

/// The slot in an id: `20261121T020000Z`, whatever follows.
fn slot(point: &RecoveryPointId) -> Option<Timestamp> {
    let stamp = point.stamp().get(..16)?;
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp())
}

/// Copies that were found gone or damaged in the period, and which of them a run had begun to delete, and had not ended: it died, or
/// failed when part was gone.
pub(super) async fn losses(
    catalog: &Catalog,
    steps: &[RunEvent],
    span: Span,
) -> Result<Vec<LossFact>> {
    let mut ended: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for event in steps {
        if let What::StepFinished { step, outcome, .. } = &event.what {
            let failed = matches!(outcome, Outcome::Failed { .. });
            ended.insert((&event.run, step.as_str()), !failed);
        }
    }
    let begun = catalog.begun_deletions().await?;
    let mut losses = Vec::new();
    for entry in catalog.losses().await? {
        let Some(AuditDetails::CopyLoss { point, state, tier }) = entry.typed() else {
            continue;
        };
        if entry.at < span.from || entry.at > span.until {
            continue;
        }
        let deletion = format!("prune:{point}@{tier}");
        let explains = |event: &&RunEvent| {
            let What::StepStarted { step, attempt } = &event.what else {
                return false;
            };
            // The run that found it gone had begun as well; only a second try may find what the first had done.
            let own = entry.who.strip_prefix("run ") == Some(&*event.run);
            let ended = ended.get(&(&*event.run, &*deletion)) == Some(&true);
            step.as_str() == deletion
                && event.at <= entry.at
                && if own { *attempt > 1 } else { !ended }
        };
        losses.push(LossFact {
            at: entry.at,
            by_run: begun.iter().find(explains).map(|event| event.run.clone()),
            recovery_point: point,
            state,
            tier,
        });
    }
    Ok(losses)
}
