//! The fear: the machine dies in the middle of a backup. The program is killed (SIGKILL) at every named moment and at random
//! ones; after each, `apply` must converge at once: nothing lost, nothing doubled, nothing half-visible, nothing left over.
//!
//! Needs `--features crash-points` (or `--all-features`), without which no program can be told when to die.
#![cfg(feature = "crash-points")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use executor::crash_point::NAMES;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use support::{SHOP_EVERY_SECOND, Site, bank::Bank, chance::Chance, laws, shop, shop_once, stored};

/// Points that the policy keeps on each tier.
const LAST: usize = 4;

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// Moments that only a run with keys passes.
const WITH_KEYS: [&str; 2] = ["before-keys", "after-keys"];

/// The policy with everything encrypted.
fn encrypted(policy: &str) -> String {
    let policy = policy.replace(
        "path = \"shop.db\"",
        "path = \"shop.db\"\nencrypt-with = [\"prod\"]",
    );
    format!("{policy}\n[key.prod]\nkind = \"local\"\npath = \"keys/prod.key\"\n")
}

/// A site with this policy and, if it names one, a key.
fn site_of(policy: &str) -> Site {
    let site = Site::new(policy);
    if policy.contains("[key.prod]") {
        site.expect(0, &["key", "generate", "prod"]);
    }
    site
}

/// A site with as many points as its policy keeps, so that every further run also prunes.
fn saturated(policy: &str) -> Site {
    let site = site_of(policy);
    for _ in 0..=LAST {
        site.apply();
        site.next_second();
    }
    site
}

/// What may be seen at any moment, also while nothing has been cleaned up yet.
#[track_caller]
fn assert_nothing_half_visible(site: &Site) {
    for tier in ["disk", "nas"] {
        for (folder, manifest) in stored::manifests(&site.tier(tier)).values() {
            assert_eq!(
                stored::trouble(folder, manifest),
                None,
                "half-visible on {tier}"
            );
        }
    }
}

/// Apply again: it ends well at once, although the lease of the dead run has not run out, and leaves everything in order.
#[track_caller]
fn assert_converges(site: &Site, before: &laws::Whole) {
    assert_nothing_half_visible(site);
    let started = Instant::now();
    let ended = site.apply();
    assert!(
        started.elapsed() < executor::TIME_TO_LIVE.unsigned_abs(),
        "it waited for the lease of a dead process"
    );
    laws::assert_nothing_lost(before, &laws::whole(site), LAST);
    let unverified = laws::assert_settled(site);
    // Planned before the clean-up, this run could not know of what that recorded.
    for point in unverified {
        ended.says(&format!("recorded the copy of `{point}`"));
    }
}

/// After all that, an undisturbed run keeps exactly what the policy says, and every point is a state that existed.
#[track_caller]
fn assert_all_is_well(site: &Site) {
    site.next_second();
    site.apply();
    assert!(laws::assert_settled(site).is_empty());
    laws::assert_rebuilds(site);
    for tier in ["disk", "nas"] {
        let leased = stored::is_leased(&site.tier(tier));
        assert!(!leased, "the lease of {tier} was not given back");
    }
    let whole = laws::whole(site);
    laws::assert_pruned(&whole, LAST);
    for (tier, points) in &whole {
        for point in points.iter().filter(|point| point.database() == "shop") {
            let target = site
                .path()
                .join(format!("restored-{tier}-{}.db", point.stamp()));
            site.expect(
                0,
                &[
                    "restore",
                    "shop",
                    "--point",
                    point.as_str(),
                    "--from",
                    tier,
                    "--to",
                    &target.display().to_string(),
                ],
            );
            shop::assert_true_state(&target);
        }
    }
}

/// Kills runs at random moments, up to four in a row, while somebody writes to the sources.
fn kill_at_random(site: &Site, kills: u32, write: impl Fn(u32) + Sync, check: impl Fn()) {
    let mut chance = Chance::seeded();
    site.next_second();
    let started = Instant::now();
    site.apply();
    let usual = u64::try_from(started.elapsed().as_micros()).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                write(n);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let stopper = Stopper(&stop);
        let mut killed = 0;
        while killed < kills {
            let before = laws::whole(site);
            for _ in 0..=chance.below(4) {
                let mut run = site.start(&APPLY, &[]);
                let moment = Duration::from_micros(chance.below(usual + usual / 8));
                let started = Instant::now();
                // The run that was timed may have been a slow one: no waiting for one that has ended.
                while started.elapsed() < moment && !run.has_ended() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                if !run.has_ended() {
                    run.kill();
                    killed += 1;
                }
                run.wait();
                assert_nothing_half_visible(site);
            }
            assert_converges(site, &before);
            check();
        }
        drop(stopper);
    });
}

/// Ends the writer also when a check fails.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_run_killed_at_any_named_moment_is_finished_by_the_next() {
    let bank = Bank::start();
    let site = saturated(&bank.policy());
    for name in NAMES.iter().filter(|name| !WITH_KEYS.contains(name)) {
        let before = laws::whole(&site);
        shop::grow(&site.shop(), 3);
        bank.grow();
        site.next_second();
        let killed = site.start(&APPLY, &[("MAINSTAY_CRASH_AT", name)]).wait();
        assert_eq!(killed.signal, Some(9), "no apply passes `{name}`\n{killed}");
        assert_converges(&site, &before);
        laws::assert_rebuilds(&site);
        bank.assert_nothing_left(&site);
    }
    assert_all_is_well(&site);
    bank.assert_restores(&site);
}

