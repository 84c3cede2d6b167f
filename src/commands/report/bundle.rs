//! A report with everything that it was computed from, in one tar file; and computing it again from that file alone.
//!
//! In the file: `facts.json`, the policies of the period, `assessment.json`, the report as people read it, and `digests.json` with the SHA-256 of
//! each. Recomputing needs no database, no network, no policy and no clock: every verdict is computed again from the facts and compared
//! value by value, the report is rendered again and compared, every policy is compared with its digest.
//! Invariant: the same facts give the same bytes of the file. What a person who changes facts, verdicts, report and digests alike could do is
//! not found here: compare the digest of the facts with the one that was signed or printed at the time.

use super::write::{Kind, failed};
use crate::failure::{Because, Failure, Result};
use model::{
    Digest, canonical,
    evidence::{Assessment, EvidenceFacts},
};
use planner::controls;
use policy_schema::Demands;
use reports::{Format, OwnTemplates};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::{Read as _, Write as _},
    path::Path,
};

/// Value of `format` in `digests.json`.
const FORMAT: &str = "mainstay.bundle.v1";

const DIGESTS: &str = "digests.json";
const FACTS: &str = "facts.json";
const ASSESSMENT: &str = "assessment.json";

/// Files of a bundle are small; what claims to be larger is not one.
const LARGEST: u64 = 1 << 30;

/// Differences that are named at most.
const NAMED: usize = 20;

/// Writes a bundle; an existing file is never replaced.
pub(super) fn write(
    path: &Path,
    kind: Kind,
    facts: &EvidenceFacts,
    assessment: &Assessment,
) -> Result<()> {
    let mut files = BTreeMap::from([
        (FACTS.to_owned(), as_text(facts)?),
        (ASSESSMENT.to_owned(), as_text(assessment)?),
    ]);
    files.extend(documents(kind, facts, assessment)?);
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
    let file = File::create_new(path).map_err(|error| failed(path, error))?;
    let mut tar = tar::Builder::new(file);
    for (name, text) in &files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        // The end of the period: the same facts give the same file, whenever it is made.
        header.set_mtime(u64::try_from(facts.until.as_second()).unwrap_or(0));
        tar.append_data(&mut header, name, text.as_bytes())
            .map_err(|error| failed(path, error))?;
    }
    let mut file = tar.into_inner().map_err(|error| failed(path, error))?;
    file.flush()
        .and_then(|()| file.sync_all())
        .map_err(|error| failed(path, error))
}

fn policy_name(digest: &Digest) -> String {
    format!("policies/{}.json", digest.hex())
}

fn as_text<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        let because = Because("cannot write the facts".to_owned(), Box::new(error));
        Failure::from_error("mainstay::report::bundle", None, &because)
    })
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
    /// Whether the program is of the version that made the bundle.
    same_version: bool,
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

/// Computes every verdict of a bundle again.
pub(crate) fn recompute(path: &Path) -> Result<Recomputed> {
    let files = read(path)?;
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
    let mut differences = Vec::new();
    compare_digests(&files, &index["sha256"], &mut differences);
    let facts: EvidenceFacts = parsed(path, FACTS, text(FACTS)?)?;
    let stored: Value = parsed(path, ASSESSMENT, text(ASSESSMENT)?)?;
    let mut assessment = controls::assess(&facts);
    if let Some(seed) = stored["sample_seed"].as_str() {
        let size = stored["sample"].as_array().map_or(0, Vec::len);
        assessment.sample = controls::draw(&facts, size, seed);
        assessment.sample_seed = Some(seed.to_owned());
    }
    let computed: Value = parsed(path, ASSESSMENT, &as_text(&assessment)?)?;
    compare("assessment", &stored, &computed, &mut differences);
    let same_version = facts.mainstay_version == env!("CARGO_PKG_VERSION");
    // Another version may word a report otherwise; its verdicts must agree all the same.
    if same_version && differences.is_empty() {
        for (name, again) in documents(kind, &facts, &assessment)? {
            if files.get(&name) != Some(&again) {
                differences.push(format!("{name}: it is not the report of these facts"));
            }
        }
    }
    compare_policies(&files, &facts, &mut differences);
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
        same_version,
        differences,
    })
}

fn read(path: &Path) -> Result<BTreeMap<String, String>> {
    let unreadable = |error: std::io::Error| {
        let because = Because(format!("cannot read `{}`", path.display()), Box::new(error));
        Failure::from_error(
            "mainstay::report::bundle",
            Some("give a file that `mainstay report … --bundle FILE` wrote".to_owned()),
            &because,
        )
    };
    let mut archive = tar::Archive::new(File::open(path).map_err(unreadable)?);
    let mut files = BTreeMap::new();
    for entry in archive.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path().map_err(unreadable)?.display().to_string();
        let name = name.trim_start_matches("./").to_owned();
        let mut text = String::new();
        entry
            .take(LARGEST)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        files.insert(name, text);
    }
    Ok(files)
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
    for (name, text) in files.iter().filter(|(name, _)| *name != DIGESTS) {
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
