//! `planner::status`: how each database stands against its RPO.

use super::support::{at, daily, inventory, policy};
use mainstay_planner::status::{LogStatus, LogTier, LogWindow, Verdict, status};
use model::TierName;
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
fn an_archived_log_counts_instead_of_the_age_of_its_base_and_never_hides_what_is_unknown() {
    let policy = policy(
        r#"
        a/daily "0 2 * * *" nas{daily=7} rpo=1m-5m
        unproved/daily "0 2 * * *" nas{daily=7} rpo=1m-5m"#,
    );
    let points = daily("a/daily", "2026-11-20", 1, "nas:v")
        + &daily("unproved/daily", "2026-11-20", 1, "nas:u");
    let now = at(NOW);
    let all = status(&policy, &inventory(NOW, &points), now);
    assert_eq!(
        (all[0].verdict, all[1].verdict),
        (Verdict::Violated, Verdict::Unproved)
    );
    let log = |lag: Option<i64>, ago: i64, reaches_end: bool, trouble: Option<&str>| LogStatus {
        server_trouble: trouble.map(str::to_owned),
        tiers: [(
            TierName::new("nas").unwrap(),
            LogTier {
                lag_bytes: lag.map(|seconds| u64::from(seconds > 0)),
                lag_seconds: lag,
                newest_commit: Some(now - jiff::SignedDuration::from_secs(ago)),
                reaches_end,
                windows: vec![LogWindow {
                    from: now,
                    to: None,
                    to_position: model::Lsn(7),
                }],
            },
        )]
        .into(),
    };
    let away = Some("nobody answers");
    let mut text = String::new();
    for (title, log) in [
        ("nothing is missing", log(Some(0), 900, true, None)),
        ("within the target", log(Some(60), 900, true, None)),
        ("within the maximum", log(Some(61), 900, true, None)),
        ("over the maximum", log(Some(301), 900, true, None)),
        (
            "a hole keeps it from being used",
            log(Some(0), 0, false, None),
        ),
        ("nobody knows for how long", log(None, 900, true, None)),
        (
            "the server is away, the log young",
            log(None, 50, true, away),
        ),
        (
            "the server is away, the log old",
            log(None, 301, true, away),
        ),
    ] {
        let mut judged = all[0].clone();
        judged.judge_log(log.clone(), now);
        let _ = writeln!(text, "{title}: {:?}: {}", judged.verdict, judged.why);
        assert_eq!(judged.log.as_ref(), Some(&log));
        // However much log there is: without a verified base nothing is proved.
        let mut unproved = all[1].clone();
        unproved.judge_log(log, now);
        assert_eq!(unproved.verdict, Verdict::Unproved);
    }
    insta::assert_snapshot!(text);
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
