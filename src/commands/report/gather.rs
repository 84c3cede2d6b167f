//! Gathers the facts of a period: from the catalog, the policy, and a look at tiers, keys and servers. Nothing is changed.
//!
//! Invariant: what ends up in the facts is data only; every judgement is `planner::controls`'. What could not be observed is named.
//! Of a period that is over, what happened later is left out as far as it is known.

use super::look;
use crate::{
    arguments::Global,
    commands::{planning, prove},
    failure::Result,
    session,
};
use catalog::{AuditDetails, Catalog, ChainedEntry, HoldRecord};
use jiff::Timestamp;
use model::{
    CopyState, Inventory, PointState, RecoveryPointId, RecoveryRecord, TierName, Verified,
    audit::{self, ChainWalk},
    event::{Outcome, RunEvent, What},
    evidence::{
        AuditFact, CopyFact, CopyFate, Deletion, EvidenceFacts, FORMAT, FailedStep, HoldFact,
        PolicyFact, RunFact, VerificationFact,
    },
};
use policy_schema::Policy;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Runs and records that are read at most.
const MOST: u64 = 1_000_000;

/// Entries of the audit that are read at a time.
const PAGE: u64 = 4096;

/// A period: from, to (exclusive).
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// Everything of a period.
pub(super) async fn gather(
    global: &Global,
    path: &Path,
    policy: &Policy,
    span: Span,
    now: Timestamp,
    trust_catalog: bool,
) -> Result<EvidenceFacts> {
    let looked = planning::look(global, path, policy, now, !trust_catalog).await?;
    let catalog = session::catalog_or_fail(global, path).await?;
    let facts = from_catalog(&catalog, &looked.inventory, policy, span).await;
    catalog.close().await;
    let mut facts = facts?;
    // A proof is of now and the years ahead; of a period that is over it says nothing.
    if span.until == now {
        facts.proofs = look::proofs(&prove::for_report(policy, &looked, now).await?);
    }
    facts.tiers = look::tiers(policy);
    facts.keys = look::keys(policy).await?;
    facts.discovered = look::discover(policy).await?;
    Ok(facts)
}

async fn from_catalog(
    catalog: &Catalog,
    inventory: &Inventory,
    policy: &Policy,
    span: Span,
) -> Result<EvidenceFacts> {
    let steps = catalog.finished_steps().await?;
    let verifications = verifications(catalog, span).await?;
    let sealed: BTreeMap<RecoveryPointId, (bool, Vec<String>)> = catalog
        .sealed_points()
        .await?
        .into_iter()
        .map(|point| (point.recovery_point, (point.encrypted, point.recipients)))
        .collect();
    let stored = stored(&steps);
    let mut copies = existing(inventory, &sealed, span);
    copies.extend(
        catalog
            .deletions()
            .await?
            .iter()
            .filter_map(|entry| deleted(entry, &stored, span)),
    );
    remember_verifications(&mut copies, &verifications);
    // A copy that was deleted and made again is one of each; the order decides nothing but the bytes.
    copies.sort_by(|a, b| {
        let key = |copy: &CopyFact| copy.deletion().map(|deletion| deletion.at);
        (&a.recovery_point, &a.tier, key(a)).cmp(&(&b.recovery_point, &b.tier, key(b)))
    });
    Ok(EvidenceFacts {
        audit: Some(walk(catalog).await?),
        copies,
        discovered: Vec::new(),
        drills: inventory.drills.clone(),
        exceptions: look::exceptions(policy),
        failed_steps: failed(&steps, span),
        format: FORMAT.to_owned(),
        from: span.from,
        holds: catalog
            .hold_history()
            .await?
            .into_iter()
            .filter_map(|record| hold(record, span))
            .collect(),
        keys: Vec::new(),
        mainstay_version: env!("CARGO_PKG_VERSION").to_owned(),
        parameters: look::parameters(policy),
        policies: policies(catalog, policy, span).await?,
        proofs: Vec::new(),
        recoveries: recoveries(catalog.recoveries(None, MOST).await?, span),
        runs: runs(catalog, span).await?,
        tiers: BTreeMap::new(),
        unreachable_tiers: inventory.unreachable_tiers.clone(),
        until: span.until,
        verifications,
    })
}

/// Reads the whole audit and says what is wrong with its chain.
async fn walk(catalog: &Catalog) -> Result<AuditFact> {
    let head = catalog.audit_head().await?;
    let mut walk = ChainWalk::from_beginning(&catalog.identity().await?);
    loop {
        let page = catalog.audit_page(walk.last(), PAGE).await?;
        let before = walk.last();
        for entry in page.iter().filter(|entry| entry.sequence <= head.sequence) {
            walk.take(entry);
        }
        if page.is_empty() || walk.last() <= before || walk.last() >= head.sequence {
            break;
        }
    }
    let mut flaws: Vec<String> = Vec::new();
    if walk.last() == head.sequence && walk.digest().is_some_and(|last| *last != head.digest) {
        flaws.push(
            "the last entry is not the one that the catalog remembers as its last".to_owned(),
        );
    }
    let (found, _) = walk.finish(head.sequence);
    flaws.extend(found.iter().map(ToString::to_string));
    Ok(AuditFact {
        digest: head.digest,
        entries: head.sequence,
        flaws,
    })
}

/// Checks of copies before the end of the period.
async fn verifications(catalog: &Catalog, span: Span) -> Result<Vec<VerificationFact>> {
    let all = catalog.all_verifications().await?;
    Ok(all
        .into_iter()
        .filter(|check| check.at <= span.until)
        .map(|check| VerificationFact {
            at: check.at,
            level: check.level,
            passed: check.passed,
            recovery_point: check.recovery_point,
            tier: check.tier,
            who: check.who,
        })
        .collect())
}

