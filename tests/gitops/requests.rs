//! Acts outside of plans: whoever may write the policy takes no key from old points with them, and brings no log of another server in.

use crate::{site::Site, support::program::Ended};
use model::{KeyRing, WrappedKey};
use serde_json::Value;
use std::{fs, path::PathBuf};

const KEYS: [&str; 4] = ["prod", "offline", "next", "evil"];

/// A policy whose shop is encrypted for these keys, with rules of approval.
fn encrypted(site: &Site, keys: &[&str]) -> String {
    let mut keyed = site.policy(&["shop"], &site.approval(2, &["alice", "bob"]));
    keyed = keyed.replace(
        "engine = \"sqlite\"\n",
        &format!("engine = \"sqlite\"\nencrypt-with = {keys:?}\n"),
    );
    for name in KEYS {
        keyed += &format!("[key.{name}]\nkind = \"local\"\npath = \"{name}.key\"\n");
    }
    keyed
}

/// One point for `prod` and `offline`, with rules in force.
fn site() -> Site {
    let site = Site::new();
    site.write(&encrypted(&site, &["prod", "offline"]));
    for name in KEYS {
        site.expect(0, &["key", "generate", name]);
    }
    site.expect(0, &["apply", "-y"]);
    site
}

fn stored_ring(site: &Site) -> (PathBuf, KeyRing) {
    let mut folders = vec![site.path().join("nas")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("keys.json") {
                let ring = KeyRing::parse(&fs::read(&path).unwrap()).unwrap();
                return (path, ring);
            }
        }
    }
    panic!("no ring")
}

fn ring(site: &Site) -> KeyRing {
    stored_ring(site).1
}

/// What every object of a ring has for each key.
fn entries(ring: &KeyRing) -> Vec<Vec<WrappedKey>> {
    let objects = ring.objects.values();
    objects.map(|object| object.recipients.clone()).collect()
}

fn recipients(site: &Site) -> Vec<String> {
    let entries = entries(&ring(site)).remove(0);
    entries.iter().map(|entry| entry.name.to_string()).collect()
}

#[track_caller]
fn id_asked(refused: &Ended, code: &str) -> String {
    assert!(refused.stderr.contains(code), "{refused}");
    assert!(refused.stderr.contains("of 2 signatures"), "{refused}");
    let (_, id) = refused.stderr.split_once("mainstay approve ").unwrap();
    id.split_whitespace().next().unwrap().to_owned()
}

/// Asks for a rotation for these keys, which is refused; gives what would be signed.
#[track_caller]
fn rotation_asked(site: &Site, keys: &[&str]) -> String {
    site.write(&encrypted(site, keys));
    let before = ring(site);
    let refused = site.expect(3, &["key", "rotate"]);
    assert_eq!(ring(site), before, "nothing was changed");
    id_asked(&refused, "mainstay::key::needs-approval")
}

#[track_caller]
fn sign(site: &Site, id: &str, names: &[&str]) {
    for name in names {
        site.expect(0, &["approve", id, "--key", &site.key(name)]);
    }
}

#[test]
fn a_rotation_takes_no_key_from_old_points_that_nobody_signed_for() {
    let site = site();
    let evil = rotation_asked(&site, &["evil"]);
    assert_eq!(rotation_asked(&site, &["evil"]), evil, "the same for all");
    site.expect(3, &["approve", &evil, "--key", &site.key("mallory")]);
    sign(&site, &evil, &["alice"]);
    assert_eq!(rotation_asked(&site, &["evil"]), evil, "one is no quorum");
    // What both sign is another rotation.
    let next = rotation_asked(&site, &["next", "offline"]);
    assert_ne!(next, evil);
    sign(&site, &next, &["alice", "bob"]);
    assert_eq!(rotation_asked(&site, &["evil"]), evil);
    assert_ne!(rotation_asked(&site, &["offline"]), next);
    site.write(&encrypted(&site, &["next", "offline"]));
    site.expect(0, &["key", "rotate", "--why", "a new year"]);
    assert_eq!(recipients(&site), ["next", "offline"]);
    let told = site.catalog(
        "work/policy",
        "SELECT why FROM audit WHERE kind = 'key-rotation'",
    );
    let signers = "a new year (approved by alice@example.com, bob@example.com)";
    assert!(told.last().unwrap().ends_with(signers), "{told:?}");
    // The same step from another ring was never signed.
    site.write(&encrypted(&site, &["next", "offline", "prod"]));
    site.expect(0, &["key", "rotate"]);
    assert_ne!(rotation_asked(&site, &["next", "offline"]), next);
    site.expect(0, &["audit", "verify"]);
}

