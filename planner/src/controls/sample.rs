//! A sample that an auditor can draw again: the points with the smallest digests of seed and id.
//!
//! The seed is the auditor's, so nobody could know beforehand which points it draws; the same seed over the same points gives the
//! same sample on any machine: `sha256(seed + "\n" + id)`.

use super::verdict::moment;
use model::{
    Digest, RecoveryPointId,
    evidence::{CopyFact, CopyFate, EvidenceFacts, SampledPoint},
};
use std::collections::BTreeSet;

/// Draws `size` of the points that exist at the end of the period.
pub fn draw(facts: &EvidenceFacts, size: usize, seed: &str) -> Vec<SampledPoint> {
    let points: BTreeSet<&RecoveryPointId> = facts
        .copies
        .iter()
        .filter(|copy| copy.deletion().is_none())
        .map(|copy| &copy.recovery_point)
        .collect();
    let mut ranked: Vec<(Digest, &RecoveryPointId)> = points
        .into_iter()
        .map(|point| {
            (
                Digest::sha256_of(format!("{seed}\n{point}").as_bytes()),
                point,
            )
        })
        .collect();
    ranked.sort();
    ranked
        .into_iter()
        .take(size)
        .zip(1..)
        .map(|((rank, point), draw)| SampledPoint {
            draw,
            evidence: evidence(facts, point),
            recovery_point: point.clone(),
            rank,
        })
        .collect()
}

/// What is known of a point, oldest first.
fn evidence(facts: &EvidenceFacts, point: &RecoveryPointId) -> Vec<String> {
    let mut dated = Vec::new();
    for copy in facts
        .copies
        .iter()
        .filter(|copy| &copy.recovery_point == point)
    {
        dated.push((copy.stored_at, copy_words(copy)));
        if let Some(deletion) = copy.deletion() {
            let words = format!(
                "deleted from {} by {}: {}",
                copy.tier, deletion.who, deletion.why
            );
            dated.push((Some(deletion.at), words));
        }
    }
    for check in facts
        .verifications
        .iter()
        .filter(|check| &check.recovery_point == point)
    {
        let result = if check.passed { "passed" } else { "FAILED" };
        let words = format!("{} on {} {result} ({})", check.level, check.tier, check.who);
        dated.push((Some(check.at), words));
    }
    for hold in facts
        .holds
        .iter()
        .filter(|hold| &hold.recovery_point == point)
    {
        dated.push((Some(hold.at), format!("held by {}: {}", hold.who, hold.why)));
    }
    for record in facts
        .recoveries
        .iter()
        .filter(|record| &record.recovery_point == point)
    {
        let result = if record.passed { "passed" } else { "FAILED" };
        let words = format!(
            "restored to {} {result} ({})",
            record.target_place, record.id
        );
        dated.push((Some(record.finished_at), words));
    }
    dated.sort();
    dated
        .into_iter()
        .map(|(at, words)| match at {
            Some(at) => format!("{} {words}", moment(at)),
            None => words,
        })
        .collect()
}

fn copy_words(copy: &CopyFact) -> String {
    let state = match &copy.fate {
        CopyFate::Exists(model::CopyState::Present) => "present",
        CopyFate::Exists(model::CopyState::Missing) => "MISSING",
        CopyFate::Exists(model::CopyState::Damaged) => "DAMAGED",
        CopyFate::Exists(model::CopyState::Foreign) => "foreign",
        CopyFate::Deleted(_) => "deleted",
    };
    let sealed = match (copy.encrypted, copy.recipients.as_slice()) {
        (Some(true), recipients) => format!("encrypted for {}", recipients.join(", ")),
        (Some(false), _) => "not encrypted".to_owned(),
        (None, _) => "encryption not known".to_owned(),
    };
    let bytes = copy.bytes.map_or_else(
        || "size not known".to_owned(),
        |bytes| format!("{bytes} bytes"),
    );
    let lock = copy
        .locked_until
        .map(|until| format!(", locked until {}", moment(until)))
        .unwrap_or_default();
    format!("stored on {}: {bytes}, {sealed}{lock}, {state}", copy.tier)
}
