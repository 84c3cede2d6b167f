//! Why a recovery point is kept and until when, and what became of one that is gone.

use crate::{
    place::Place,
    support::{SHOP_EVERY_SECOND, Site, program::Running},
};
use serde_json::Value;

#[test]
fn a_kept_point_tells_its_rules_their_places_and_its_end() {
    let place = Place::new();
    let explain = |point: &str| {
        let arguments = ["explain", point, "--inventory", "inventory.json"];
        place.expect(0, &arguments).stdout
    };
    insta::assert_snapshot!("explain_kept", explain("shop/daily/20261115T010000Z"));
    place.change("daily = 90", "daily = 30, yearly = \"all\"");
    insta::assert_snapshot!("explain_not_kept", explain("shop/daily/20261015T010000Z"));
    insta::assert_snapshot!("explain_for_ever", explain("shop/daily/20260824T010000Z"));
    let ended = place.expect(
        1,
        &[
            "explain",
            "shop/daily/20200101T000000Z",
            "--inventory",
            "inventory.json",
        ],
    );
    assert!(ended.stderr.contains("mainstay::point::unknown"), "{ended}");
    let ended = place.expect(1, &["explain", "shop/daily"]);
    assert!(
        ended.stderr.contains("is not a recovery point id"),
        "{ended}"
    );
}

#[test]
fn a_point_that_is_gone_tells_who_deleted_it_and_by_which_rule() {
    let site = Site::new(SHOP_EVERY_SECOND);
    let apply = || Running::start(site.path(), &["apply", "--auto-approve"], &[]).wait();
    let first = {
        apply();
        let listed = Running::start(site.path(), &["list", "--json"], &[]).wait();
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        listed["recovery_points"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut told = String::new();
    for _ in 0..12 {
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        apply();
        let ended = Running::start(site.path(), &["explain", &first], &[]).wait();
        assert_eq!(ended.code, Some(0), "{ended}");
        told = ended.stdout;
        if told.contains("is gone") {
            break;
        }
    }
    assert!(told.contains("is gone"), "{told}");
    assert!(told.contains("deletion on disk by "), "{told}");
    assert!(
        told.contains("`last 4` on disk no longer keeps it"),
        "{told}"
    );
    assert!(told.contains("rule: last 4"), "{told}");
    assert!(told.contains("justified by shop/often/"), "{told}");
}