#[test]
fn an_encrypted_run_killed_at_any_named_moment_is_finished_by_the_next() {
    let site = saturated(&encrypted(SHOP_EVERY_SECOND));
    for name in NAMES {
        let before = laws::whole(&site);
        shop::grow(&site.shop(), 3);
        site.next_second();
        let killed = site.start(&APPLY, &[("MAINSTAY_CRASH_AT", name)]).wait();
        assert_eq!(killed.signal, Some(9), "no apply passes `{name}`\n{killed}");
        assert_converges(&site, &before);
        laws::assert_rebuilds(&site);
    }
    // Opens every copy: a key ring that does not fit its data would be found here.
    assert_all_is_well(&site);
}

#[test]
fn a_deletion_that_died_twice_half_way_is_ended_by_the_next() {
    let site = saturated(SHOP_EVERY_SECOND);
    for first in ["after-delete-manifest", "after-delete-data"] {
        for second in ["after-delete-manifest", "after-delete-data"] {
            let before = laws::whole(&site);
            shop::grow(&site.shop(), 1);
            site.next_second();
            for name in [first, second] {
                let killed = site.start(&APPLY, &[("MAINSTAY_CRASH_AT", name)]).wait();
                assert_eq!(killed.signal, Some(9), "no apply passes `{name}`\n{killed}");
            }
            assert_converges(&site, &before);
        }
    }
    assert_all_is_well(&site);
}

#[test]
fn one_apply_after_a_kill_there_is_nothing_left_to_do() {
    let prunes = [
        "before-delete",
        "after-delete-manifest",
        "after-delete-data",
        "after-forget",
    ];
    for name in NAMES.iter().filter(|name| !prunes.contains(name)) {
        let site = site_of(&encrypted(&shop_once()));
        let killed = site.start(&APPLY, &[("MAINSTAY_CRASH_AT", name)]).wait();
        assert_eq!(killed.signal, Some(9), "no apply passes `{name}`\n{killed}");
        assert_nothing_half_visible(&site);
        site.apply();
        assert!(laws::assert_settled(&site).is_empty(), "{name}");
        laws::assert_rebuilds(&site);
        assert_eq!(site.points().len(), 1, "{name}");
        site.apply().says("No changes");
    }
}

#[test]
fn runs_killed_at_random_moments_lose_and_double_nothing() {
    let site = saturated(SHOP_EVERY_SECOND);
    kill_at_random(&site, 125, |_| shop::grow(&site.shop(), 1), || {});
    assert_all_is_well(&site);
}

#[test]
fn runs_on_a_real_server_killed_at_random_moments_leave_nothing_behind() {
    let bank = Bank::start();
    let site = saturated(&bank.policy());
    let write = |n: u32| {
        shop::grow(&site.shop(), 1);
        if n.is_multiple_of(8) {
            bank.grow();
        }
    };
    kill_at_random(&site, 45, write, || bank.assert_nothing_left(&site));
    assert_all_is_well(&site);
    bank.assert_restores(&site);
}

#[test]
fn a_repair_killed_half_way_is_finished_by_the_next() {
    let site = Site::new(&shop_once());
    site.apply();
    let point = site.points().remove(0);
    for name in [
        "after-intent",
        "after-delete-manifest",
        "mid-upload",
        "before-manifest",
        "after-manifest",
        "before-catalog",
        "after-catalog",
    ] {
        let data = stored::data(&site.tier("nas"), &point);
        std::fs::OpenOptions::new()
            .write(true)
            .open(&data)
            .unwrap()
            .set_len(100)
            .unwrap();
        let repair = ["apply", "--auto-approve", "--refresh"];
        let killed = site.start(&repair, &[("MAINSTAY_CRASH_AT", name)]).wait();
        assert_eq!(
            killed.signal,
            Some(9),
            "no repair passes `{name}`\n{killed}"
        );
        site.expect(0, &repair);
        assert!(laws::assert_settled(&site).is_empty(), "{name}");
        laws::assert_rebuilds(&site);
    }
}

#[test]
fn a_killed_restore_leaves_the_target_whole_or_absent_and_nothing_beside_it() {
    let bank = Bank::start();
    let site = Site::new(&bank.policy());
    site.apply();
    let mut chance = Chance::seeded();
    for round in 0..12 {
        let (database, target) = if round % 2 == 0 {
            ("shop", format!("restored{round}.db"))
        } else {
            ("bank", format!("bank_{round}"))
        };
        let mut restore = site.start(&["restore", database, "--to", &target], &[]);
        std::thread::sleep(Duration::from_millis(chance.below(300)));
        if !restore.has_ended() {
            restore.kill();
        }
        restore.wait();
        let file = site.path().join(&target);
        if database == "shop" && file.exists() {
            shop::assert_true_state(&file);
        } else if database == "bank" && bank.databases().contains(&target) {
            assert_eq!(bank.psql(&target, "SELECT count(*) FROM entries"), "3000");
        } else {
            let again = site.run(&["restore", database, "--to", &target]);
            // The server finishes the last rename of a client that died after asking for it.
            if again.code != Some(0) {
                again.says("mainstay::restore::target-exists");
                assert_eq!(bank.psql(&target, "SELECT count(*) FROM entries"), "3000");
            }
        }
    }
    site.next_second();
    site.apply();
    bank.assert_nothing_left(&site);
    let left: Vec<_> = std::fs::read_dir(site.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with('.') && name != ".mainstay" || name.contains("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    laws::assert_settled(&site);
}
