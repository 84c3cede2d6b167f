//! The fear: everything looks fine while no key is left that opens it.
//!
//! The real program, and key files that come and go.

mod support;

use std::fs;
use support::Site;

const POLICY: &str = r#"
mainstay = 1
[tier.disk]
kind = "filesystem"
path = "disk"
min-free = "1%"
[key.prod]
kind = "local"
path = "prod.key"
[key.spare]
kind = "local"
path = "spare.key"
[database.shop]
engine = "sqlite"
path = "shop.db"
encrypt-with = ["prod", "spare"]
objective = { rpo = "25h" }
[[database.shop.series]]
name = "daily"
schedule = "0 2 * * *"
keep.disk = { last = 7 }
"#;

#[test]
fn a_database_that_no_key_opens_keeps_no_promise() {
    let site = Site::new(POLICY);
    for key in ["prod", "spare"] {
        site.expect(0, &["key", "generate", key]);
    }
    site.expect(0, &["apply", "--auto-approve"]);
    site.expect(0, &["status"]).says("RPO met").never_says("!");
    site.expect(0, &["key", "list"]).says("1 point in 1 copy");

    let away = |key: &str| {
        let file = site.path().join(format!("{key}.key"));
        fs::rename(&file, file.with_extension("away")).unwrap();
    };
    away("prod");
    site.expect(6, &["status"])
        .says("RPO met")
        .says("key prod: it is not there");
    away("spare");
    let ended = site.expect(6, &["status"]);
    ended.says("NO KEY").never_says("RPO met");
    let json = site.expect(6, &["status", "--json"]).json();
    assert_eq!(json["databases"][0]["verdict"], "no-key");
    assert_eq!(json["keys_in_trouble"].as_object().unwrap().len(), 2);
}

#[test]
fn a_restore_says_which_links_it_left_out() {
    let site = Site::new(
        r#"
mainstay = 1
[tier.disk]
kind = "filesystem"
path = "disk"
min-free = "1%"
[database.conf]
engine = "files"
paths = ["etc"]
[[database.conf.series]]
name = "daily"
schedule = "0 2 * * *"
keep.disk = { last = 7 }
"#,
    );
    let etc = site.path().join("etc");
    fs::create_dir(&etc).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", etc.join("away")).unwrap();
    site.expect(0, &["apply", "--auto-approve"]);
    site.expect(0, &["restore", "conf", "--to", "out"])
        .says("left out")
        .says("away -> /etc/passwd");
}

#[test]
fn two_files_with_one_key_are_not_two_recipients() {
    let site = Site::new(POLICY);
    site.expect(0, &["key", "generate", "prod"]);
    let (one, other) = (site.path().join("prod.key"), site.path().join("spare.key"));
    fs::copy(one, other).unwrap();
    site.expect(6, &["status"]).says("the same key as `prod`");
}
