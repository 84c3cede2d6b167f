//! Entries of the audit, and what a check of it found.

use super::{color, table::table};
use executor::audit::{AuditCheck, TierCheck};
use jiff::tz::TimeZone;
use model::audit::ChainedEntry;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// One entry on one line.
pub(crate) fn entry(entry: &ChainedEntry, zone: &TimeZone) -> String {
    let at = entry
        .at
        .to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %Z");
    format!(
        "{:>6}  {at}  {:<15} {}  {}\n",
        entry.sequence,
        visible(&entry.kind),
        visible(&entry.what),
        color::paint(
            color::DIM,
            visible(&format!("{}: {}", entry.who, entry.why))
        ),
    )
}

/// Text that somebody else wrote, on one line and without what moves a terminal's cursor or turns the direction of writing: who can
/// write to a catalog or a tier must not be able to draw over what is said of it.
fn visible(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut shown, c| {
            match c {
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    shown.extend(c.escape_unicode());
                }
                c if c.is_control() => shown.extend(c.escape_default()),
                c => shown.push(c),
            }
            shown
        })
}

/// What a check found, for people.
pub(crate) fn check_text(check: &AuditCheck) -> String {
    let mut text = String::new();
    match &check.catalog {
        Some(chain) if chain.flawed == 0 && !chain.end_differs => {
            let _ = writeln!(
                text,
                "Catalog {}: {} entries, each follows the one before.",
                chain.identity, chain.sequence
            );
        }
        Some(chain) => {
            let flaws = match chain.flawed {
                0 | 1 => "1 flaw".to_owned(),
                many => format!("{many} flaws"),
            };
            let _ = writeln!(
                text,
                "Catalog {}: {} entries, with {flaws}.",
                chain.identity, chain.sequence
            );
        }
        None => text
            .push_str("There is no catalog: the exports on the tiers are judged by themselves.\n"),
    }
    let rows: Vec<Vec<String>> = check
        .tiers
        .iter()
        .map(|(name, tier)| vec![name.to_string(), tier_words(tier)])
        .collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table(&["TIER", "SIGNED EXPORTS"], &rows));
    }
    let wrong = wrong(check);
    if !wrong.is_empty() {
        let _ = writeln!(text, "\n{}", color::paint(color::REMOVE, "Wrong:"));
        for line in wrong {
            let _ = writeln!(text, "  {line}");
        }
    }
    let unchecked = unchecked(check);
    if !unchecked.is_empty() {
        let _ = writeln!(text, "\n{}", color::paint(color::WARN, "Not checked:"));
        for line in unchecked {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn tier_words(tier: &TierCheck) -> String {
    if tier.unread.is_some() {
        return color::paint(color::WARN, "not read");
    }
    let objects = match tier.objects {
        0 => "none".to_owned(),
        1 => format!("1 export, up to entry {}", tier.last),
        many => format!("{many} exports, up to entry {}", tier.last),
    };
    let waiting = match tier.waiting {
        0 => String::new(),
        1 => "; 1 entry comes with the next run".to_owned(),
        many => format!("; {many} entries come with the next run"),
    };
    let verdict = match tier.flawed {
        0 => String::new(),
        1 => color::paint(color::REMOVE, "; 1 flaw, see below"),
        many => color::paint(color::REMOVE, format!("; {many} flaws, see below")),
    };
    format!("{objects}{verdict}{waiting}")
}

/// Every flaw that was kept, and how many more there are.
pub(crate) fn wrong(check: &AuditCheck) -> Vec<String> {
    let mut lines = Vec::new();
    let more = |lines: &mut Vec<String>, place: &str, all: u64, kept: usize| {
        let more = all.saturating_sub(kept as u64);
        if more > 0 {
            lines.push(format!("{place}: and {more} more"));
        }
    };
    if let Some(chain) = &check.catalog {
        lines.extend(chain.flaws.iter().map(|flaw| format!("catalog: {flaw}")));
        more(&mut lines, "catalog", chain.flawed, chain.flaws.len());
        if chain.end_differs {
            lines.push(format!(
                "catalog: the end that it remembers is not entry {} as it stands",
                chain.sequence
            ));
        }
    }
    for (name, tier) in &check.tiers {
        lines.extend(tier.flaws.iter().map(|flaw| format!("{name}: {flaw}")));
        more(&mut lines, name.as_str(), tier.flawed, tier.flaws.len());
    }
    lines.iter().map(|line| visible(line)).collect()
}

/// What nobody looked at, or what no look can tell.
fn unchecked(check: &AuditCheck) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, tier) in &check.tiers {
        if let Some(failure) = &tier.unread {
            lines.push(format!("{name}: {}", failure.message));
        }
        for other in &tier.others {
            lines.push(format!(
                "{name}: the audit of another catalog, {}, up to entry {}",
                other.catalog, other.sequence
            ));
        }
    }
    let end = check.catalog.as_ref().map_or(0, |chain| chain.sequence);
    let covered = check
        .tiers
        .values()
        .map(|tier| tier.last)
        .max()
        .unwrap_or(0);
    if check.catalog.is_some() && covered < end {
        lines.push(match covered {
            0 => "no tier that was read has a signed export, so nothing tells whether the whole chain was computed anew".to_owned(),
            _ => format!("entries {} to {end} are on no tier that was read, so nothing tells whether they were computed anew", covered + 1),
        });
    }
    if !check.keys_were_given && check.tiers.values().any(|tier| tier.objects > 0) {
        let keys: Vec<&str> = check
            .keys
            .iter()
            .map(model::audit::SigningKeyName::as_str)
            .collect();
        lines.push(format!(
            "whose keys signed: they are those that this audit itself announces ({}); give `--key` with what you noted elsewhere",
            if keys.is_empty() { "in its exports".to_owned() } else { keys.join(", ") }
        ));
    }
    lines
}

/// The same for programs.
pub(crate) fn check_json(check: &AuditCheck) -> Value {
    let tiers: serde_json::Map<String, Value> = check
        .tiers
        .iter()
        .map(|(name, tier)| (name.to_string(), tier_json(tier)))
        .collect();
    json!({
        "format": "mainstay.audit-check.v1",
        "sound": check.is_sound(),
        "catalog": check.catalog.as_ref().map(|chain| json!({
            "identity": chain.identity, "sequence": chain.sequence, "digest": chain.digest, "flaws": chain.flaws,
            "flawed": chain.flawed, "end_differs": chain.end_differs, "earlier": chain.earlier,
        })),
        "keys": check.keys,
        "keys_were_given": check.keys_were_given,
        "tiers": tiers,
        "wrong": wrong(check),
        "not_checked": unchecked(check),
    })
}

fn tier_json(tier: &TierCheck) -> Value {
    json!({
        "objects": tier.objects, "entries": tier.entries, "last": tier.last, "waiting": tier.waiting, "flaws": tier.flaws,
        "flawed": tier.flawed, "others": tier.others, "unread": tier.unread,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_wrote_cannot_draw_over_what_is_said_of_it() {
        assert_eq!(visible("ada: žluťoučký 😀"), "ada: žluťoučký 😀");
        let drawn = visible("x\u{1b}[2J\nCatalog: sound\u{202e}\u{7}");
        assert_eq!(drawn, "x\\u{1b}[2J\\nCatalog: sound\\u{202e}\\u{7}");
    }
}
