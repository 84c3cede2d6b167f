//! A report with everything that it was computed from, in one tar file.
//!
//! In the file: `facts.json`, the policies of the period, `assessment.json`, the report as people read it, `digests.json` with the SHA-256
//! of each, `proof.json` with what the proofs rest on, and `signature.json`: the list of digests, signed with the key that signs the audit's checkpoints.
//! Invariant: the same facts and key give the same bytes of the file. Computing it again: `recompute`; the tar file itself: `archive`.

mod archive;
mod proof;
mod recompute;

pub(super) use proof::Inputs;
pub(super) use recompute::recompute;

use super::write::{Kind, failed};
use crate::{
    failure::{Because, Failure, Result},
    files,
};
use executor::audit::SigningKey;
use model::{
    Digest, canonical,
    evidence::{Assessment, EvidenceFacts},
};
use policy_schema::Demands;
use reports::{Format, OwnTemplates};
use serde_json::json;
use std::{collections::BTreeMap, path::Path};

/// Value of `format` in `digests.json`.
const FORMAT: &str = "mainstay.bundle.v1";

const DIGESTS: &str = "digests.json";
const FACTS: &str = "facts.json";
const ASSESSMENT: &str = "assessment.json";
const PROOF: &str = "proof.json";
const SIGNATURE: &str = "signature.json";

/// Writes a bundle; an existing file is never replaced. Gives why the proofs cannot be computed again from it, if they cannot.
pub(super) fn write(
    path: &Path,
    kind: Kind,
    facts: &EvidenceFacts,
    assessment: &Assessment,
    inputs: Option<Inputs>,
    key: Option<&SigningKey>,
) -> Result<Option<String>> {
    let mut files: BTreeMap<String, String> = BTreeMap::from([
        (FACTS.to_owned(), as_text(facts)?),
        (ASSESSMENT.to_owned(), as_text(assessment)?),
    ]);
    files.extend(documents(kind, facts, assessment)?);
    let mut left_out = None;
    if let Some(inputs) = inputs.filter(|_| !facts.proofs.is_empty()) {
        // A policy that names other files, or holds a secret, may not be the same without them.
        match inputs.prove() {
            Ok((digest, proofs, _)) if proofs == facts.proofs && is_of(facts, &digest) => {
                files.insert(PROOF.to_owned(), as_text(&inputs)?);
            }
            Ok(_) => left_out = Some("without its secrets the policy is another one".to_owned()),
            Err(why) => left_out = Some(why),
        }
    }
    for policy in &facts.policies {
        let text = canonical::sorted(&policy.policy).to_string();
        files.insert(policy_name(&policy.digest), text);
    }
    let digests: BTreeMap<&str, Digest> = files
        .iter()
        .map(|(name, text)| (name.as_str(), Digest::sha256_of(text.as_bytes())))
        .collect();
    let index = json!({"format": FORMAT, "report": kind.as_str(), "mainstay_version": facts.mainstay_version, "sha256": digests});
    files.insert(DIGESTS.to_owned(), format!("{index:#}\n"));
    if let Some(key) = key {
        let digests = files.get(DIGESTS).map_or("", String::as_str);
        let seal = key
            .seal(digests.as_bytes())
            .map_err(|error| unwritable(&error))?;
        files.insert(SIGNATURE.to_owned(), as_text(&seal)?);
    }
    let bytes = archive::pack(&files, facts.until).map_err(|error| failed(path, error))?;
    let mut file = files::New::create(path).map_err(|error| failed(path, error))?;
    file.write_all(&bytes)
        .and_then(|()| file.keep())
        .map_err(|error| failed(path, error))?;
    Ok(left_out)
}

/// Whether the facts are of this policy: the last one that was in force, or the given one that no run has followed.
fn is_of(facts: &EvidenceFacts, policy: &Digest) -> bool {
    let last = facts.policies.last().map(|last| &last.digest);
    last == Some(policy) || facts.unknown_policy.as_ref() == Some(policy)
}

fn policy_name(digest: &Digest) -> String {
    format!("policies/{}.json", digest.hex())
}

fn as_text<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| unwritable(&error))
}

fn unwritable(error: &serde_json::Error) -> Failure {
    let because = Because(
        "cannot write the facts".to_owned(),
        error.to_string().into(),
    );
    Failure::from_error("mainstay::report::bundle", None, &because)
}

/// The report as people read it, by file name.
fn documents(
    kind: Kind,
    facts: &EvidenceFacts,
    assessment: &Assessment,
) -> Result<BTreeMap<String, String>> {
    let zone = facts
        .policies
        .last()
        .and_then(|policy| Demands::from_resolved(&policy.policy).ok())
        .map_or(jiff::tz::TimeZone::UTC, |demands| demands.zone);
    let document = match kind {
        Kind::Retention => reports::retention(facts, assessment, &zone),
        Kind::Compliance => reports::compliance(facts, assessment, &zone),
    };
    let own = OwnTemplates::default();
    let render = |format| document.render(format, &own);
    Ok(BTreeMap::from([
        ("report.html".to_owned(), render(Format::Html)?),
        ("report.md".to_owned(), render(Format::Markdown)?),
    ]))
}
