//! The fear: the NAS is not mounted. Its folder is gone, or empty, or another disk is in its place – before the plan, between
//! plan and apply, or in the middle of a backup. Unknown is never "empty".

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::fs;
use support::{SHOP_EVERY_SECOND, Site, laws, shop, shop_once, stored};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// What stands where the tier was.
#[derive(Debug, Clone, Copy)]
enum Instead {
    Nothing,
    EmptyFolder,
    OtherTier,
}

const ALL: [Instead; 3] = [Instead::Nothing, Instead::EmptyFolder, Instead::OtherTier];

/// Takes a tier away.
fn unmount(site: &Site, tier: &str, instead: Instead) {
    fs::rename(site.tier(tier), site.path().join("away")).unwrap();
    match instead {
        Instead::Nothing => {}
        Instead::EmptyFolder => fs::create_dir(site.tier(tier)).unwrap(),
        Instead::OtherTier => {
            fs::create_dir(site.tier(tier)).unwrap();
            fs::write(
                site.tier(tier).join(".mainstay-tier.json"),
                r#"{"format": "mainstay.tier.v1", "identity": "somebody-else"}"#,
            )
            .unwrap();
        }
    }
}

/// Puts it back; what was put in its place must be as it was.
#[track_caller]
fn mount(site: &Site, tier: &str, instead: Instead) {
    if !matches!(instead, Instead::Nothing) {
        assert!(
            stored::files(&site.tier(tier)).is_empty(),
            "something was written where {tier} should be"
        );
        if matches!(instead, Instead::OtherTier) {
            fs::remove_file(site.tier(tier).join(".mainstay-tier.json")).unwrap();
        }
        let left: Vec<_> = fs::read_dir(site.tier(tier)).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        fs::remove_dir(site.tier(tier)).unwrap();
    }
    assert!(
        !site.tier(tier).exists(),
        "a folder was made where {tier} should be"
    );
    fs::rename(site.path().join("away"), site.tier(tier)).unwrap();
}

#[test]
fn while_a_tier_is_away_nothing_is_written_in_its_place_and_nothing_is_pruned_elsewhere() {
    let template = Site::with_something_to_prune();
    for instead in ALL {
        for (away, there) in [("disk", "nas"), ("nas", "disk")] {
            let site = Site::like(&template);
            let before = laws::whole(&site);
            unmount(&site, away, instead);
            for _ in 0..2 {
                site.next_second();
                let ended = site.expect(10, &APPLY);
                ended.says(away).says("could not be observed");
                ended.never_says("Apply failed");
            }
            // The tier that is left got the due points, and lost nothing.
            let now = stored::whole(&site.tier(there));
            assert!(now.is_superset(&before[there]), "{instead:?}");
            assert_eq!(now.len(), before[there].len() + 2, "{instead:?} {away}");
            // What is known of the tier that is away stays known.
            let known = site.known();
            for point in &before[away] {
                let point = known
                    .recovery_points
                    .iter()
                    .find(|it| it.id == *point)
                    .unwrap();
                let copy = point.copies.iter().find(|copy| copy.tier.as_str() == away);
                assert!(copy.unwrap().is_present(), "{instead:?}");
            }
            mount(&site, away, instead);
            site.next_second();
            site.apply();
            assert!(laws::assert_settled(&site).is_empty());
            laws::assert_nothing_lost(&before, &laws::whole(&site), 4);
            laws::assert_pruned(&laws::whole(&site), 4);
        }
    }
}

#[test]
fn a_refresh_does_not_take_an_unmounted_tier_for_an_empty_one() {
    for instead in ALL {
        let site = Site::new(&shop_once());
        site.apply();
        let before = laws::whole(&site);
        unmount(&site, "nas", instead);
        let observed = site.observed();
        assert_eq!(observed.unreachable_tiers.len(), 1, "{instead:?}");
        assert!(
            observed.recovery_points[0]
                .copies
                .iter()
                .all(model::Copy::is_present),
            "{instead:?}"
        );
        site.expect(10, &["apply", "--auto-approve", "--refresh"]);
        let ended = site.run(&["verify"]);
        assert_ne!(
            ended.code,
            Some(0),
            "a copy that cannot be read was called good\n{ended}"
        );
        site.expect(0, &["restore", "shop", "--to", "restored.db"]);
        shop::assert_true_state(&site.path().join("restored.db"));
        let rebuilt = site.run(&["catalog", "rebuild"]);
        assert_ne!(
            rebuilt.code,
            Some(0),
            "a rebuild without one tier is not whole\n{rebuilt}"
        );
        mount(&site, "nas", instead);
        site.expect(0, &["apply", "--auto-approve", "--refresh"]);
        assert_eq!(laws::whole(&site), before);
        assert!(laws::assert_settled(&site).is_empty());
        site.apply().says("No changes");
    }
}

