//! `planner::status`: how each database stands against its RPO.

use super::support::{at, daily, inventory, policy};
use mainstay_planner::status::{Verdict, status};
use std::fmt::Write as _;

const NOW: &str = "2026-11-21T03:00:00Z";

#[test]
fn status_says_how_old_the_newest_good_point_is_and_whether_that_was_promised() {
    let policy = policy(
        r#"
        fresh/daily "0 2 * * *" nas{daily=7} rpo=24h
        late/daily "0 2 * * *" nas{daily=7} rpo=24h-72h
        old/daily "0 2 * * *" nas{daily=7} vault{daily=7} rpo=24h
        free/daily "0 2 * * *" nas{daily=7}
        new/daily "0 2 * * *" nas{daily=7} rpo=24h
        unproved/daily "0 2 * * *" nas{daily=7} rpo=24h
        away/daily "0 2 * * *" shed{daily=7} rpo=24h"#,
    );
    let points = daily("fresh/daily", "2026-11-20", 2, "nas:f")
        + &daily("late/daily", "2026-11-19", 1, "nas:v")
        + &daily("old/daily", "2026-11-18", 1, "nas:v vault:d")
        + &daily("old/daily", "2026-11-21", 1, "nas:u vault:m")
        + &daily("free/daily", "2026-11-10", 1, "nas:v")
        + &daily("unproved/daily", "2026-11-21", 1, "nas:u")
        + &daily("away/daily", "2026-11-21", 1, "shed:v")
        + "unreachable shed";
    let all = status(&policy, &inventory(NOW, &points), at(NOW));
    let mut text = String::new();
    for one in &all {
        let _ = writeln!(text, "{}: {:?}: {}", one.database, one.verdict, one.why);
    }
    insta::assert_snapshot!(text);
    let failing: Vec<&str> = all
        .iter()
        .filter(|one| one.verdict.fails())
        .map(|one| one.database.as_str())
        .collect();
    assert_eq!(failing, ["away", "new", "old", "unproved"]);
    let old = all
        .iter()
        .find(|one| one.database.as_str() == "old")
        .unwrap();
    assert_eq!(old.verdict, Verdict::Violated);
    insta::assert_snapshot!("status_as_json", serde_json::to_string_pretty(old).unwrap());
}

#[test]
fn every_reason_code_is_documented() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats/plan.md");
    let page = std::fs::read_to_string(page).unwrap();
    for code in model::ReasonCode::ALL {
        assert!(
            page.contains(&format!("`{code}`")),
            "{code} is not in docs/formats/plan.md"
        );
    }
}
