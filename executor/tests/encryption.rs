//! Encrypted recovery points: what is stored, who can open it, and what is noticed when keys or their ring are wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use executor::{
    Drift, Refresh, RestoreError, RestoreOrder, RestoreReport, RunEnd, VerifyOrder, VerifyReport,
    observe, restore, verify_now,
};
use jiff::SignedDuration;
use model::{CopyState, KeyRing, Plan, VerifyLevel};
use providers::api::{Attestation, RestoreTarget, Selection};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use support::{
    World,
    keys::{encrypted, key, recipients},
    plans::{After, backup, plan, point, repair, upload, verify},
    sound::{assert_settled, stray, visible},
    store::Store,
    tier, words,
};

const DATA: &str = "data.txt.zst.enc";
const TEXT: &str = "row 1\nrow 2\nrow 3\n";

/// Encrypted for `names` on `nas`, verified, and copied to `disk`.
fn sealed_daily(world: &World, day: i64, names: &[&str]) -> Plan {
    let backup = encrypted(backup(day, "nas"), names);
    let verify_nas = verify(day, "nas", VerifyLevel::FullRead).after(&[&backup]);
    let upload = upload(day, "nas", "disk").after(&[&verify_nas]);
    let verify_disk = verify(day, "disk", VerifyLevel::Checksum).after(&[&upload]);
    plan(
        world.clock().now(),
        vec![backup, verify_nas, upload, verify_disk],
    )
}

async fn sealed_world(names: &[&str]) -> World {
    let world = World::new().await;
    let report = world.apply(&sealed_daily(&world, 21, names)).await;
    assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    world.clock.advance(SignedDuration::from_hours(1));
    world
}

async fn restore_as(
    world: &World,
    from: Option<&str>,
    name: &str,
) -> Result<RestoreReport, RestoreError> {
    let order = RestoreOrder {
        point: point(21),
        from: from.map(tier),
        target: RestoreTarget::Named(name.to_owned()),
        replace: false,
        thaw: executor::ThawPolicy::Refuse,
        selection: Selection::default(),
        who: "tester".to_owned(),
        why: "a test".to_owned(),
        run: format!("restore-{name}"),
        progress: Arc::new(|_| {}),
        recovery: None,
        asserts: Vec::new(),
        drill: None,
        policy_digest: None,
    };
    restore(&order, &world.wiring, Some(&world.catalog), &world.clock()).await
}

async fn verify_as(world: &World, on: &str, level: VerifyLevel) -> VerifyReport {
    let order = VerifyOrder {
        point: point(21),
        tier: tier(on),
        level,
        who: "tester".to_owned(),
        run: format!("verify-{on}-{level}"),
        lease_wait: Duration::from_secs(1),
        progress: Arc::new(|_| {}),
    };
    verify_now(&order, &world.wiring, Some(&world.catalog), &world.clock()).await
}

