//! How other tools deleted what they should have kept; one test for each way.

use super::support::{apply_to, at, daily, ids, inventory, keep, plan, policy, show};
use jiff::tz::TimeZone;
use mainstay_planner::retention::{Occupy, Point, evaluate};
use model::{Action, ReasonCode};

const NOW: &str = "2026-11-21T03:00:00Z";

#[test]
fn a_renamed_series_deletes_nothing_of_the_old_one() {
    let policy = policy(r#"orders/nightly "0 2 * * *" nas{daily=7}"#);
    let points = daily("orders/daily", "2026-11-01", 20, "nas:v");
    let mut inventory = inventory(NOW, &points);
    let first = plan(&policy, &inventory, NOW);
    assert!(ids(&first, Action::Prune).is_empty());
    assert_eq!(first.not_planned[0].reason.code, ReasonCode::Orphaned);
    apply_to(&mut inventory, &first);
    assert!(!plan(&policy, &inventory, NOW).applyable);
}

#[test]
fn broken_newest_points_delete_no_older_good_ones() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=3}"#);
    let good = daily("orders/daily", "2026-11-13", 4, "nas:v");
    for broken in ["nas:d", "nas:m", "nas:u", "incomplete"] {
        let points = good.clone() + &daily("orders/daily", "2026-11-17", 4, broken);
        let plan = plan(&policy, &inventory(NOW, &points), "2026-11-20T03:00:00Z");
        let pruned = ids(&plan, Action::Prune);
        // Three good points stay: these two and the one that is made first.
        for good in ["20261115", "20261116"] {
            assert!(
                !pruned.iter().any(|id| id.contains(good)),
                "{broken}: {pruned:?}"
            );
        }
        for prune in plan.steps.iter().filter(|step| step.destructive) {
            assert!(
                prune
                    .justified_by
                    .iter()
                    .all(|id| id.as_str() < "orders/daily/20261117"),
                "{broken}: {}",
                show(&plan)
            );
        }
    }
}

#[test]
fn a_month_without_backups_deletes_no_history() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{within=30d} start-within=15m"#);
    let points = daily("orders/daily", "2026-09-20", 30, "nas:v");
    // The window of tonight's slot has passed, so nothing is made, and nothing old expires.
    let waiting = plan(&policy, &inventory(NOW, &points), NOW);
    assert!(!waiting.applyable, "{}", show(&waiting));
    // The first backup after the outage moves the window past all of them: that waits for a person.
    let mut inventory = inventory(NOW, &points);
    let made = plan(&policy, &inventory, "2026-11-21T02:05:00Z");
    assert_eq!(ids(&made, Action::Backup).len(), 1);
    assert!(ids(&made, Action::Prune).is_empty(), "{}", show(&made));
    apply_to(&mut inventory, &made);
    let recovered = plan(&policy, &inventory, "2026-11-21T02:05:00Z");
    assert!(!ids(&recovered, Action::Prune).is_empty());
    assert!(
        recovered
            .steps
            .iter()
            .all(|step| step.needs_approval == step.destructive)
    );
    assert_eq!(recovered.approval[0].code, ReasonCode::BreakerTripped);
}

#[test]
fn a_clock_that_went_back_deletes_nothing_and_says_so() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=2}"#);
    let points = daily("orders/daily", "2026-11-16", 6, "nas:v");
    let plan = plan(&policy, &inventory(NOW, &points), "2026-11-20T12:00:00Z");
    insta::assert_snapshot!(show(&plan));
}

#[test]
fn a_clock_far_ahead_deletes_nothing_until_a_backup_confirms_it() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=4}"#);
    let mut inventory = inventory(NOW, &daily("orders/daily", "2026-11-16", 6, "nas:v"));
    let later = "2027-03-01T12:00:00Z";
    let first = plan(&policy, &inventory, later);
    insta::assert_snapshot!(show(&first));
    // If the outage was real, this backup is the proof, and routine goes on (three of seven: no breaker).
    apply_to(&mut inventory, &first);
    let second = plan(&policy, &inventory, later);
    assert_eq!(ids(&second, Action::Prune).len(), 3, "{}", show(&second));
}

