//! The report on compliance: what is protected and what is not, control by control, with the evidence behind each verdict.

use crate::{
    document::{Document, Section, Tile, Verdict},
    head::{about, footer, period, tone},
    kept::exceptions,
    objectives::{evidence_of_recovery, objectives},
    protection::{by_control, keys, policies, tiers},
    table::{Cell, Table, columns},
};
use jiff::tz::TimeZone;
use model::evidence::{Assessment, ControlVerdict, EvidenceFacts, SubjectResult};
use std::collections::BTreeMap;

/// Controls of the section on encryption, places and locks.
const PROTECTION: [&str; 9] = [
    "encryption.at-rest",
    "encryption.custody",
    "copies.off-site",
    "copies.separate-places",
    "copies.3-2-1-1-0",
    "immutability.lock",
    "immutability.air-gap",
    "verification.level",
    "retention.no-foreign-deletion",
];

/// Controls of what was kept and let go.
const RETENTION: [&str; 5] = [
    "schedule.slots",
    "retention.minimum",
    "retention.not-too-early",
    "retention.not-too-long",
    "holds.respected",
];

/// The report; times in `zone`.
pub fn compliance(facts: &EvidenceFacts, assessment: &Assessment, zone: &TimeZone) -> Document {
    Document {
        kind: "compliance",
        title: "Compliance report".to_owned(),
        subtitle: period(facts, zone),
        verdict: verdict(assessment),
        tiles: tiles(assessment),
        facts: about(facts, assessment),
        sections: sections(facts, assessment, zone),
        sign_off: true,
        footer: footer(facts, assessment),
    }
}

fn sections(facts: &EvidenceFacts, assessment: &Assessment, zone: &TimeZone) -> Vec<Section> {
    let mut sections = vec![
        Section::new("controls", "Controls", vec![controls(assessment)]),
        population(facts, assessment),
        objectives(facts, assessment),
        evidence_of_recovery(assessment, zone),
    ];
    if assessment.sample_seed.is_some() {
        sections.push(sample(assessment));
    }
    sections.extend([
        Section::new(
            "protection",
            "Encryption, places and locks",
            vec![
                by_control(assessment, "protection", &PROTECTION),
                keys(facts),
                tiers(facts),
            ],
        ),
        Section::new(
            "changes",
            "Changes and approvals",
            vec![
                policies(facts, zone),
                by_control(assessment, "approvals", &["changes.approved"]),
                by_control(assessment, "retention", &RETENTION),
            ],
        ),
        Section::new("exceptions", "Exceptions", vec![exceptions(facts, zone)]),
        Section::new("mapping", "Where the evidence belongs", vec![mapping(assessment)])
            .lead("A mapping says which control of a framework the evidence is for. Whether it is enough is the auditor's judgement."),
    ]);
    sections
}

fn verdict(assessment: &Assessment) -> Verdict {
    let count = |verdict| assessment.count(verdict);
    let (broken, unknown) = (
        count(ControlVerdict::NotMet),
        count(ControlVerdict::CannotTell),
    );
    let judged = assessment.controls.len() - count(ControlVerdict::NotApplicable);
    let met = count(ControlVerdict::Met);
    let excepted = count(ControlVerdict::Exception);
    let mut sentence = format!("{met} of {judged} controls are met");
    for (count, words) in [
        (broken, "not met"),
        (excepted, "excepted"),
        (unknown, "cannot be told"),
    ] {
        if count > 0 {
            sentence = format!("{sentence}, {count} {words}");
        }
    }
    let names: Vec<&str> = assessment
        .controls
        .iter()
        .filter(|control| control.verdict == ControlVerdict::NotMet)
        .map(|control| &*control.title)
        .collect();
    sentence.push('.');
    if !names.is_empty() {
        sentence = format!("{sentence} Not met: {}.", names.join("; "));
    }
    let (word, class) = match (broken, unknown, excepted) {
        (0, 0, 0) => ("MET", "good"),
        (0, 0, _) => ("MET, WITH EXCEPTIONS", "warn"),
        (0, _, _) => ("CANNOT TELL", "warn"),
        _ => ("NOT MET", "bad"),
    };
    Verdict {
        word: word.to_owned(),
        class,
        sentence,
    }
}

fn tiles(assessment: &Assessment) -> Vec<Tile> {
    let coverage = &assessment.coverage;
    let unprotected = coverage.declared - coverage.protected + coverage.undeclared.len() as u64;
    let tile = |number: String, words: &str, class| Tile {
        number,
        words: words.to_owned(),
        class,
    };
    let bad = |count: usize| if count == 0 { "good" } else { "bad" };
    let warn = |count: usize| if count == 0 { "" } else { "warn" };
    let (broken, excepted, unknown) = (
        assessment.count(ControlVerdict::NotMet),
        assessment.count(ControlVerdict::Exception),
        assessment.count(ControlVerdict::CannotTell),
    );
    vec![
        tile(
            assessment.count(ControlVerdict::Met).to_string(),
            "controls met",
            "",
        ),
        tile(broken.to_string(), "not met", bad(broken)),
        tile(excepted.to_string(), "excepted", warn(excepted)),
        tile(unknown.to_string(), "cannot be told", warn(unknown)),
        tile(
            unprotected.to_string(),
            "databases unprotected",
            if unprotected == 0 { "good" } else { "bad" },
        ),
    ]
}

