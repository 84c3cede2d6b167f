//! The fear: the machine dies in the middle of a backup. The program is killed (SIGKILL) at every named moment and at random
//! ones; after each, `apply` must converge at once: nothing lost, nothing doubled, nothing half-visible, nothing left over.
//!
//! Needs `--features crash-points` (or `--all-features`), without which no program can be told when to die.
#![cfg(feature = "crash-points")]

mod support;

use executor::crash_point::NAMES;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use support::{SHOP_EVERY_SECOND, Site, chance::Chance, laws, shop, shop_once, stored};

/// Points that the policy keeps on each tier.
const LAST: usize = 4;

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// A site with as many points as its policy keeps, so that every further run also prunes.
fn saturated() -> Site {
    let site = Site::new(SHOP_EVERY_SECOND);
    for _ in 0..LAST {
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
    let whole = laws::whole(site);
    laws::assert_exactly(&whole, LAST);
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

/// Kills runs at random moments, up to three in a row, with a writer at work; gives the number of kills.
fn kill_at_random(site: &Site, kills: u32) {
    let mut chance = Chance::seeded();
    let started = Instant::now();
    site.next_second();
    site.apply();
    let usual = (started.elapsed() - Duration::from_secs(1)).as_micros();
    let usual = u64::try_from(usual).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                shop::grow(&site.shop(), 1);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let stopper = Stopper(&stop);
        let mut killed = 0;
        while killed < kills {
            let before = laws::whole(site);
            for _ in 0..=chance.below(2) {
                let mut run = site.start(&APPLY, &[]);
                std::thread::sleep(Duration::from_micros(chance.below(usual + usual / 8)));
                if !run.has_ended() {
                    run.kill();
                    killed += 1;
                }
                run.wait();
                assert_nothing_half_visible(site);
            }
            assert_converges(site, &before);
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
    let site = saturated();
    for name in NAMES {
        let before = laws::whole(&site);
        shop::grow(&site.shop(), 3);
        site.next_second();
        let killed = site.start(&APPLY, &[("MAINSTAY_CRASH_AT", name)]).wait();
        assert_eq!(killed.signal, Some(9), "no apply passes `{name}`\n{killed}");
        assert_converges(&site, &before);
        laws::assert_rebuilds(&site);
    }
    assert_all_is_well(&site);
}

#[test]
fn one_apply_after_a_kill_there_is_nothing_left_to_do() {
    for name in NAMES
        .iter()
        .filter(|name| !name.contains("delete") && **name != "after-forget")
    {
        let site = Site::new(&shop_once());
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
    let site = saturated();
    kill_at_random(&site, 120);
    assert_all_is_well(&site);
}
