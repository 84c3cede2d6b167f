//! The audit's entry for a point that was made of an existing file.
//!
//! Written between the manifest, with which the point exists, and the catalog's record of it: after a crash in between, whoever
//! settles the copy comes by here again, and the same entry is not written twice.

use crate::steps::{RunContext, error::StepError};
use catalog::{AuditDetails, AuditEntry, AuditKind};
use model::{Manifest, TierName};

/// Enters the adoption of a point that is about to be recorded; of any other point nothing.
pub(crate) async fn note(
    context: &RunContext,
    manifest: &Manifest,
    tier: &TierName,
) -> Result<(), StepError> {
    let fact = |name: &str| manifest.source.get(name).cloned();
    let (Some(file), Some(sha256)) = (fact("adopted_from"), fact("adopted_sha256")) else {
        return Ok(());
    };
    let known = context.catalog.manifest(&manifest.id).await?;
    if known.as_ref() == Some(manifest) {
        // A further copy.
        return Ok(());
    }
    let entry = AuditEntry {
        at: context.now(),
        who: context.who.clone(),
        kind: AuditKind::Adoption,
        what: format!("{}@{tier}", manifest.id),
        // The time tells a second adoption, after a prune, from a repeat of the first.
        why: format!(
            "made of `{file}`, SHA-256 {sha256}; stored at {}",
            manifest.finished_at
        ),
        details: Some(AuditDetails::Adoption {
            captured_at: manifest.captured_at,
            captured_at_from: fact("captured_at_from").unwrap_or_default(),
            file,
            point: manifest.id.clone(),
            sha256,
            tier: tier.clone(),
        }),
    };
    context.catalog.audit_once(&entry).await?;
    Ok(())
}