async fn state(world: &World, on: &str) -> CopyState {
    let known = world.catalog.point(&point(21), world.clock().now()).await;
    known.unwrap().unwrap().copy_on(&tier(on)).unwrap().state
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.clone(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn an_encrypted_point_comes_back_from_every_tier() {
    let world = sealed_world(&["prod", "offline"]).await;
    assert_settled(&world, "encrypted").await;
    let manifest = world.manifest("nas", &point(21));
    assert_eq!(manifest.recipients, ["prod", "offline"]);
    let names: Vec<&str> = manifest.objects.iter().map(|o| o.file.as_str()).collect();
    assert_eq!(names, [DATA, "globals.txt.gz.enc"]);
    assert!(
        manifest
            .objects
            .iter()
            .all(|object| object.encryption.is_some())
    );
    assert!(
        manifest
            .objects
            .iter()
            .all(|object| object.crc64nvme.as_ref().is_some_and(|sum| sum.len() == 12))
    );
    let ring = world.ring("nas", &point(21));
    assert_eq!(recipients(&ring), ["prod", "offline"]);
    assert_eq!(ring, world.ring("disk", &point(21)));
    for from in ["nas", "disk"] {
        let report = restore_as(&world, Some(from), from).await.unwrap();
        assert!(report.passed());
        let phases: Vec<&str> = report
            .phases
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(phases, ["choose", "keys", "load", "checks"]);
        assert_eq!(world.engine.restored(from).as_deref(), Some(TEXT));
    }
    let deep = verify_as(&world, "disk", VerifyLevel::Restore).await;
    assert!(deep.passed(), "{deep:?}");
    assert_eq!(deep.not_tried, Vec::<String>::new());
    let checks: Vec<&str> = deep
        .checks
        .iter()
        .map(|check| check.what.as_str())
        .collect();
    assert_eq!(
        checks,
        [
            "the key `offline` opens the copy",
            "the key `prod` opens the copy",
            "rows of lines"
        ]
    );
}

#[tokio::test]
async fn no_key_and_no_plain_byte_is_stored_recorded_or_said() {
    let world = World::new().await;
    let line = "a line that must not be seen by anybody who has only the disk\n".repeat(50);
    world.engine.set(&line);
    // Not compressed away: gzip and zstd would hide it.
    let report = world
        .apply(&sealed_daily(&world, 21, &["prod", "offline"]))
        .await;
    let ring = world.ring("nas", &point(21));
    let mut secrets: Vec<Vec<u8>> = vec![b"must not be seen".to_vec()];
    for file in ring.objects.keys() {
        let opened = world.data_key("prod", &ring, file).await.unwrap();
        secrets.push(opened.expose().to_vec());
    }
    for name in ["prod", "offline"] {
        let text = std::fs::read_to_string(world.key_path(name)).unwrap();
        // The longest word of the file is its key.
        let parts = text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=_-".contains(c));
        let longest = parts.max_by_key(|word| word.len()).unwrap();
        assert!(longest.len() >= 40, "{text}");
        secrets.push(longest.as_bytes().to_vec());
    }
    // A key that fails says why, and nothing else.
    std::fs::write(world.path("nas", &point(21), DATA), b"x").unwrap();
    let failed = verify_as(&world, "nas", VerifyLevel::FullRead).await;
    std::fs::remove_file(world.key_path("prod")).unwrap();
    std::fs::write(world.key_path("offline"), "no key").unwrap();
    let refused = restore_as(&world, Some("disk"), "x").await.unwrap_err();
    let events = world.catalog.events(&report.run).await.unwrap();
    let audit = world.catalog.audit_entries(100).await.unwrap();
    let said = format!(
        "{report:?} {failed:?} {refused:?} {events:?} {audit:?} {} {:?}",
        serde_json::to_string(&events).unwrap(),
        world.wiring.keys
    );
    let mut everything = files(world.folder.path());
    everything.retain(|(path, _)| !path.starts_with(world.folder.path().join("keys")));
    assert!(everything.len() > 8);
    everything.push((PathBuf::from("what was said"), said.into_bytes()));
    for secret in &secrets {
        let hex = secret.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        for form in [
            secret.clone(),
            hex.into_bytes(),
            format!("{secret:?}").into_bytes(),
        ] {
            for (path, bytes) in &everything {
                assert!(!contains(bytes, &form), "{} tells a secret", path.display());
            }
        }
    }
}

type Damage = (&'static str, fn(&World));

fn ring_path(world: &World) -> PathBuf {
    world.path("disk", &point(21), "keys.json")
}

/// What happens to the ring on `disk`; the others are self-consistent files that a tool could have written.
const TABLE: [Damage; 7] = [
    ("gone", |world| {
        std::fs::remove_file(ring_path(world)).unwrap();
    }),
    ("truncated", |world| {
        let bytes = std::fs::read(ring_path(world)).unwrap();
        std::fs::write(ring_path(world), &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("one bit flipped in a wrapped key", |world| {
        let mut bytes = std::fs::read(ring_path(world)).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let at = text.find("\"wrapped\": \"").unwrap() + 20;
        // Another character of base64, so that only the digest can tell.
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        std::fs::write(ring_path(world), bytes).unwrap();
    }),
    ("that of another point", |world| {
        let other = world.path("nas", &point(20), "keys.json");
        std::fs::copy(other, ring_path(world)).unwrap();
    }),
    ("without one of the objects", |world| {
        let mut ring = world.ring("disk", &point(21));
        ring.objects.remove("globals.txt.gz.enc");
        world.set_ring("disk", &point(21), &ring);
    }),
    ("one recipient's entry from another point", |world| {
        let mut ring = world.ring("disk", &point(21));
        let other = world.ring("nas", &point(20));
        ring.objects.get_mut(DATA).unwrap().recipients[1] =
            other.objects[DATA].recipients[1].clone();
        world.set_ring("disk", &point(21), &ring);
    }),
    ("other data keys under the right names", |world| {
        // Made on another machine for the same slot: everything agrees but the data.
        let path = world.folder.path().join("ring-of-other-keys.json");
        let other = KeyRing::parse(&std::fs::read(path).unwrap()).unwrap();
        world.set_ring("disk", &point(21), &other);
    }),
];

#[tokio::test]
async fn every_damage_of_a_key_ring_is_noticed_and_mended_from_the_other_tier() {
    let mut table = String::new();
    for (how, damage) in TABLE {
        let world = World::new().await;
        let early = plan(
            world.clock().now(),
            vec![encrypted(backup(20, "nas"), &["prod", "offline"])],
        );
        world.apply(&early).await;
        // The same slot, captured twice, has two rings that agree in all but the keys.
        let draft = plan(
            world.clock().now(),
            vec![encrypted(backup(21, "nas"), &["prod", "offline"])],
        );
        let elsewhere = World::new_with_keys_of(&world).await;
        elsewhere.apply(&draft).await;
        std::fs::copy(
            elsewhere.path("nas", &point(21), "keys.json"),
            world.folder.path().join("ring-of-other-keys.json"),
        )
        .unwrap();
        world
            .apply(&sealed_daily(&world, 21, &["prod", "offline"]))
            .await;
        world.clock.advance(SignedDuration::from_hours(1));
        damage(&world);

        let seen = observe(
            Some(&world.catalog),
            &world.wiring.tiers,
            world.clock().now(),
            Refresh::Full,
        )
        .await
        .unwrap();
        let look = match seen.drift.as_slice() {
            [] => "nothing".to_owned(),
            [Drift::Missing { why, .. }] => format!("missing: {why}"),
            other => panic!("{other:?}"),
        };
        write!(table, "{how}\n  look:      {look}\n").unwrap();
        let restored = restore_as(&world, Some("disk"), "x").await;
        for level in [VerifyLevel::Checksum, VerifyLevel::FullRead] {
            let found = verify_as(&world, "disk", level).await;
            let words = found.failure.map_or("passed".to_owned(), |f| f.message);
            writeln!(table, "  {:10} {words}", level.as_str()).unwrap();
        }
        // An entry that is wrong does not stop the others from opening the copy.
        let end = match restored {
            Ok(_) => "succeeds".to_owned(),
            Err(error) => error.failure.code,
        };
        writeln!(table, "  restore:   {end}").unwrap();
        assert!(state(&world, "disk").await != CopyState::Present, "{how}");

        world.clock.advance(SignedDuration::from_hours(1));
        let repair = repair(21, "nas", "disk");
        let verify = verify(21, "disk", VerifyLevel::FullRead).after(&[&repair]);
        let report = world
            .apply(&plan(world.clock().now(), vec![repair, verify]))
            .await;
        assert_eq!(report.end(), RunEnd::Done, "{how}: {:?}", words(&report));
        assert_settled(&world, how).await;
        for entry in &world.ring("nas", &point(21)).objects[DATA].recipients {
            table = table.replace(&entry.key_id, "ID");
        }
    }
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn a_damaged_key_ring_is_not_copied() {
    let world = World::new().await;
    world
        .apply(&plan(
            world.clock().now(),
            vec![encrypted(backup(21, "nas"), &["prod"])],
        ))
        .await;
    let path = world.path("nas", &point(21), "keys.json");
    let bytes = std::fs::read(&path).unwrap();
    for damaged in [Some(&bytes[1..]), None] {
        match damaged {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let copy = plan(world.clock().now(), vec![upload(21, "nas", "disk")]);
        let report = world.apply(&copy).await;
        assert_ne!(report.end(), RunEnd::Done);
        assert_eq!(visible(&world, "disk").await.len(), 0);
        assert_ne!(state(&world, "nas").await, CopyState::Present);
    }
}

#[tokio::test]
async fn losing_one_of_two_keys_loses_nothing() {
    let world = sealed_world(&["prod", "offline"]).await;
    std::fs::remove_file(world.key_path("prod")).unwrap();
    let report = restore_as(&world, None, "one").await.unwrap();
    assert!(report.passed());
    let found = verify_as(&world, "disk", VerifyLevel::FullRead).await;
    assert!(found.passed(), "{found:?}");
    let [not_tried] = found.not_tried.as_slice() else {
        panic!("{found:?}")
    };
    assert!(
        not_tried.starts_with("key `prod` was not tried: "),
        "{not_tried}"
    );
}

#[tokio::test]
async fn without_any_key_the_error_tells_of_each_and_the_copy_is_not_called_damaged() {
    let mut world = sealed_world(&["prod", "offline"]).await;
    std::fs::remove_file(world.key_path("prod")).unwrap();
    world.wiring.keys.remove(&key("offline"));
    let error = restore_as(&world, None, "none").await.unwrap_err();
    assert_eq!(error.failure.code, "mainstay::key::none-opens");
    for part in ["`prod` (local ", "`offline` (local ", "no key of that kind"] {
        assert!(error.failure.message.contains(part), "{error:?}");
    }
    assert_eq!(error.given_up.len(), 1, "both copies were tried");
    let found = verify_as(&world, "disk", VerifyLevel::FullRead).await;
    assert_eq!(found.failure.unwrap().code, "mainstay::key::none-opens");
    assert_eq!(state(&world, "disk").await, CopyState::Present);
    // Reading the stored bytes needs no key.
    let found = verify_as(&world, "disk", VerifyLevel::Checksum).await;
    assert!(found.passed());
}

#[tokio::test]
async fn another_key_under_the_same_name_opens_nothing() {
    let mut world = sealed_world(&["prod"]).await;
    std::fs::remove_file(world.key_path("prod")).unwrap();
    world.add_key("prod");
    let error = restore_as(&world, Some("nas"), "x").await.unwrap_err();
    assert_eq!(error.failure.code, "mainstay::key::none-opens");
    assert_eq!(world.engine.restored("x"), None);
}

#[tokio::test]
async fn a_key_under_another_name_is_known_by_its_id() {
    let mut world = sealed_world(&["prod"]).await;
    let provider = world.wiring.keys.remove(&key("prod")).unwrap();
    world.wiring.keys.insert(key("renamed"), provider);
    assert!(restore_as(&world, Some("nas"), "x").await.is_ok());
}

#[tokio::test]
async fn a_backup_with_a_key_that_cannot_be_used_captures_nothing() {
    for gone in ["file", "declaration"] {
        let mut world = World::new().await;
        if gone == "file" {
            std::fs::remove_file(world.key_path("offline")).unwrap();
        } else {
            world.wiring.keys.remove(&key("offline"));
        }
        let report = world
            .apply(&sealed_daily(&world, 21, &["prod", "offline"]))
            .await;
        let code = if gone == "file" {
            "mainstay::key::missing"
        } else {
            "mainstay::run::not-declared"
        };
        let expected = format!("backup:orders/daily/20261121T020000Z@nas failed: {code}");
        assert_eq!(words(&report)[0], expected);
        assert_eq!(world.engine.captures.load(Ordering::Relaxed), 0);
        assert_eq!(
            stray(&world.folder.path().join("nas")),
            Vec::<String>::new()
        );
        assert!(world.catalog.unfinished().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_recovery_certificate_opens_the_copy_by_hand() {
    let mut world = World::new().await;
    let private = world.add_certificate("recovery");
    let report = world
        .apply(&sealed_daily(&world, 21, &["prod", "recovery"]))
        .await;
    assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    let found = verify_as(&world, "disk", VerifyLevel::FullRead).await;
    assert!(found.passed(), "{found:?}");
    assert_eq!(found.not_tried.len(), 1, "{found:?}");
    assert!(
        found.not_tried[0].contains("key `recovery` was not tried"),
        "{found:?}"
    );
    let ring = world.ring("disk", &point(21));
    let expected = world.data_key("prod", &ring, DATA).await.unwrap();
    world.wiring.keys.remove(&key("prod"));
    let error = restore_as(&world, Some("disk"), "x").await.unwrap_err();
    assert_eq!(error.failure.code, "mainstay::key::none-opens");
    // The command of the help, as a person would run it.
    let help = error.failure.help.unwrap();
    let command = help
        .split('`')
        .find(|part| part.starts_with("jq "))
        .unwrap();
    let command = command.replace("PRIVATE_KEY.pem", private.to_str().unwrap());
    let folder = world.path("disk", &point(21), "");
    #[expect(
        clippy::disallowed_methods,
        reason = "the test does what a person does by hand"
    )]
    let ran = std::process::Command::new("bash")
        .args(["-o", "pipefail", "-ec", &command])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{command}: {ran:?}");
    let opened = std::fs::read(folder.join("data.key")).unwrap();
    assert_eq!(opened, expected.expose());
}

/// Puts a store in the place of `nas`.
fn vouched(world: &mut World) -> Arc<Store> {
    let wired = world.wiring.tiers.get_mut(&tier("nas")).unwrap();
    let store = Arc::new(Store::new(Arc::clone(&wired.tier)));
    wired.tier = store.clone();
    store
}

#[tokio::test]
async fn what_a_store_vouches_for_is_recorded_as_that_and_no_more() {
    let mut world = sealed_world(&["prod"]).await;
    let store = vouched(&mut world);
    *store.archived.lock().unwrap() = true;
    let found = verify_as(&world, "nas", VerifyLevel::Attested).await;
    assert!(found.passed(), "{found:?}");
    assert_eq!(found.level, VerifyLevel::Attested);
    assert_eq!(found.bytes.0, 0, "nothing was read");

    // It cannot tell, but the bytes can be read: what was done is more than what was asked.
    *store.says.lock().unwrap() = Attestation::CannotTell("another program stored it".to_owned());
    *store.archived.lock().unwrap() = false;
    let found = verify_as(&world, "nas", VerifyLevel::Attested).await;
    assert!(found.passed(), "{found:?}");
    assert_eq!(found.level, VerifyLevel::Checksum);
    assert!(found.bytes.0 > 0);
    let history = world.catalog.verifications(&point(21)).await.unwrap();
    let levels: Vec<VerifyLevel> = history.iter().map(|entry| entry.level).collect();
    assert_eq!(
        levels[levels.len() - 2..],
        [VerifyLevel::Attested, VerifyLevel::Checksum]
    );

    // It cannot tell and nobody can read it: that says nothing about the copy.
    *store.archived.lock().unwrap() = true;
    let found = verify_as(&world, "nas", VerifyLevel::Attested).await;
    assert_eq!(
        found.failure.unwrap().code,
        "mainstay::verify::cannot-attest"
    );
    assert_eq!(state(&world, "nas").await, CopyState::Present);

    *store.says.lock().unwrap() = Attestation::Differs("it has another checksum".to_owned());
    let found = verify_as(&world, "nas", VerifyLevel::Attested).await;
    assert_eq!(found.failure.unwrap().code, "mainstay::copy::damaged");
    assert_eq!(state(&world, "nas").await, CopyState::Damaged);
}

#[tokio::test]
async fn a_store_that_vouches_for_the_data_does_not_vouch_for_the_key_ring() {
    let mut world = sealed_world(&["prod"]).await;
    vouched(&mut world);
    std::fs::remove_file(world.path("nas", &point(21), "keys.json")).unwrap();
    let found = verify_as(&world, "nas", VerifyLevel::Attested).await;
    assert_eq!(found.failure.unwrap().code, "mainstay::run::copy-missing");
}

#[tokio::test]
async fn a_crash_between_data_keys_and_manifest_leaves_what_the_next_run_removes() {
    // The same as a crash after the keys, as the next run sees it: data and keys without a manifest.
    let world = World::new().await;
    let died = Arc::new(Mutex::new(false));
    let mut n = 0;
    while !*died.lock().unwrap() {
        n += 1;
        assert!(n < 200, "no call came between the keys and the manifest");
        world.faults.arm(n, support::faults::Fault::Death);
        let order = plan(
            world.clock().now(),
            vec![encrypted(backup(21, "nas"), &["prod"])],
        );
        tokio::select! {
            _ = world.try_apply(&order) => {}
            () = world.faults.death() => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        world.faults.disarm();
        let between = world.path("nas", &point(21), "keys.json").exists()
            && !world.path("nas", &point(21), "manifest.json").exists();
        *died.lock().unwrap() = between;
        world.clock.advance(SignedDuration::from_secs(31));
    }
    let later = plan(
        world.clock().now(),
        vec![encrypted(backup(20, "disk"), &["prod"])],
    );
    world.apply(&later).await;
    assert_settled(&world, "after the crash").await;
    assert!(!world.path("nas", &point(21), "keys.json").exists());
}
