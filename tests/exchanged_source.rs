//! The fear: the database behind a name is exchanged, and the new one's points push out the only copies of the old one.
#![cfg(feature = "crash-points")]

mod support;

use support::{SHOP_EVERY_SECOND, Site, shop};

fn policy(keep: u32, file: &str) -> String {
    SHOP_EVERY_SECOND
        .replace("last = 4", &format!("last = {keep}"))
        .replace("every = \"1s\"", "schedule = \"0 0 1 1 *\"")
        .replace("shop.db", file)
}

#[test]
fn points_of_another_database_delete_nothing_of_the_old_one() {
    let site = Site::new(&policy(2, "shop.db"));
    let backup = || {
        site.expect(0, &["backup", "shop", "--auto-approve"]);
        site.next_second();
    };
    backup();
    backup();
    let old = site.points();
    assert_eq!(old.len(), 2);

    shop::create(&site.path().join("other.db"), 3);
    site.write_policy(&policy(2, "other.db"));
    backup();
    backup();
    site.expect(10, &["apply", "--auto-approve"])
        .says("another database");
    let left = site.points();
    assert!(old.iter().all(|point| left.contains(point)), "{left:?}");
    assert_eq!(left.len(), 4);
}
