//! `wal status` for people: one block a database, what is wrong first.

use super::{color, plan_text::local};
use executor::wal::{Gravity, TierStatus, WalStatus};
use jiff::tz::TimeZone;
use model::{ByteCount, TierName};
use std::fmt::Write as _;

/// All databases.
pub(crate) fn status(all: &[WalStatus], zone: &TimeZone) -> String {
    if all.is_empty() {
        return "The policy declares no archive of the log of any database.\n".to_owned();
    }
    let mut text = String::new();
    for status in all {
        let (style, verdict) = if status.is_violated() {
            (color::REMOVE, "VIOLATED")
        } else if status.is_unknown() {
            (color::WARN, "not all could be asked")
        } else if status.concerns.is_empty() {
            (color::ADD, "as promised")
        } else {
            (color::WARN, "as promised, with warnings")
        };
        let name = color::paint(color::BOLD, &status.database);
        let _ = writeln!(text, "{name}  {}", color::paint(style, verdict));
        for concern in &status.concerns {
            let style = match concern.gravity {
                Gravity::Violated => color::REMOVE,
                Gravity::Unknown | Gravity::Warning => color::WARN,
            };
            let _ = writeln!(text, "  {} {}", color::paint(style, "!"), concern.text);
            if !concern.help.is_empty() {
                let _ = writeln!(text, "    {}", concern.help);
            }
        }
        if let Some(server) = &status.server {
            let at = &server.position;
            let _ = writeln!(
                text,
                "  server        {} on timeline {}",
                at.position, at.timeline
            );
            let waiting = match (server.waiting, server.waiting_seconds) {
                (Some(files), Some(seconds)) => {
                    format!("{files} files wait, the oldest for {seconds} s")
                }
                (Some(_), None) => "nothing waits".to_owned(),
                (None, _) => "what waits cannot be seen (grant pg_monitor)".to_owned(),
            };
            let size = server
                .pg_wal_bytes
                .map_or_else(String::new, |size| format!(", pg_wal {size}"));
            let _ = writeln!(text, "  archiver      {waiting}{size}");
            for (name, slot) in &server.slots {
                let behind = slot.behind_bytes.unwrap_or(ByteCount(0));
                let active = if slot.active { "active" } else { "idle" };
                let state = slot.state.as_deref().unwrap_or("");
                let _ = writeln!(
                    text,
                    "  slot          {name}: {active} {state}, holds {behind}"
                );
            }
        }
        for (name, tier) in &status.tiers {
            one_tier(&mut text, name, tier, zone);
        }
        text.push('\n');
    }
    text
}

fn one_tier(text: &mut String, name: &TierName, tier: &TierStatus, zone: &TimeZone) {
    let lag = match (tier.lag_bytes, tier.lag_seconds) {
        (Some(0), _) => "up to date".to_owned(),
        (Some(bytes), Some(seconds)) => {
            format!("behind by {}, at most {seconds} s", ByteCount(bytes))
        }
        (Some(bytes), None) => format!("behind by {}", ByteCount(bytes)),
        (None, _) => "lag unknown".to_owned(),
    };
    let _ = writeln!(text, "  tier {name}  {lag}");
    for window in &tier.coverage.windows {
        let until = tier
            .newest
            .filter(|newest| newest.whole_to == window.to)
            .and_then(|newest| newest.time)
            .map_or_else(
                || format!("position {}", window.to),
                |time| format!("{} ({})", local(time, zone), window.to),
            );
        let _ = writeln!(
            text,
            "    window      {} to {until}, timeline {}, {} base(s)",
            local(window.from_time, zone),
            window.timeline,
            window.bases.len()
        );
    }
    for hole in &tier.coverage.holes {
        let missing: Vec<String> = hole.missing.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "    hole        {}", missing.join(", "));
    }
    for unusable in &tier.coverage.unusable {
        let missing: Vec<String> = unusable.missing.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "    unusable    {} lacks {}",
            unusable.base,
            missing.join(", ")
        );
    }
}
