//! A person's approval of a plan that needs it: whether it is given, and what the audit says of it.
//!
//! Not here: which plans need approval (`planner`).

use super::ApplyOptions;
use catalog::{AuditDetails, AuditEntry, AuditKind};
use model::{Digest, Plan};

/// Whether the plan needs approval and has it.
pub(super) fn is_given(plan: &Plan, options: &ApplyOptions) -> bool {
    plan.needs_approval && plan.id.is_some() && options.approved == plan.id
}

/// The approval, for the audit.
pub(super) fn entry(plan: &Plan, digest: &Digest, options: &ApplyOptions) -> AuditEntry {
    let reasons: Vec<&str> = plan.approval.iter().map(|reason| &*reason.text).collect();
    AuditEntry {
        at: options.clock.now(),
        who: options.who.clone(),
        kind: AuditKind::Approval,
        what: digest.to_string(),
        why: format!("approved for run {}: {}", options.run, reasons.join("; ")),
        details: Some(AuditDetails::Approval {
            approved_by: options.who.clone(),
            plan: digest.clone(),
            reasons: plan.approval.iter().map(|reason| reason.code).collect(),
            run: options.run.clone(),
        }),
    }
}
