//! Which policies are compared: files, folders, revisions, and what cannot be.

use crate::place::{Place, SHOP, length, ninety_days};
use std::fs;

#[test]
fn policies_of_revisions_are_folders_and_include_files_too() {
    let place = Place::new();
    let (top, database) = SHOP.split_at(SHOP.find("[database.shop]").unwrap());
    fs::remove_file(place.path().join("mainstay.toml")).unwrap();
    place.write(
        "backup/policy/a.toml",
        &format!("include = [\"../shop.toml\"]\n{top}"),
    );
    place.write("backup/shop.toml", database);
    place.commit("as a folder");
    // Another layout of the same policy, at another path.
    place.diff(0, &["HEAD~1:mainstay.toml", "HEAD:backup/policy"]);
    place.write(
        "backup/shop.toml",
        &database.replace("daily = 90", "dayly = 90"),
    );
    place.commit("with a slip");
    let ended = place.diff(4, &["HEAD~1", "HEAD", "-p", "backup/policy"]);
    assert!(
        ended
            .stderr
            .contains("the new policy `HEAD:backup/policy` cannot be used"),
        "{ended}"
    );
    assert!(
        ended.stderr.contains("HEAD:backup/policy/../shop.toml:"),
        "{ended}"
    );
    let ended = place.diff(4, &["HEAD", "HEAD~1", "-p", "backup/policy"]);
    assert!(
        ended
            .stderr
            .contains("the old policy `HEAD:backup/policy` cannot be used"),
        "{ended}"
    );
}

#[test]
fn three_dots_compare_with_the_commit_at_which_the_branch_left() {
    let place = Place::new();
    place.git(&["switch", "-q", "-c", "topic"]);
    place.change("verify = \"full-read\"", "verify = \"checksum\"");
    place.commit("weaker");
    place.git(&["switch", "-q", "main"]);
    place.change("daily = 14", "daily = 20");
    place.commit("main goes on");
    let json = place.json(0, &["main...topic"]);
    assert_eq!(length(&json, "retention"), 0);
    assert_eq!(length(&json, "settings"), 1);
    let json = place.json(3, &["main..topic"]);
    assert_eq!(length(&json, "retention"), 1);
}

#[test]
fn what_cannot_be_compared_is_said() {
    let place = Place::new();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["nosuch", "HEAD"], 1, "mainstay::git::unknown-revision"),
        (
            &["HEAD:nosuch.toml", "HEAD"],
            4,
            "mainstay::diff::no-policy",
        ),
        (&["main...nosuch"], 1, "mainstay::git::unknown-revision"),
        (
            &["HEAD", "HEAD", "-p", "/etc"],
            1,
            "mainstay::git::no-repository",
        ),
    ];
    for (arguments, code, expected) in cases {
        let ended = place.diff(*code, arguments);
        assert!(ended.stderr.contains(expected), "{arguments:?}\n{ended}");
    }
    place.git(&["branch", "mainstay.toml"]);
    let ended = place.diff(1, &["mainstay.toml", "HEAD"]);
    assert!(
        ended.stderr.contains("mainstay::diff::ambiguous"),
        "{ended}"
    );
    place.diff(0, &["./mainstay.toml", "refs/heads/mainstay.toml"]);
}

#[test]
fn outside_of_a_repository_files_are_compared_and_revisions_refused() {
    let place = Place(tempfile::tempdir().unwrap());
    place.write("old.toml", SHOP);
    place.write("new.toml", &SHOP.replace("daily = 90", "daily = 30"));
    place.write("inventory.json", &ninety_days().to_string());
    assert_eq!(
        length(&place.json(3, &["old.toml", "new.toml"]), "destroyed"),
        60
    );
    let ended = place.diff(1, &["main", "new.toml"]);
    assert!(
        ended.stderr.contains("mainstay::git::no-repository"),
        "{ended}"
    );
}
