//! The fear: two of them at once – cron and a person, two machines, a plan that was read yesterday.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::fs;
use support::{SHOP_EVERY_SECOND, Site, laws, program::Running, shop, shop_once, stored};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// A site whose backup takes a moment.
fn slow() -> Site {
    let site = Site::new(&shop_once());
    fs::remove_file(site.shop()).unwrap();
    shop::create_large(&site.shop(), 60);
    site
}

/// Waits until a run writes to the first tier.
#[track_caller]
fn until_it_writes(site: &Site, run: &mut Running) {
    run.until("it writes", |_| {
        !stored::files(&site.tier("disk")).is_empty()
    });
}

#[test]
fn a_second_apply_ends_with_8_and_says_who_is_at_work() {
    let site = slow();
    let mut first = site.start(&APPLY, &[]);
    until_it_writes(&site, &mut first);
    let second = site.expect(8, &APPLY);
    second.says("another run is under way").says("process");
    let first = first.wait();
    assert_eq!(first.code, Some(0), "{first}");
    assert!(laws::assert_settled(&site).is_empty());
    site.apply().says("No changes");
}

#[test]
fn a_second_apply_that_waits_finds_everything_done() {
    let site = slow();
    let mut first = site.start(&APPLY, &[]);
    until_it_writes(&site, &mut first);
    let second = site.expect(0, &["apply", "--auto-approve", "--lease-wait", "100s"]);
    second.says("already done").never_says("failed");
    assert_eq!(first.wait().code, Some(0));
    assert!(laws::assert_settled(&site).is_empty());
    assert_eq!(site.points().len(), 1);
}

#[test]
fn of_ten_at_once_each_is_done_or_locked_out() {
    let site = Site::new(&shop_once());
    let started: Vec<_> = (0..10).map(|_| site.start(&APPLY, &[])).collect();
    let ended: Vec<_> = started.into_iter().map(Running::wait).collect();
    let codes: Vec<_> = ended.iter().map(|ended| ended.code.unwrap_or(-1)).collect();
    assert!(codes.contains(&0), "{codes:?}");
    for ended in &ended {
        assert!(matches!(ended.code, Some(0 | 8)), "{ended}");
    }
    assert!(laws::assert_settled(&site).is_empty());
    assert_eq!(site.points().len(), 1);
}

#[test]
fn of_ten_at_once_that_wait_all_succeed_and_one_point_is_made() {
    let site = Site::new(&shop_once());
    let wait = ["apply", "--auto-approve", "--lease-wait", "100s"];
    let started: Vec<_> = (0..10).map(|_| site.start(&wait, &[])).collect();
    for run in started {
        let ended = run.wait();
        assert_eq!(ended.code, Some(0), "{ended}");
    }
    assert!(laws::assert_settled(&site).is_empty());
    assert_eq!(site.points().len(), 1);
}

#[test]
fn two_installations_that_share_their_tiers_spoil_nothing() {
    for round in 0..10 {
        let site = Site::new(&shop_once());
        let states = ["one.db", "two.db"];
        let started: Vec<_> = states
            .iter()
            .map(|state| site.start(&["apply", "--auto-approve", "--state", state], &[]))
            .collect();
        let ended: Vec<_> = started.into_iter().map(Running::wait).collect();
        for tier in ["disk", "nas"] {
            for (folder, manifest) in stored::manifests(&site.tier(tier)).values() {
                assert_eq!(
                    stored::trouble(folder, manifest),
                    None,
                    "round {round}: half a point is visible on {tier}\n{}\n{}",
                    ended[0],
                    ended[1]
                );
            }
        }
        for state in states {
            let again = ["apply", "--auto-approve", "--refresh", "--state", state];
            site.run(&again);
        }
        for state in states {
            let again = ["apply", "--auto-approve", "--refresh", "--state", state];
            let last = site.run(&again);
            assert_eq!(
                last.code,
                Some(0),
                "round {round}\n{}\n{}\n{last}",
                ended[0],
                ended[1]
            );
            site.expect(0, &["plan", "--refresh-only", "--state", state]);
        }
        for tier in ["disk", "nas"] {
            assert_eq!(stored::whole(&site.tier(tier)).len(), 1, "round {round}");
            assert_eq!(stored::files(&site.tier(tier)).len(), 2, "round {round}");
        }
    }
}

#[test]
fn restores_verifications_and_holds_go_on_during_an_apply() {
    let site = slow();
    site.apply();
    let point = site.points().remove(0);
    site.next_second();
    let mut apply = site.start(&["backup", "shop", "--auto-approve"], &[]);
    let before = stored::files(&site.tier("disk")).len();
    apply.until("it writes", |_| {
        stored::files(&site.tier("disk")).len() > before
    });
    let others = [
        site.start(
            &[
                "restore",
                "shop",
                "--point",
                point.as_str(),
                "--to",
                "restored.db",
            ],
            &[],
        ),
        site.start(&["verify", point.as_str(), "--level", "checksum"], &[]),
        site.start(&["hold", "add", point.as_str(), "--why", "audit"], &[]),
        site.start(&["list"], &[]),
        site.start(&["status"], &[]),
    ];
    for other in others {
        let ended = other.wait();
        assert_eq!(ended.code, Some(0), "{ended}");
    }
    let ended = apply.wait();
    assert_eq!(ended.code, Some(0), "{ended}");
    shop::assert_true_state(&site.path().join("restored.db"));
    assert!(site.copy(&point, "disk").unwrap().held);
    assert!(laws::assert_settled(&site).is_empty());
}

