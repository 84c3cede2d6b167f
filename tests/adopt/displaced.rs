//! Nothing that is kept today goes unsaid.

use super::{SHOP, document, old, old_shop, states};
use crate::support::Site;

#[test]
fn a_file_that_would_take_a_points_place_is_adopted_only_when_that_is_wanted() {
    let site = Site::new(&SHOP.replace("yearly = 10", "yearly = 10, daily = 7"));
    site.expect(0, &["backup", "shop"]);
    site.next_second();
    site.expect(0, &["backup", "shop"]);
    site.next_second();
    site.expect(0, &["backup", "shop"]);
    let mine = site.points();
    // The first of the day stands for it; the newest stays in any case.
    let stamp = mine[0].stamp();
    let folder = old(&site);
    old_shop(&folder.join(format!("shop-{}T000000Z.db", &stamp[..8])), 5);
    old_shop(&folder.join("shop-2020-05-05.db"), 6);
    let shown = site.expect(3, &["catalog", "adopt", "shop", "old"]);
    shown
        .says("mainstay::adopt::displaces")
        .says(mine[0].as_str())
        .says("--before");
    assert_eq!(site.points(), mine);
    site.expect(3, &["catalog", "adopt", "shop", "old", "--dry-run"]);
    let older = site.expect(
        0,
        &[
            "catalog",
            "adopt",
            "shop",
            "old",
            "--before",
            "2025-01-01",
            "--json",
        ],
    );
    assert_eq!(states(&document(&older)).len(), 1);
    assert_eq!(site.points().len(), 4);
    site.expect(0, &["catalog", "adopt", "shop", "old", "--displace"])
        .says("would then let go what is kept today");
    assert_eq!(site.points().len(), 5);
    // As it was told, so it comes.
    let plan = site.plan(&[]);
    let pruned: Vec<&str> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["action"] == "prune")
        .map(|step| step["recovery_point"].as_str().unwrap())
        .collect();
    assert!(pruned.contains(&mine[0].as_str()), "{pruned:?}");
}

#[test]
fn a_slot_that_mainstay_has_made_itself_is_never_replaced() {
    let site = Site::new(SHOP);
    site.expect(0, &["backup", "shop"]);
    let mine = site.points();
    let folder = old(&site);
    old_shop(&folder.join(format!("shop-{}.db", mine[0].stamp())), 5);
    site.expect(1, &["catalog", "adopt", "shop", "old"])
        .says("a backup of Mainstay's own");
    assert_eq!(site.points(), mine);
}
