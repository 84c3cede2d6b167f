//! How the tiers differ from the catalog, for people and for programs.

use super::color;
use executor::Drift;
use model::Inventory;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// For people.
pub(crate) fn text(drift: &[Drift], inventory: &Inventory) -> String {
    let mut text = String::new();
    for (tier, why) in &inventory.unreachable_why {
        let _ = writeln!(
            text,
            "{} tier {tier} could not be looked at: {why}",
            color::paint(color::WARN, "!")
        );
    }
    if !drift.iter().any(Drift::is_drift) {
        let _ = writeln!(
            text,
            "{} The tiers hold what the catalog remembers.",
            color::paint(color::BOLD, "No drift.")
        );
    }
    for difference in drift {
        let (style, line) = match difference {
            Drift::Missing {
                recovery_point,
                tier,
                why,
            } => (
                color::REMOVE,
                format!("missing    {recovery_point} on {tier}: {why}"),
            ),
            Drift::Damaged {
                recovery_point,
                tier,
                why,
            } => (
                color::REMOVE,
                format!("damaged    {recovery_point} on {tier}: {why}"),
            ),
            Drift::Returned {
                recovery_point,
                tier,
            } => (
                color::ADD,
                format!("returned   {recovery_point} on {tier}: it was missing and is there again"),
            ),
            Drift::Foreign {
                recovery_point,
                tier,
                bytes,
            } => (
                color::MOVE,
                format!("found      {recovery_point} on {tier}, {bytes}: not in the catalog"),
            ),
            Drift::Unusable {
                recovery_point,
                tier,
                why,
            } => (
                color::WARN,
                format!("unusable   {recovery_point} on {tier}: {why}"),
            ),
            Drift::Incomplete {
                recovery_point,
                tier,
            } => (
                color::DIM,
                format!("incomplete {recovery_point} on {tier}: left by an interrupted run"),
            ),
            Drift::NotOurs {
                tier,
                objects,
                examples,
            } => (
                color::DIM,
                format!(
                    "not ours   {objects} object(s) on {tier}, such as {}",
                    examples.join(", ")
                ),
            ),
        };
        let _ = writeln!(text, "{}", color::paint(style, line));
    }
    if drift.iter().any(Drift::is_drift) {
        let _ = writeln!(text, "\nMend it with:  mainstay apply --refresh");
    }
    text
}

/// For programs.
pub(crate) fn json(drift: &[Drift], inventory: &Inventory) -> Value {
    json!({
        "format": "mainstay.drift.v1", "observed_at": inventory.observed_at, "drift": drift,
        "unreachable": inventory.unreachable_why,
    })
}