#[test]
fn a_hold_that_came_after_the_plan_is_respected() {
    let site = Site::with_something_to_prune();
    let oldest = site.points().remove(0);
    site.expect(0, &["plan", "--out", "plan.json"])
        .says("prune");
    site.expect(0, &["hold", "add", oldest.as_str(), "--why", "lawsuit"]);
    let ended = site.run(&["apply", "plan.json"]);
    assert!(matches!(ended.code, Some(7 | 10)), "{ended}");
    ended.says(oldest.as_str());
    for tier in ["disk", "nas"] {
        assert!(stored::whole(&site.tier(tier)).contains(&oldest), "{ended}");
    }
    // Released, it goes.
    site.expect(0, &["hold", "release", oldest.as_str(), "--why", "settled"]);
    site.next_second();
    site.apply();
    assert!(!site.points().contains(&oldest));
}

#[test]
fn a_saved_plan_applied_twice_is_already_done() {
    let site = Site::with_something_to_prune();
    site.expect(0, &["plan", "--out", "plan.json"]);
    site.expect(0, &["apply", "plan.json"]);
    let after = laws::whole(&site);
    let again = site.expect(0, &["apply", "plan.json"]);
    again.says("already done").never_says(" done,");
    assert_eq!(laws::whole(&site), after);
    laws::assert_pruned(&after, 4);
    assert!(laws::assert_settled(&site).is_empty());
}

#[test]
fn two_that_carry_out_one_saved_plan_at_once_do_it_once() {
    let site = Site::with_something_to_prune();
    site.expect(0, &["plan", "--out", "plan.json"]);
    let arguments = ["apply", "plan.json", "--lease-wait", "100s"];
    let started = [site.start(&arguments, &[]), site.start(&arguments, &[])];
    for run in started {
        let ended = run.wait();
        assert_eq!(ended.code, Some(0), "{ended}");
    }
    laws::assert_pruned(&laws::whole(&site), 4);
    assert!(laws::assert_settled(&site).is_empty());
}

#[test]
fn a_saved_plan_in_which_a_byte_was_changed_is_refused() {
    let site = Site::with_something_to_prune();
    site.expect(0, &["plan", "--out", "plan.json"]);
    let plan = fs::read_to_string(site.path().join("plan.json")).unwrap();
    let before = laws::whole(&site);
    let edits = [
        ("\"destructive\":true", "\"destructive\":false"),
        ("\"tier\":\"nas\"", "\"tier\":\"disk\""),
        (
            "\"justified_by\":[\"",
            "\"justified_by\":[\"shop/often/20200101T000000Z\",\"",
        ),
        ("\"needs_approval\":false", "\"needs_approval\":true"),
        ("sha256:0", "sha256:1"),
        ("sha256:a", "sha256:b"),
        ("\"retries\":0", "\"retries\":1"),
    ];
    let mut tried = 0;
    for (from, to) in edits {
        if !plan.contains(from) {
            continue;
        }
        tried += 1;
        fs::write(site.path().join("edited.json"), plan.replacen(from, to, 1)).unwrap();
        let ended = site.run(&["apply", "edited.json"]);
        assert!(matches!(ended.code, Some(1 | 7)), "{from} → {to}\n{ended}");
        assert_eq!(laws::whole(&site), before, "{from} → {to}");
    }
    assert!(tried >= 5, "only {tried} edits fit the plan:\n{plan}");
    for cut in [0, 1, plan.len() / 2, plan.len() - 3] {
        fs::write(site.path().join("edited.json"), &plan[..cut]).unwrap();
        site.expect(1, &["apply", "edited.json"]);
    }
    assert_eq!(laws::whole(&site), before);
}

#[test]
fn a_saved_plan_of_another_policy_is_stale() {
    let site = Site::with_something_to_prune();
    site.expect(0, &["plan", "--out", "plan.json"]);
    let before = laws::whole(&site);
    site.write_policy(
        &SHOP_EVERY_SECOND.replace("keep.nas = { last = 4 }", "keep.nas = { last = 9 }"),
    );
    site.expect(7, &["apply", "plan.json"])
        .says("the policy has changed");
    assert_eq!(laws::whole(&site), before);
}

#[test]
fn a_saved_plan_stays_good_while_unrelated_points_arrive() {
    let site = Site::with_something_to_prune();
    site.expect(0, &["plan", "--out", "plan.json"]);
    site.next_second();
    site.expect(0, &["backup", "shop", "--auto-approve"]);
    site.expect(0, &["apply", "plan.json"]);
    assert!(laws::assert_settled(&site).is_empty());
}
