//! The same verdicts as NIST OSCAL assessment results (version 1.1.3), for the tools of those who assess.
//!
//! Each of our controls is an observation with what it was judged on; each NIST control that ours give evidence for is a finding, whose
//! state is the weakest of them. Databases, copies and keys are inventory items. An exception, and what cannot be told, is not satisfied.
//! Invariants: the same facts give the same bytes, identifiers too (version 5 in form, made of a digest of the facts); nothing but strings
//! that the schema allows. The published schema is a file of the tests.

use model::{
    Digest,
    evidence::{Assessment, ControlResult, ControlVerdict, EvidenceFacts, SubjectResult},
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const VERSION: &str = "1.1.3";
const NIST: &str = "NIST SP 800-53 r5";
const NAMESPACE: &str = "urn:mainstay:oscal:v1";

/// The document.
pub fn oscal(facts: &EvidenceFacts, assessment: &Assessment) -> Value {
    let ids = Ids(assessment.facts.hex());
    let subjects = subjects(assessment);
    json!({
        "assessment-results": {
            "uuid": ids.of("assessment-results"),
            "metadata": {
                "title": "Mainstay: assessment of database backups",
                "last-modified": facts.until.to_string(),
                "version": facts.mainstay_version,
                "oscal-version": VERSION,
                "props": [prop("facts", assessment.facts.as_str())],
            },
            "import-ap": {
                "href": format!("#{}", ids.of("plan")),
                "remarks": "There is no assessment plan in OSCAL: the controls are those of Mainstay, docs/reports.md.",
            },
            "results": [result(facts, assessment, &ids, &subjects)],
            "back-matter": {
                "resources": [{
                    "uuid": ids.of("plan"),
                    "title": "The controls of Mainstay",
                    "description": "Every control, what it demands and which controls of frameworks it gives evidence for, stands in docs/reports.md of Mainstay.",
                }],
            },
        },
    })
}

/// Identifiers that are the same for the same facts.
struct Ids<'a>(&'a str);

impl Ids<'_> {
    fn of(&self, what: &str) -> String {
        let digest = Digest::sha256_of(format!("{NAMESPACE}\n{}\n{what}", self.0).as_bytes());
        let hex = digest.hex();
        let part = |range| hex.get(range).unwrap_or_default();
        // RFC 9562: version 5, variant 10.
        format!(
            "{}-{}-5{}-a{}-{}",
            part(0..8),
            part(8..12),
            part(13..16),
            part(17..20),
            part(20..32)
        )
    }

    fn subject(&self, name: &str) -> String {
        self.of(&format!("subject {name}"))
    }

    fn observation(&self, control: &str) -> String {
        self.of(&format!("observation {control}"))
    }
}

/// A property; empty text is not allowed.
fn prop(name: &str, value: &str) -> Value {
    json!({"name": name, "ns": NAMESPACE, "value": line(value)})
}

/// One line without white space around it, as OSCAL's strings must be.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return "none".to_owned();
    }
    words.join(" ")
}

/// Everything that a control judged, by name.
fn subjects(assessment: &Assessment) -> BTreeSet<&str> {
    judged(assessment)
        .flat_map(|control| &control.subjects)
        .map(|subject| subject.subject.as_str())
        .collect()
}

/// Controls that apply to something.
fn judged(assessment: &Assessment) -> impl Iterator<Item = &ControlResult> {
    assessment
        .controls
        .iter()
        .filter(|control| control.verdict != ControlVerdict::NotApplicable)
}

fn result(
    facts: &EvidenceFacts,
    assessment: &Assessment,
    ids: &Ids<'_>,
    subjects: &BTreeSet<&str>,
) -> Value {
    let by_nist = by_nist(assessment);
    let mut result = json!({
        "uuid": ids.of("result"),
        "title": "Backups of databases",
        "description": format!(
            "Computed from the facts of {} to {}; the facts have the digest {}.",
            facts.from, facts.until, assessment.facts
        ),
        "start": facts.from.to_string(),
        "end": facts.until.to_string(),
        "reviewed-controls": {"control-selections": [selection(&by_nist)]},
    });
    let observations: Vec<Value> = judged(assessment)
        .map(|control| observation(facts, control, ids))
        .collect();
    let findings: Vec<Value> = by_nist
        .iter()
        .map(|(id, controls)| finding(id, controls, ids))
        .collect();
    let items: Vec<Value> = subjects
        .iter()
        .map(|name| {
            json!({"uuid": ids.subject(name), "description": line(name), "props": [prop("name", name)]})
        })
        .collect();
    // A list without an entry is not allowed.
    if !items.is_empty() {
        result["local-definitions"] = json!({"inventory-items": items});
    }
    if !observations.is_empty() {
        result["observations"] = Value::Array(observations);
    }
    if !findings.is_empty() {
        result["findings"] = Value::Array(findings);
    }
    result
}

