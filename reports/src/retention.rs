//! The report on retention: what was demanded, what was there, what was deleted by which rule, and what stands in the way.

use crate::{
    document::{Document, Section, Tile, Verdict},
    head::{about, footer, period, tone},
    kept::{
        deletions, demands, exceptions, holds, locks, missed, overdue, points_per_day, slots, stock,
    },
    table::{Cell, Table, columns},
};
use jiff::tz::TimeZone;
use model::evidence::{
    Assessment, ControlVerdict, DeletionVerdict, EvidenceFacts, RetentionEvidence,
};

/// The controls that this report is about.
pub const RETENTION_CONTROLS: [&str; 7] = [
    "schedule.slots",
    "retention.not-too-early",
    "retention.not-too-long",
    "retention.no-foreign-deletion",
    "holds.respected",
    // What rests on a broken record, or on none, says nothing.
    "changes.recorded",
    "audit.intact",
];

/// The report; times in `zone`.
pub fn retention(facts: &EvidenceFacts, assessment: &Assessment, zone: &TimeZone) -> Document {
    let evidence = &assessment.retention;
    Document {
        kind: "retention",
        title: "Retention report".to_owned(),
        subtitle: period(facts, zone),
        verdict: verdict(assessment),
        tiles: tiles(evidence),
        facts: about(facts, assessment),
        sections: sections(facts, assessment, zone),
        sign_off: false,
        footer: footer(facts, assessment),
    }
}

fn sections(facts: &EvidenceFacts, assessment: &Assessment, zone: &TimeZone) -> Vec<Section> {
    let evidence = &assessment.retention;
    vec![
        controls_section(assessment),
        Section::new("demanded", "What the policy demanded", vec![demands(evidence, zone)])
            .lead("Each line is a rule over the time in which it was in force; a policy comes into force with the first run that was planned from it."),
        Section::new("stock", "What there was", vec![stock(evidence, zone)])
            .pictures(points_per_day(evidence)),
        Section::new("slots", "Slots", vec![slots(evidence), missed(evidence, zone)]),
        Section::new("deletions", "Deletions", vec![deletions(evidence, zone)])
            .lead("Each was judged again with the copies that were there at that moment and the policy that was in force then."),
        Section::new("kept", "Kept although no rule keeps it", vec![overdue(evidence, zone)]),
        Section::new(
            "protected",
            "Holds, locks and exceptions",
            vec![holds(facts, zone), locks(facts, zone), exceptions(facts, zone)],
        ),
    ]
}

fn verdict(assessment: &Assessment) -> Verdict {
    let judged: Vec<_> = assessment
        .controls
        .iter()
        .filter(|control| RETENTION_CONTROLS.contains(&&*control.id))
        .collect();
    let of = |verdict: ControlVerdict| -> Vec<String> {
        judged
            .iter()
            .filter(|control| control.verdict == verdict)
            .map(|control| format!("{} ({})", control.title, control.why))
            .collect()
    };
    let (broken, unknown) = (of(ControlVerdict::NotMet), of(ControlVerdict::CannotTell));
    let excepted = of(ControlVerdict::Exception);
    let deletions = assessment.retention.deletions.len();
    if !broken.is_empty() {
        return Verdict {
            word: "RETENTION NOT KEPT".to_owned(),
            class: "bad",
            sentence: format!("Not met: {}.", broken.join("; ")),
        };
    }
    if !unknown.is_empty() {
        return Verdict {
            word: "CANNOT TELL".to_owned(),
            class: "warn",
            sentence: format!("What is known does not tell: {}.", unknown.join("; ")),
        };
    }
    if !excepted.is_empty() {
        return Verdict {
            word: "RETENTION KEPT, WITH EXCEPTIONS".to_owned(),
            class: "warn",
            sentence: format!("Excepted: {}.", excepted.join("; ")),
        };
    }
    Verdict {
        word: "RETENTION KEPT".to_owned(),
        class: "good",
        sentence: format!(
            "Every slot that was demanded has its point, each of {deletions} deletions was due, and nothing is kept too long."
        ),
    }
}

fn tiles(evidence: &RetentionEvidence) -> Vec<Tile> {
    let demanded: u64 = evidence.slots.iter().map(|slots| slots.demanded).sum();
    let missed: u64 = evidence
        .slots
        .iter()
        .map(model::evidence::SeriesSlots::missed_count)
        .sum();
    let early = evidence
        .deletions
        .iter()
        .filter(|judged| judged.verdict == DeletionVerdict::TooEarly)
        .count();
    let late = evidence
        .overdue
        .iter()
        .filter(|overdue| overdue.excuse.is_none())
        .count();
    let tile = |number: String, words: &str, class| Tile {
        number,
        words: words.to_owned(),
        class,
    };
    let zero = |count: u64| if count == 0 { "good" } else { "bad" };
    vec![
        tile(demanded.to_string(), "slots demanded", ""),
        tile(missed.to_string(), "slots missed", zero(missed)),
        tile(evidence.deletions.len().to_string(), "copies deleted", ""),
        tile(early.to_string(), "deleted too early", zero(early as u64)),
        tile(
            late.to_string(),
            "copies no rule keeps",
            if late == 0 { "good" } else { "warn" },
        ),
    ]
}

fn controls_section(assessment: &Assessment) -> Section {
    let rows = assessment
        .controls
        .iter()
        .filter(|control| RETENTION_CONTROLS.contains(&&*control.id))
        .map(|control| {
            vec![
                Cell::code(&control.id),
                Cell::text(control.demands.to_string()),
                Cell::toned(control.verdict.as_str(), tone(control.verdict)),
                Cell::text(&control.why),
            ]
        })
        .collect();
    let table = Table {
        name: "verdicts",
        title: String::new(),
        columns: columns(&["Control", "Demands", "Verdict", "Why"]),
        rows,
        nothing: "No control applies.",
    };
    Section::new("verdicts", "Verdicts", vec![table])
}