fn controls(assessment: &Assessment) -> Table {
    let mut sorted: Vec<_> = assessment.controls.iter().collect();
    sorted.sort_by_key(|control| control.verdict);
    let rows = sorted.into_iter().map(|control| {
        // Of what is met, what the policy itself has asked: an auditor asks whether it was enough.
        let by_policy = |subject: &&SubjectResult| {
            control.verdict != ControlVerdict::Met
                || subject.numbers.get("asked-by-policy") == Some(&1)
        };
        let first = control
            .subjects
            .iter()
            .find(by_policy)
            .map(|worst| format!(" ({}: {})", worst.subject, worst.why))
            .unwrap_or_default();
        vec![
            Cell::code(&control.id),
            Cell::text(control.demands.to_string()),
            Cell::toned(control.verdict.as_str(), tone(control.verdict)),
            Cell::text(format!("{}{first}", control.why)),
        ]
    });
    Table {
        name: "controls",
        title: String::new(),
        columns: columns(&["Control", "Demands", "Verdict", "Why"]),
        rows: rows.collect(),
        nothing: "",
    }
}

fn population(facts: &EvidenceFacts, assessment: &Assessment) -> Section {
    let coverage = &assessment.coverage;
    let mut rows: Vec<Vec<Cell>> = coverage
        .undeclared
        .iter()
        .map(|name| {
            vec![
                Cell::code(name),
                Cell::toned("unprotected", "bad"),
                Cell::text("no policy declares it"),
            ]
        })
        .collect();
    let protected = assessment
        .controls
        .iter()
        .find(|control| control.id == "coverage.protected");
    rows.extend(protected.into_iter().flat_map(|control| {
        control.subjects.iter().map(|subject| {
            let word = match subject.verdict {
                ControlVerdict::Met => "protected",
                ControlVerdict::Exception => "excepted",
                _ => "unprotected",
            };
            vec![
                Cell::code(&subject.subject),
                Cell::toned(word, tone(subject.verdict)),
                Cell::text(&subject.why),
            ]
        })
    }));
    let mut lead = match facts.discovered.len() {
        0 => "No server was asked which other databases it holds.".to_owned(),
        servers => format!("{servers} servers were asked which other databases they hold."),
    };
    for unknown in &coverage.unknown {
        lead = format!("{lead} Could not be asked: {unknown}.");
    }
    let table = Table {
        name: "population",
        title: String::new(),
        columns: columns(&["Database", "Protection", "Why"]),
        rows,
        nothing: "No database is declared.",
    };
    Section::new("population", "Population", vec![table]).lead(lead)
}

fn sample(assessment: &Assessment) -> Section {
    let seed = assessment.sample_seed.as_deref().unwrap_or_default();
    let rows = assessment.sample.iter().flat_map(|point| {
        point.evidence.iter().enumerate().map(|(place, line)| {
            let first = place == 0;
            let only_first = |text: String| if first { text } else { String::new() };
            vec![
                Cell::number(only_first(point.draw.to_string())),
                if first {
                    Cell::code(&point.recovery_point)
                } else {
                    Cell::text("")
                },
                Cell::text(line),
            ]
        })
    });
    let table = Table {
        name: "sample",
        title: String::new(),
        columns: columns(&["Draw#", "Point", "Evidence"]),
        rows: rows.collect(),
        nothing: "There is no point to draw.",
    };
    Section::new("sample", "Sample", vec![table]).lead(format!(
        "The points whose SHA-256 of seed, line feed and id is smallest, for the seed «{seed}»: anybody who knows the seed can draw them again."
    ))
}

fn mapping(assessment: &Assessment) -> Table {
    let mut by_framework: BTreeMap<(&str, &str), Vec<_>> = BTreeMap::new();
    for control in &assessment.controls {
        for mapped in &control.maps_to {
            by_framework
                .entry((&*mapped.framework, &*mapped.control))
                .or_default()
                .push(control);
        }
    }
    let rows = by_framework.into_iter().map(|((framework, theirs), ours)| {
        let worst = ours.iter().map(|control| control.verdict).min();
        let worst = worst.unwrap_or(ControlVerdict::NotApplicable);
        let ids: Vec<&str> = ours.iter().map(|control| &*control.id).collect();
        vec![
            Cell::text(framework),
            Cell::code(theirs),
            Cell::text(ids.join(", ")),
            Cell::toned(worst.as_str(), tone(worst)),
        ]
    });
    Table {
        name: "mapping",
        title: String::new(),
        columns: columns(&[
            "Framework",
            "Its control",
            "Evidence from",
            "Weakest verdict",
        ]),
        rows: rows.collect(),
        nothing: "",
    }
}
