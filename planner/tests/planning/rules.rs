//! Each rule by example: a few lines of policy and inventory, and the plan as a person reads it.

use super::support::{
    apply_to, at, daily, ids, inventory, keep, plan, plan_with, policy, show, show_kept,
};
use mainstay_planner::Options;
use model::{Action, ByteCount, DatabaseName, ReasonCode, SeriesName, TierName, tier_facts::Space};

const NOW: &str = "2026-11-21T03:00:00Z";

const TWO_TIERS: &str = r#"
    orders/daily "0 2 * * *" nas{daily=7 weekly=4} archive{monthly=12} verify=full-read
"#;

fn database(name: &str) -> DatabaseName {
    DatabaseName::new(name).unwrap()
}

#[test]
fn a_new_series_is_backed_up_verified_and_copied() {
    let plan = plan(&policy(TWO_TIERS), &inventory(NOW, ""), NOW);
    insta::assert_snapshot!(show(&plan));
    assert_eq!(plan.next_slots[0].at, at("2026-11-22T02:00:00Z"));
}

#[test]
fn a_satisfied_series_is_left_alone_and_says_what_it_keeps() {
    let points = daily("orders/daily", "2026-11-14", 8, "nas:f archive:f");
    let policy = policy(
        r#"orders/daily "0 2 * * *" nas{daily=8 weekly=2} archive{within=8d} verify=full-read"#,
    );
    let plan = plan(&policy, &inventory(NOW, &points), NOW);
    assert_eq!(show(&plan), "nothing");
    assert!(!plan.applyable);
    insta::assert_snapshot!(show_kept(&plan));
}

#[test]
fn only_the_newest_of_several_missed_slots_is_made_up() {
    let points = daily("orders/daily", "2026-11-15", 3, "nas:f archive:f");
    insta::assert_snapshot!(show(&plan(
        &policy(TWO_TIERS),
        &inventory(NOW, &points),
        NOW
    )));
}

#[test]
fn before_the_first_backup_of_its_own_a_series_has_missed_nothing() {
    let policy = policy(TWO_TIERS);
    let adopted = daily("orders/daily", "2024-11-15", 3, "nas:f archive:f adopted");
    let first = plan(&policy, &inventory(NOW, &adopted), NOW);
    assert_eq!(first.missed, []);
    assert!(
        show(&first).contains("slot 2026-11-21T02:00:00Z is due"),
        "{}",
        show(&first)
    );
    let own = daily("orders/daily", "2026-11-10", 1, "nas:f archive:f");
    let both = inventory(NOW, &format!("{adopted}\n{own}"));
    assert_eq!(plan(&policy, &both, NOW).missed[0].count, 10);
    // One that was adopted since then makes none of them undone.
    let newer = daily("orders/daily", "2026-11-15", 1, "nas:f archive:f adopted");
    let mixed = inventory(NOW, &format!("{own}\n{newer}"));
    assert_eq!(plan(&policy, &mixed, NOW).missed[0].count, 5);
}

#[test]
fn a_slot_whose_window_has_passed_is_missed() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7} start-within=30m"#);
    let points = daily("orders/daily", "2026-11-18", 2, "nas:v");
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, &points), NOW)));
}

#[test]
fn a_backup_that_was_asked_for_is_made_even_if_no_rule_wants_it() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7} archive{monthly=12}"#);
    let points = daily("orders/daily", "2026-11-01", 21, "nas:v archive:v");
    let options = Options {
        requested: vec![(database("orders"), None)],
        ..Options::default()
    };
    let plan = plan_with(
        &policy,
        &inventory(NOW, &points),
        "2026-11-21T03:00:00.5Z",
        &options,
    );
    assert_eq!(
        ids(&plan, Action::Backup),
        ["orders/daily/20261121T030000Z@nas"]
    );
    assert_eq!(plan.steps[0].reason.code, ReasonCode::Requested);
    assert!(ids(&plan, Action::Upload).is_empty(), "{}", show(&plan));
}

#[test]
fn a_manual_point_satisfies_the_slot_before_it() {
    let points = "orders/daily/20261120T020000Z nas:f\norders/daily/20261121T023000Z nas:f";
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7} verify=full-read"#);
    assert_eq!(
        show(&plan(&policy, &inventory(NOW, points), NOW)),
        "nothing"
    );
}

