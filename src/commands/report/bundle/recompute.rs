//! Computing a bundle again from that file alone: no database, no network, no policy and no clock.
//!
//! Every verdict is computed again from the facts and compared value by value, the report is rendered again and compared, every policy is
//! compared with its digest, the signature with the list of digests, and the file byte by byte with the one that its files give.
//! What a person who changes everything alike could do, only the signature tells, to who has noted the key elsewhere.

use super::{
    ASSESSMENT, DIGESTS, FACTS, FORMAT, Inputs, PROOF, SIGNATURE,
    archive::{self, Unpacked},
    as_text, documents, is_of, policy_name,
};
use crate::{
    commands::report::write::Kind,
    failure::{Because, Failure, Result},
};
use model::{
    Digest,
    audit::SigningKeyName,
    canonical,
    evidence::{Assessment, EvidenceFacts, Seal},
};
use planner::controls;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

/// Differences that are named at most.
const NAMED: usize = 20;

/// What computing a bundle again gave.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Recomputed {
    format: &'static str,
    /// Digest of the facts.
    facts: Digest,
    /// Controls that were judged again.
    controls: usize,
    /// Deletions that were judged again.
    deletions: usize,
    /// Proofs of objectives that were computed again; `None`: they are carried only.
    proofs: Option<usize>,
    /// Whether the program is of the version that made the bundle.
    same_version: bool,
    /// The key whose signature holds; `None`: it is not signed, or the signature does not hold.
    signed_by: Option<SigningKeyName>,
    /// Whether that is the key that was asked for.
    key_was_given: bool,
    /// Everything that does not agree.
    pub(crate) differences: Vec<String>,
}

impl Recomputed {
    /// For people.
    pub(crate) fn words(&self) -> String {
        let mut text = format!("Facts {}.\n", self.facts);
        if !self.same_version {
            text.push_str("The bundle was made by another version of Mainstay: verdicts are compared, the wording of the report is not.\n");
        }
        let _ = match (&self.signed_by, self.key_was_given) {
            (Some(_), true) => writeln!(text, "Signed with the given key."),
            (Some(key), false) => writeln!(
                text,
                "Signed with {key}. Whose key that is cannot be told here: give `--key` with what `mainstay audit show --key` printed where the report was made."
            ),
            (None, _) => writeln!(
                text,
                "Not signed by anybody: who made it, and whether it was made anew, nothing tells."
            ),
        };
        if self.proofs.is_none() {
            text.push_str("The proofs of objectives are carried and were not computed again: the bundle does not hold what they rest on.\n");
        }
        if self.differences.is_empty() {
            let _ = writeln!(
                text,
                "{} controls and {} deletions were judged again, and everything agrees.",
                self.controls, self.deletions
            );
            return text;
        }
        let _ = writeln!(text, "Does not agree:");
        for difference in &self.differences {
            let _ = writeln!(text, "  {difference}");
        }
        text
    }
}

/// Computes every verdict of a bundle again; `key`: the one that must have signed it.
pub(in crate::commands::report) fn recompute(
    path: &Path,
    key: Option<&SigningKeyName>,
) -> Result<Recomputed> {
    let unreadable = |error: std::io::Error| {
        let because = Because(format!("cannot read `{}`", path.display()), Box::new(error));
        Failure::from_error(
            "mainstay::report::bundle",
            Some("give a file that `mainstay report … --bundle FILE` wrote".to_owned()),
            &because,
        )
    };
    let bytes = archive::read(path).map_err(unreadable)?;
    let Unpacked { files, odd } = archive::unpack(&bytes).map_err(unreadable)?;
    let text = |name: &str| {
        files
            .get(name)
            .ok_or_else(|| unfit(path, &format!("it has no `{name}`")))
    };
    let index: Value = parsed(path, DIGESTS, text(DIGESTS)?)?;
    if index["format"] != FORMAT {
        return Err(unfit(path, &format!("its format is not `{FORMAT}`")));
    }
    let kind = match index["report"].as_str() {
        Some("retention") => Kind::Retention,
        Some("compliance") => Kind::Compliance,
        _ => return Err(unfit(path, "it does not say which report it is")),
    };
    let mut differences = odd;
    compare_digests(&files, &index["sha256"], &mut differences);
    let signed_by = signer(path, &files, key, &mut differences)?;
    let facts: EvidenceFacts = parsed(path, FACTS, text(FACTS)?)?;
    if index["mainstay_version"] != *facts.mainstay_version {
        differences.push(format!("{DIGESTS}: its version is not that of the facts"));
    }
    let stored = text(ASSESSMENT)?;
    let (assessment, same_version) =
        judge_again(path, &files, kind, &facts, stored, &mut differences)?;
    compare_policies(&files, &facts, &mut differences);
    let proofs = prove_again(path, &files, &facts, &mut differences)?;
    if differences.is_empty() && archive::pack(&files, facts.until).map_err(unreadable)? != bytes {
        differences.push(
            "the file: there is more or less in it than its files, or they stand in another order"
                .to_owned(),
        );
    }
    let more = differences.len().saturating_sub(NAMED);
    differences.truncate(NAMED);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    Ok(Recomputed {
        format: "mainstay.recomputed.v1",
        facts: assessment.facts.clone(),
        controls: assessment.controls.len(),
        deletions: assessment.retention.deletions.len(),
        proofs,
        same_version,
        key_was_given: key.is_some() && signed_by.as_ref() == key,
        signed_by,
        differences,
    })
}

