//! Policies in Git: the source that a plan tells, and a host that follows a branch.

use crate::site::Site;
use serde_json::Value;
use std::fs;

#[test]
fn a_plan_tells_its_commit_and_who_wrote_it_but_not_one_from_an_inventory() {
    let site = Site::new();
    site.init();
    site.write(&site.policy(&["kiosk"], ""));
    let first = site.commit("Alice", &[]);
    let tip = site.commit("Bob", &[]);
    let plan = |arguments: &[&str]| -> Value {
        serde_json::from_str(
            &site
                .expect(0, &[&["plan", "--json"], arguments].concat())
                .stdout,
        )
        .unwrap()
    };
    let source = &plan(&[])["policy_source"];
    assert_eq!(source["author"], "Alice <alice@example.com>");
    assert_eq!(source["changed_in"], first.as_str());
    assert_eq!(source["revision"], tip.as_str());
    assert_eq!(source["dirty"], Value::Null);
    site.expect(0, &["apply", "-y"]);
    let change = site.catalog(
        "work/policy",
        "SELECT details FROM audit WHERE kind = 'policy-change'",
    );
    assert!(change[0].contains(&first), "{change:?}");
    // Pure: the same bytes whatever Git says.
    let inventory = site.expect(0, &["inventory", "--json"]).stdout;
    fs::write(site.path().join("inventory.json"), inventory).unwrap();
    let from = site.path().join("inventory.json");
    let pure = [
        "--inventory",
        from.to_str().unwrap(),
        "--now",
        "2026-11-22T00:00:00Z",
    ];
    let before = plan(&pure);
    let text = site.policy(&["kiosk"], "\n# a word\n");
    site.write(&text);
    assert_eq!(plan(&[])["policy_source"]["dirty"], true);
    assert_eq!(plan(&pure), before);
    assert_eq!(before["policy_source"], Value::Null);
}

#[test]
fn a_host_follows_a_branch_forward_only() {
    let site = Site::new();
    site.init();
    site.write(&site.policy(&["kiosk"], ""));
    let first = site.commit("Alice", &[]);
    site.follow(0, &[]);
    assert!(site.path().join("nas/kiosk/daily").exists());
    site.follow(0, &[]);
    site.write(&site.policy(&["kiosk", "shop"], ""));
    let second = site.commit("Alice", &[]);
    site.follow(0, &[]);
    assert!(site.has_shop());
    // Back.
    site.git(&["reset", "-q", "--hard", &first]);
    let back = site.follow(3, &[]);
    assert!(back.stderr.contains("mainstay::git::backwards"), "{back}");
    // Rewritten: the same change by somebody else.
    site.write(&site.policy(&["kiosk", "shop"], "\n# mine\n"));
    let third = site.commit("Mallory", &[]);
    let rewritten = site.follow(3, &[]);
    assert!(
        rewritten.stderr.contains("mainstay::git::rewritten"),
        "{rewritten}"
    );
    assert!(rewritten.stderr.contains(&second), "{rewritten}");
    // Also when the cache, with the commit that was applied, is gone.
    fs::rename(
        site.path().join("host/.mainstay/git"),
        site.path().join("gone"),
    )
    .unwrap();
    site.git(&["gc", "-q", "--prune=now"]);
    let rewritten = site.follow(3, &[]);
    assert!(
        rewritten.stderr.contains("mainstay::git::rewritten"),
        "{rewritten}"
    );
    let other = site.follow(1, &["--accept-history", &second]);
    assert!(
        other.stderr.contains("mainstay::git::accepts-another"),
        "{other}"
    );
    site.follow(0, &["--accept-history", &third]);
    site.follow(0, &[]);
    let accepted = site.catalog(
        "host",
        "SELECT why FROM audit WHERE kind = 'history-accept'",
    );
    assert_eq!(
        accepted,
        [format!("follows {third} although {second} was applied")]
    );
}

#[test]
fn a_commit_must_be_signed_by_somebody_who_may_where_that_is_asked() {
    let site = Site::new();
    site.init();
    let list = site.path().join("allowed");
    let alice = site.public_key("alice");
    fs::write(&list, format!("alice@example.com {alice}\n")).unwrap();
    let list = ["--verify-signature", list.to_str().unwrap()];
    let signed_by = |name: &str| {
        let key = format!("user.signingkey={}", site.key(name));
        site.git(&["add", "--all"]);
        let arguments = ["-c", "gpg.format=ssh", "-c", &key, "commit", "-q", "-S"];
        site.git(&[&arguments[..], &["--allow-empty", "-m", "signed"]].concat());
    };
    site.write(&site.policy(&["kiosk"], ""));
    site.commit("Alice", &[]);
    let unsigned = site.follow(3, &list);
    assert!(unsigned.stderr.contains("it is not signed"), "{unsigned}");
    signed_by("mallory");
    let stranger = site.follow(3, &list);
    assert!(
        stranger.stderr.contains("belongs to no allowed signer"),
        "{stranger}"
    );
    let nobody = site.follow(1, &["--verify-signature"]);
    assert!(
        nobody.stderr.contains("mainstay::git::no-signers"),
        "{nobody}"
    );
    assert!(!site.path().join("nas/kiosk").exists());
    // A key that the commit itself allows is no reason to believe the commit.
    site.write(&site.policy(&["kiosk"], &site.approval(1, &["mallory"])));
    signed_by("mallory");
    site.follow(3, &list);
    site.write(&site.policy(&["kiosk"], &site.approval(1, &["bob"])));
    signed_by("alice");
    site.follow(0, &list);
    // From now on the rules in force tell, and they name only Bob.
    site.follow(3, &["--verify-signature"]);
    signed_by("bob");
    site.follow(0, &["--verify-signature"]);
}

