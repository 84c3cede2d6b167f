//! Killed half-way, two at once, tiers that are full or away.

use super::{SHOP, audited, old, old_shop};
use crate::support::{Site, shop};
use std::fs;

fn with_files() -> Site {
    let site = Site::new(SHOP);
    let folder = old(&site);
    old_shop(&folder.join("shop-2023-01-01.db"), 10);
    old_shop(&folder.join("shop-2024-06-15.db"), 20);
    site
}

#[test]
fn killed_anywhere_it_is_completed_by_doing_it_again() {
    for place in [
        "after-lease",
        "after-intent",
        "after-data",
        "before-catalog",
        "after-catalog",
        "before-run-end",
    ] {
        let site = with_files();
        let arguments = [
            "catalog",
            "adopt",
            "shop",
            "old",
            "--parallel",
            "1",
            "--lease-wait",
            "60s",
        ];
        let killed = site
            .start(&arguments, &[("MAINSTAY_CRASH_AT", place)])
            .wait();
        assert!(killed.code != Some(0), "{place}: {killed}");
        // What is a point is whole.
        for point in site.known().recovery_points {
            if point.state == model::PointState::Complete {
                site.expect(0, &["verify", point.id.as_str(), "--level", "full-read"]);
            }
        }
        site.expect(0, &arguments);
        site.expect(0, &["catalog", "adopt", "shop", "old"])
            .says("2 recovery points already");
        let points = site.points();
        assert_eq!(points.len(), 2, "{place}");
        assert_eq!(audited(&site, "adoption").len(), 2, "{place}");
        site.expect(0, &["audit", "verify"]);
        for (point, entries) in points.iter().zip([10, 20]) {
            site.expect(
                0,
                &[
                    "restore",
                    "shop",
                    "--point",
                    point.as_str(),
                    "--to",
                    "back.db",
                ],
            );
            assert_eq!(
                shop::assert_true_state(&site.path().join("back.db")),
                entries
            );
            fs::remove_file(site.path().join("back.db")).unwrap();
        }
        site.apply();
        assert_eq!(site.points().len(), 3, "{place}");
    }
}

#[test]
fn two_at_once_adopt_each_file_once() {
    let site = with_files();
    let arguments = ["catalog", "adopt", "shop", "old", "--lease-wait", "60s"];
    let running = [site.start(&arguments, &[]), site.start(&arguments, &[])];
    for one in running {
        let ended = one.wait();
        assert_eq!(ended.code, Some(0), "{ended}");
    }
    assert_eq!(site.points().len(), 2);
    assert_eq!(audited(&site, "adoption").len(), 2);
}

#[test]
fn a_full_tier_or_one_that_is_away_takes_nothing_and_is_named() {
    let site = with_files();
    let policy = SHOP.replace("min-free = \"0%\"", "min-free = \"1000TiB\"");
    site.write_policy(&policy);
    // Of a tier that nobody has used nothing is known before.
    site.expect(1, &["catalog", "adopt", "shop", "old"])
        .says("not enough free space");
    assert_eq!(audited(&site, "adoption").len(), 0);
    site.write_policy(SHOP);
    site.apply();
    let mine = site.points();
    site.write_policy(&policy);
    site.expect(1, &["catalog", "adopt", "shop", "old"])
        .says("not enough free space");
    site.write_policy(SHOP);
    let complete = site.known().recovery_points.into_iter();
    let complete = complete.filter(|point| point.state == model::PointState::Complete);
    assert_eq!(complete.count(), mine.len());
    fs::rename(site.tier("disk"), site.tier("away")).unwrap();
    fs::rename(site.tier("nas"), site.tier("gone")).unwrap();
    for name in ["disk", "nas"] {
        fs::create_dir(site.tier(name)).unwrap();
    }
    site.expect(10, &["catalog", "adopt", "shop", "old"])
        .says("could not be observed");
    assert_eq!(site.points(), mine);
    // One is back: what it keeps goes there.
    fs::remove_dir(site.tier("disk")).unwrap();
    fs::rename(site.tier("away"), site.tier("disk")).unwrap();
    site.expect(0, &["catalog", "adopt", "shop", "old"])
        .says("Adopted 2 files");
    fs::remove_dir(site.tier("nas")).unwrap();
    fs::rename(site.tier("gone"), site.tier("nas")).unwrap();
    site.apply();
    for point in site.points() {
        assert!(site.copy(&point, "disk").is_some());
    }
    assert!(site.copy(&site.points()[0], "nas").is_some());
}

#[test]
fn a_damaged_file_does_not_keep_out_the_next_one_of_its_month() {
    let site = Site::new(&SHOP.replace("daily = 7, monthly = 12", "monthly = 12"));
    let folder = old(&site);
    for day in ["01", "02", "03"] {
        old_shop(&folder.join(format!("shop-2024-06-{day}.db")), 20);
    }
    for day in ["01", "02"] {
        let path = folder.join(format!("shop-2024-06-{day}.db"));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 5000]).unwrap();
    }
    let ended = site.expect(9, &["catalog", "adopt", "shop", "old"]);
    ended
        .says("In the place of what is damaged")
        .says("Adopted 1 file");
    let points = site.points();
    assert_eq!(points.len(), 1);
    assert_eq!(points[0].stamp(), "20240603T000000Z");
    assert_eq!(audited(&site, "adoption").len(), 1);
    insta::assert_snapshot!(
        "damaged_files",
        ended
            .stdout
            .replace(&site.path().display().to_string(), "<site>")
    );
}