#[test]
fn additive_rules_do_not_count_what_a_finer_rule_keeps() {
    let points = daily("orders/daily", "2026-11-01", 21, "nas:v");
    let kept = |model: &str| {
        let policy = policy(&format!(
            r#"orders/daily "0 2 * * *" nas{{daily=3 weekly=2 pick=last {model}}}"#
        ));
        let lines: Vec<String> = show_kept(&plan(&policy, &inventory(NOW, &points), NOW))
            .lines()
            .map(|line| {
                line.replace("orders/daily/202611", "")
                    .replace("T020000Z@nas", "")
            })
            .collect();
        lines
    };
    assert_eq!(
        kept("model=overlap"),
        [
            "15: weekly 2 of 2",
            "19: daily 3 of 3",
            "20: daily 2 of 3",
            "21: daily 1 of 3, weekly 1 of 2"
        ]
    );
    assert_eq!(
        kept("model=additive"),
        [
            "08: weekly 2 of 2",
            "15: weekly 1 of 2",
            "19: daily 3 of 3",
            "20: daily 2 of 3",
            "21: daily 1 of 3"
        ]
    );
}

#[test]
fn what_ages_out_is_pruned_with_the_points_that_justify_it() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=3}"#);
    let points = daily("orders/daily", "2026-11-17", 5, "nas:v");
    let plan = plan(&policy, &inventory(NOW, &points), NOW);
    insta::assert_snapshot!(show(&plan));
    assert!(!plan.needs_approval);
    assert_eq!(plan.steps[0].retention, Some(keep("daily=3")));
    assert_eq!(plan.steps[0].min_verified, Some(1));
}

#[test]
fn a_point_that_is_not_there_yet_displaces_nothing() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{last=1}"#);
    let points = daily("orders/daily", "2026-11-20", 1, "nas:v");
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, &points), NOW)));
}

#[test]
fn a_prune_waits_for_the_copy_that_another_tier_wants() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{last=2} archive{daily=30}"#);
    let points = "
        orders/daily/20261119T020000Z nas:v
        orders/daily/20261120T020000Z nas:v archive:v
        orders/daily/20261121T020000Z nas:v archive:v";
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, points), NOW)));
}

#[test]
fn damaged_and_lost_copies_are_repaired_from_a_proved_one() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7} vault{daily=7}"#);
    let points = "
        orders/daily/20261119T020000Z nas:d vault:u
        orders/daily/20261120T020000Z nas:m vault:d
        orders/daily/20261121T020000Z nas:v vault:m";
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, points), NOW)));
}

#[test]
fn a_slot_whose_only_point_was_lost_is_made_again_under_a_new_id() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7}"#);
    let points = "orders/daily/20261121T020000Z nas:m";
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, points), NOW)));
}

#[test]
fn prune_waits_when_a_tier_is_unreachable() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=2} archive{monthly=12 weekly=9}"#);
    let points = daily("orders/daily", "2026-11-14", 6, "nas:v") + "unreachable archive";
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, &points), NOW)));
}

#[test]
fn a_backup_goes_to_the_next_tier_while_the_first_is_unreachable() {
    let policy =
        policy(r#"orders/daily "0 2 * * *" nas{daily=2} archive{monthly=12} verify=restore"#);
    let points = daily("orders/daily", "2026-11-01", 20, "nas:v archive:v") + "unreachable nas";
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, &points), NOW)));
}

#[test]
fn held_locked_and_needed_points_stay() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=2}"#);
    let points = "
        orders/daily/20261115T020000Z nas:v
        orders/daily/20261116T020000Z nas:vh
        orders/daily/20261117T020000Z nas:vL2027-01-01T00:00:00Z
        orders/daily/20261118T020000Z nas:v
        orders/daily/20261119T020000Z nas:v
        orders/daily/20261120T020000Z nas:v parent=orders/daily/20261118T020000Z
        orders/daily/20261121T020000Z nas:v parent=orders/daily/20261120T020000Z";
    let plan = plan(&policy, &inventory(NOW, points), NOW);
    insta::assert_snapshot!(show(&plan) + &show_kept(&plan));
}

