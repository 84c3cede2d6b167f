//! Rebuilds the catalog from the manifests on the tiers: after the loss of the machine, or of the catalog alone.
//!
//! Locks and legal holds are asked from the stores that have them: a legal hold becomes a hold of the catalog again.
//! Invariants: nothing on a tier is changed; a tier that cannot be read is reported, and rebuilding again later adds what it
//! holds. What no manifest says (verifications, holds without a legal hold, runs, retention in force) is not rebuilt, so nothing is pruned before
//! it is verified again, and what the policy does not keep only when a person agrees (`unknown_rules.rs`).

use crate::{
    apply::RunError,
    audit,
    cancel::Cancel,
    clock::Clock,
    drift::Drift,
    lease,
    observe::{self, Refresh},
    steps::{error::StepError, lock},
    stored::{self, ManifestThere},
    unknown_rules,
    wiring::TierWiring,
};
use catalog::{AuditDetails, AuditEntry, AuditKind, Catalog, CatalogError, FoundCopy, Rebuilt};
use jiff::Timestamp;
use model::{CopyState, RecoveryPointId, TierName, event::Failure};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Who did it, for the audit.
const REBUILD: &str = "catalog rebuild";

/// What a rebuild found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    /// What the catalog has now.
    pub rebuilt: Rebuilt,
    /// What could not be used, and why.
    pub unusable: Vec<(RecoveryPointId, TierName, String)>,
    /// Points of which a tier holds a copy by a legal hold, and which the catalog holds now too.
    pub held: Vec<(RecoveryPointId, TierName)>,
    /// Tiers that could not be read: what lies there is not known, and rebuilding again later adds it.
    pub unreachable: BTreeMap<TierName, Failure>,
}

/// Reads every manifest on every tier and records what it finds. `run` names the holder of the lease, `who` ordered it.
pub async fn rebuild(
    catalog: &Catalog,
    tiers: &BTreeMap<TierName, TierWiring>,
    clock: &Arc<dyn Clock>,
    run: &str,
    who: &str,
    lease_wait: Duration,
) -> Result<RebuildReport, RunError> {
    let held = lease::acquire(catalog, clock, run, lease_wait, &Cancel::never())
        .await
        .map_err(crate::apply::locked)?;
    let result = under_lease(catalog, tiers, clock, &held, who).await;
    let released = held.release(catalog).await;
    let report = result?;
    released?;
    Ok(report)
}

