//! Incremental points: when a chain goes on, when it ends, and that no link is ever missing where a point is.

use super::support::{daily, ids, inventory, plan, policy, show};
use model::Action;
use std::fmt::Write as _;

const NOW: &str = "2026-11-21T03:00:00Z";

/// A full point on `first` and one more a day, each incremental to the one before.
fn chain(first: u32, days: u32, copies: &str) -> String {
    (first..first + days).fold(String::new(), |mut text, day| {
        let parent = if day == first {
            String::new()
        } else {
            format!(" parent=orders/base/202611{:02}T020000Z", day - 1)
        };
        let _ = writeln!(text, "orders/base/202611{day:02}T020000Z {copies}{parent}");
        text
    })
}

fn backup_of(policy_text: &str, inventory_text: &str) -> String {
    let plan = plan(&policy(policy_text), &inventory(NOW, inventory_text), NOW);
    let text = show(&plan);
    let line = text.lines().find(|line| line.starts_with("backup:"));
    line.unwrap_or("no backup").to_owned()
}

const SERIES: &str = r#"orders/base "0 2 * * *" nas{last=20} incremental full-every=7d"#;

#[test]
fn a_chain_goes_on_until_its_full_point_is_old_enough_slot_to_slot() {
    assert_eq!(
        backup_of(SERIES, &chain(15, 6, "nas:v")),
        "backup:orders/base/20261121T020000Z@nas onto orders/base/20261120T020000Z: slot-due: slot 2026-11-21T02:00:00Z is due; \
         incremental to orders/base/20261120T020000Z"
    );
    let full = backup_of(SERIES, &chain(14, 7, "nas:v"));
    assert!(!full.contains(" onto "), "{full}");
    assert!(
        full.ends_with("; a full one: the last full one is as old as `full-every`"),
        "{full}"
    );
    let first = backup_of(SERIES, "");
    assert!(
        first.ends_with("; a full one: the first of the series"),
        "{first}"
    );
}

#[test]
fn a_damaged_link_ends_the_chain_and_a_point_that_waits_for_its_proof_does_not() {
    let damaged = chain(15, 6, "nas:v").replace("17T020000Z nas:v", "17T020000Z nas:d");
    let full = backup_of(SERIES, &damaged);
    assert!(
        full.ends_with(
            "a full one: the chain is broken on nas: orders/base/20261117T020000Z is damaged"
        ),
        "{full}"
    );
    let lost = chain(15, 6, "nas:v").replace("orders/base/20261115T020000Z nas:v\n", "");
    let full = backup_of(SERIES, &lost);
    assert!(
        full.contains("orders/base/20261115T020000Z is not known any more"),
        "{full}"
    );
    let unproved = chain(15, 6, "nas:v").replace("20T020000Z nas:v", "20T020000Z nas:u");
    let on = backup_of(SERIES, &unproved);
    assert!(on.contains("onto orders/base/20261119T020000Z:"), "{on}");
}

#[test]
fn another_timeline_or_another_cluster_ends_the_chain() {
    let points = chain(15, 6, "nas:v wal=7:1:10-10");
    let policy = format!("{SERIES}\nwal orders nas=14d");
    let same = format!("{points}source orders 7:1 20 2026-11-21T02:59:00Z");
    assert!(backup_of(&policy, &same).contains(" onto "));
    let promoted = format!("{points}source orders 7:2 20 2026-11-21T02:59:00Z");
    let full = backup_of(&policy, &promoted);
    assert!(
        full.ends_with("a full one: the server went from timeline 1 to 2"),
        "{full}"
    );
    let other = format!("{points}source orders 8:1 20 2026-11-21T02:59:00Z");
    assert!(backup_of(&policy, &other).ends_with("a full one: the server is another cluster"));
}

#[test]
fn a_tier_that_gets_an_incremental_point_gets_its_whole_chain_before_it() {
    let policy = policy(
        r#"orders/base "0 2 * * *" nas{last=20} offsite{weekly=4 pick=last} incremental full-every=7d"#,
    );
    let inventory = inventory(NOW, &chain(18, 3, "nas:v"));
    let plan = plan(&policy, &inventory, NOW);
    assert_eq!(
        ids(&plan, Action::Upload),
        [
            "orders/base/20261118T020000Z@offsite",
            "orders/base/20261119T020000Z@offsite",
            "orders/base/20261120T020000Z@offsite",
            "orders/base/20261121T020000Z@offsite",
        ]
    );
    let last = plan
        .steps
        .iter()
        .rfind(|step| step.action == Action::Upload)
        .unwrap();
    for link in ["18", "19", "20"] {
        let proof = format!("verify:orders/base/202611{link}T020000Z@offsite");
        assert!(
            last.after.iter().any(|id| id.as_str() == proof),
            "{}",
            show(&plan)
        );
    }
}

#[test]
fn an_incremental_point_never_goes_where_a_link_of_its_chain_cannot() {
    let policy = policy(
        r#"orders/base "0 2 * * *" nas{last=20} offsite{daily=4} incremental full-every=7d"#,
    );
    // The middle link is damaged everywhere.
    let points = chain(18, 3, "nas:v").replace("19T020000Z nas:v", "19T020000Z nas:d");
    let inventory = inventory("2026-11-20T03:00:00Z", &points);
    let plan = plan(&policy, &inventory, "2026-11-20T03:00:00Z");
    assert_eq!(
        ids(&plan, Action::Upload),
        ["orders/base/20261118T020000Z@offsite"]
    );
    assert!(
        show(&plan).contains("upload orders/base/20261120T020000Z@offsite: chain-needed"),
        "{}",
        show(&plan)
    );
}

#[test]
fn the_chain_that_the_candidate_continues_is_not_pruned_under_it() {
    let policy = policy(r#"orders/base "0 2 * * *" nas{last=2} incremental full-every=30d"#);
    let inventory = inventory(NOW, &chain(15, 6, "nas:v"));
    let plan = plan(&policy, &inventory, NOW);
    assert_eq!(ids(&plan, Action::Prune), Vec::<String>::new());
    assert_eq!(ids(&plan, Action::Backup).len(), 1);
}

#[test]
fn a_series_of_full_points_is_planned_as_ever() {
    let policy = policy(r#"orders/base "0 2 * * *" nas{last=20}"#);
    let plan = plan(
        &policy,
        &inventory(NOW, &daily("orders/base", "2026-11-15", 6, "nas:v")),
        NOW,
    );
    assert!(plan.steps.iter().all(|step| step.parent.is_none()));
    assert!(!show(&plan).contains("a full one"));
}
