//! The tables and the picture of the report on retention, one for each question.

use crate::{
    charts::{self, Line},
    head::{maybe_time, short, time},
    table::{Cell, Table, columns},
};
use jiff::tz::TimeZone;
use model::evidence::{DeletionVerdict, EvidenceFacts, RetentionEvidence};
use std::collections::BTreeMap;

pub(crate) fn demands(evidence: &RetentionEvidence, zone: &TimeZone) -> Table {
    let rows = evidence.demands.iter().map(|demand| {
        vec![
            Cell::code(format!("{}/{}", demand.database, demand.series)),
            Cell::code(&demand.tier),
            Cell::text(&demand.keep),
            Cell::code(&demand.schedule),
            Cell::text(&demand.verify),
            time(demand.from, zone),
            maybe_time(demand.until, zone, "in force"),
            Cell::code(short(&demand.policy)),
        ]
    });
    Table {
        name: "demands",
        title: String::new(),
        columns: columns(&[
            "Series", "Tier", "Keep", "Schedule", "Verify", "From", "Until", "Policy",
        ]),
        rows: rows.collect(),
        nothing: "No policy is known to have been in force.",
    }
}

pub(crate) fn points_per_day(evidence: &RetentionEvidence) -> Option<String> {
    let mut by_tier: BTreeMap<&str, BTreeMap<_, u64>> = BTreeMap::new();
    for day in &evidence.days {
        *by_tier
            .entry(day.tier.as_str())
            .or_default()
            .entry(day.day)
            .or_default() += day.count;
    }
    let lines: Vec<Line> = by_tier
        .into_iter()
        .map(|(tier, days)| Line {
            label: tier.to_owned(),
            points: days.into_iter().collect(),
        })
        .collect();
    charts::lines("Copies on each tier at the end of each day", &lines)
}

pub(crate) fn stock(evidence: &RetentionEvidence, zone: &TimeZone) -> Table {
    let rows = evidence.stock.iter().map(|stock| {
        vec![
            Cell::code(format!("{}/{}", stock.database, stock.series)),
            Cell::code(&stock.tier),
            Cell::number(stock.at_begin),
            Cell::number(stock.made),
            Cell::number(stock.deleted),
            Cell::number(stock.at_end),
            Cell::number(stock.verified),
            Cell::number(stock.locked),
            Cell::number(stock.held),
            Cell::number(model::ByteCount(stock.bytes)),
            maybe_time(stock.oldest, zone, "–"),
            maybe_time(stock.newest, zone, "–"),
        ]
    });
    Table {
        name: "stock",
        title: String::new(),
        columns: columns(&[
            "Series",
            "Tier",
            "At begin#",
            "Made#",
            "Deleted#",
            "At end#",
            "Verified#",
            "Locked#",
            "Held#",
            "Size#",
            "Oldest",
            "Newest",
        ]),
        rows: rows.collect(),
        nothing: "There is no copy.",
    }
}

pub(crate) fn slots(evidence: &RetentionEvidence) -> Table {
    let rows = evidence.slots.iter().map(|series| {
        let missed = series.missed_count();
        vec![
            Cell::code(format!("{}/{}", series.database, series.series)),
            Cell::number(series.demanded),
            Cell::number(series.made),
            Cell {
                class: if missed > 0 { "bad" } else { "" },
                ..Cell::number(missed)
            },
            Cell::number(series.open),
        ]
    });
    Table {
        name: "slots",
        title: String::new(),
        columns: columns(&["Series", "Demanded#", "Made#", "Missed#", "Still open#"]),
        rows: rows.collect(),
        nothing: "No slot was demanded.",
    }
}

pub(crate) fn missed(evidence: &RetentionEvidence, zone: &TimeZone) -> Table {
    let rows = evidence.slots.iter().flat_map(|series| {
        series.missed.iter().map(|missed| {
            vec![
                Cell::code(format!("{}/{}", series.database, series.series)),
                Cell::number(missed.count),
                time(missed.first, zone),
                time(missed.last, zone),
                Cell::text(&missed.why),
                Cell::code(&missed.code),
            ]
        })
    });
    Table {
        name: "missed-slots",
        title: "Missed slots".to_owned(),
        columns: columns(&["Series", "Slots#", "First", "Last", "Why", "Code"]),
        rows: rows.collect(),
        nothing: "None.",
    }
}

