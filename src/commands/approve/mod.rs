//! `approve`: a signer agrees to a plan that deletes more than routine.
//!
//! The signature is checked before it is kept, under the rules in force in the catalog, else those of the plan, else of the policy.
//! Invariant: nothing that would not count is ever written down. Not here: the signature itself (`ssh-keygen`), what it is worth when
//! the plan is applied (`executor`).

mod request;
mod reset;
mod sidecar;
mod sign;

pub(crate) use request::{agreed, with_signers};
pub(crate) use reset::warning as reset_warning;
pub(crate) use sidecar::read as signatures_beside;

use super::show;
use crate::{
    arguments::{ApproveArguments, Global},
    clock,
    exit::Exit,
    failure::{Because, Failure, Result},
    input, policy,
    render::out,
    session, settings,
};
use catalog::{Catalog, PlanSignature};
use model::{
    ApprovalRules, Digest, Plan,
    approval::{SshSignature, judge, signer_of},
};
use std::path::{Path, PathBuf};

pub(crate) async fn run(arguments: ApproveArguments, global: &Global) -> Result<Exit> {
    if arguments.reset || arguments.cancel_reset {
        return reset::run(&arguments, global).await;
    }
    let target = Target::of(arguments.plan.as_deref().unwrap_or_default())?;
    // The signer's machine may have neither the policy nor the catalog: then the plan itself says who may sign.
    let path = settings::policy_path(global).ok();
    let beside = path.clone().unwrap_or_default();
    let catalog = match session::catalog_if_any(global, &beside).await? {
        Some(readable) => {
            readable.close().await;
            Some(session::catalog(global, &beside).await?)
        }
        None => None,
    };
    let rules = rules(catalog.as_ref(), &target, path.as_deref()).await?;
    let given = match (&arguments.key, &arguments.signature) {
        (Some(key), _) => sign::sign(target.id.as_str(), key).await?,
        (None, Some(file)) => read_signature(file)?,
        (None, None) => String::new(),
    };
    let mut names = Vec::new();
    for block in blocks(&given)? {
        let (signature, signer) = checked(&rules, &target.id, &block)?;
        if let Some(catalog) = &catalog {
            let kept = PlanSignature {
                plan: target.id.clone(),
                signer: signer.clone(),
                fingerprint: signature.key().fingerprint(),
                signature: signature.armored().to_owned(),
                who: settings::who(),
                at: clock::now(),
            };
            catalog.add_signature(&kept).await?;
        }
        match &target.file {
            Some(file) => sidecar::append(file, signature.armored())?,
            None if !global.json => out::data(signature.armored())?,
            None => {}
        }
        names.push(signer);
    }
    let known = match &catalog {
        Some(catalog) => catalog.signatures(&target.id).await?,
        None => Vec::new(),
    };
    if let Some(catalog) = catalog {
        catalog.close().await;
    }
    tell(&target, &rules, &names, known, global)?;
    Ok(Exit::Done)
}

/// What is approved.
struct Target {
    id: Digest,
    plan: Option<Plan>,
    file: Option<PathBuf>,
}

impl Target {
    fn of(text: &str) -> Result<Self> {
        let digits = text.strip_prefix("sha256:");
        if let Some(digits) = digits
            && !Path::new(text).exists()
        {
            if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Ok(Self {
                    id: Digest::from(text.to_owned()),
                    plan: None,
                    file: None,
                });
            }
            return Err(Failure::new(
                "mainstay::approve::no-plan-id",
                format!("`{text}` is not the whole id of a plan"),
            )
            .help("copy it from `mainstay show PLAN`: `sha256:` and 64 digits"));
        }
        let file = PathBuf::from(text);
        let plan = show::read(&file)?;
        let id = plan.id.clone().unwrap_or_else(|| Digest::sha256(&[0; 32]));
        Ok(Self {
            id,
            plan: Some(plan),
            file: Some(file).filter(|file| file != Path::new("-")),
        })
    }
}

async fn rules(
    catalog: Option<&Catalog>,
    target: &Target,
    path: Option<&Path>,
) -> Result<ApprovalRules> {
    let in_force = match catalog {
        Some(catalog) => catalog.approval_rules().await?,
        None => None,
    };
    let of_plan = || {
        let plan = target.plan.as_ref()?;
        plan.approval_rules.clone()
    };
    let of_policy = || path.and_then(|path| policy::check(path).policy?.approval);
    in_force.or_else(of_plan).or_else(of_policy).ok_or_else(|| {
        Failure::new(
            "mainstay::approve::not-asked",
            "nobody asks for signatures: neither rules in force, nor the plan, nor the policy",
        )
        .help("declare `[approval]` in the policy; without it, `mainstay apply PLAN --approve ID` is the approval")
    })
}

fn read_signature(file: &Path) -> Result<String> {
    let bytes = input::read(file).map_err(|error| {
        let because = Because(
            format!("cannot read the signature `{}`", file.display()),
            Box::new(error),
        );
        Failure::from_error("mainstay::approve::unreadable", None, &because)
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn blocks(text: &str) -> Result<Vec<String>> {
    let blocks = SshSignature::blocks(text);
    if blocks.is_empty() {
        return Err(Failure::new(
            "mainstay::approve::no-signature",
            "there is no SSH signature in it",
        )
        .help("make one with `printf %s PLAN_ID | ssh-keygen -Y sign -n mainstay-plan -f KEY`"));
    }
    Ok(blocks)
}

fn checked(rules: &ApprovalRules, id: &Digest, block: &str) -> Result<(SshSignature, String)> {
    let refused = |error: &model::approval::ApprovalError| {
        let allowed: Vec<&str> = rules.signers.keys().map(String::as_str).collect();
        Failure::from_error(
            "mainstay::approve::refused",
            Some(format!("allowed signers: {}", allowed.join(", "))),
            &Because(
                format!("this signature does not approve plan `{id}`"),
                Box::new(error.clone()),
            ),
        )
        .exit(Exit::NeedsApproval)
    };
    let signature = SshSignature::parse(block).map_err(|error| refused(&error))?;
    let signer = signer_of(rules, id.as_str(), &signature).map_err(|error| refused(&error))?;
    let signer = signer.to_owned();
    Ok((signature, signer))
}

fn tell(
    target: &Target,
    rules: &ApprovalRules,
    names: &[String],
    mut known: Vec<String>,
    global: &Global,
) -> Result<()> {
    let verdict = match (&target.plan, &target.file) {
        (Some(plan), Some(file)) => {
            known.extend(sidecar::read(file)?);
            Some(judge(rules, plan, None, &known))
        }
        _ => None,
    };
    if global.json {
        return out::json(&serde_json::json!({
            "plan": target.id,
            "signed_by": names,
            "approved": verdict.as_ref().map(model::approval::ApprovalVerdict::is_given),
            "approved_by": verdict.as_ref().map(|verdict| &verdict.approved_by),
            "quorum": rules.quorum,
        }));
    }
    out::words(&format!(
        "Plan {} is signed by {}.\n",
        target.id,
        names.join(", ")
    ));
    if let (Some(verdict), Some(file)) = (verdict, &target.file) {
        out::words(&format!("{verdict}\n"));
        if verdict.is_given() {
            out::words(&format!(
                "Carry it out with:  mainstay apply {}\n",
                file.display()
            ));
        }
    }
    Ok(())
}