#[test]
fn a_yearly_series_is_not_mistaken_for_a_wrong_clock() {
    let policy = policy(r#"ledger/yearly "0 2 1 1 *" nas{yearly=2}"#);
    let points = "
        ledger/yearly/20240101T020000Z nas:v
        ledger/yearly/20250101T020000Z nas:v
        ledger/yearly/20260101T020000Z nas:v";
    let plan = plan(&policy, &inventory(NOW, points), NOW);
    assert_eq!(
        ids(&plan, Action::Prune),
        ["ledger/yearly/20240101T020000Z@nas"]
    );
}

#[test]
fn a_point_from_the_future_does_not_silence_the_schedule() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7}"#);
    let points = "
        orders/daily/20261120T020000Z nas:v
        orders/daily/20300101T020000Z nas:v";
    let plan = plan(&policy, &inventory(NOW, points), NOW);
    assert_eq!(
        ids(&plan, Action::Backup),
        ["orders/daily/20261121T020000Z@nas"]
    );
}

/// Ten points within ten minutes of one night.
fn minute_by_minute(copies: &str) -> String {
    let lines: Vec<String> = (10..20)
        .map(|minute| format!("orders/daily/20261121T02{minute}00Z {copies}\n"))
        .collect();
    lines.concat()
}

#[test]
fn newer_junk_points_trip_the_breaker() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{last=7}"#);
    // Somebody with write access left points that even verify, minutes apart.
    let junk = minute_by_minute("nas:v");
    let points = daily("orders/daily", "2026-11-13", 9, "nas:v") + &junk;
    let plan = plan(&policy, &inventory(NOW, &points), NOW);
    assert_eq!(plan.approval[0].code, ReasonCode::BreakerTripped);
    assert!(plan.steps.iter().all(|step| step.needs_approval));
}

#[test]
fn newer_unverified_junk_displaces_nothing() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{last=3}"#);
    let junk = minute_by_minute("nas:u");
    let points = daily("orders/daily", "2026-11-19", 3, "nas:v") + &junk;
    let plan = plan(&policy, &inventory(NOW, &points), NOW);
    assert!(ids(&plan, Action::Prune).is_empty(), "{}", show(&plan));
}

#[test]
fn week_one_and_month_one_do_not_meet() {
    let points: Vec<Point> = ["2025-12-30", "2026-01-02", "2026-01-12", "2026-02-03"]
        .iter()
        .map(|date| Point {
            at: at(&format!("{date}T02:00:00Z")),
            held: false,
            verified: true,
        })
        .collect();
    // 2025-12-30 is in ISO week 1 of 2026, and in month 12 of 2025.
    let words: Vec<Vec<String>> = evaluate(
        &keep("weekly=9 monthly=9"),
        &points,
        &TimeZone::UTC,
        Occupy::Verified,
    )
    .iter()
    .map(|verdict| verdict.reasons.iter().map(ToString::to_string).collect())
    .collect();
    assert_eq!(
        words,
        [
            vec!["weekly 3 of 9", "monthly 3 of 9"],
            vec!["monthly 2 of 9"],
            vec!["weekly 2 of 9"],
            vec!["weekly 1 of 9", "monthly 1 of 9"],
        ]
    );
}

#[test]
fn series_of_one_database_and_databases_are_never_compared() {
    let policy = policy(
        r#"
        orders/daily "0 2 * * *" nas{last=1}
        orders/weekly "0 2 * * 0" nas{last=1}
        erp/daily "0 2 * * *" nas{last=1}"#,
    );
    let points = daily("orders/daily", "2026-11-21", 1, "nas:v")
        + &daily("orders/weekly", "2026-11-15", 1, "nas:v")
        + &daily("erp/daily", "2026-11-21", 1, "nas:v");
    assert_eq!(
        show(&plan(&policy, &inventory(NOW, &points), NOW)),
        "nothing"
    );
}

#[test]
fn a_tier_taken_out_of_a_series_loses_nothing() {
    let policy = policy("tier nas\n orders/daily \"0 2 * * *\" vault{daily=2}");
    let points = daily("orders/daily", "2026-11-12", 10, "nas:v vault:v");
    let plan = plan(&policy, &inventory(NOW, &points), NOW);
    assert!(
        ids(&plan, Action::Prune)
            .iter()
            .all(|id| id.ends_with("@vault"))
    );
    assert!(
        plan.not_planned
            .iter()
            .any(|wait| wait.reason.code == ReasonCode::Orphaned && wait.what.contains("@nas"))
    );
}

#[test]
fn a_point_that_only_claims_a_slot_does_not_silence_it() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7}"#);
    let mut inventory = inventory(NOW, "orders/daily/20261121T020000Z nas:v");
    inventory.recovery_points[0].captured_at = at("2026-11-18T02:00:00Z");
    let plan = plan(&policy, &inventory, NOW);
    assert_eq!(
        ids(&plan, Action::Backup),
        ["orders/daily/20261121T030000Z@nas"]
    );
}
