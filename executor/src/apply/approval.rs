//! The approval of a plan that needs it: whether it is given and by whom, what the audit says of it, and the rules that come into force.
//!
//! Where rules are in force in the catalog, they count and no others, so that a plan of a policy without them, or with weaker ones,
//! gets by nobody else's word. Not here: which plans need approval (`planner`), what a signature is worth (`model::approval`).

use super::ApplyOptions;
use catalog::{AuditDetails, AuditEntry, AuditKind, Catalog, CatalogError, Lease, PlanSignature};
use model::{
    ApprovalRules, Digest, Plan, ReasonCode,
    approval::{ApprovalVerdict, SshSignature, judge, signer_of},
};

/// How it stands with the approval of a plan.
pub(super) struct Standing {
    /// Who approved it; `None`: nobody, or it needs none.
    pub(super) by: Option<String>,
    /// What the signatures are worth, where signatures count.
    pub(super) verdict: Option<ApprovalVerdict>,
    in_force: Option<ApprovalRules>,
}

impl Standing {
    /// Whether the plan needs approval and has it.
    pub(super) fn is_given(&self) -> bool {
        self.by.is_some()
    }

    fn weakens(&self, plan: &Plan) -> bool {
        let in_force = self.in_force.as_ref();
        in_force.is_some_and(|rules| ApprovalRules::weaken(plan.approval_rules.as_ref(), rules))
    }

    /// Whether the plan wants weaker rules and may not have them.
    pub(super) fn withholds_rules(&self, plan: &Plan) -> bool {
        let wanted = plan.approval.iter();
        !self.is_given()
            && self.weakens(plan)
            && wanted
                .into_iter()
                .any(|reason| reason.code == ReasonCode::ApprovalWeakened)
    }

    /// Puts the rules of the plan in force, if they are not weaker or those who may have agreed.
    pub(super) async fn bring_into_force(
        &self,
        plan: &Plan,
        catalog: &Catalog,
        lease: &Lease,
        options: &ApplyOptions,
    ) -> Result<(), CatalogError> {
        if self.in_force == plan.approval_rules || (self.weakens(plan) && !self.is_given()) {
            return Ok(());
        }
        let rules = plan.approval_rules.as_ref();
        let now = options.clock.now();
        catalog
            .set_approval_rules(lease, rules, &options.run, &options.who, now)
            .await
    }
}

/// Looks at the approval of a plan, and keeps the good ones of the signatures that came with it.
pub(super) async fn look(
    plan: &Plan,
    digest: &Digest,
    catalog: &Catalog,
    options: &ApplyOptions,
) -> Result<Standing, CatalogError> {
    let in_force = catalog.approval_rules().await?;
    let Some(rules) = in_force.clone().or_else(|| plan.approval_rules.clone()) else {
        let given = plan.needs_approval && options.approved == plan.id;
        return Ok(Standing {
            by: given.then(|| options.who.clone()),
            verdict: None,
            in_force,
        });
    };
    for armored in &options.signatures {
        let Ok(signature) = SshSignature::parse(armored) else {
            continue;
        };
        if let Ok(signer) = signer_of(&rules, digest.as_str(), &signature) {
            let kept = PlanSignature {
                plan: digest.clone(),
                signer: signer.to_owned(),
                fingerprint: signature.key().fingerprint(),
                signature: signature.armored().to_owned(),
                who: options.who.clone(),
                at: options.clock.now(),
            };
            catalog.add_signature(&kept).await?;
        }
    }
    let mut signatures = catalog.signatures(digest).await?;
    signatures.extend(options.signatures.iter().cloned());
    let verdict = judge(&rules, plan, options.policy_source.as_ref(), &signatures);
    let names: Vec<_> = verdict.approved_by.iter().cloned().collect();
    Ok(Standing {
        by: (plan.needs_approval && verdict.is_given()).then(|| names.join(", ")),
        verdict: Some(verdict),
        in_force,
    })
}

/// The approval, for the audit.
pub(super) fn entry(plan: &Plan, digest: &Digest, by: &str, options: &ApplyOptions) -> AuditEntry {
    let reasons: Vec<&str> = plan.approval.iter().map(|reason| &*reason.text).collect();
    AuditEntry {
        at: options.clock.now(),
        who: options.who.clone(),
        kind: AuditKind::Approval,
        what: digest.to_string(),
        why: format!("approved for run {}: {}", options.run, reasons.join("; ")),
        details: Some(AuditDetails::Approval {
            approved_by: by.to_owned(),
            plan: digest.clone(),
            reasons: plan.approval.iter().map(|reason| reason.code).collect(),
            run: options.run.clone(),
        }),
    }
}
