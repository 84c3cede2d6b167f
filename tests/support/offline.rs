//! Inventories of the shop's daily series for commands that need no network, state or clock.

use jiff::Timestamp;
use serde_json::{Value, json};

/// When they were observed, and when it is.
pub const NOW: &str = "2026-11-21T12:00:00Z";

/// `plan` of `policy.toml` and `inventory.json`.
pub const PLAN: [&str; 7] = [
    "plan",
    "-p",
    "policy.toml",
    "--inventory",
    "inventory.json",
    "--now",
    NOW,
];

/// An inventory of which every tier could be seen.
pub fn inventory(points: &[Value]) -> Value {
    json!({"format": "mainstay.inventory.v1", "observed_at": NOW, "unreachable_tiers": [], "recovery_points": points})
}

/// A point with a verified copy on each tier.
pub fn point(slot: Timestamp, captured_at: Timestamp, tiers: &[&str]) -> Value {
    let stamp = slot.strftime("%Y%m%dT%H%M%SZ").to_string();
    let copies: Vec<Value> = tiers
        .iter()
        .map(|tier| {
            json!({"tier": tier, "state": "present", "bytes": 1_234_567, "stored_at": slot.to_string(), "held": false,
                   "verified": {"level": "full-read", "at": slot.to_string()}, "locked_until": null})
        })
        .collect();
    json!({"id": format!("shop/daily/{stamp}"), "database": "shop", "series": "daily", "method": "snapshot", "parent": null,
           "slot": slot.to_string(), "captured_at": captured_at.to_string(), "state": "complete", "bytes": 1_234_567, "copies": copies})
}