#[test]
fn a_copy_that_cannot_be_reached_is_never_called_bad() {
    for instead in ALL {
        let site = Site::with_something_to_prune();
        unmount(&site, "nas", instead);
        let ended = site.expect(9, &["verify", "shop"]);
        ended.says("good").says("unread").says("nas");
        assert!(!ended.stdout.contains("BAD"), "{}", ended.stdout);
        let ended = site.expect(9, &["verify", "shop", "--json"]);
        let judged: Vec<(bool, bool)> = ended
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .map(|report: serde_json::Value| {
                let flag = |name: &str| report[name].as_bool().unwrap();
                (flag("passed"), flag("judged"))
            })
            .collect();
        assert_eq!(judged, [(true, true), (false, false)]);
        mount(&site, "nas", instead);
    }
}

#[test]
fn a_tier_lost_between_plan_and_apply_fails_its_steps_alone() {
    let template = Site::with_something_to_prune();
    for instead in ALL {
        for (away, code) in [("nas", 9), ("disk", 1)] {
            let site = Site::like(&template);
            let before = laws::whole(&site);
            site.expect(0, &["plan", "--out", "plan.json"]);
            unmount(&site, away, instead);
            let ended = site.run(&["apply", "plan.json"]);
            assert!(
                matches!(ended.code, Some(1 | 9)),
                "{instead:?}: expected {code} or the like\n{ended}"
            );
            ended.says(away);
            mount(&site, away, instead);
            site.next_second();
            site.apply();
            laws::assert_nothing_lost(&before, &laws::whole(&site), 4);
            assert!(laws::assert_settled(&site).is_empty());
        }
    }
}

#[test]
fn a_due_backup_that_no_tier_can_take_is_no_success() {
    let site = Site::new(&shop_once());
    site.apply();
    fs::rename(site.path().join("tiers"), site.path().join("gone")).unwrap();
    // A second series comes due while both tiers are away.
    site.write_policy(&SHOP_EVERY_SECOND.replace("often", "daily"));
    site.expect(10, &APPLY).says("nowhere to put it");
    site.expect(6, &["status"]);
    fs::rename(site.path().join("gone"), site.path().join("tiers")).unwrap();
    site.apply();
    assert!(laws::assert_settled(&site).is_empty());
}

#[test]
fn a_tier_lost_in_the_middle_of_a_backup_shows_no_half_point() {
    for instead in ALL {
        for tier in ["disk", "nas"] {
            let site = Site::new(&shop_once());
            site.apply();
            fs::remove_file(site.shop()).unwrap();
            shop::create_large(&site.shop(), 60);
            let before = stored::files(&site.tier(tier)).len();
            site.next_second();
            let mut run = site.start(&["backup", "shop", "--auto-approve"], &[]);
            run.until("it writes", |_| {
                stored::files(&site.tier(tier)).len() > before
            });
            unmount(&site, tier, instead);
            let ended = run.wait();
            // The last rename may just have been made; then the run may be whole.
            if ended.code == Some(0) {
                assert_eq!(tier, "nas", "{ended}");
            } else {
                assert!(matches!(ended.code, Some(1 | 9)), "{ended}");
                ended.says(tier);
            }
            let away = site.path().join("away");
            for (folder, manifest) in stored::manifests(&away).values() {
                assert_eq!(stored::trouble(folder, manifest), None);
            }
            mount(&site, tier, instead);
            site.next_second();
            site.expect(0, &["backup", "shop", "--auto-approve"]);
            site.expect(0, &["apply", "--auto-approve", "--refresh"]);
            assert!(laws::assert_settled(&site).is_empty());
        }
    }
}