/// Computes verdicts and report again and compares; also tells whether this is the version that made them.
fn judge_again(
    path: &Path,
    files: &BTreeMap<String, String>,
    kind: Kind,
    facts: &EvidenceFacts,
    stored: &str,
    differences: &mut Vec<String>,
) -> Result<(Assessment, bool)> {
    let stored: Value = parsed(path, ASSESSMENT, stored)?;
    let mut assessment = controls::assess(facts);
    if let Some(seed) = stored["sample_seed"].as_str() {
        let size = stored["sample"].as_array().map_or(0, Vec::len);
        assessment.sample = controls::draw(facts, size, seed);
        assessment.sample_seed = Some(seed.to_owned());
    }
    let computed: Value = parsed(path, ASSESSMENT, &as_text(&assessment)?)?;
    let before = differences.len();
    compare("assessment", &stored, &computed, differences);
    let agrees = differences.len() == before;
    let same_version = facts.mainstay_version == env!("CARGO_PKG_VERSION");
    // Another version may word a report otherwise, and know more facts; its verdicts must agree all the same.
    if same_version && agrees {
        let mut again = documents(kind, facts, &assessment)?;
        // What a reader skips, or the last of two values, would be evidence that nothing was computed from.
        again.insert(FACTS.to_owned(), as_text(facts)?);
        again.insert(ASSESSMENT.to_owned(), as_text(&assessment)?);
        for (name, again) in again {
            if files.get(&name) != Some(&again) {
                differences.push(format!("{name}: it is not what the facts give"));
            }
        }
    }
    Ok((assessment, same_version))
}

/// Proves the objectives again from what lies in the bundle; gives how many proofs there are.
fn prove_again(
    path: &Path,
    files: &BTreeMap<String, String>,
    facts: &EvidenceFacts,
    differences: &mut Vec<String>,
) -> Result<Option<usize>> {
    let Some(text) = files.get(PROOF) else {
        return Ok(facts.proofs.is_empty().then_some(0));
    };
    let inputs: Inputs = parsed(path, PROOF, text)?;
    if as_text(&inputs)? != *text {
        differences.push(format!("{PROOF}: it holds more than is read"));
    }
    if inputs.now() != facts.until {
        differences.push(format!("{PROOF}: it is of another moment than the facts"));
    }
    let (digest, proofs, parameters) = match inputs.prove() {
        Ok(proved) => proved,
        Err(why) => {
            differences.push(format!("{PROOF}: {why}"));
            return Ok(None);
        }
    };
    if !is_of(facts, &digest) {
        differences.push(format!(
            "{PROOF}: its policy {digest} is not the one of the facts"
        ));
    }
    let value = |proofs: &[_]| serde_json::to_value(proofs).unwrap_or_default();
    compare(
        "facts.proofs",
        &value(&facts.proofs),
        &value(&proofs),
        differences,
    );
    compare(
        "facts.parameters",
        &serde_json::to_value(&facts.parameters).unwrap_or_default(),
        &serde_json::to_value(&parameters).unwrap_or_default(),
        differences,
    );
    Ok(Some(proofs.len()))
}

