//! The proof that a drill can fail, for a terminal and for a program.

use super::color;
use executor::drill::{Plant, Proof};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A proof for a terminal: the verdict, the point, what was planted and whether it was found.
pub(crate) fn proof_text(proof: &Proof) -> String {
    let mut text = String::new();
    let (style, verdict) = if proof.holds() {
        (color::ADD, "its drills can fail")
    } else {
        (color::REMOVE, "NOT PROVED that its drills can fail")
    };
    let _ = writeln!(
        text,
        "{}  {}",
        color::paint(color::BOLD, &proof.database),
        color::paint(style, verdict)
    );
    let _ = writeln!(text, "  point      {} from {}", proof.point, proof.tier);
    match &proof.control {
        Ok(checks) => {
            let _ = writeln!(
                text,
                "  control    nothing planted: passed, {checks} checks"
            );
        }
        Err(failure) => {
            let _ = writeln!(
                text,
                "  control    nothing planted, and yet it {}: {}",
                color::paint(color::REMOVE, "FAILED"),
                failure.message
            );
        }
    }
    for plant in &proof.plants {
        let _ = writeln!(text, "  planted    {}: {}", plant.kind, plant.planted);
        let _ = writeln!(text, "    {}", found(plant));
    }
    text
}

fn found(plant: &Plant) -> String {
    match (&plant.found, plant.is_it) {
        (Some(found), true) => format!("{} {found}", color::paint(color::ADD, "found:")),
        (Some(found), false) => format!(
            "{} something else was said: {found}",
            color::paint(color::REMOVE, "NOT FOUND:")
        ),
        (None, _) => color::paint(color::REMOVE, "NOT FOUND: it passed unnoticed"),
    }
}

/// A proof for a program.
pub(crate) fn proof_json(proof: &Proof) -> Value {
    let plants: Vec<_> = proof
        .plants
        .iter()
        .map(|plant| json!({"kind": plant.kind, "planted": plant.planted, "found": plant.found, "noticed": plant.is_it}))
        .collect();
    let control = match &proof.control {
        Ok(checks) => json!({"passed": true, "checks": checks}),
        Err(failure) => json!({"passed": false, "failure": failure}),
    };
    json!({
        "format": "mainstay.drill-proof.v1", "database": proof.database, "recovery_point": proof.point, "tier": proof.tier,
        "control": control, "planted": plants, "holds": proof.holds(),
    })
}
