//! The approval of a plan that needs it: whether it is given and by whom, what the audit says of it, and the rules that come into force.
//!
//! Where rules are in force in the catalog, they count and no others, so that a plan of a policy without them, or with weaker ones,
//! gets by nobody else's word. Where signatures count, what a plan says of itself does not: see `routine`. Not here: which plans need approval (`planner`), what a signature is worth (`model::approval`).

use super::{ApplyOptions, Routine, routine::deletes};
use catalog::{
    AuditDetails, AuditEntry, AuditKind, Catalog, CatalogError, Lease, PlanSignature, Retention,
};
use jiff::SignedDuration;
use model::{
    ApprovalRules, Digest, Plan, ReasonCode, Step, StepId,
    approval::{ApprovalVerdict, SshSignature, judge, signer_of},
};
use std::collections::BTreeSet;

/// Clocks of several machines differ a little.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// How it stands with the approval of a plan.
pub(super) struct Standing {
    /// Who approved it; `None`: nobody, or it needs none.
    pub(super) by: Option<String>,
    /// What the signatures are worth, where signatures count.
    pub(super) verdict: Option<ApprovalVerdict>,
    /// Deletions that only the plan itself calls routine.
    pub(super) not_routine: BTreeSet<StepId>,
    in_force: Option<ApprovalRules>,
}

impl Standing {
    /// Whether the plan needs approval and has it.
    pub(super) fn is_given(&self) -> bool {
        self.by.is_some()
    }

    /// Whether something of the plan needs approval, whatever the plan says.
    pub(super) fn is_needed(&self, plan: &Plan) -> bool {
        needs(plan, &self.not_routine)
    }

    /// Whether a step must wait for approval.
    pub(super) fn withholds(&self, plan: &Plan, step: &Step) -> bool {
        !self.is_given()
            && (step.needs_approval
                || (plan.needs_approval && deletes(step))
                || self.not_routine.contains(&step.id))
    }

    /// Whether everything that the plan wants may be done.
    pub(super) fn is_settled(&self, plan: &Plan) -> bool {
        self.is_given() || !(self.is_needed(plan) || self.withholds_rules(plan))
    }

    /// What of the plan's retention may come into force.
    pub(super) fn retention_of(&self, plan: &Plan, routine: Option<&Routine>) -> Retention {
        let mut retention = plan.retention.clone();
        if self.verdict.is_some() && !self.is_given() {
            routine.unwrap_or(&Routine::default()).limit(&mut retention);
        }
        retention
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
            not_routine: BTreeSet::new(),
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
    let mut verdict = judge(&rules, plan, options.policy_source.as_ref(), &signatures);
    verdict.void = void(plan, catalog, options).await?;
    let names: Vec<_> = verdict.approved_by.iter().cloned().collect();
    let not_routine = not_routine(plan, catalog, options).await?;
    let is_given = verdict.is_given() && needs(plan, &not_routine);
    Ok(Standing {
        by: is_given.then(|| names.join(", ")),
        verdict: Some(verdict),
        not_routine,
        in_force,
    })
}

fn needs(plan: &Plan, not_routine: &BTreeSet<StepId>) -> bool {
    plan.needs_approval
        || !not_routine.is_empty()
        || plan.steps.iter().any(|step| step.needs_approval)
}

/// Deletions that a plan of now does not call routine, of copies that are there.
async fn not_routine(
    plan: &Plan,
    catalog: &Catalog,
    options: &ApplyOptions,
) -> Result<BTreeSet<StepId>, CatalogError> {
    let nothing = Routine::default();
    let routine = options.routine.as_ref().unwrap_or(&nothing);
    let mut found = BTreeSet::new();
    for step in plan.steps.iter().filter(|step| !routine.covers(step)) {
        let known = catalog
            .point(&step.recovery_point, options.clock.now())
            .await?;
        // What is gone cannot be deleted: a repeat of the plan finds it done.
        if known.is_some_and(|known| known.copy_on(&step.tier).is_some()) {
            found.insert(step.id.clone());
        }
    }
    Ok(found)
}

/// Why signatures of the plan count no longer. Signatures do not run out by themselves, so that a plan which was signed once, of a policy
/// that was left since, would approve the way back to it for ever.
async fn void(
    plan: &Plan,
    catalog: &Catalog,
    options: &ApplyOptions,
) -> Result<Option<String>, CatalogError> {
    let latest = options.clock.now().saturating_add(CLOCK_TOLERANCE);
    if latest.is_ok_and(|latest| plan.evaluated_at > latest) {
        return Ok(Some(format!(
            "it was made at {}, which is in the future",
            plan.evaluated_at
        )));
    }
    let other = catalog
        .other_policy_since(plan.evaluated_at, &plan.policy_digest)
        .await?;
    Ok(other.map(|(at, digest)| {
        format!(
            "it was made at {}, and since then, at {at}, another policy was applied (`{digest}`); make a new plan and have that signed",
            plan.evaluated_at
        )
    }))
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