/// A host that followed a branch once; gives its cache.
fn followed(site: &Site) -> std::path::PathBuf {
    site.init();
    site.write(&site.policy(&["kiosk"], ""));
    site.commit("Alice", &[]);
    site.follow(0, &[]);
    let mut caches = fs::read_dir(site.path().join("host/.mainstay/git")).unwrap();
    caches
        .find_map(|entry| Some(entry.unwrap().path()).filter(|path| path.is_dir()))
        .unwrap()
}

#[test]
fn a_cache_that_a_killed_fetch_left_locked_or_damaged_stops_no_host() {
    let site = Site::new();
    let cache = followed(&site);
    let next = |word: &str| {
        site.write(&site.policy(&["kiosk"], word));
        site.commit("Alice", &[]);
    };
    next("# one\n");
    fs::write(cache.join("refs/mainstay/incoming.lock"), "").unwrap();
    site.follow(0, &[]);
    next("# two\n");
    for folder in fs::read_dir(cache.join("objects")).unwrap() {
        for object in fs::read_dir(folder.unwrap().path()).unwrap() {
            let object = object.unwrap().path();
            fs::remove_file(&object).unwrap();
            fs::write(&object, "damaged").unwrap();
        }
    }
    site.follow(0, &[]);
    // Git must not take a repository around the state for the cache.
    site.run("git", &["init", "-q", "."], &site.path().join("host"));
    fs::write(cache.join("HEAD"), "").unwrap();
    next("# three\n");
    site.follow(0, &[]);
    let around = site.run("git", &["for-each-ref"], &site.path().join("host"));
    assert_eq!(around, "");
    fs::remove_file(cache.join("HEAD")).unwrap();
    site.follow(0, &[]);
}

#[test]
fn what_cannot_be_followed_is_said_as_it_is() {
    let site = Site::new();
    followed(&site);
    site.git(&["tag", "v1"]);
    let root = site.path().display().to_string();
    let say = |code: i32, from: &str, more: &[&str]| {
        let arguments = [&["apply", "-y", "--from-git", from], more].concat();
        let ended =
            crate::support::program::Running::start(&site.path().join("host"), &arguments, &[])
                .wait();
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended}");
        ended.stderr
    };
    for (from, more, expected) in [
        (
            format!("{root}/work@nope"),
            vec!["--path", "policy"],
            "git::no-branch",
        ),
        (
            format!("{root}/work@v1"),
            vec!["--path", "policy"],
            "there is a tag of that name",
        ),
        (
            format!("{root}/work@main"),
            vec!["--path", "nope"],
            "git::no-path",
        ),
        (
            format!("{root}/work@main"),
            vec!["--path", "../work"],
            "git::no-path",
        ),
        (
            format!("{root}/work@main"),
            vec!["--path", "/etc"],
            "which has: .gitignore, policy",
        ),
        (
            format!("{root}/work@main"),
            vec!["--path", "policy", "--policy", "mine.toml"],
            "git::two-policies",
        ),
        (
            format!("{root}/nothing@main"),
            vec!["--path", "policy"],
            "git::fetch",
        ),
    ] {
        let said = say(1, &from, &more);
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // A server that takes the call and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let from = format!("http://{}/a.git@main", silent.local_addr().unwrap());
    let said = say(1, &from, &["--path", "policy", "--fetch-timeout", "1s"]);
    assert!(said.contains("does not answer within 1 s"), "{said}");
}

#[test]
fn two_programs_that_follow_one_branch_at_once_both_end_well() {
    let site = Site::new();
    followed(&site);
    site.write(&site.policy(&["kiosk", "shop"], ""));
    site.commit("Alice", &[]);
    let from = format!("{}/work@main", site.path().display());
    let host = site.path().join("host");
    let start = || {
        let arguments = [
            "apply",
            "--from-git",
            &from,
            "--path",
            "policy",
            "-y",
            "--lease-wait",
            "60s",
        ];
        crate::support::program::Running::start(&host, &arguments, &[])
    };
    let (one, other) = (start(), start());
    for ended in [one.wait(), other.wait()] {
        assert_eq!(ended.code, Some(0), "{ended}");
    }
    assert!(site.has_shop());
}
