//! Locks against deletion: long enough to protect, never so long that they are in the way of retention.

use super::support::{apply_to, at, capable, daily, ids, inventory, plan_on, policy, show};
use jiff::{SignedDuration, Timestamp};
use mainstay_planner::Options;
use model::{Action, DatabaseName, Inventory, Plan, ReasonCode};
use policy_schema::Policy;

const NOW: &str = "2026-11-21T03:00:00Z";

fn plan(policy: &Policy, inventory: &Inventory, can: &str, now: &str) -> Plan {
    plan_on(policy, inventory, &capable(can), now, &Options::default())
}

fn locks(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .filter_map(|step| {
            let until = step.lock?.until;
            Some(format!(
                "{} {}@{} {until}",
                step.action,
                step.recovery_point.stamp(),
                step.tier
            ))
        })
        .collect()
}

#[test]
fn copies_are_locked_when_they_are_made_for_the_declared_time_by_the_calendar() {
    let policy = policy(
        r#"
        zone Europe/Prague
        orders/daily "0 2 * * *" nas{daily=3} vault{daily=3}"#,
    );
    let points =
        daily("orders/daily", "2026-11-20", 1, "nas:v vault:d").replace("T020000Z", "T010000Z");
    let plan = plan(&policy, &inventory(NOW, &points), "vault lock=1mo", NOW);
    insta::assert_snapshot!(show(&plan));
}