#[test]
fn retention_keeps_base_of_a_kept_incremental_also_on_the_tier_it_is_copied_to() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7} archive{last=1}"#);
    let points = "
        orders/daily/20261120T020000Z nas:v
        orders/daily/20261121T020000Z nas:v parent=orders/daily/20261120T020000Z";
    let plan = plan(&policy, &inventory(NOW, points), NOW);
    assert_eq!(
        ids(&plan, Action::Upload),
        [
            "orders/daily/20261120T020000Z@archive",
            "orders/daily/20261121T020000Z@archive"
        ]
    );
}

#[test]
fn min_verified_points_remain_whatever_the_rules_say() {
    let policy = policy("min-verified 3\n orders/daily \"0 2 * * *\" nas{last=1}");
    let points = daily("orders/daily", "2026-11-16", 6, "nas:v");
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, &points), NOW)));
}

#[test]
fn shortened_retention_needs_approval_and_routine_pruning_does_not() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=3}"#);
    let mut inventory = inventory(NOW, &daily("orders/daily", "2026-11-16", 6, "nas:v"));
    inventory
        .retention_in_force
        .entry(database("orders"))
        .or_default()
        .entry(SeriesName::new("daily").unwrap())
        .or_default()
        .insert(TierName::new("nas").unwrap(), keep("daily=5"));
    let plan = plan(&policy, &inventory, NOW);
    insta::assert_snapshot!(show(&plan));
}

#[test]
fn a_shortened_rule_is_not_in_force_before_it_was_approved() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=3} archive{monthly=1}"#);
    let points = daily("orders/daily", "2026-11-01", 1, "nas:v archive:v")
        + &daily("orders/daily", "2026-11-16", 6, "nas:v")
        + "unreachable archive";
    let mut inventory = inventory(NOW, &points);
    let in_force = |keep| [(TierName::new("nas").unwrap(), keep)].into();
    inventory.retention_in_force = [(
        database("orders"),
        [(SeriesName::new("daily").unwrap(), in_force(keep("daily=5")))].into(),
    )]
    .into();
    // Nothing can be deleted now; carrying this plan out must not make the next one routine.
    let waiting = plan(&policy, &inventory, NOW);
    assert!(!waiting.applyable);
    apply_to(&mut inventory, &waiting);
    inventory.unreachable_tiers.clear();
    let next = plan(&policy, &inventory, NOW);
    assert_eq!(next.approval[0].code, ReasonCode::RetentionShortened);
    let routine = next.steps.iter().find(|step| !step.needs_approval);
    assert!(routine.is_none() || routine.unwrap().retention == Some(keep("daily=5")));
    apply_to(&mut inventory, &next);
    let after = plan(&policy, &inventory, NOW);
    assert!(
        !after.applyable && !after.needs_approval,
        "{}",
        show(&after)
    );
}

#[test]
fn the_parent_of_a_locked_point_waits_with_it() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=1}"#);
    let points = "
        orders/daily/20261118T020000Z nas:v
        orders/daily/20261119T020000Z nas:v parent=orders/daily/20261118T020000Z
        orders/daily/20261120T020000Z nas:vL2027-01-01T00:00:00Z parent=orders/daily/20261119T020000Z
        orders/daily/20261121T020000Z nas:v";
    let plan = plan(&policy, &inventory(NOW, points), NOW);
    assert!(!plan.applyable, "{}", show(&plan));
    let codes: Vec<ReasonCode> = plan
        .not_planned
        .iter()
        .map(|wait| wait.reason.code)
        .collect();
    assert_eq!(
        codes,
        [
            ReasonCode::Locked,
            ReasonCode::ChainNeeded,
            ReasonCode::ChainNeeded
        ]
    );
}

#[test]
fn a_chain_that_ages_out_goes_children_first() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{last=3}"#);
    let points = "
        orders/daily/20261117T020000Z nas:v
        orders/daily/20261118T020000Z nas:v parent=orders/daily/20261117T020000Z
        orders/daily/20261119T020000Z nas:v
        orders/daily/20261120T020000Z nas:v
        orders/daily/20261121T020000Z nas:v";
    let plan = plan(&policy, &inventory(NOW, points), NOW);
    let order: Vec<&str> = plan
        .steps
        .iter()
        .map(|step| step.recovery_point.stamp())
        .collect();
    assert_eq!(order, ["20261118T020000Z", "20261117T020000Z"]);
}

