//! Carries a person's hold to the stores that can hold by themselves: a legal hold on every file of every copy.
//!
//! Invariants: the catalog's hold comes first and is what plans obey; a store that could not be asked is reported and changes
//! nothing about it. Setting and lifting can be repeated: what is as it should be is left alone. A hold is lifted on the
//! stores only when no other hold of the point is left, which the caller tells by `held`.
//! No lease: a hold takes nothing away, and lifting one deletes nothing.

use crate::{
    clock::Clock,
    gate,
    steps::{
        self,
        error::{StepError, catalog_failure},
    },
    stored,
    wiring::Wiring,
};
use catalog::{AuditDetails, AuditEntry, AuditKind, Catalog};
use model::{RecoveryPointId, TierName, event::Failure};
use std::{collections::BTreeMap, sync::Arc};

/// What became of a hold on the stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldReport {
    /// Copies on tiers that can hold by themselves.
    pub copies: Vec<HeldCopy>,
    /// Tiers that could not be asked, or refused, and why: there the copy is protected by the catalog's hold alone.
    pub not_done: BTreeMap<TierName, Failure>,
    /// What was done but could not be recorded in the catalog.
    pub gaps: Vec<Failure>,
}

/// One copy whose files are held, or are not any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldCopy {
    /// Where.
    pub tier: TierName,
    /// Files that are held now, or that are free now.
    pub files: usize,
    /// How many of them were changed by this.
    pub changed: usize,
}

/// Sets (`held`) or lifts the legal hold on every file of every copy of a point, on all tiers that lock objects.
///
/// Errors are part of the answer. A repeat does what was not done before.
pub async fn spread_hold(
    point: &RecoveryPointId,
    held: bool,
    who: &str,
    wiring: &Wiring,
    catalog: &Catalog,
    clock: &Arc<dyn Clock>,
) -> HoldReport {
    let mut report = HoldReport {
        copies: Vec::new(),
        not_done: BTreeMap::new(),
        gaps: Vec::new(),
    };
    for (name, wired) in &wiring.tiers {
        if !wired.tier.capabilities().locks_objects() {
            continue;
        }
        match on_tier(point, held, name, wiring, catalog).await {
            Ok(None) => {}
            Ok(Some(copy)) => {
                if copy.changed > 0 {
                    let entry = AuditEntry {
                        at: clock.now(),
                        who: who.to_owned(),
                        kind: AuditKind::LegalHold,
                        what: format!("{point}@{name}"),
                        why: format!(
                            "legal hold {} {} files",
                            if held { "set on" } else { "lifted from" },
                            copy.changed
                        ),
                        details: Some(AuditDetails::LegalHold {
                            files: copy.changed as u64,
                            held,
                            point: point.clone(),
                            tier: name.clone(),
                        }),
                    };
                    if let Err(error) = catalog.audit(&entry).await {
                        report.gaps.push(catalog_failure(&error));
                    }
                }
                report.copies.push(copy);
            }
            Err(error) => {
                report.not_done.insert(name.clone(), error.to_failure());
            }
        }
    }
    report
}

/// One tier; `None` when it has nothing of the point.
async fn on_tier(
    point: &RecoveryPointId,
    held: bool,
    name: &TierName,
    wiring: &Wiring,
    catalog: &Catalog,
) -> Result<Option<HeldCopy>, StepError> {
    let tier = &**steps::tier(wiring, name)?;
    if gate::look(tier, Some(catalog)).await?.0 == gate::Identity::Uninitialised {
        return Ok(None);
    }
    let mut there = stored::list_folder(tier, point).await?;
    if there.is_empty() {
        return Ok(None);
    }
    // The manifest last when it is lifted, first when it is set: what is half done is still a copy that cannot go.
    let manifest = stored::manifest_key(point)?;
    there.sort_by_key(|info| (info.key == manifest) != held);
    let mut changed = 0;
    for info in &there {
        if tier.protection(&info.key).await?.legal_hold != held {
            tier.set_legal_hold(&info.key, held).await?;
            changed += 1;
        }
    }
    Ok(Some(HeldCopy {
        tier: name.clone(),
        files: there.len(),
        changed,
    }))
}