pub(crate) fn deletions(evidence: &RetentionEvidence, zone: &TimeZone) -> Table {
    let mut judged: Vec<_> = evidence.deletions.iter().collect();
    // What needs attention first; the rest in the order of time.
    judged.sort_by_key(|one| {
        let attention = match one.verdict {
            DeletionVerdict::TooEarly => 0,
            DeletionVerdict::CannotTell => 1,
            DeletionVerdict::Purged => 2,
            DeletionVerdict::Due => 3,
        };
        (attention, one.deletion.at)
    });
    let rows = judged.into_iter().map(|one| {
        let class = match one.verdict {
            DeletionVerdict::TooEarly => "bad",
            DeletionVerdict::CannotTell | DeletionVerdict::Purged => "warn",
            DeletionVerdict::Due => "good",
        };
        vec![
            time(one.deletion.at, zone),
            Cell::code(format!("{}@{}", one.recovery_point, one.tier)),
            Cell::toned(one.verdict.as_str(), class),
            Cell::text(&one.why),
            Cell::text(&one.deletion.why),
            Cell::text(&one.deletion.who),
            Cell::code(one.policy.as_ref().map_or_else(|| "–".to_owned(), short)),
        ]
    });
    Table {
        name: "deletions",
        title: String::new(),
        columns: columns(&[
            "When",
            "Copy",
            "Verdict",
            "Judged now",
            "Reason recorded then",
            "Who",
            "Policy",
        ]),
        rows: rows.collect(),
        nothing: "Nothing was deleted.",
    }
}

pub(crate) fn overdue(evidence: &RetentionEvidence, zone: &TimeZone) -> Table {
    let rows = evidence.overdue.iter().map(|one| {
        vec![
            Cell::code(format!("{}@{}", one.recovery_point, one.tier)),
            time(one.since, zone),
            Cell::number(one.days),
            match &one.excuse {
                Some(excuse) => Cell::text(excuse),
                None => Cell::toned("nothing: the next apply deletes it", "warn"),
            },
        ]
    });
    Table {
        name: "kept-too-long",
        title: String::new(),
        columns: columns(&["Copy", "Since", "Days#", "What keeps it"]),
        rows: rows.collect(),
        nothing: "Nothing.",
    }
}

pub(crate) fn holds(facts: &EvidenceFacts, zone: &TimeZone) -> Table {
    let rows = facts.holds.iter().map(|hold| {
        let end = match (&hold.released_by, hold.released_at) {
            (Some(by), Some(at)) => {
                let at = time(at, zone).text;
                Cell::text(format!("released {at} by {by}"))
            }
            _ => maybe_time(hold.until, zone, "until released"),
        };
        vec![
            Cell::code(&hold.recovery_point),
            Cell::text(&hold.who),
            Cell::text(&hold.why),
            time(hold.at, zone),
            end,
        ]
    });
    Table {
        name: "holds",
        title: "Holds".to_owned(),
        columns: columns(&["Point", "Who", "Why", "From", "End"]),
        rows: rows.collect(),
        nothing: "There was none.",
    }
}

pub(crate) fn locks(facts: &EvidenceFacts, zone: &TimeZone) -> Table {
    let rows = facts.copies.iter().filter_map(|copy| {
        let until = copy.locked_until.filter(|until| *until > facts.until)?;
        let tier = facts.tiers.get(&copy.tier);
        let mode = match tier.and_then(|tier| tier.lock) {
            Some(model::LockMode::Compliance) => "compliance: nobody can lift it",
            Some(model::LockMode::Governance) => "governance: a special permission lifts it",
            None => "set outside this policy",
        };
        Some(vec![
            Cell::code(format!("{}@{}", copy.recovery_point, copy.tier)),
            time(until, zone),
            Cell::text(mode),
        ])
    });
    Table {
        name: "locks",
        title: "Locks of the storage".to_owned(),
        columns: columns(&["Copy", "Until", "Mode"]),
        rows: rows.collect(),
        nothing: "No copy is locked.",
    }
}

/// Accepted departures.
pub(crate) fn exceptions(facts: &EvidenceFacts, zone: &TimeZone) -> Table {
    let rows = facts.exceptions.iter().map(|exception| {
        let expired = exception.expires <= facts.until;
        vec![
            Cell::code(&exception.control),
            Cell::text(exception.subject.as_deref().unwrap_or("everything")),
            Cell::text(&exception.owner),
            Cell {
                class: if expired { "bad" } else { "" },
                ..time(exception.expires, zone)
            },
            Cell::text(&exception.why),
        ]
    });
    Table {
        name: "exceptions",
        title: "Exceptions".to_owned(),
        columns: columns(&["Control", "For", "Owner", "Expires", "Why"]),
        rows: rows.collect(),
        nothing: "There is none.",
    }
}