#[test]
fn each_rule_vouches_for_its_own_time_and_the_latest_counts() {
    let until = |keep: &str| {
        let policy = policy(&format!(r#"orders/daily "0 2 * * *" vault{{{keep}}}"#));
        let points = daily("orders/daily", "2026-11-19", 3, "vault:v");
        locks(&plan(
            &policy,
            &inventory(NOW, &points),
            "vault lock=retention",
            NOW,
        ))
    };
    // The day D + 7 displaces the point of the day D.
    assert_eq!(
        until("daily=7"),
        [
            "lock 20261119T020000Z@vault 2026-11-26T00:00:00Z",
            "lock 20261120T020000Z@vault 2026-11-27T00:00:00Z",
            "lock 20261121T020000Z@vault 2026-11-28T00:00:00Z",
        ]
    );
    assert_eq!(
        until("last=3"),
        [
            "lock 20261120T020000Z@vault 2026-11-23T02:00:00Z",
            "lock 20261121T020000Z@vault 2026-11-24T02:00:00Z",
        ],
        "the first has less than a day to go"
    );
    assert_eq!(
        until("within=10d")[0],
        "lock 20261119T020000Z@vault 2026-11-29T02:00:00Z"
    );
    // 2026-11-19 is a Thursday; its week is over on Monday, 23rd, and displaced by the second one after it.
    assert_eq!(
        until("weekly=2"),
        [
            "lock 20261119T020000Z@vault 2026-11-30T00:00:00Z",
            "lock 20261121T020000Z@vault 2026-11-22T02:00:00Z",
        ],
        "the newest stays until the next one comes"
    );
    assert_eq!(
        until("daily=7 monthly=2")[0],
        "lock 20261119T020000Z@vault 2027-01-01T00:00:00Z"
    );
    assert_eq!(
        until("monthly=all")[0],
        "lock 20261119T020000Z@vault 2027-11-21T03:00:00Z"
    );
    assert_eq!(until("forever").len(), 3);
    // A newer point of the day may still take the place of the newest.
    assert_eq!(
        until("daily=7 pick=last"),
        [
            "lock 20261119T020000Z@vault 2026-11-26T00:00:00Z",
            "lock 20261120T020000Z@vault 2026-11-27T00:00:00Z",
            "lock 20261121T020000Z@vault 2026-11-22T02:00:00Z",
        ]
    );
}

#[test]
fn a_rare_schedule_keeps_and_locks_its_points_for_longer() {
    let policy = policy(r#"orders/daily "0 2 1 * *" vault{daily=3}"#);
    let plan = plan(
        &policy,
        &inventory(NOW, "orders/daily/20261101T020000Z vault:v"),
        "vault lock=retention",
        NOW,
    );
    assert_eq!(
        locks(&plan),
        ["lock 20261101T020000Z@vault 2027-02-01T00:00:00Z"]
    );
}

#[test]
fn a_lock_is_extended_only_when_a_day_or_a_twentieth_is_gained() {
    let policy = policy(r#"orders/daily "0 2 * * *" vault{forever}"#);
    let with = |locked: &str| {
        let points = format!("orders/daily/20261121T020000Z vault:vL{locked}");
        let plan = plan(
            &policy,
            &inventory(NOW, &points),
            "vault lock=retention",
            NOW,
        );
        locks(&plan).len()
    };
    assert_eq!(with("2027-11-21T03:00:00Z"), 0);
    assert_eq!(with("2027-11-10T03:00:00Z"), 0);
    assert_eq!(with("2027-10-20T03:00:00Z"), 1);
    assert_eq!(with("2028-11-21T03:00:00Z"), 0, "a lock is never shortened");
}

#[test]
fn an_unverified_copy_is_locked_after_it_was_proved() {
    let policy = policy(r#"orders/daily "0 2 * * *" vault{daily=7}"#);
    let points = "orders/daily/20261121T020000Z vault:u";
    let plan = plan(&policy, &inventory(NOW, points), "vault lock=30d", NOW);
    insta::assert_snapshot!(show(&plan));
}

#[test]
fn nothing_is_locked_while_the_clock_looks_wrong() {
    let policy = policy(r#"orders/daily "0 2 * * *" vault{daily=7}"#);
    let points = daily("orders/daily", "2026-11-19", 3, "vault:v");
    let ahead = "2046-11-21T03:00:00Z";
    let plan = plan(
        &policy,
        &inventory(ahead, &points),
        "vault lock=retention",
        ahead,
    );
    assert!(locks(&plan).is_empty(), "{}", show(&plan));
    assert_eq!(ids(&plan, Action::Backup).len(), 1);
    assert!(
        plan.not_planned
            .iter()
            .any(|wait| wait.what.starts_with("lock ")
                && wait.reason.code == ReasonCode::ClockSuspect)
    );
}

#[test]
fn locked_copies_do_not_trip_the_breaker_and_a_purge_spares_them() {
    let text = daily(
        "orders/daily",
        "2026-11-01",
        21,
        "vault:vL2027-01-01T00:00:00Z",
    );
    let few = policy(r#"orders/daily "0 2 * * *" vault{last=2}"#);
    let plan = plan_on(
        &few,
        &inventory(NOW, &text),
        &capable("vault lock=retention"),
        NOW,
        &Options::default(),
    );
    assert!(
        !plan.applyable && plan.approval.is_empty(),
        "{}",
        show(&plan)
    );
    assert_eq!(plan.not_planned.len(), 19);
    let other = policy("erp/daily \"0 2 * * *\" vault{last=2}");
    let options = Options {
        purge: vec![(DatabaseName::new("orders").unwrap(), None)],
        ..Options::default()
    };
    let can = capable("vault lock=retention");
    let plan = plan_on(&other, &inventory(NOW, &text), &can, NOW, &options);
    assert!(ids(&plan, Action::Prune).is_empty(), "{}", show(&plan));
    assert!(
        plan.not_planned
            .iter()
            .all(|wait| wait.reason.code == ReasonCode::Locked)
    );
}

/// Plans applied for `days`; each prune that a lock held up, and each kept copy without a lock.
fn applied_for(days: i64, every_hours: i64, rules: &str) -> (Vec<String>, usize, usize, usize) {
    let policy = policy(rules);
    let can = capable("vault lock=retention\nglacier lock=retention thaw=bulk,12h");
    let mut now = at("2025-11-20T12:10:00Z");
    let mut inventory = inventory(&now.to_string(), "");
    let (mut blocked, mut unlocked, mut kept, mut steps) = (Vec::new(), 0, 0, 0);
    for _ in 0..days * 24 / every_hours {
        for _ in 0..4 {
            let plan = plan_on(
                &policy,
                &inventory,
                &can,
                &now.to_string(),
                &Options::default(),
            );
            let waits = plan
                .not_planned
                .iter()
                .filter(|wait| wait.reason.code == ReasonCode::Locked);
            blocked.extend(waits.map(|wait| format!("{now} {}: {}", wait.what, wait.reason.text)));
            steps += ids(&plan, Action::Lock).len();
            if !plan.applyable {
                break;
            }
            apply_to(&mut inventory, &plan);
        }
        let copies = inventory
            .recovery_points
            .iter()
            .flat_map(|point| &point.copies)
            .filter(|copy| copy.tier.as_str() != "nas");
        for copy in copies {
            kept += 1;
            unlocked += usize::from(
                copy.locked_until
                    .is_none_or(|until: Timestamp| until <= now),
            );
        }
        now += SignedDuration::from_hours(every_hours);
    }
    (blocked, unlocked, kept, steps)
}

#[test]
fn no_lock_of_retention_ever_holds_up_a_prune_and_what_is_kept_is_locked() {
    for (every, least_locked, rules) in [
        (
            24,
            95,
            r#"orders/daily "0 2 * * *" vault{daily=7 weekly=4 monthly=3}"#,
        ),
        (
            24,
            95,
            r#"orders/daily "0 2 * * *" nas{last=2} vault{daily=3 yearly=1} glacier{monthly=5}"#,
        ),
        (6, 95, r#"orders/hourly "0 */6 * * *" vault{last=9}"#),
        (
            24,
            95,
            r#"orders/weekly "0 3 * * 0" vault{daily=3 within=40d quarterly=2}"#,
        ),
        (
            24,
            80,
            r#"orders/daily "0 2 * * *" vault{daily=4 weekly=3 model=additive}"#,
        ),
        (
            24,
            80,
            r#"orders/daily "30 2 * * *" vault{daily=4 weekly=3 monthly=2 pick=last}"#,
        ),
        (
            24,
            70,
            r#"orders/daily "30 2 * * *" vault{within-daily=9d weekly=3 pick=last model=additive}"#,
        ),
        (
            24,
            80,
            r#"orders/daily "0 13 * * *" vault{daily=4 weekly=3 pick=last}"#,
        ),
    ] {
        let (blocked, unlocked, kept, steps) =
            applied_for(400, every, &format!("zone Europe/Prague\n{rules}"));
        assert!(
            blocked.is_empty(),
            "{rules}: {}",
            blocked[..blocked.len().min(5)].join("\n")
        );
        let locked = 100 - unlocked * 100 / kept;
        assert!(locked >= least_locked, "{rules}: only {locked} %");
        assert!(
            steps <= kept / 3,
            "{rules}: {steps} extensions for {kept} copies and days"
        );
    }
}