/// When each copy was completed, as the journals of runs remember it.
fn stored(steps: &[RunEvent]) -> BTreeMap<(RecoveryPointId, TierName), Timestamp> {
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
fn point_and_tier(text: &str) -> Option<(RecoveryPointId, TierName)> {
    let (point, tier) = text.split_once('@')?;
    Some((
        RecoveryPointId::parse(point).ok()?,
        TierName::new(tier).ok()?,
    ))
}

/// Copies that are there, as they were at the end of the period.
fn existing(
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
fn deleted(
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
        parent: None,
        recipients: Vec::new(),
        recovery_point: point,
        slot,
        stored_at,
        tier,
        verified: None,
    })
}

/// Of a copy that is gone by now and was there at the end of the period the verifications of then still count.
fn remember_verifications(copies: &mut [CopyFact], verifications: &[VerificationFact]) {
    let mut newest: BTreeMap<(&RecoveryPointId, &TierName), &VerificationFact> = BTreeMap::new();
    for check in verifications {
        newest.insert((&check.recovery_point, &check.tier), check);
    }
    for copy in copies
        .iter_mut()
        .filter(|copy| copy.is_present() && copy.verified.is_none() && copy.encrypted.is_none())
    {
        let check = newest.get(&(&copy.recovery_point, &copy.tier));
        copy.verified = check.filter(|check| check.passed).map(|check| Verified {
            at: check.at,
            level: check.level,
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

/// Backups that were tried in the period and not made.
fn failed(steps: &[RunEvent], span: Span) -> Vec<FailedStep> {
    let inside = steps
        .iter()
        .filter(|event| event.at >= span.from && event.at <= span.until);
    inside
        .filter_map(|event| {
            let What::StepFinished { step, outcome, .. } = &event.what else {
                return None;
            };
            let (point, _) = point_and_tier(step.as_str().strip_prefix("backup:")?)?;
            let (code, text) = match outcome {
                Outcome::Failed { error } => (error.code.clone(), error.message.clone()),
                Outcome::Blocked { reason } => {
                    (reason.code.to_string(), reason.text.clone().into_owned())
                }
                Outcome::Skipped { why } => ("skipped".to_owned(), why.clone()),
                Outcome::Stale { why } => ("stale".to_owned(), why.clone()),
                Outcome::Done | Outcome::AlreadyDone | Outcome::NeedsApproval => return None,
            };
            Some(FailedStep {
                at: event.at,
                code,
                recovery_point: point,
                run: event.run.clone(),
                text,
            })
        })
        .collect()
}

/// Holds that were ordered before the end of the period, and had not ended before its begin.
fn hold(record: HoldRecord, span: Span) -> Option<HoldFact> {
    let HoldRecord { hold, released } = record;
    let ended = released.as_ref().map(|(at, _, _)| *at).or(hold.until);
    if hold.at > span.until || ended.is_some_and(|ended| ended < span.from) {
        return None;
    }
    let released = released.filter(|(at, _, _)| *at <= span.until);
    Some(HoldFact {
        at: hold.at,
        recovery_point: hold.recovery_point,
        released_at: released.as_ref().map(|(at, _, _)| *at),
        released_by: released.map(|(_, by, _)| by),
        until: hold.until,
        who: hold.who,
        why: hold.why,
    })
}

/// Policies of the period, and the one that was in force when it began. When none is on record, the policy that was given stands
/// for what would be asked from now on.
async fn policies(catalog: &Catalog, policy: &Policy, span: Span) -> Result<Vec<PolicyFact>> {
    let history = catalog.policy_history().await?;
    let mut policies = Vec::new();
    for one in history
        .into_iter()
        .filter(|one| one.since <= span.until && one.until.is_none_or(|until| until > span.from))
    {
        policies.push(PolicyFact {
            digest: one.digest,
            policy: serde_json::from_str(&one.policy).unwrap_or(serde_json::Value::Null),
            since: one.since,
            until: one.until.filter(|until| *until <= span.until),
            who: one.who,
        });
    }
    if policies.is_empty() {
        policies.push(PolicyFact {
            digest: policy.digest.clone(),
            policy: serde_json::from_str(&policy.canonical_json())
                .unwrap_or(serde_json::Value::Null),
            since: span.until,
            until: None,
            who: "nobody yet: no run has been planned from it".to_owned(),
        });
    }
    Ok(policies)
}

/// Restores and drills of the period; of each database also the newest before it, and the newest that passed.
fn recoveries(newest_first: Vec<RecoveryRecord>, span: Span) -> Vec<RecoveryRecord> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<RecoveryRecord> = newest_first
        .into_iter()
        .filter(|record| record.finished_at <= span.until)
        .filter(|record| {
            record.finished_at >= span.from || seen.insert((record.database.clone(), record.passed))
        })
        .collect();
    kept.reverse();
    kept
}

async fn runs(catalog: &Catalog, span: Span) -> Result<Vec<RunFact>> {
    let approval: BTreeSet<String> = catalog
        .runs_that_needed_approval()
        .await?
        .into_iter()
        .collect();
    let mut runs: Vec<RunFact> = catalog
        .runs(MOST)
        .await?
        .into_iter()
        .filter(|run| run.started_at >= span.from && run.started_at <= span.until)
        .map(|run| {
            let summary = run.summary.unwrap_or_default();
            RunFact {
                approval_needed: approval.contains(&run.id),
                approval_refused: summary.needs_approval > 0,
                failed: summary.failed,
                finished_at: run.finished_at,
                id: run.id,
                plan: run.plan_digest,
                policy: run.policy_digest,
                started_at: run.started_at,
                who: run.who,
            }
        })
        .collect();
    runs.reverse();
    Ok(runs)
}
