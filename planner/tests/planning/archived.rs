//! Archives that must be thawed before they are read, and data that is encrypted: what is planned, and what never is.

use super::support::{apply_to, capable, daily, ids, inventory, plan_on, policy, show};
use mainstay_planner::Options;
use model::{Action, Inventory, Plan, ReasonCode};
use policy_schema::Policy;

const NOW: &str = "2026-11-21T03:00:00Z";

const POLICY: &str = r#"
    orders/daily "0 2 * * *" nas{daily=7} glacier{daily=5} verify=full-read encrypt=prod,offline
"#;

fn plan(policy: &Policy, inventory: &Inventory) -> Plan {
    let can = capable("glacier thaw=bulk,12h");
    plan_on(policy, inventory, &can, NOW, &Options::default())
}

#[test]
fn a_new_point_is_encrypted_for_every_key_and_only_attested_in_an_archive() {
    insta::assert_snapshot!(show(&plan(&policy(POLICY), &inventory(NOW, ""))));
}

#[test]
fn an_attested_copy_in_an_archive_is_good_and_is_not_looked_at_again() {
    let points = daily("orders/daily", "2026-11-17", 5, "nas:f glacier:a");
    let mut inventory = inventory(NOW, &points);
    assert_eq!(show(&plan(&policy(POLICY), &inventory)), "nothing");
    // Also where no copy is left that could be read at once, and nobody wants one.
    for point in &mut inventory.recovery_points {
        point.copies.retain(|copy| copy.tier.as_str() == "glacier");
    }
    let only = policy(r#"orders/daily "0 2 * * *" glacier{daily=5} verify=restore"#);
    assert_eq!(show(&plan(&only, &inventory)), "nothing");
}

#[test]
fn an_archive_justifies_deletions_with_attested_points() {
    let points = daily("orders/daily", "2026-11-15", 7, "nas:f glacier:a");
    let plan = plan(&policy(POLICY), &inventory(NOW, &points));
    assert_eq!(
        ids(&plan, Action::Prune),
        [
            "orders/daily/20261115T020000Z@glacier",
            "orders/daily/20261116T020000Z@glacier"
        ]
    );
}

#[test]
fn a_copy_that_is_only_archived_is_thawed_before_it_repairs_another_and_a_later_plan_is_the_same() {
    let points = daily("orders/daily", "2026-11-17", 5, "nas:f glacier:a").replace(
        "20261119T020000Z nas:f glacier:a",
        "20261119T020000Z nas:d glacier:u",
    );
    let policy = policy(POLICY);
    let mut inventory = inventory(NOW, &points);
    let first = plan(&policy, &inventory);
    insta::assert_snapshot!(show(&first));
    // The archive is at work: what could be done is done, the rest was skipped.
    let mut begun = first.clone();
    begun
        .steps
        .retain(|step| step.id.as_str().starts_with("verify:") && step.tier.as_str() == "glacier");
    apply_to(&mut inventory, &begun);
    let again = plan(&policy, &inventory);
    let left: Vec<_> = first
        .steps
        .iter()
        .filter(|step| !begun.steps.contains(step))
        .map(|step| &step.id)
        .collect();
    assert_eq!(
        again.steps.iter().map(|step| &step.id).collect::<Vec<_>>(),
        left
    );
    // It is readable now.
    apply_to(&mut inventory, &again);
    assert_eq!(show(&plan(&policy, &inventory)), "nothing");
}

#[test]
fn a_thaw_is_ordered_once_however_many_read_the_copy() {
    let three = policy(r#"orders/daily "0 2 * * *" nas{last=1} disk{last=1} glacier{last=1}"#);
    let points = "orders/daily/20261121T020000Z nas:m disk:d glacier:a";
    let plan = plan(&three, &inventory(NOW, points));
    assert_eq!(ids(&plan, Action::Thaw).len(), 1);
    let repairs: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Repair)
        .collect();
    assert_eq!(repairs.len(), 2);
    assert!(
        repairs
            .iter()
            .all(|step| { step.after[0].as_str() == "thaw:orders/daily/20261121T020000Z@glacier" })
    );
}

#[test]
fn an_archived_copy_is_never_read_while_another_one_can_be_even_an_unverified_one() {
    let three = policy(r#"orders/daily "0 2 * * *" nas{last=1} glacier{last=1} disk{last=1}"#);
    let points = "orders/daily/20261121T020000Z nas:m disk:u glacier:a";
    let plan = plan(&three, &inventory(NOW, points));
    assert!(ids(&plan, Action::Thaw).is_empty(), "{}", show(&plan));
    let repair = plan
        .steps
        .iter()
        .find(|step| step.action == Action::Repair)
        .unwrap();
    assert_eq!(repair.from.as_ref().unwrap().as_str(), "disk");
}

#[test]
fn a_point_is_made_where_it_can_be_read_and_archived_from_there() {
    let archive_first = policy(r#"orders/daily "0 2 * * *" glacier{daily=5} nas{daily=7}"#);
    let both = plan(&archive_first, &inventory(NOW, ""));
    assert_eq!(
        ids(&both, Action::Backup),
        ["orders/daily/20261121T020000Z@nas"]
    );
    assert_eq!(
        ids(&both, Action::Upload),
        ["orders/daily/20261121T020000Z@glacier"]
    );
    // With the NAS away the archive takes it directly; nothing is lost by waiting for nobody.
    let away = plan(&archive_first, &inventory(NOW, "unreachable nas"));
    assert_eq!(
        ids(&away, Action::Backup),
        ["orders/daily/20261121T020000Z@glacier"]
    );
}

#[test]
fn a_link_of_a_live_chain_is_never_archived_and_nothing_of_it_is_deleted_meanwhile() {
    let chains = policy(r#"orders/daily "0 2 * * *" nas{last=2} glacier{daily=9}"#);
    let points = "
        orders/daily/20261118T020000Z nas:v glacier:a
        orders/daily/20261119T020000Z nas:v
        orders/daily/20261120T020000Z nas:v parent=orders/daily/20261119T020000Z
        orders/daily/20261121T020000Z nas:v";
    let plan = plan(&chains, &inventory(NOW, points));
    insta::assert_snapshot!(show(&plan));
    assert!(
        plan.not_planned
            .iter()
            .any(|wait| wait.reason.code == ReasonCode::ChainNeeded)
    );
}