async fn under_lease(
    catalog: &Catalog,
    tiers: &BTreeMap<TierName, TierWiring>,
    clock: &Arc<dyn Clock>,
    held: &lease::Held,
    who: &str,
) -> Result<RebuildReport, RunError> {
    let now = clock.now();
    let seen = observe::observe(Some(catalog), tiers, now, Refresh::Full).await?;
    let mut unusable: Vec<(RecoveryPointId, TierName, String)> = seen
        .drift
        .iter()
        .filter_map(|drift| match drift {
            Drift::Unusable {
                recovery_point,
                tier,
                why,
            }
            | Drift::Damaged {
                recovery_point,
                tier,
                why,
            } => Some((recovery_point.clone(), tier.clone(), why.clone())),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    for point in &seen.inventory.recovery_points {
        for copy in &point.copies {
            let Some(wired) = tiers
                .get(&copy.tier)
                .filter(|_| copy.state == CopyState::Foreign)
            else {
                continue;
            };
            match stored::read_manifest(&*wired.tier, &point.id).await {
                Ok(ManifestThere::Valid(manifest, _)) => found.push(FoundCopy {
                    tier: copy.tier.clone(),
                    bytes: manifest.bytes(),
                    manifest: *manifest,
                    // A tier's clock may be ahead of ours; a verification must be able to be later.
                    stored_at: copy.stored_at.min(now),
                }),
                Ok(ManifestThere::Absent) => {}
                Ok(ManifestThere::Unreadable(why)) => {
                    unusable.push((point.id.clone(), copy.tier.clone(), why));
                }
                Err(error) => unusable.push((
                    point.id.clone(),
                    copy.tier.clone(),
                    StepError::from(error).to_failure().message,
                )),
            }
        }
    }
    let rebuilt = catalog.rebuild(&held.lease, &found).await?;
    let there = found.iter().map(|copy| {
        let manifest = &copy.manifest;
        (&manifest.database, &manifest.series, &copy.tier)
    });
    unknown_rules::protect(catalog, &held.lease, there).await?;
    for (name, wired) in tiers {
        if seen.unreachable.contains_key(name) {
            continue;
        }
        // So that the tier, once away, is missed and not taken for empty.
        if let Ok(state) = wired.tier.observe().await
            && let Some(identity) = state.identity
        {
            catalog.remember_tier(name, &identity, REBUILD, now).await?;
        }
    }
    begin_chain(catalog, tiers, &rebuilt, who, now).await?;
    let held = protections(catalog, tiers, clock, &held.lease, &found, &mut unusable).await?;
    unusable.sort();
    Ok(RebuildReport {
        rebuilt,
        unusable,
        held,
        unreachable: seen.unreachable,
    })
}

/// The audit of this catalog says where the ones before it ended: their exports on the tiers are what is left of them.
async fn begin_chain(
    catalog: &Catalog,
    tiers: &BTreeMap<TierName, TierWiring>,
    rebuilt: &Rebuilt,
    who: &str,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let earlier = audit::earlier_chains(tiers, &catalog.identity().await?).await;
    let ends: Vec<String> = earlier
        .iter()
        .map(|one| {
            format!(
                "{} ended with entry {} ({}) on {}",
                one.catalog, one.sequence, one.digest, one.tier
            )
        })
        .collect();
    let ends = if ends.is_empty() {
        "no earlier audit was found on the tiers".to_owned()
    } else {
        format!("the audit of catalog {}", ends.join(", of catalog "))
    };
    catalog
        .audit(&AuditEntry {
            at: now,
            who: who.to_owned(),
            kind: AuditKind::CatalogRebuild,
            what: catalog.identity().await?,
            why: format!(
                "{} points and {} copies found; {ends}",
                rebuilt.points, rebuilt.copies
            ),
            details: Some(AuditDetails::CatalogRebuild {
                copies: rebuilt.copies,
                earlier,
                points: rebuilt.points,
            }),
        })
        .await
}

/// Asks the stores that lock objects what they refuse to do to the found copies, and records it.
async fn protections(
    catalog: &Catalog,
    tiers: &BTreeMap<TierName, TierWiring>,
    clock: &Arc<dyn Clock>,
    lease: &catalog::Lease,
    found: &[FoundCopy],
    unusable: &mut Vec<(RecoveryPointId, TierName, String)>,
) -> Result<Vec<(RecoveryPointId, TierName)>, RunError> {
    let mut held = Vec::new();
    for copy in found {
        let (id, name) = (&copy.manifest.id, &copy.tier);
        let Some(wired) = tiers
            .get(name)
            .filter(|wired| wired.tier.capabilities().locks_objects())
        else {
            continue;
        };
        let all = match lock::protections(&*wired.tier, id).await {
            Ok(all) => all,
            Err(error) => {
                let why = format!("its locks cannot be read: {}", error.to_failure().message);
                unusable.push((id.clone(), name.clone(), why));
                continue;
            }
        };
        let ends = all.iter().map(|(_, protection)| protection.locked_until);
        match catalog
            .set_lock(lease, id, name, lock::earliest(ends.collect()))
            .await
        {
            // Left out because its manifest differs.
            Ok(()) | Err(CatalogError::UnknownCopy { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if all.iter().any(|(_, protection)| protection.legal_hold) {
            let why = format!("a legal hold was found on tier `{name}`");
            match catalog.add_hold(id, REBUILD, &why, None, clock.now()).await {
                Ok(_) => held.push((id.clone(), name.clone())),
                Err(CatalogError::UnknownPoint { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(held)
}
