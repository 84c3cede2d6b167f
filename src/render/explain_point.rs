//! Why a recovery point is kept and until when, or what became of it.

use super::{color, plan_text::local};
use catalog::{AuditEntry, Hold};
use jiff::{Timestamp, tz::TimeZone};
use model::{
    CopyState, RecoveryPointId,
    audit::{AuditDetails, Deletion},
};
use planner::{
    Gone, Until,
    explain::{KeptBy, OnTier, PointExplanation},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

/// Points that are named before the rest is only counted.
const MOST_NAMED: usize = 5;

/// Where a rule is written.
pub(crate) struct Origin {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) via: Option<String>,
    pub(crate) value: Value,
}

impl Origin {
    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({"file": self.file, "line": self.line, "via": self.via, "value": self.value})
    }
}

/// Something that the audit says of the point.
pub(crate) struct Past {
    at: Timestamp,
    kind: &'static str,
    what: String,
    who: String,
    why: String,
    details: Option<AuditDetails>,
}

impl From<AuditEntry> for Past {
    fn from(entry: AuditEntry) -> Self {
        Self {
            at: entry.at,
            kind: entry.kind.as_str(),
            what: entry.what,
            who: entry.who,
            why: entry.why,
            details: entry.details,
        }
    }
}

impl Past {
    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({"at": self.at, "kind": self.kind, "what": self.what, "who": self.who, "why": self.why, "details": self.details})
    }
}

/// A point that exists.
pub(crate) fn text(
    point: &PointExplanation,
    origins: &BTreeMap<String, Origin>,
    holds: &[Hold],
    zone: &TimeZone,
) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}  slot {}",
        color::paint(color::BOLD, &point.recovery_point),
        local(point.slot, zone)
    );
    for hold in holds {
        let until = hold.until.map_or_else(
            || "until released".to_owned(),
            |until| format!("until {}", local(until, zone)),
        );
        let _ = writeln!(text, "  held {until} by {}: {}", hold.who, hold.why);
    }
    if !point.chain.is_empty() {
        let _ = writeln!(text, "  needs {}", named(&point.chain));
    }
    if !point.children.is_empty() {
        let _ = writeln!(text, "  needed by {}", named(&point.children));
    }
    for tier in &point.tiers {
        on_tier(&mut text, tier, origins, zone);
    }
    if point.tiers.is_empty() {
        let _ = writeln!(text, "  no copy of it is known");
    }
    text
}

fn on_tier(text: &mut String, on: &OnTier, origins: &BTreeMap<String, Origin>, zone: &TimeZone) {
    let _ = writeln!(
        text,
        "\n  {}  {}",
        color::paint(color::BOLD, &on.tier),
        verdict(on, zone)
    );
    for reason in &on.reasons {
        let _ = writeln!(
            text,
            "    {}{}, {}{}",
            reason.text,
            end(reason.until, zone),
            reason.ends,
            color::paint(color::DIM, written(reason, origins))
        );
    }
    for words in &on.also {
        let _ = writeln!(text, "    {words}");
    }
    if let Some(until) = on.locked_until {
        let _ = writeln!(
            text,
            "    locked by the storage until {}",
            local(until, zone)
        );
    }
    if let Some(waits) = &on.waits {
        let _ = writeln!(text, "    not deleted yet: {}", waits.text);
    }
    for planned in &on.planned {
        let approval = if planned.needs_approval {
            color::paint(color::WARN, " (needs approval)")
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "    next plan: {}, {}{approval}",
            planned.action, planned.reason.text
        );
    }
}

fn written(reason: &KeptBy, origins: &BTreeMap<String, Origin>) -> String {
    let origin = reason.key.as_ref().and_then(|key| origins.get(key));
    origin.map_or_else(String::new, |origin| {
        let via = origin.via.as_ref();
        let via = via.map_or_else(String::new, |via| format!(", {via}"));
        format!("  [{}:{}{via}]", origin.file.display(), origin.line)
    })
}

fn verdict(on: &OnTier, zone: &TimeZone) -> String {
    if on.state != CopyState::Present {
        let state = match on.state {
            CopyState::Present => "present",
            CopyState::Missing => "gone from the tier",
            CopyState::Damaged => "damaged",
            CopyState::Foreign => "not adopted yet",
        };
        return color::paint(color::WARN, state);
    }
    if let Some(gone) = on.not_named {
        let what = match gone {
            Gone::Database => "the database",
            Gone::Series => "the series",
            Gone::Tier => "the tier",
            Gone::Keep => "a rule of its series for this tier",
            Gone::Place => "the place of this tier",
        };
        return format!(
            "stays: the policy no longer declares {what}, and what it does not name is never deleted"
        );
    }
    match on.until {
        Until::NotKept if on.also.is_empty() => {
            color::paint(color::REMOVE, "not kept: it goes as soon as that is safe")
        }
        Until::NotKept => "stays for now".to_owned(),
        Until::AtLeast(at) => {
            let certain = format!("stays until {} at least", local(at, zone));
            match on.expected_end {
                Some(end) => format!(
                    "{certain}; goes {} if every backup succeeds, later if some fail",
                    local(end, zone)
                ),
                None => format!("{certain}, longer if backups fail"),
            }
        }
        Until::NoEnd => "stays: nothing lets it go".to_owned(),
    }
}

fn end(until: Until, zone: &TimeZone) -> String {
    match until {
        Until::NotKept => ", no longer certain".to_owned(),
        Until::AtLeast(at) => format!(" until {}", local(at, zone)),
        Until::NoEnd => String::new(),
    }
}

fn named(points: &[RecoveryPointId]) -> String {
    let names: Vec<&str> = points
        .iter()
        .take(MOST_NAMED)
        .map(RecoveryPointId::as_str)
        .collect();
    let more = points.len() - names.len();
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names.join(", "))
}

/// A point that only the audit remembers.
pub(crate) fn gone(id: &RecoveryPointId, past: &[Past]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}  {}",
        color::paint(color::BOLD, id),
        color::paint(color::REMOVE, "is gone; the audit says of it:")
    );
    for entry in past {
        let tier = entry.what.split_once('@').map(|(_, tier)| tier);
        let tier = tier.map_or_else(String::new, |tier| format!(" on {tier}"));
        let _ = writeln!(
            text,
            "  {}  {}{tier} by {}: {}",
            local(entry.at, &TimeZone::UTC),
            entry.kind,
            entry.who,
            entry.why
        );
        if let Some(AuditDetails::Deletion(deletion)) = &entry.details {
            deleted(&mut text, deletion);
        }
    }
    text
}

fn deleted(text: &mut String, deletion: &Deletion) {
    if let Some(keep) = &deletion.keep {
        let _ = writeln!(text, "    rule: {keep}");
    }
    if !deletion.justified_by.is_empty() {
        let _ = writeln!(text, "    justified by {}", named(&deletion.justified_by));
    }
    match &deletion.approved_by {
        Some(who) => {
            let _ = writeln!(text, "    approved by {who}");
        }
        None => {
            let _ = writeln!(text, "    routine: it needed no approval");
        }
    }
}
