//! Gathers the facts of a period: from the catalog, the policy, and a look at tiers, keys and servers. Nothing is changed.
//!
//! Invariant: what ends up in the facts is data only; every judgement is `planner::controls`'. What could not be observed is named.
//! Of a period that is over, what happened later is left out as far as it is known.

use super::{
    copies::{deleted, existing, losses, point_and_tier, remember_verifications, stored},
    look,
};
use crate::{
    arguments::Global,
    commands::{custody, planning, prove},
    failure::Result,
    session, settings, wiring,
};
use catalog::{AuditDetails, Catalog, HoldRecord};
use executor::audit::{SigningKey, VerifyAudit, verify_audit};
use jiff::Timestamp;
use model::{
    Digest, Inventory, RecoveryPointId, RecoveryRecord,
    event::{Outcome, RunEvent, What},
    evidence::{
        AuditFact, CopyFact, EvidenceFacts, FORMAT, FailedStep, HoldFact, PolicyFact, RunFact,
        VerificationFact,
    },
};
use planner::prove::Facts;
use policy_schema::Policy;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Runs and records that are read at most.
const MOST: u64 = 1_000_000;

/// A period: from, to (exclusive).
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// What was gathered.
pub(super) struct Gathered {
    pub(super) facts: EvidenceFacts,
    /// What the proofs among the facts were computed from; `None`: nothing was proved.
    pub(super) proved: Option<Proved>,
}

/// What proofs are computed from, beside the policy.
pub(super) struct Proved {
    pub(super) facts: Facts,
    pub(super) inventory: Inventory,
}

/// Everything of a period.
pub(super) async fn gather(
    global: &Global,
    path: &Path,
    policy: &Policy,
    span: Span,
    now: Timestamp,
    trust_catalog: bool,
) -> Result<Gathered> {
    let looked = planning::look(global, path, policy, now, !trust_catalog).await?;
    let catalog = session::catalog_or_fail(global, path).await?;
    let facts = from_catalog(&catalog, &looked.inventory, policy, span).await;
    let audit = audit_of(&catalog, global, path, policy, !trust_catalog).await;
    catalog.close().await;
    let mut facts = facts?;
    facts.audit = Some(audit?);
    // A proof is of now and the years ahead; of a period that is over it says nothing.
    let mut proved = None;
    if span.until == now {
        let custody = custody::look(global, path, policy).await?;
        let beside = prove::beside(policy, &looked, custody).await?;
        facts.logs = look::logs(&beside.logs);
        facts.proofs = look::proofs(&prove::again(policy, &looked.inventory, &beside.facts, now));
        proved = Some(Proved {
            facts: beside.facts,
            inventory: looked.inventory,
        });
    }
    facts.tiers = look::tiers(policy);
    facts.keys = look::keys(policy).await?;
    facts.discovered = look::discover(policy).await?;
    Ok(Gathered { facts, proved })
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
        audit: None,
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
        logs: Vec::new(),
        losses: losses(catalog, &steps, span).await?,
        mainstay_version: env!("CARGO_PKG_VERSION").to_owned(),
        parameters: planner::controls::parameters(policy),
        policies: policies(catalog, policy, span).await?,
        proofs: Vec::new(),
        recoveries: recoveries(catalog.recoveries(None, MOST).await?, span),
        runs: runs(catalog, span).await?,
        tiers: BTreeMap::new(),
        unknown_policy: unknown_policy(catalog, policy).await?,
        unreachable_tiers: inventory.unreachable_tiers.clone(),
        until: span.until,
        verifications,
    })
}

/// What `audit verify` finds; without a look at the tiers the chain of the catalog alone.
async fn audit_of(
    catalog: &Catalog,
    global: &Global,
    path: &Path,
    policy: &Policy,
    look: bool,
) -> Result<AuditFact> {
    let mut tiers = BTreeMap::new();
    if look {
        tiers = wiring::tiers(policy)?;
        wiring::read_only(&mut tiers);
    }
    let own_key = SigningKey::open(&settings::audit_key(global, path));
    let check = verify_audit(VerifyAudit {
        catalog: Some(catalog),
        tiers: &tiers,
        trusted: BTreeSet::new(),
        own_key: own_key.as_ref().ok().and_then(Option::as_ref),
    })
    .await?;
    let signed = check.tiers.iter().filter(|(_, tier)| tier.objects > 0);
    let head = check.catalog.as_ref();
    Ok(AuditFact {
        compared: signed.clone().map(|(name, _)| name.clone()).collect(),
        digest: head.map_or_else(|| Digest::sha256_of(&[]), |chain| chain.digest.clone()),
        entries: head.map_or(0, |chain| chain.sequence),
        flaws: crate::render::audit::wrong(&check),
        signed_until: signed.map(|(_, tier)| tier.last).max().unwrap_or(0),
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

/// The given policy, if no run was ever planned from it.
async fn unknown_policy(catalog: &Catalog, policy: &Policy) -> Result<Option<Digest>> {
    let history = catalog.policy_history().await?;
    let known = history.iter().any(|one| one.digest == policy.digest);
    Ok((!known).then(|| policy.digest.clone()))
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
    let mut approvers: BTreeMap<String, String> = BTreeMap::new();
    for entry in catalog.approvals().await? {
        if let Some(AuditDetails::Approval {
            approved_by, run, ..
        }) = entry.typed()
        {
            approvers.insert(run, approved_by);
        }
    }
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
                approved_by: approvers.remove(&run.id),
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
