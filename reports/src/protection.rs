//! What protects the copies and how it changed: subjects of controls, keys, tiers and policies as tables.

use crate::{
    head::{short, time, tone},
    table::{Cell, Table, columns},
};
use jiff::tz::TimeZone;
use model::evidence::{Assessment, EvidenceFacts};

/// The subjects of some controls, in one table.
pub(crate) fn by_control(assessment: &Assessment, name: &'static str, ids: &[&str]) -> Table {
    let mut rows = Vec::new();
    for id in ids {
        for control in assessment
            .controls
            .iter()
            .filter(|control| control.id == *id)
        {
            rows.extend(control.subjects.iter().map(|subject| {
                let numbers: Vec<String> = subject
                    .numbers
                    .iter()
                    .map(|(name, number)| format!("{name} {number}"))
                    .collect();
                vec![
                    Cell::code(&control.id),
                    Cell::code(&subject.subject),
                    Cell::toned(subject.verdict.as_str(), tone(subject.verdict)),
                    Cell::text(&subject.why),
                    Cell::toned(numbers.join(", "), "dim"),
                ]
            }));
        }
    }
    Table {
        name,
        title: String::new(),
        columns: columns(&["Control", "What", "Verdict", "Why", "Numbers"]),
        rows,
        nothing: "There is nothing that this applies to.",
    }
}

pub(crate) fn keys(facts: &EvidenceFacts) -> Table {
    let rows = facts.keys.iter().map(|key| {
        vec![
            Cell::code(&key.name),
            Cell::text(&key.kind),
            match &key.trouble {
                None => Cell::toned("usable", "good"),
                Some(why) => Cell::toned(why, "bad"),
            },
        ]
    });
    Table {
        name: "keys",
        title: "Keys".to_owned(),
        columns: columns(&["Key", "Kind", "State"]),
        rows: rows.collect(),
        nothing: "The policy declares none.",
    }
}

pub(crate) fn tiers(facts: &EvidenceFacts) -> Table {
    let rows = facts.tiers.iter().map(|(name, tier)| {
        let lock = match tier.lock {
            Some(model::LockMode::Compliance) => "compliance",
            Some(model::LockMode::Governance) => "governance",
            None => "none",
        };
        let away = facts.unreachable_tiers.contains(name);
        vec![
            Cell::code(name),
            Cell::text(&tier.kind),
            Cell::text(tier.media.as_deref().unwrap_or("–")),
            Cell::text(if tier.off_site { "yes" } else { "no" }),
            Cell::text(lock),
            if away {
                Cell::toned("no", "bad")
            } else {
                Cell::text("yes")
            },
        ]
    });
    Table {
        name: "tiers",
        title: "Tiers".to_owned(),
        columns: columns(&["Tier", "Kind", "Medium", "Off site", "Lock", "Observed"]),
        rows: rows.collect(),
        nothing: "The policy declares none.",
    }
}

pub(crate) fn policies(facts: &EvidenceFacts, zone: &TimeZone) -> Table {
    let rows = facts.policies.iter().map(|policy| {
        vec![
            Cell::code(short(&policy.digest)),
            time(policy.since, zone),
            policy
                .until
                .map_or_else(|| Cell::text("in force"), |until| time(until, zone)),
            Cell::text(&policy.who),
        ]
    });
    Table {
        name: "policies",
        title: "Policies in force".to_owned(),
        columns: columns(&["Policy", "From", "Until", "Put in force by"]),
        rows: rows.collect(),
        nothing: "None is known.",
    }
}
