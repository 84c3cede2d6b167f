//! The fear: the disk runs full in the middle of a backup. A real small file system stands for each disk.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::fs;
use support::{SHOP_EVERY_SECOND, Site, laws, mount::SmallDisk, shop, shop_once, stored};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// A site whose shop holds five megabytes that cannot be compressed.
fn large(policy: &str) -> Site {
    let site = Site::new(policy);
    fs::remove_file(site.shop()).unwrap();
    shop::create_large(&site.shop(), 5);
    site
}

/// Nothing at all is on a tier: no data, no manifest, no temporary file.
#[track_caller]
fn assert_nothing_there(site: &Site, tier: &str) {
    let files = stored::files(&site.tier(tier));
    assert!(files.is_empty(), "left on {tier}: {files:?}");
}

#[test]
fn a_full_primary_is_a_clear_error_and_leaves_nothing() {
    let site = large(&shop_once());
    let disk = SmallDisk::mount(&site.tier("disk"), 2048);
    let ended = site.run(&APPLY);
    assert_eq!(ended.code, Some(1), "{ended}");
    ended.says("free space").says("make room");
    let json = site.run(&["apply", "--auto-approve", "--json"]);
    json.says("mainstay::tier::full");
    assert_nothing_there(&site, "disk");
    assert_nothing_there(&site, "nas");
    assert!(
        site.points().is_empty(),
        "a point is listed that is nowhere"
    );

    disk.resize(16 * 1024);
    site.apply();
    assert!(laws::assert_settled(&site).is_empty());
    assert_eq!(site.points().len(), 1);
    site.apply().says("No changes");
}

#[test]
fn a_full_second_tier_leaves_the_first_copy_good_and_is_caught_up_later() {
    let site = large(&shop_once());
    let nas = SmallDisk::mount(&site.tier("nas"), 2048);
    let ended = site.expect(9, &APPLY);
    ended.says("free space");
    assert_nothing_there(&site, "nas");
    assert_eq!(stored::whole(&site.tier("disk")).len(), 1);
    site.expect(0, &["restore", "shop", "--to", "restored.db"]);
    shop::assert_true_state(&site.path().join("restored.db"));
    // The room is known to be too little now: it is waited for, and not called a success.
    let ended = site.expect(10, &APPLY);
    ended.says("nas");
    assert_nothing_there(&site, "nas");

    nas.resize(16 * 1024);
    site.apply();
    assert!(laws::assert_settled(&site).is_empty());
    assert_eq!(stored::whole(&site.tier("nas")).len(), 1);
}

#[test]
fn a_disk_that_fills_up_prunes_nothing_that_is_still_needed() {
    let site = large(SHOP_EVERY_SECOND);
    // Room for three points of five megabytes; four are to be kept.
    let disk = SmallDisk::mount(&site.tier("disk"), 18 * 1024);
    let mut full = 0;
    for _ in 0..6 {
        let before = laws::whole(&site);
        let ended = site.run(&APPLY);
        assert!(matches!(ended.code, Some(0 | 1 | 9 | 10)), "{ended}");
        full += usize::from(ended.code != Some(0));
        laws::assert_nothing_lost(&before, &laws::whole(&site), 4);
        for tier in ["disk", "nas"] {
            for (folder, manifest) in stored::manifests(&site.tier(tier)).values() {
                assert_eq!(stored::trouble(folder, manifest), None);
            }
        }
        site.next_second();
    }
    assert!(full >= 2, "the disk was never full");
    disk.resize(64 * 1024);
    site.apply();
    site.next_second();
    site.apply();
    assert!(laws::assert_settled(&site).is_empty());
}

#[test]
fn min_free_refuses_before_the_disk_is_full() {
    let policy = shop_once().replacen("min-free = \"0%\"", "min-free = \"60%\"", 1);
    let site = large(&policy);
    let disk = SmallDisk::mount(&site.tier("disk"), 10 * 1024);
    fs::write(site.tier("disk").join("other-data"), vec![1; 5 << 20]).unwrap();
    let ended = site.run(&APPLY);
    assert_ne!(ended.code, Some(0), "{ended}");
    ended.says("min-free");
    let files = stored::files(&site.tier("disk"));
    assert_eq!(files.len(), 1, "{files:?}");

    fs::remove_file(site.tier("disk").join("other-data")).unwrap();
    disk.resize(64 * 1024);
    site.apply();
    assert!(laws::assert_settled(&site).is_empty());
}

#[test]
fn a_full_disk_under_the_catalog_is_a_clear_error_and_spoils_nothing() {
    let site = large(SHOP_EVERY_SECOND);
    site.apply();
    let before = laws::whole(&site);
    // The catalog moves to a small disk, which then fills up.
    let state = site.path().join("state");
    let disk = SmallDisk::mount(&state, 1024);
    fs::copy(site.catalog(), state.join("state.db")).unwrap();
    let at = state.join("state.db").display().to_string();
    let apply = ["apply", "--auto-approve", "--state", &at];
    let mut filler = 1 << 20;
    while filler > 0 {
        // Fill it to the last page.
        let path = state.join(format!("filler{filler}"));
        if fs::write(&path, vec![0; filler]).is_err() {
            let _ = fs::remove_file(&path);
            filler /= 2;
            continue;
        }
        if filler < 4096 {
            break;
        }
        filler /= 2;
    }
    site.next_second();
    let ended = site.run(&apply);
    assert!(matches!(ended.code, Some(1 | 9)), "{ended}");
    ended.says("mainstay::catalog::full");
    for tier in ["disk", "nas"] {
        for (folder, manifest) in stored::manifests(&site.tier(tier)).values() {
            assert_eq!(stored::trouble(folder, manifest), None);
        }
    }
    laws::assert_nothing_lost(&before, &laws::whole(&site), 4);
    // Even reading needs a little room (SQLite's index of the log); then that is said.
    let list = site.run(&["list", "--state", &at]);
    if list.code != Some(0) {
        list.says("mainstay::catalog::full");
    }

    disk.resize(16 * 1024);
    site.next_second();
    site.expect(0, &apply);
    let catalog = rusqlite::Connection::open(state.join("state.db")).unwrap();
    let check: String = catalog
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    site.expect(0, &["plan", "--refresh-only", "--state", &at]);
}

#[test]
fn a_catalog_that_cannot_be_made_stops_a_run_before_anything_is_written() {
    let site = Site::new(&shop_once());
    let state = site.path().join("state");
    let _disk = SmallDisk::mount(&state, 4);
    let at = state.join("state.db").display().to_string();
    let _ = fs::write(state.join("filler"), vec![0; 4096]);
    let ended = site.expect(1, &["apply", "--auto-approve", "--state", &at]);
    ended.says("mainstay::catalog::");
    assert_nothing_there(&site, "disk");
    assert_nothing_there(&site, "nas");
}