#[test]
fn a_key_that_only_comes_needs_nobody_and_leaves_every_entry_as_it_is() {
    let site = site();
    site.write(&encrypted(&site, &["prod", "offline", "next"]));
    let before = entries(&ring(&site));
    site.expect(0, &["key", "rotate"]);
    assert_eq!(recipients(&site), ["prod", "offline", "next"]);
    for (before, after) in before.iter().zip(entries(&ring(&site))) {
        assert_eq!(before[..], after[..2]);
    }
    site.write(&encrypted(&site, &["evil"]));
    site.expect(0, &["key", "rotate", "--keep-old"]);
    assert_eq!(recipients(&site), ["evil", "prod", "offline", "next"]);
}

/// The fear: a key that only claims to be the owners' does not open their entry, the entry is "mended" for it, and the list of recipients
/// looks as before.
#[test]
fn an_entry_that_its_key_seems_not_to_open_is_replaced_only_when_signed() {
    let site = site();
    let (file, mut ring) = stored_ring(&site);
    for object in ring.objects.values_mut() {
        object.recipients[1].wrapped = object.recipients[0].wrapped.clone();
    }
    fs::write(file, ring.to_bytes().unwrap()).unwrap();
    let id = rotation_asked(&site, &["prod", "offline"]);
    // Not in the shadow of a key that comes either.
    let with_another = rotation_asked(&site, &["prod", "offline", "next"]);
    assert_ne!(with_another, id);
    sign(&site, &with_another, &["alice", "bob"]);
    site.expect(0, &["key", "rotate"]);
    assert_eq!(recipients(&site), ["prod", "offline", "next"]);
}

#[test]
fn without_rules_a_rotation_asks_nobody() {
    let site = Site::new();
    let plain = |keys: &[&str]| {
        let policy = encrypted(&site, keys);
        let (before, after) = policy.split_once("\n[approval]").unwrap();
        let (_, keys) = after.split_once("[key.").unwrap();
        site.write(&format!("{before}\n[key.{keys}"));
    };
    plain(&["prod", "offline"]);
    for name in KEYS {
        site.expect(0, &["key", "generate", name]);
    }
    site.expect(0, &["apply", "-y"]);
    plain(&["next"]);
    site.expect(0, &["key", "rotate"]);
    assert_eq!(recipients(&site), ["next"]);
}

/// A policy whose bank archives its log; its server is away.
fn archiving(site: &Site) -> String {
    let bank = "[database.bank]\nengine = \"postgres\"\nurl = \"postgres://127.0.0.1:9/postgres\"\nobjective = { rpo = \"1h\" }\n\
        [database.bank.wal]\nkeep.nas = \"7d\"\n\
        [[database.bank.series]]\nname = \"base\"\nmethod = \"physical\"\nschedule = \"0 2 * * *\"\nkeep.nas = { daily = 7 }\n";
    let approval = site.approval(2, &["alice", "bob"]);
    site.policy(&["shop"], &format!("{approval}{bank}"))
}

#[test]
fn the_log_of_another_server_is_taken_only_when_those_who_may_have_signed() {
    let site = Site::new();
    site.write(&site.policy(&["shop"], &site.approval(2, &["alice", "bob"])));
    site.expect(0, &["apply", "-y"]);
    site.write(&archiving(&site));
    let accept = |code: i32, number: &str| {
        let words = ["wal", "accept", "bank", "--why", "moved"];
        site.expect(
            code,
            &[&words[..], &["--system-identifier", number]].concat(),
        )
    };
    let file = site.path().join("nas/bank/wal/cluster.json");
    let taken = || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        json["current"].as_str().unwrap_or_default().to_owned()
    };
    let asked = |number: &str| {
        let before = fs::read(&file).ok();
        let refused = accept(3, number);
        assert_eq!(fs::read(&file).ok(), before, "nothing was changed");
        id_asked(&refused, "mainstay::wal::needs-approval")
    };
    let (old, new) = ("7300000000000000001", "7300000000000000002");
    let first = asked(old);
    sign(&site, &first, &["alice", "bob"]);
    assert_ne!(asked(new), first);
    accept(0, old);
    assert_eq!(taken(), old);
    let second = asked(new);
    sign(&site, &second, &["alice"]);
    assert_eq!(asked(new), second, "one is no quorum");
    sign(&site, &second, &["bob"]);
    accept(0, new);
    assert_eq!(taken(), new);
    // It is taken already: nothing would change.
    accept(0, new);
    assert_ne!(asked(old), first, "there was no log then");
    let told = site.catalog(
        "work/policy",
        "SELECT why FROM audit WHERE kind = 'wal-accept'",
    );
    assert_eq!(told.len(), 2, "{told:?}");
    let signers = "moved (approved by alice@example.com, bob@example.com)";
    assert!(told.iter().all(|why| why.ends_with(signers)), "{told:?}");
    site.expect(0, &["audit", "verify"]);
}
