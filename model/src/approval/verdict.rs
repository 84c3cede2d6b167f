//! Whether signatures approve a plan: who counts, who does not and why, and who is missing.

use super::{ApprovalError, ApprovalRules, NAMESPACE, SshSignature};
use crate::{plan::Plan, policy_source::PolicySource, units::Digest};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What signatures are worth under some rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalVerdict {
    /// Signers that count.
    pub approved_by: BTreeSet<String>,
    /// Signers that it takes.
    pub quorum: u32,
    /// Allowed signers who have not signed and would count.
    pub may_sign: BTreeSet<String>,
    /// What was there and does not count, with why.
    pub not_counted: Vec<String>,
    /// The rules leave out who wrote the policy, and who that was cannot be told.
    pub author_unknown: bool,
    /// Why no signature of this plan counts any more, whoever made it.
    pub void: Option<String>,
}

impl ApprovalVerdict {
    /// Whether it is enough.
    pub fn is_given(&self) -> bool {
        self.void.is_none()
            && !self.author_unknown
            && self.approved_by.len() >= self.quorum.max(1) as usize
    }
}

impl fmt::Display for ApprovalVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        if let Some(why) = &self.void {
            return write!(f, "signatures of this plan count no longer: {why}");
        }
        if self.author_unknown {
            return f.write_str(
                "whoever wrote the policy does not count, and that cannot be told: it has changes that are not committed, or is not under Git",
            );
        }
        write!(
            f,
            "{} of {} signatures",
            self.approved_by.len(),
            self.quorum
        )?;
        if !self.approved_by.is_empty() {
            write!(f, " ({})", list(&self.approved_by))?;
        }
        if !self.is_given() {
            let word = if self.may_sign.is_empty() {
                "nobody who is allowed to sign is left".to_owned()
            } else {
                format!("missing: {} of {}", self.lacking(), list(&self.may_sign))
            };
            write!(f, "; {word}")?;
        }
        for why in &self.not_counted {
            write!(f, "; not counted: {why}")?;
        }
        Ok(())
    }
}

impl ApprovalVerdict {
    fn lacking(&self) -> usize {
        (self.quorum.max(1) as usize).saturating_sub(self.approved_by.len())
    }
}

/// The allowed signer who made a signature of the plan with this id.
pub fn signer_of<'r>(
    rules: &'r ApprovalRules,
    plan: &str,
    signature: &SshSignature,
) -> Result<&'r str, ApprovalError> {
    let name = rules
        .name_of(signature.key())
        .ok_or_else(|| ApprovalError::Stranger(signature.key().fingerprint()))?;
    // Whoever signs by hand may well write `echo`.
    let with_line_end = format!("{plan}\n");
    match signature.verify(NAMESPACE, plan.as_bytes()) {
        Err(ApprovalError::Forged) => signature.verify(NAMESPACE, with_line_end.as_bytes())?,
        other => other?,
    }
    Ok(name)
}

/// Judges armoured signatures of a plan.
///
/// `seen` is what the policy's folder says by itself of who wrote it, where that was looked at; it can only exclude further.
pub fn judge(
    rules: &ApprovalRules,
    plan: &Plan,
    seen: Option<&PolicySource>,
    signatures: &[String],
) -> ApprovalVerdict {
    let id = plan.id.as_ref().map_or("", |id| id.as_str());
    let own = plan.policy_source.as_ref();
    let is_author = |name: &str| own.into_iter().chain(seen).any(|one| one.is_by(name));
    let mut verdict = weigh(rules, id, &is_author, signatures);
    verdict.author_unknown = rules.exclude_author && own.is_none_or(|source| source.dirty);
    verdict
}

/// Judges armoured signatures of something that is no plan and has no author, such as a request.
pub fn judge_request(rules: &ApprovalRules, id: &Digest, signatures: &[String]) -> ApprovalVerdict {
    weigh(rules, id.as_str(), &|_| false, signatures)
}

fn weigh(
    rules: &ApprovalRules,
    id: &str,
    is_author: &dyn Fn(&str) -> bool,
    signatures: &[String],
) -> ApprovalVerdict {
    let mut not_counted = BTreeMap::new();
    let mut approved_by = BTreeSet::new();
    for armored in signatures {
        let signed = SshSignature::parse(armored).map(|signature| {
            let fingerprint = signature.key().fingerprint();
            match signer_of(rules, id, &signature) {
                Ok(name) => Ok(name),
                Err(error) => Err((fingerprint, error)),
            }
        });
        match signed {
            Ok(Ok(name)) if rules.exclude_author && is_author(name) => {
                not_counted.insert(name.to_owned(), format!("{name}, who wrote the policy"));
            }
            Ok(Ok(name)) => {
                approved_by.insert(name.to_owned());
            }
            Ok(Err((fingerprint, error))) => {
                let why = format!("the signature of {fingerprint}: {error}");
                not_counted.insert(fingerprint, why);
            }
            Err(error) => {
                not_counted.insert(armored.clone(), format!("a signature: {error}"));
            }
        }
    }
    let counts = |name: &str| !(rules.exclude_author && is_author(name));
    let may_sign = rules
        .signers
        .keys()
        .filter(|name| counts(name) && !approved_by.contains(*name))
        .cloned()
        .collect();
    ApprovalVerdict {
        approved_by,
        quorum: rules.quorum,
        may_sign,
        not_counted: not_counted.into_values().collect(),
        author_unknown: false,
        void: None,
    }
}