/// The key whose signature over the list of digests holds.
fn signer(
    path: &Path,
    files: &BTreeMap<String, String>,
    wanted: Option<&SigningKeyName>,
    differences: &mut Vec<String>,
) -> Result<Option<SigningKeyName>> {
    let digests = files.get(DIGESTS).map_or("", String::as_str);
    let Some(text) = files.get(SIGNATURE) else {
        if wanted.is_some() {
            differences.push(format!("{SIGNATURE}: it is missing, and a key was given"));
        }
        return Ok(None);
    };
    let seal: Seal = parsed(path, SIGNATURE, text)?;
    if !seal.holds_for(digests.as_bytes()) || as_text(&seal)? != *text {
        differences.push(format!("{SIGNATURE}: the signature does not hold"));
        return Ok(None);
    }
    let key = seal.sealed.public_key;
    if let Some(wanted) = wanted.filter(|wanted| **wanted != key) {
        differences.push(format!(
            "{SIGNATURE}: it was signed with {key}, not with the given {wanted}"
        ));
    }
    Ok(Some(key))
}

fn parsed<T: serde::de::DeserializeOwned>(path: &Path, name: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| unfit(path, &format!("`{name}`: {error}")))
}

fn unfit(path: &Path, why: &str) -> Failure {
    Failure::new(
        "mainstay::report::bundle",
        format!("`{}` cannot be computed again: {why}", path.display()),
    )
    .help("give a file that `mainstay report … --bundle FILE` wrote, as it was written")
}

fn compare_digests(
    files: &BTreeMap<String, String>,
    digests: &Value,
    differences: &mut Vec<String>,
) {
    let listed = digests.as_object().cloned().unwrap_or_default();
    for (name, text) in files
        .iter()
        .filter(|(name, _)| *name != DIGESTS && *name != SIGNATURE)
    {
        let found = Digest::sha256_of(text.as_bytes());
        match listed.get(name).and_then(Value::as_str) {
            None => differences.push(format!("{name}: it is not in {DIGESTS}")),
            Some(digest) if digest != found.as_str() => differences.push(format!(
                "{name}: its SHA-256 is {}, {DIGESTS} says {digest}",
                found.as_str()
            )),
            Some(_) => {}
        }
    }
    for name in listed.keys().filter(|name| !files.contains_key(*name)) {
        differences.push(format!("{name}: it is missing"));
    }
}

fn compare_policies(
    files: &BTreeMap<String, String>,
    facts: &EvidenceFacts,
    differences: &mut Vec<String>,
) {
    for policy in &facts.policies {
        let name = policy_name(&policy.digest);
        let text = canonical::sorted(&policy.policy).to_string();
        if Digest::sha256_of(text.as_bytes()) != policy.digest {
            differences.push(format!(
                "{FACTS}: the policy of {} does not agree with its digest {}",
                policy.since, policy.digest
            ));
        }
        if files.get(&name) != Some(&text) {
            differences.push(format!("{name}: it is not the policy of the facts"));
        }
    }
}

/// Names every value that differs.
fn compare(at: &str, stored: &Value, computed: &Value, differences: &mut Vec<String>) {
    match (stored, computed) {
        (Value::Object(stored), Value::Object(computed)) => {
            let mut keys: Vec<&String> = stored.keys().chain(computed.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or(Value::Null)
                };
                compare(
                    &format!("{at}.{key}"),
                    &of(stored),
                    &of(computed),
                    differences,
                );
            }
        }
        (Value::Array(stored), Value::Array(computed)) if stored.len() == computed.len() => {
            for (place, (stored, computed)) in stored.iter().zip(computed).enumerate() {
                // Controls and subjects have names that say more than their place.
                let name = ["id", "subject", "recovery_point"]
                    .iter()
                    .find_map(|key| computed[*key].as_str())
                    .map_or_else(|| place.to_string(), str::to_owned);
                compare(&format!("{at}[{name}]"), stored, computed, differences);
            }
        }
        _ if stored == computed => {}
        _ => differences.push(format!(
            "{at}: the bundle says {}, computed is {}",
            short(stored),
            short(computed)
        )),
    }
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::Array(items) => format!("{} entries", items.len()),
        other => other.to_string(),
    };
    if text.chars().count() <= 120 {
        return text;
    }
    let cut: String = text.chars().take(119).collect();
    format!("{cut}…")
}