/// Our controls by the NIST control that they give evidence for, by its id in OSCAL: `cp-9.1` for CP-9(1).
fn by_nist(assessment: &Assessment) -> BTreeMap<String, Vec<&ControlResult>> {
    let mut by_nist: BTreeMap<String, Vec<&ControlResult>> = BTreeMap::new();
    for control in judged(assessment) {
        for mapped in control
            .maps_to
            .iter()
            .filter(|mapped| mapped.framework == NIST)
        {
            let id = mapped
                .control
                .to_ascii_lowercase()
                .replace('(', ".")
                .replace(')', "");
            by_nist.entry(id).or_default().push(control);
        }
    }
    by_nist
}

fn selection(by_nist: &BTreeMap<String, Vec<&ControlResult>>) -> Value {
    let description =
        "Controls of NIST SP 800-53 revision 5 that backups of databases give evidence for.";
    if by_nist.is_empty() {
        return json!({"description": description, "include-all": {}});
    }
    let controls: Vec<Value> = by_nist.keys().map(|id| json!({"control-id": id})).collect();
    json!({"description": description, "include-controls": controls})
}

fn observation(facts: &EvidenceFacts, control: &ControlResult, ids: &Ids<'_>) -> Value {
    let mut props = vec![
        prop("control", &control.id),
        prop("verdict", control.verdict.as_str()),
    ];
    props.extend(control.maps_to.iter().map(|mapped| {
        prop(
            "maps-to",
            &format!("{} {}", mapped.framework, mapped.control),
        )
    }));
    let mut observation = json!({
        "uuid": ids.observation(&control.id),
        "title": line(&control.title),
        "description": format!("{} {}: {}.", control.demands, control.verdict.as_str(), control.why),
        "props": props,
        "methods": ["TEST"],
        "types": ["control-objective"],
        "collected": facts.until.to_string(),
    });
    if !control.subjects.is_empty() {
        observation["subjects"] = control
            .subjects
            .iter()
            .map(|subject| {
                json!({
                    "subject-uuid": ids.subject(&subject.subject),
                    "type": "inventory-item",
                    "title": line(&subject.subject),
                })
            })
            .collect();
        observation["relevant-evidence"] = control.subjects.iter().map(evidence).collect();
    }
    observation
}

fn evidence(subject: &SubjectResult) -> Value {
    let mut props = vec![
        prop("subject", &subject.subject),
        prop("verdict", subject.verdict.as_str()),
    ];
    props.extend(
        subject
            .numbers
            .iter()
            .map(|(name, number)| prop(name, &number.to_string())),
    );
    json!({"description": format!("{}: {}", subject.subject, subject.why), "props": props})
}

fn finding(id: &str, controls: &[&ControlResult], ids: &Ids<'_>) -> Value {
    let worst = controls
        .iter()
        .map(|control| control.verdict)
        .min()
        .unwrap_or(ControlVerdict::CannotTell);
    let (state, reason) = match worst {
        ControlVerdict::Met | ControlVerdict::NotApplicable => ("satisfied", "pass"),
        ControlVerdict::NotMet => ("not-satisfied", "fail"),
        ControlVerdict::Exception | ControlVerdict::CannotTell => ("not-satisfied", "other"),
    };
    let words: Vec<String> = controls
        .iter()
        .map(|control| {
            format!(
                "{}: {} ({})",
                control.id,
                control.verdict.as_str(),
                control.why
            )
        })
        .collect();
    let mut status = Map::new();
    status.insert("state".to_owned(), json!(state));
    status.insert("reason".to_owned(), json!(reason));
    if reason == "other" {
        status.insert(
            "remarks".to_owned(),
            json!(
                "What is not met was accepted by its owner until a date, or the facts do not tell."
            ),
        );
    }
    json!({
        "uuid": ids.of(&format!("finding {id}")),
        "title": format!("Evidence for {id}"),
        "description": words.join("; "),
        "target": {"type": "objective-id", "target-id": format!("{id}_obj"), "status": status},
        "related-observations": controls
            .iter()
            .map(|control| json!({"observation-uuid": ids.observation(&control.id)}))
            .collect::<Vec<_>>(),
    })
}