#[test]
fn more_deletions_than_the_breaker_allows_need_approval() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=3}"#);
    let points = daily("orders/daily", "2026-11-14", 8, "nas:v");
    let plan = plan(&policy, &inventory(NOW, &points), NOW);
    assert!(plan.steps.iter().all(|step| step.needs_approval));
    assert_eq!(
        plan.approval[0].text,
        "5 of 8 points (62 %) of orders/daily on nas would be deleted at once; at most 25 points and 50 % go without approval"
    );
}

#[test]
fn orphans_are_shown_and_nothing_of_them_is_deleted() {
    let policy = policy("tier nas\n orders/daily \"0 2 * * *\" archive{daily=7}");
    let points = daily("gone/daily", "2026-11-01", 3, "nas:v shed:v")
        + &daily("orders/weekly", "2026-11-01", 1, "nas:v")
        + &daily("orders/daily", "2026-11-21", 1, "nas:v archive:v");
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, &points), NOW)));
}

#[test]
fn a_purge_deletes_orphans_with_approval_and_spares_what_is_held() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7}"#);
    let points = daily("gone/daily", "2026-11-01", 2, "nas:v")
        + &daily("gone/daily", "2026-11-03", 1, "nas:vh")
        + &daily("orders/daily", "2026-11-21", 1, "nas:v");
    let options = Options {
        purge: vec![(database("gone"), None), (database("orders"), None)],
        ..Options::default()
    };
    let plan = plan_with(&policy, &inventory(NOW, &points), NOW, &options);
    insta::assert_snapshot!(show(&plan));
}

#[test]
fn incomplete_points_are_shown_and_never_counted() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7}"#);
    let points = "
        orders/daily/20261120T020000Z nas:v
        orders/daily/20261121T020000Z incomplete";
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, points), NOW)));
}

#[test]
fn a_point_found_on_a_tier_is_adopted_and_satisfies_its_slot() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7}"#);
    let points = "orders/daily/20261121T020000Z nas:x";
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, points), NOW)));
}

#[test]
fn the_newest_point_is_verified_again_when_the_policy_asks_for_more() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7} vault{daily=7} verify=restore"#);
    let points = daily("orders/daily", "2026-11-20", 2, "nas:f vault:f");
    insta::assert_snapshot!(show(&plan(&policy, &inventory(NOW, &points), NOW)));
}

#[test]
fn a_full_tier_is_passed_over() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7} vault{daily=7}"#);
    let mut inventory = inventory(
        NOW,
        &daily("orders/daily", "2026-11-20", 1, "nas:v vault:v"),
    );
    inventory.space.insert(
        TierName::new("nas").unwrap(),
        Space {
            free: ByteCount(1000),
            total: ByteCount(1 << 30),
        },
    );
    insta::assert_snapshot!(show(&plan(&policy, &inventory, NOW)));
}

#[test]
fn a_backup_that_was_asked_for_counts_the_slots_it_does_not_make_up() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7}"#);
    let points = daily("orders/daily", "2026-11-18", 1, "nas:v");
    let options = Options {
        requested: vec![(database("orders"), Some(SeriesName::new("daily").unwrap()))],
        ..Options::default()
    };
    let plan = plan_with(&policy, &inventory(NOW, &points), NOW, &options);
    assert_eq!(
        (plan.missed[0].count, plan.missed[0].last),
        (2, at("2026-11-20T02:00:00Z"))
    );
}

#[test]
fn what_was_done_already_is_recognised_before_anything_else_is_asked() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{last=1} archive{monthly=2}"#);
    let points = daily("orders/daily", "2026-11-19", 2, "nas:v archive:d");
    let plan = plan(&policy, &inventory(NOW, &points), NOW);
    let of = |action| {
        plan.steps
            .iter()
            .find(|step| step.action == action)
            .unwrap()
    };
    insta::assert_json_snapshot!([of(Action::Repair), of(Action::Backup), of(Action::Prune)]);
}
